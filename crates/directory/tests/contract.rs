//! What the directory promises, asked of both storages.

#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "../../queue/tests/support/postgres.rs"]
mod postgres;

#[path = "contract/credentials.rs"]
mod credentials;
mod support;

use credentials::{
    a_challenge_does_not_tell_who_exists, a_directory_without_scram_keeps_no_keys,
    an_account_from_before_gets_its_keys_with_the_next_password_login,
    another_directory_has_other_challenges, another_number_of_iterations_counts_from_the_next_password_login,
    keys_do_not_outlive_their_password_whoever_changes_it,
    who_is_vouched_for_is_an_account_by_its_own_address,
    whoever_knows_the_password_proves_it_without_telling,
};
use directory::{Directory, Error, Expansion, Member, Settings};
use mail::{Alias, Domain, ForwardPath, Mailbox, Resolution, Timestamp};
use support::Database;

/// Runs each contract on both storages, each time in a database of its own.
macro_rules! contracts {
    ($($contract:ident),* $(,)?) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $contract() { super::$contract(super::Database::sqlite().await).await; }
        )* }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $contract() { super::$contract(super::Database::postgres().await).await; }
        )* }
    };
}

mod rights;

contracts![
    domains_are_made_listed_and_given_up,
    accounts_are_made_checked_changed_and_removed,
    a_new_password_counts_at_once_though_the_old_one_was_remembered,
    recipients_lead_to_accounts_aliases_and_the_catch_all,
    aliases_of_aliases_are_followed_and_circles_are_cut,
    an_alias_cannot_lead_to_a_crowd,
    the_postmaster_is_always_somebody,
    an_account_may_send_as_its_aliases,
    aliases_are_replaced_as_a_whole,
    quoted_and_utf8_addresses_are_addresses,
    a_directory_without_tables_says_what_to_do,
    migrating_twice_and_at_once_is_harmless,
    whoever_knows_the_password_proves_it_without_telling,
    a_challenge_does_not_tell_who_exists,
    another_directory_has_other_challenges,
    an_account_from_before_gets_its_keys_with_the_next_password_login,
    another_number_of_iterations_counts_from_the_next_password_login,
    keys_do_not_outlive_their_password_whoever_changes_it,
    a_directory_without_scram_keeps_no_keys,
    who_is_vouched_for_is_an_account_by_its_own_address,
];

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn alias(address: &str, targets: &[&str]) -> Alias {
    Alias { address: address.to_owned(), targets: targets.iter().map(|target| mailbox(target)).collect() }
}

async fn opened(database: &Database) -> Directory {
    Directory::migrate(database.url()).await.unwrap();
    Directory::open(settings(database)).await.unwrap()
}

fn settings(database: &Database) -> Settings {
    Settings { url: database.url().to_owned(), connections: 3, ..Settings::default() }
}

/// A directory with `example.org`, `alice` and `bob` in it.
async fn populated(database: &Database) -> Directory {
    let directory = opened(database).await;
    directory.add_domain(&domain("example.org"), at(1)).await.unwrap();
    directory.add_account(&mailbox("alice@example.org"), "secret", at(2)).await.unwrap();
    directory.add_account(&mailbox("bob@example.org"), "secret", at(3)).await.unwrap();
    directory
}

/// Where the mail goes, as text: the members, `unknown` or `elsewhere`.
async fn resolved(directory: &Directory, address: &str) -> String {
    let forward_path: ForwardPath = format!("<{address}>").parse().unwrap();
    match directory.resolve(&forward_path).await.unwrap() {
        Resolution::Deliverable(members) => {
            members.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(" ")
        }
        Resolution::UnknownUser => "unknown".to_owned(),
        Resolution::NotLocal => "elsewhere".to_owned(),
    }
}

