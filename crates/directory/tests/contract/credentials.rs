//! Logins other than by password: SCRAM keys and challenges, and accounts that somebody else vouches for.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac, pbkdf2};
use directory::{Directory, Settings};
use mail::{ScramChallenge, ScramProof};

use super::{alias, at, domain, mailbox, populated, settings};
use crate::support::Database;

const AUTH_MESSAGE: &str = "n=alice,r=one,r=onetwo,s=c2FsdA==,i=4096,c=biws,r=onetwo";

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// What a client makes of a password and a challenge (RFC 5802 3): its proof, and the signature that it waits for.
fn client(password: &str, challenge: &ScramChallenge) -> ([u8; 32], Vec<u8>) {
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(challenge.iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &challenge.salt, password.as_bytes(), &mut salted);
    let client_key = hmac(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = hmac(stored_key.as_ref(), AUTH_MESSAGE.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    (proof.try_into().unwrap(), hmac(&hmac(&salted, b"Server Key"), AUTH_MESSAGE.as_bytes()))
}

/// The whole exchange: whose account it was, after a look at the server's signature.
async fn proves(directory: &Directory, login: &str, password: &str) -> Option<String> {
    let (proof, expected) = client(password, &directory.challenge_scram(login).await.unwrap());
    let proof = ScramProof { login: login.to_owned(), auth_message: AUTH_MESSAGE.to_owned(), proof };
    let (account, signature) = directory.prove_scram(&proof).await.unwrap()?;
    assert_eq!(signature[..], expected[..]);
    Some(account.address.to_string())
}

async fn until_proven(directory: &Directory, login: &str, password: &str) {
    let started = Instant::now();
    while proves(directory, login, password).await.is_none() {
        assert!(started.elapsed() < Duration::from_secs(20), "{login} has no keys in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn quick(database: &Database, iterations: u32) -> Settings {
    Settings { scram_iterations: NonZeroU32::new(iterations).unwrap(), ..settings(database) }
}

pub(super) async fn whoever_knows_the_password_proves_it_without_telling(database: Database) {
    let directory = populated(&database).await;
    let alice = Some("alice@example.org".to_owned());
    assert_eq!(proves(&directory, "alice@example.org", "secret").await, alice);
    assert_eq!(proves(&directory, "ALICE@Example.Org", "secret").await, alice);
    for (login, password) in [
        ("alice@example.org", "Secret"),
        ("alice@example.org", ""),
        ("alice+x@example.org", "secret"),
        ("nobody@example.org", "secret"),
        ("alice", "secret"),
        ("' OR 1=1 --", "secret"),
        ("", ""),
    ] {
        assert_eq!(proves(&directory, login, password).await, None, "{login} {password}");
    }
    let challenge = directory.challenge_scram("alice@example.org").await.unwrap();
    let (proof, _) = client("secret", &challenge);
    let elsewhere = AUTH_MESSAGE.replace("onetwo", "another");
    let replayed = ScramProof { login: "alice@example.org".to_owned(), auth_message: elsewhere, proof };
    assert_eq!(directory.prove_scram(&replayed).await.unwrap(), None);
    directory.set_password(&mailbox("alice@example.org"), "changed").await.unwrap();
    assert_eq!(proves(&directory, "alice@example.org", "secret").await, None);
    assert_eq!(proves(&directory, "alice@example.org", "changed").await, alice);
    directory.remove_account(&mailbox("alice@example.org")).await.unwrap();
    assert_eq!(proves(&directory, "alice@example.org", "changed").await, None);
}

pub(super) async fn a_challenge_does_not_tell_who_exists(database: Database) {
    let directory = populated(&database).await;
    let logins = ["alice@example.org", "nobody@example.org", "alice", "a@elsewhere.example", "", "@@"];
    let mut challenges = Vec::new();
    for login in logins {
        let challenge = directory.challenge_scram(login).await.unwrap();
        assert_eq!((challenge.salt.len(), challenge.iterations), (16, 100_000), "{login}");
        assert!(!challenges.contains(&challenge), "{login} shares its salt");
        challenges.push(challenge);
    }
    assert_eq!(directory.challenge_scram("Nobody@EXAMPLE.org").await.unwrap(), challenges[1]);
    // The same from a replica and after a restart; before and after an account is made, changed and removed.
    let other = Directory::open(settings(&database)).await.unwrap();
    let nobody = mailbox("nobody@example.org");
    for step in 0..4 {
        for (login, challenge) in logins.iter().zip(&challenges) {
            assert_eq!(other.challenge_scram(login).await.unwrap(), *challenge, "{login} at {step}");
        }
        match step {
            0 => directory.add_account(&nobody, "secret", at(9)).await.unwrap(),
            1 => directory.set_password(&nobody, "other").await.unwrap(),
            _ => drop(directory.remove_account(&nobody).await),
        }
    }
}

pub(super) async fn another_directory_has_other_challenges(database: Database) {
    let directory = populated(&database).await;
    let stranger = populated(&Database::sqlite().await).await;
    for login in ["alice@example.org", "nobody@example.org"] {
        assert_ne!(
            directory.challenge_scram(login).await.unwrap(),
            stranger.challenge_scram(login).await.unwrap()
        );
    }
}

pub(super) async fn an_account_from_before_gets_its_keys_with_the_next_password_login(database: Database) {
    populated(&database).await;
    // Back to the first version's tables, accounts and all.
    for later in ["directory_secrets", "directory_grants", "directory_quotas"] {
        database.execute(&format!("DROP TABLE {later}")).await;
    }
    database.execute("ALTER TABLE directory_addresses DROP COLUMN scram").await;
    database.execute("ALTER TABLE directory_addresses DROP COLUMN scram_of").await;
    database.execute("DELETE FROM directory_migrations WHERE version > 1").await;
    let early = Directory::open(settings(&database)).await.unwrap_err();
    assert!(matches!(early, directory::Error::NotMigrated), "{early:?}");
    Directory::migrate(database.url()).await.unwrap();
    let directory = Directory::open(quick(&database, 4096)).await.unwrap();
    let before = directory.challenge_scram("alice@example.org").await.unwrap();
    assert_eq!(proves(&directory, "alice@example.org", "secret").await, None);
    assert_eq!(directory.authenticate("alice@example.org", "wrong").await.unwrap(), None);
    let account = directory.authenticate("alice@example.org", "secret").await.unwrap().unwrap();
    assert_eq!(account.created_at, at(2));
    until_proven(&directory, "alice@example.org", "secret").await;
    assert_eq!(directory.challenge_scram("alice@example.org").await.unwrap(), before);
    assert_eq!(proves(&directory, "bob@example.org", "secret").await, None);
}

pub(super) async fn another_number_of_iterations_counts_from_the_next_password_login(database: Database) {
    populated(&database).await;
    let directory = Directory::open(quick(&database, 4096)).await.unwrap();
    let iterations = async || directory.challenge_scram("alice@example.org").await.unwrap().iterations;
    assert_eq!(iterations().await, 100_000);
    assert!(proves(&directory, "alice@example.org", "secret").await.is_some());
    directory.authenticate("alice@example.org", "secret").await.unwrap().unwrap();
    let started = Instant::now();
    while iterations().await != 4096 {
        assert!(started.elapsed() < Duration::from_secs(20), "the keys are not renewed in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(proves(&directory, "alice@example.org", "secret").await.is_some());
}

pub(super) async fn keys_do_not_outlive_their_password_whoever_changes_it(database: Database) {
    let directory = populated(&database).await;
    assert!(proves(&directory, "alice@example.org", "secret").await.is_some());
    // As the version before does it, which knows no keys.
    database
        .execute("UPDATE directory_addresses SET password = password || 'x' WHERE local_part = 'alice'")
        .await;
    assert_eq!(proves(&directory, "alice@example.org", "secret").await, None);
}

pub(super) async fn a_directory_without_scram_keeps_no_keys(database: Database) {
    let directory = populated(&database).await;
    let challenge = directory.challenge_scram("alice@example.org").await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM directory_addresses WHERE scram IS NOT NULL").await, 2);
    let without = Directory::open(Settings { scram: false, ..settings(&database) }).await.unwrap();
    without.add_account(&mailbox("carol@example.org"), "secret", at(4)).await.unwrap();
    without.set_password(&mailbox("bob@example.org"), "other").await.unwrap();
    without.authenticate("alice@example.org", "secret").await.unwrap().unwrap();
    assert_eq!(database.count("SELECT count(*) FROM directory_addresses WHERE scram IS NOT NULL").await, 0);
    assert_eq!(without.challenge_scram("alice@example.org").await.unwrap(), challenge);
    for login in ["alice@example.org", "carol@example.org"] {
        assert_eq!(proves(&without, login, "secret").await, None);
    }
}

pub(super) async fn who_is_vouched_for_is_an_account_by_its_own_address(database: Database) {
    let directory = populated(&database).await;
    directory.add_domain(&domain("bücher.example"), at(4)).await.unwrap();
    directory.add_account(&mailbox("carol@bücher.example"), "secret", at(4)).await.unwrap();
    directory.set_alias(&alias("team@example.org", &["alice@example.org"]), at(5)).await.unwrap();
    let crowd: Vec<String> = (0..100).map(|n| format!("n{n}@example.org")).collect();
    let last: Vec<&str> = crowd.iter().map(String::as_str).chain(["alice@example.org"]).collect();
    for (login, addresses, expected) in [
        ("", &["alice@example.org"][..], Some("alice@example.org")),
        ("", &["ALICE@Example.Org", "alice@example.org", "a@elsewhere.example"], Some("alice@example.org")),
        ("alice@example.org", &["bob@example.org", "alice@example.org"], Some("alice@example.org")),
        ("carol@xn--bcher-kva.example", &["carol@Bücher.example"], Some("carol@bücher.example")),
        ("", &["alice@example.org", "bob@example.org"], None),
        ("bob@example.org", &["alice@example.org"], None),
        ("nonsense", &["alice@example.org"], None),
        ("nonsense", &["nonsense"], None),
        ("", &["team@example.org"], None),
        ("", &["alice+x@example.org"], None),
        ("", &["nobody@example.org"], None),
        ("alice@example.org", &[], None),
        ("", &[], None),
        ("", &last, None),
    ] {
        let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
        let found = directory.vouched(login, &addresses).await.unwrap();
        let found = found.map(|account| account.address.to_string());
        assert_eq!(found.as_deref(), expected, "{login} {addresses:?}");
    }
}
