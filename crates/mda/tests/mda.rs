//! The agent as the others see it: mail put into mailboxes, once, and shown again; in one process and over gRPC.

#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod support;
mod tokens;

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use mail::{Alias, Content, Outcome, Resolution};
use protocol::client::{DeliveryClient, DirectoryClient, Peers};
use protocol::{Authentication, Delivery, Directory, ErrorKind};
use support::{House, domain, forward_path, mailbox, request};

const MESSAGE: &str = "From: =?utf-8?q?J=C3=B6rg?= <j@far.example>\r\nSubject: Hello\r\n\r\n.body\r\n";

fn code(outcome: &Outcome) -> String {
    let status = outcome.status();
    format!("{} {} {}", outcome.action(), status.code, status.enhanced)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_lies_in_the_mailbox_as_it_came_under_trace_fields() {
    let house = House::new().await;
    let outcomes = house.deliver(&request(1, &["<Alice+lists@example.org>"], MESSAGE)).await;
    assert_eq!(outcomes, ["delivered 250 2.0.0"]);
    let files = house.files("example.org/alice/Maildir/new");
    assert_eq!(files.len(), 1);
    let expected =
        format!("Return-Path: <sender@far.example>\r\nDelivered-To: Alice+lists@example.org\r\n{MESSAGE}");
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), expected);
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(house.path(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("example.org/alice/Maildir/new"), 0o700);
    assert!(house.files("example.org/alice/Maildir/tmp").is_empty());

    let listed = house.mda.mailboxes.messages(&mailbox("alice@example.org"), 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    let shown = (listed[0].from.as_str(), listed[0].subject.as_str(), listed[0].size, listed[0].seen);
    assert_eq!(shown, ("Jörg <j@far.example>", "Hello", expected.len() as u64, false));
    let read = house.mda.mailboxes.message(&mailbox("alice@example.org"), &listed[0].name).await.unwrap();
    assert_eq!(read.to_bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_changes_nothing_wherever_a_reader_moved_the_message() {
    let house = House::new().await;
    let again = request(7, &["<alice@example.org>", "<bob@example.org>"], MESSAGE);
    for _ in 0..3 {
        assert_eq!(house.deliver(&again).await, ["delivered 250 2.0.0", "delivered 250 2.0.0"]);
        assert_eq!(house.count("example.org/alice"), 1);
        assert_eq!(house.count("example.org/bob"), 1);
    }
    let new = house.files("example.org/alice/Maildir/new").remove(0);
    let name = new.file_name().unwrap().to_str().unwrap();
    for flags in ["", ":2,", ":2,FRS", ",S=99:2,S"] {
        let moved = house.path(&format!("example.org/alice/Maildir/cur/{name}{flags}"));
        fs::rename(house.only_file("example.org/alice"), &moved).unwrap();
        house.deliver(&again).await;
        assert_eq!(house.only_file("example.org/alice"), moved);
    }
    // Another message, and the same for another address of the same mailbox, are other deliveries.
    house.deliver(&request(8, &["<alice@example.org>"], MESSAGE)).await;
    house.deliver(&request(7, &["<alice+x@example.org>", "<ALICE+X@example.org>"], MESSAGE)).await;
    assert_eq!(house.count("example.org/alice"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_just_accepted_and_already_read_is_found() {
    let house = House::new().await;
    let now = u64::try_from(mail::Timestamp::from(SystemTime::now()).as_millis()).unwrap();
    let id = (now - 1_735_689_600_000) << 12;
    let recent = request(id, &["<alice@example.org>"], MESSAGE);
    house.deliver(&recent).await;
    let new = house.only_file("example.org/alice");
    let seen = house.path("example.org/alice/Maildir/cur").join(new.file_name().unwrap());
    fs::rename(&new, &seen).unwrap();
    house.deliver(&recent).await;
    assert_eq!(house.only_file("example.org/alice"), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_gets_nothing_and_nothing_is_made_for_them() {
    let house = House::new().await;
    let refused =
        request(1, &["<nobody@example.org>", "<a@elsewhere.example>", "<alice@example.org>"], MESSAGE);
    assert_eq!(
        house.deliver(&refused).await,
        ["failed 550 5.1.1", "failed 550 5.1.2", "delivered 250 2.0.0"]
    );
    assert!(!house.path("example.org/nobody").exists());
    assert!(!house.path("elsewhere.example").exists());
    let missing = house.mda.mailboxes.messages(&mailbox("nobody@example.org"), 10).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(house.mda.mailboxes.messages(&mailbox("bob@example.org"), 10).await.unwrap().is_empty());
    for name in ["", "..", "../../bob", "1.x.postrider"] {
        let missing = house.mda.mailboxes.message(&mailbox("alice@example.org"), name).await.unwrap_err();
        assert_eq!(missing.kind, ErrorKind::NotFound, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_followed_when_mail_is_delivered() {
    let house = House::new().await;
    for (address, targets) in [
        ("both@example.org", vec!["alice@example.org", "bob@example.org", "alice+x@example.org"]),
        ("gone@example.org", vec!["alice@example.org", "a@elsewhere.example"]),
        ("*@example.org", vec!["bob@example.org"]),
    ] {
        let targets = targets.into_iter().map(mailbox).collect();
        house.mda.admin.set_alias(&Alias { address: address.to_owned(), targets }).await.unwrap();
    }
    let recipients = ["<both@example.org>", "<gone@example.org>", "<whoever@example.org>", "<Postmaster>"];
    let outcomes = house.deliver(&request(1, &recipients, MESSAGE)).await;
    assert_eq!(
        outcomes,
        ["delivered 250 2.0.0", "failed 550 5.1.6", "delivered 250 2.0.0", "delivered 250 2.0.0"]
    );
    assert_eq!((house.count("example.org/alice"), house.count("example.org/bob")), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_keeps_mail_for_domains_that_nobody_knows() {
    let house = House::with(|config| config.service.sandbox = true).await;
    let recipients =
        ["<Someone@far.example>", "<\"../../x\"@far.example>", "<a@[192.0.2.1]>", "<nobody@example.org>"];
    let outcomes = house.deliver(&request(1, &recipients, MESSAGE)).await;
    assert_eq!(outcomes[..3], ["delivered 250 2.0.0"; 3]);
    assert_eq!(outcomes[3], "failed 550 5.1.1");
    assert_eq!(house.count("far.example/someone"), 1);
    assert_eq!(house.count("far.example/%2E.%2F..%2Fx"), 1);
    assert_eq!(house.count("%5B192.0.2.1%5D/a"), 1);
    let mut outside: Vec<_> =
        fs::read_dir(house.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    outside.retain(|name| !name.to_string_lossy().starts_with("directory.db"));
    assert_eq!(outside, ["mail"]);
    let listed = house.mda.mailboxes.messages(&mailbox("Someone@far.example"), 10).await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_at_once_and_doubled_make_each_message_once() {
    let house = House::new().await;
    let mut deliveries = tokio::task::JoinSet::new();
    for number in 0..200 {
        for _ in 0..2 {
            let delivery = house.mda.delivery.clone();
            let body = format!("Subject: {number}\r\n\r\n{}", "x".repeat(number * 100));
            let to = request(u64::try_from(number).unwrap(), &["<alice@example.org>"], &body);
            deliveries.spawn(async move { delivery.deliver(to).await.unwrap() });
        }
    }
    while let Some(outcomes) = deliveries.join_next().await {
        assert_eq!(code(&outcomes.unwrap()[0]), "delivered 250 2.0.0");
    }
    assert_eq!(house.count("example.org/alice"), 200);
    let listed = house.mda.mailboxes.messages(&mailbox("alice@example.org"), 1000).await.unwrap();
    let mut subjects: Vec<usize> = listed.iter().map(|message| message.subject.parse().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, (0..200).collect::<Vec<_>>());
    assert_eq!(house.mda.mailboxes.messages(&mailbox("alice@example.org"), 5).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_delayed_and_comes_when_it_can() {
    let house = House::new().await;
    fs::create_dir_all(house.path("example.org")).unwrap();
    File::create(house.path("example.org/alice")).unwrap();
    let both = request(1, &["<alice@example.org>", "<bob@example.org>"], MESSAGE);
    assert_eq!(house.deliver(&both).await, ["delayed 451 4.3.0", "delivered 250 2.0.0"]);
    fs::remove_file(house.path("example.org/alice")).unwrap();
    assert_eq!(house.deliver(&both).await, ["delivered 250 2.0.0", "delivered 250 2.0.0"]);
    assert_eq!((house.count("example.org/alice"), house.count("example.org/bob")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_many_segments_is_written_whole() {
    let house = House::new().await;
    let octets: Vec<u8> = (0..10 * 1024 * 1024u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut content = Content::from("Subject: big\r\n\r\n");
    octets.chunks(100_000).for_each(|chunk| content.append(chunk.to_vec()));
    let whole = content.to_bytes();
    let mut big = request(1, &["<alice@example.org>"], "");
    big.content = content;
    house.deliver(&big).await;
    let written = fs::read(house.only_file("example.org/alice")).unwrap();
    assert!(written.ends_with(&whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_deliveries_are_swept_away_after_a_day_and_a_half() {
    let house = House::new().await;
    house.deliver(&request(1, &["<alice@example.org>"], MESSAGE)).await;
    let old = house.path("example.org/alice/Maildir/tmp/old");
    let young = house.path("example.org/alice/Maildir/tmp/young");
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    File::create(&old).unwrap().set_modified(hours(37)).unwrap();
    File::create(&young).unwrap().set_modified(hours(35)).unwrap();
    File::create(house.path("stray")).unwrap();
    house.mda.attend(&house.context);
    support::until("the old file is gone", || !old.exists()).await;
    assert!(young.exists());
    assert_eq!(house.count("example.org/alice"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_agents_reach_it_over_grpc() {
    let (config, folder) = support::configuration().await;
    let context = service::Context::default();
    mda::run(config.clone(), context.clone()).await.unwrap();
    assert!(context.readiness.is_ready());
    let endpoint = format!("http://{}", context.listening.get("grpc").unwrap());
    let settings = protocol::client::Settings { endpoints: vec![endpoint], ..Default::default() };
    let peers = Peers::new(settings, None).unwrap();
    let directory = DirectoryClient::new(peers.clone());
    let accepted =
        directory.authenticate(&mail::Credentials::password("alice@example.org", "secret")).await.unwrap();
    assert!(
        matches!(accepted, Authentication::Accepted(account) if account.address == mailbox("alice@example.org"))
    );
    assert_eq!(
        directory.authenticate(&mail::Credentials::password("alice@example.org", "wrong")).await.unwrap(),
        Authentication::Refused
    );
    assert_eq!(directory.resolve(&forward_path("<x@y.example>")).await.unwrap(), Resolution::NotLocal);
    let outcomes =
        DeliveryClient::new(peers).deliver(request(1, &["<bob@example.org>"], MESSAGE)).await.unwrap();
    assert_eq!(code(&outcomes[0]), "delivered 250 2.0.0");
    assert_eq!(fs::read_dir(folder.path().join("mail/example.org/bob/Maildir/new")).unwrap().count(), 1);
    context.shutdown.begin();
    assert!(context.shutdown.drain(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_succeed_says_what_to_change() {
    let (good, folder) = support::configuration().await;
    let blocked = folder.path().join("blocked");
    File::create(&blocked).unwrap();
    let sentence = async |change: &dyn Fn(&mut mda::Config)| {
        let mut config = good.clone();
        change(&mut config);
        let error = mda::run(config, service::Context::default()).await.unwrap_err();
        assert_eq!(service::exit::code_of(&error), service::exit::Code::Config, "{error:#}");
        service::exit::sentence(&error)
    };
    let url = |text: String| service::config::SecretUrl::new(text);
    let certified = |config: &mut mda::Config, file: &str| {
        config.mda.oauth.jwks_url = "https://id.example/keys".to_owned();
        config.mda.oauth.authority_file = Some(folder.path().join(file));
    };
    let empty = format!("sqlite:{}", folder.path().join("none.db").display());
    for (said, expected) in [
        (sentence(&|c| certified(c, "none.pem")).await, "mda.oauth.authority_file: "),
        (sentence(&|c| certified(c, "directory.db")).await, "mda.oauth.authority_file: the file holds no"),
        (sentence(&|c| c.mda.listen.grpc = None).await, "mda.listen.grpc: "),
        (sentence(&|c| c.mda.listen.grpc = "0.0.0.0:0".parse().ok()).await, "0.0.0.0:0"),
        (sentence(&|c| c.mda.mail = blocked.join("mail")).await, "mda.mail: cannot write into "),
        (sentence(&|c| c.directory.url = url(String::new())).await, "directory.url: write where"),
        (
            sentence(&|c| c.directory.url = url(empty.clone())).await,
            "directory.url: the directory's database lacks",
        ),
        (sentence(&|c| c.directory.url = url("sqlite:/proc/x/y.db".into())).await, "directory.url: "),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_hear_what_was_wrong() {
    let house = House::new().await;
    let admin = &house.mda.admin;
    let kind = |result: Result<(), protocol::Error>| result.unwrap_err().kind;
    assert_eq!(kind(admin.add_domain(&domain("example.org")).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(admin.remove_domain(&domain("example.org")).await), ErrorKind::Rejected);
    assert_eq!(kind(admin.add_account(&mailbox("a@far.example"), "secret").await), ErrorKind::NotFound);
    assert_eq!(kind(admin.remove_alias("a@example.org").await), ErrorKind::NotFound);
    assert_eq!(admin.accounts(None).await.unwrap().len(), 2);
    assert_eq!(admin.domains().await.unwrap(), [domain("example.org")]);
}

#[test]
fn the_program_makes_its_tables_once_and_checks_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("directory.url=sqlite:{}", folder.path().join("new/directory.db").display());
    let mda = |arguments: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_mda"));
        let output = program.env_clear().args(arguments).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    for _ in 0..2 {
        assert_eq!(mda(&["migrate", "--set", &url]), (Some(0), String::new()));
    }
    let (code, said) = mda(&["--check", "--set", "directory.postmaster=ops@example.org"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("postmaster = \"ops@example.org\""), "{said}");
    for (arguments, expected) in [
        (&["migrate"][..], "mda: directory.url: write where the directory is stored"),
        (&["migrate", "--set", "directory.urk=x"], "\"url\""),
        (&["--set", "mda.concurrent_deliveries=0"], "mda: mda.concurrent_deliveries: at least 1"),
    ] {
        let (code, said) = mda(arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