async fn domains_are_made_listed_and_given_up(database: Database) {
    let directory = opened(&database).await;
    directory.add_domain(&domain("b.example"), at(1)).await.unwrap();
    directory.add_domain(&domain("Bücher.example"), at(2)).await.unwrap();
    directory.add_domain(&domain("a.example"), at(3)).await.unwrap();
    for known in ["B.example", "xn--bcher-kva.example"] {
        let again = directory.add_domain(&domain(known), at(4)).await;
        assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    }
    let names = directory.domains().await.unwrap();
    assert_eq!(names, [domain("a.example"), domain("b.example"), domain("bücher.example")]);
    directory.add_account(&mailbox("a@a.example"), "secret", at(5)).await.unwrap();
    let used = directory.remove_domain(&domain("a.example")).await.unwrap_err();
    assert_eq!(used.to_string(), "a.example still has accounts or aliases; remove them first");
    directory.remove_account(&mailbox("a@a.example")).await.unwrap();
    directory.remove_domain(&domain("a.example")).await.unwrap();
    assert!(matches!(directory.remove_domain(&domain("a.example")).await, Err(Error::NotFound(_))));
    directory.ping().await.unwrap();
}

async fn accounts_are_made_checked_changed_and_removed(database: Database) {
    let directory = opened(&database).await;
    let alice = mailbox("Alice@example.org");
    let early = directory.add_account(&alice, "secret", at(1)).await.unwrap_err();
    assert_eq!(early.to_string(), "there is no domain example.org here; add it first");
    directory.add_domain(&domain("example.org"), at(1)).await.unwrap();
    directory.add_account(&alice, "secret", at(2)).await.unwrap();
    let again = directory.add_account(&mailbox("aLICE@example.org"), "other", at(3)).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))));
    for refused in ["*@example.org", "a@[192.0.2.1]"] {
        let refused = directory.add_account(&mailbox(refused), "secret", at(3)).await;
        assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
    }
    let account = directory.authenticate("ALICE@Example.Org", "secret").await.unwrap().unwrap();
    assert_eq!((account.address.to_string().as_str(), account.created_at), ("alice@example.org", at(2)));
    for (login, password) in [
        ("alice@example.org", "Secret"),
        ("alice@example.org", ""),
        ("alice+x@example.org", "secret"),
        ("alice", "secret"),
        ("nobody@example.org", "secret"),
        ("' OR 1=1 --", "secret"),
        ("", ""),
    ] {
        assert_eq!(directory.authenticate(login, password).await.unwrap(), None, "{login} {password}");
    }
    let accounts = directory.accounts(Some(&domain("example.org"))).await.unwrap();
    assert_eq!(accounts, [account]);
    assert!(directory.accounts(Some(&domain("example.net"))).await.unwrap().is_empty());
    directory.remove_account(&alice).await.unwrap();
    assert_eq!(directory.authenticate("alice@example.org", "secret").await.unwrap(), None);
    assert!(matches!(directory.remove_account(&alice).await, Err(Error::NotFound(_))));
    assert!(matches!(directory.set_password(&alice, "x").await, Err(Error::NotFound(_))));
}

async fn a_new_password_counts_at_once_though_the_old_one_was_remembered(database: Database) {
    let directory = populated(&database).await;
    let other = Directory::open(settings(&database)).await.unwrap();
    for _ in 0..3 {
        assert!(directory.authenticate("bob@example.org", "secret").await.unwrap().is_some());
    }
    other.set_password(&mailbox("bob@example.org"), "changed").await.unwrap();
    assert_eq!(directory.authenticate("bob@example.org", "secret").await.unwrap(), None);
    assert!(directory.authenticate("bob@example.org", "changed").await.unwrap().is_some());
}

async fn recipients_lead_to_accounts_aliases_and_the_catch_all(database: Database) {
    let directory = populated(&database).await;
    for new in [
        alias("team@example.org", &["bob@example.org", "Carol@Elsewhere.example", "alice@example.org"]),
        alias("bob+lists@example.org", &["alice@example.org"]),
        alias("broken@example.org", &["gone@example.org", "alice@example.org"]),
        alias("dead@example.org", &["gone@example.org"]),
    ] {
        directory.set_alias(&new, at(4)).await.unwrap();
    }
    for (address, expected) in [
        ("alice@example.org", "alice@example.org"),
        ("Alice+Some+Detail@Example.org", "Alice+Some+Detail@example.org"),
        ("team@example.org", "bob@example.org Carol@elsewhere.example alice@example.org"),
        ("team+x@example.org", "bob@example.org Carol@elsewhere.example alice@example.org"),
        ("bob+lists@example.org", "alice@example.org"),
        ("bob+other@example.org", "bob+other@example.org"),
        ("broken@example.org", "gone@example.org alice@example.org"),
        ("dead@example.org", "unknown"),
        ("nobody@example.org", "unknown"),
        ("+alice@example.org", "unknown"),
        ("*@example.org", "unknown"),
        ("alice@example.net", "elsewhere"),
        ("alice@[192.0.2.1]", "elsewhere"),
    ] {
        assert_eq!(resolved(&directory, address).await, expected, "{address}");
    }
    directory.set_alias(&alias("*@example.org", &["bob@example.org"]), at(5)).await.unwrap();
    for (address, expected) in [
        ("nobody@example.org", "bob@example.org"),
        ("*@example.org", "bob@example.org"),
        ("alice+x@example.org", "alice+x@example.org"),
        ("postmaster@example.org", "bob@example.org"),
        ("dead@example.org", "bob@example.org"),
    ] {
        assert_eq!(resolved(&directory, address).await, expected, "{address}");
    }
    let path = "<Alice+x@example.org>".parse().unwrap();
    let here =
        Member::Here { account: mailbox("alice@example.org"), address: mailbox("Alice+x@example.org") };
    assert_eq!(directory.expand(&path).await.unwrap(), Expansion::Members(vec![here]));
    let plain = Settings { detail_separator: Some('-'), ..settings(&database) };
    let plain = Directory::open(plain).await.unwrap();
    assert_eq!(resolved(&plain, "alice-x@example.org").await, "alice-x@example.org");
}

async fn aliases_of_aliases_are_followed_and_circles_are_cut(database: Database) {
    let directory = populated(&database).await;
    for new in [
        alias("one@example.org", &["two@example.org", "alice@example.org"]),
        alias("two@example.org", &["one@example.org", "bob@example.org", "alice@example.org"]),
        alias("self@example.org", &["self@example.org"]),
        alias("tick@example.org", &["tock@example.org"]),
        alias("tock@example.org", &["tick@example.org"]),
        alias("deep0@example.org", &["alice@example.org"]),
    ] {
        directory.set_alias(&new, at(4)).await.unwrap();
    }
    for depth in 1..=10 {
        let below = format!("deep{}@example.org", depth - 1);
        directory.set_alias(&alias(&format!("deep{depth}@example.org"), &[&below]), at(5)).await.unwrap();
    }
    for (address, expected) in [
        ("one@example.org", "bob@example.org alice@example.org"),
        ("self@example.org", "unknown"),
        ("tick@example.org", "unknown"),
        ("deep9@example.org", "alice@example.org"),
        ("deep10@example.org", "unknown"),
    ] {
        assert_eq!(resolved(&directory, address).await, expected, "{address}");
    }
}

async fn an_alias_cannot_lead_to_a_crowd(database: Database) {
    let directory = populated(&database).await;
    let crowd =
        |name: &str| -> Vec<String> { (0..100).map(|n| format!("{name}{n}@elsewhere.example")).collect() };
    for list in 0..11 {
        let members = crowd(&format!("m{list}-"));
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        directory.set_alias(&alias(&format!("list{list}@example.org"), &members), at(4)).await.unwrap();
    }
    let lists: Vec<String> = (0..11).map(|list| format!("list{list}@example.org")).collect();
    let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
    directory.set_alias(&alias("some@example.org", &lists[..9]), at(5)).await.unwrap();
    directory.set_alias(&alias("all@example.org", &lists), at(5)).await.unwrap();
    assert_eq!(resolved(&directory, "some@example.org").await.split(' ').count(), 900);
    let all = directory.resolve(&"<all@example.org>".parse().unwrap()).await;
    assert!(matches!(all, Err(Error::TooManyMembers(_))), "{all:?}");
    let mut endless = crowd("x");
    endless.push("one-more@elsewhere.example".to_owned());
    let endless: Vec<&str> = endless.iter().map(String::as_str).collect();
    for targets in [&endless[..], &[]] {
        let refused = directory.set_alias(&alias("big@example.org", targets), at(6)).await;
        assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
    }
}

async fn the_postmaster_is_always_somebody(database: Database) {
    let directory = opened(&database).await;
    assert_eq!(directory.resolve(&ForwardPath::Postmaster).await.unwrap(), Resolution::UnknownUser);
    let directory = {
        drop(directory);
        populated(&database).await
    };
    directory.add_domain(&domain("later.example"), at(9)).await.unwrap();
    for address in [
        "postmaster@example.org",
        "Abuse@example.org",
        "PostMaster@later.example",
        "postmaster+x@example.org",
    ] {
        let expected = if address.contains('+') { "unknown" } else { "alice@example.org" };
        assert_eq!(resolved(&directory, address).await, expected, "{address}");
    }
    assert_eq!(resolved(&directory, "postmaster@elsewhere.example").await, "elsewhere");
    let bare = directory.resolve(&ForwardPath::Postmaster).await.unwrap();
    assert_eq!(bare, Resolution::Deliverable(vec![mailbox("alice@example.org")]));

    let named = Settings { postmaster: Some(mailbox("bob@example.org")), ..settings(&database) };
    let named = Directory::open(named).await.unwrap();
    assert_eq!(resolved(&named, "postmaster@later.example").await, "bob@example.org");
    let bare = named.resolve(&ForwardPath::Postmaster).await.unwrap();
    assert_eq!(bare, Resolution::Deliverable(vec![mailbox("bob@example.org")]));
    let itself = Settings { postmaster: Some(mailbox("postmaster@example.org")), ..settings(&database) };
    let itself = Directory::open(itself).await.unwrap();
    assert_eq!(resolved(&itself, "abuse@later.example").await, "alice@example.org");

    directory.set_alias(&alias("postmaster@later.example", &["ops@elsewhere.example"]), at(9)).await.unwrap();
    assert_eq!(resolved(&named, "postmaster@later.example").await, "ops@elsewhere.example");
}

async fn an_account_may_send_as_its_aliases(database: Database) {
    let directory = populated(&database).await;
    for new in [
        alias("team@example.org", &["bob@example.org", "alice@example.org"]),
        alias("Sales@example.org", &["ALICE@example.org"]),
        alias("*@example.org", &["alice@example.org"]),
        alias("other@example.org", &["bob@example.org"]),
    ] {
        directory.set_alias(&new, at(4)).await.unwrap();
    }
    let alice = directory.authenticate("alice@example.org", "secret").await.unwrap().unwrap();
    assert_eq!(alice.may_send_as, [mailbox("sales@example.org"), mailbox("team@example.org")]);
    let accounts = directory.accounts(None).await.unwrap();
    assert_eq!(accounts[0], alice);
    assert_eq!(accounts[1].may_send_as, [mailbox("other@example.org"), mailbox("team@example.org")]);
}

async fn aliases_are_replaced_as_a_whole(database: Database) {
    let directory = populated(&database).await;
    let first = alias("team@example.org", &["bob@example.org", "carol@elsewhere.example", "BOB@example.org"]);
    directory.set_alias(&first, at(4)).await.unwrap();
    directory.set_alias(&alias("*@example.org", &["alice@example.org"]), at(4)).await.unwrap();
    directory.set_alias(&alias("Team@example.org", &["alice@example.org"]), at(5)).await.unwrap();
    let all = directory.aliases(Some(&domain("example.org"))).await.unwrap();
    let expected =
        [alias("*@example.org", &["alice@example.org"]), alias("team@example.org", &["alice@example.org"])];
    assert_eq!(all, expected);
    let taken = directory.set_alias(&alias("alice@example.org", &["bob@example.org"]), at(6)).await;
    assert!(matches!(taken, Err(Error::Rejected(_))), "{taken:?}");
    let taken = directory.add_account(&mailbox("team@example.org"), "secret", at(6)).await;
    assert!(matches!(taken, Err(Error::AlreadyExists(_))), "{taken:?}");
    let foreign = directory.set_alias(&alias("a@elsewhere.example", &["bob@example.org"]), at(6)).await;
    assert!(matches!(foreign, Err(Error::NotFound(_))), "{foreign:?}");
    let (one, two) =
        (alias("race@example.org", &["a@x.example"]), alias("race@example.org", &["b@x.example"]));
    let (one, two) = tokio::join!(directory.set_alias(&one, at(7)), directory.set_alias(&two, at(7)));
    one.unwrap();
    two.unwrap();
    assert_eq!(resolved(&directory, "race@example.org").await.split(' ').count(), 1);
    directory.remove_alias("TEAM@example.org").await.unwrap();
    for gone in ["team@example.org", "alice@example.org"] {
        assert!(matches!(directory.remove_alias(gone).await, Err(Error::NotFound(_))), "{gone}");
    }
    assert!(matches!(directory.remove_alias("no address").await, Err(Error::Rejected(_))));
    assert_eq!(resolved(&directory, "alice@example.org").await, "alice@example.org");
}

async fn quoted_and_utf8_addresses_are_addresses(database: Database) {
    let directory = opened(&database).await;
    directory.add_domain(&domain("bücher.example"), at(1)).await.unwrap();
    for address in ["\"a b\"@bücher.example", "Δοκιμή@bücher.example"] {
        directory.add_account(&mailbox(address), "geheim", at(2)).await.unwrap();
    }
    assert_eq!(resolved(&directory, "\"A b\"@bücher.example").await, "\"A b\"@bücher.example");
    assert_eq!(resolved(&directory, "δοκιμή@xn--bcher-kva.example").await, "δοκιμή@xn--bcher-kva.example");
    let account = directory.authenticate("δΟΚΙΜΉ@xn--bcher-kva.example", "geheim").await.unwrap().unwrap();
    assert_eq!(account.address, mailbox("δοκιμή@bücher.example"));
    assert_eq!(account.may_send_as, [mailbox("δοκιμή@xn--bcher-kva.example")]);
    let too_long = mailbox(&format!("{}@bücher.example", "\u{130}".repeat(32)));
    let refused = directory.add_account(&too_long, "geheim", at(3)).await;
    assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
    assert!(directory.accounts(None).await.is_ok());
}

async fn a_directory_without_tables_says_what_to_do(database: Database) {
    let error = Directory::open(settings(&database)).await.unwrap_err();
    assert!(matches!(error, Error::NotMigrated), "{error:?}");
    assert!(error.to_string().contains("postrider migrate"), "{error}");
}

async fn migrating_twice_and_at_once_is_harmless(database: Database) {
    Directory::migrate(database.url()).await.unwrap();
    let (one, two) = tokio::join!(Directory::migrate(database.url()), Directory::migrate(database.url()));
    one.unwrap();
    two.unwrap();
    assert!(opened(&database).await.domains().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_names_no_storage_is_refused_without_being_repeated() {
    for url in ["", "mysql://user:hush@host/db", "postgres://user:hush@host:port/db", "directory.db"] {
        let error =
            Directory::open(Settings { url: url.to_owned(), ..Settings::default() }).await.unwrap_err();
        assert!(matches!(error, Error::Url(_)), "{url}: {error:?}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_the_same_login_is_hashed_once() {
    let database = Database::sqlite().await;
    populated(&database).await;
    let one_at_a_time = Settings { concurrent_hashes: 1, ..settings(&database) };
    let directory = Directory::open(one_at_a_time).await.unwrap();
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let directory = directory.clone();
        logins.spawn(async move { directory.authenticate("alice@example.org", "secret").await });
    }
    // Hashed one by one, most of them would be refused as waiting too long for their turn.
    while let Some(login) = logins.join_next().await {
        assert!(login.unwrap().unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_will_never_take_us_is_told_from_one_that_is_away() {
    let postgres = Database::postgres().await;
    let unknown = postgres.url().replace("/test", "/unknown");
    let refused = Directory::open(Settings { url: unknown, ..Settings::default() }).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    let away = "postgres://user@127.0.0.1:1/directory".to_owned();
    let away = Directory::open(Settings { url: away, ..Settings::default() }).await.unwrap_err();
    assert!(matches!(away, Error::Unavailable(_)), "{away:?}");
    let nowhere = Directory::migrate("sqlite:/proc/none/directory.db").await.unwrap_err();
    assert!(matches!(nowhere, Error::Refused(_)), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::sqlite().await;
    populated(&database).await;
    let file = database.url().strip_prefix("sqlite:").unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}
