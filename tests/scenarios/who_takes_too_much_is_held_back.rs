//! No address takes more than its share, nobody talks out of turn, strangers leave room for those who log in, and a load
//! balancer tells whose connection it is. 127.0.0.0/8 has an address for everybody; nobody is exempt here.

use std::net::IpAddr;
use std::process::Command;

use tests::maildir::field;
use tests::wait::eventually;
use tests::{Client, Together};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] = b"From: stranger@elsewhere.test\r\nSubject: one\r\n\r\nbody\r\n";

async fn together(settings: &[&str]) -> Together {
    let mut setup = Together::setup().domain("example.test").account(ALICE, "secret").set("limits.exempt=[]");
    for setting in settings {
        setup = setup.set(setting);
    }
    setup.start().await
}

/// The address 127.0.0.N.
fn host(n: u8) -> IpAddr {
    [127, 0, 0, n].into()
}

/// A session on port 25, greeted.
async fn stranger(together: &Together, n: u8) -> Client {
    let mut client = Client::connect_from(host(n), together.mx()).await;
    client.expect(220).await;
    client.ok("EHLO client.test").await;
    client
}

/// What the server says in place of its greeting, to the end.
async fn refusal(together: &Together, n: u8) -> String {
    let mut client = Client::connect_from(host(n), together.mx()).await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_messages_of_one_address() {
    let together = together(&[
        "mta.inbound.greeting_delay=0s",
        "limits.sessions_per_address=1",
        "limits.messages_per_address=2",
    ])
    .await;
    let mut one = stranger(&together, 2).await;
    let said = refusal(&together, 2).await;
    assert_eq!(said, "421 4.7.0 Too many sessions from your address at once, try again later\r\n");
    for _ in 0..2 {
        assert_eq!(one.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await.code, 250);
    }
    let reply = one.command("MAIL FROM:<stranger@elsewhere.test>").await;
    assert_eq!((reply.code, reply.has("4.7.1 Too many messages")), (450, true), "{reply:?}");
    let mut other = stranger(&together, 3).await;
    assert_eq!(other.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_before_the_greeting_is_refused_and_who_goes_on_is_banned() {
    let mut together = together(&["mta.inbound.greeting_delay=60s", "limits.ban_score=50"]).await;
    for _ in 0..2 {
        let mut early = Client::connect_from(host(2), together.mx()).await;
        early.send("EHLO client.test\r\n").await.unwrap();
        let said = String::from_utf8_lossy(&early.rest().await).into_owned();
        assert_eq!(said, "554 5.5.1 You spoke before the greeting, closing the connection\r\n");
    }
    let said = refusal(&together, 2).await;
    assert_eq!(said, "421 4.7.0 Your address made too many errors and is not served for a while\r\n");
    let metrics = together.metrics().await;
    assert!(
        metrics.lines().any(|line| line.starts_with("smtp_bans_total") && line.ends_with(" 1")),
        "{metrics}"
    );
    assert!(
        metrics.contains("reason=\"early_talker\"") && metrics.contains("reason=\"banned\""),
        "{metrics}"
    );
    let log = together.agent.log();
    assert_eq!(log.matches("banned an address for its errors").count(), 1, "{log}");
    // Nobody else is: submission greets at once, and the ban is port 25's.
    let mut owner = Client::logged_in(together.submission(), ALICE, "secret").await;
    assert_eq!(owner.transact(ALICE, &[ALICE], b"From: alice@example.test\r\n\r\n").await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_for_a_reply_is_refused() {
    let together = together(&["mta.inbound.greeting_delay=0s"]).await;
    let mut blind = Client::connect_from(host(2), together.mx()).await;
    blind.expect(220).await;
    blind.send("EHLO a.test\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n").await.unwrap();
    let reply = blind.expect(503).await;
    assert!(reply.has("5.5.1 You did not wait"), "{reply:?}");
    assert_eq!(blind.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_messages_of_one_address() {
    let together = together(&[
        "mta.inbound.greeting_delay=0s",
        "mta.inbound.message_size=10MiB",
        "mta.inbound.message_memory=64MiB",
        "mta.inbound.memory_wait=200ms",
    ])
    .await;
    let mut greedy = Vec::new();
    let mut refused = 0;
    // All the memory there is, if nobody shared it out.
    for _ in 0..6 {
        let mut client = stranger(&together, 2).await;
        client.ok("MAIL FROM:<stranger@elsewhere.test> SIZE=10000000").await;
        client.ok("RCPT TO:<alice@example.test>").await;
        let reply = client.command("DATA").await;
        assert!(reply.code == 354 || reply.has("4.3.1"), "{reply:?}");
        refused += usize::from(reply.code == 452);
        greedy.push(client);
    }
    assert_eq!(refused, 5);
    let mut other = stranger(&together, 3).await;
    other.ok("MAIL FROM:<stranger@elsewhere.test> SIZE=10000000").await;
    other.ok("RCPT TO:<alice@example.test>").await;
    other.ok("DATA").await;
    other.send([CONTENT, b".\r\n"].concat()).await.unwrap();
    other.expect(250).await;
    together.maildir(ALICE).holds(1).await;
}

/// A greeted session on port 587, once those that ended have left.
async fn place(together: &Together, n: u8) -> Client {
    eventually("a place", async || {
        let mut client = Client::connect_from(host(n), together.submission()).await;
        (client.reply().await.code == 220).then_some(client)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn places_for_those_who_log_in() {
    let together =
        together(&["msa.limits.sessions=4", "msa.limits.reserved_percent=50", "msa.limits.reserved_time=6s"])
            .await;
    let mut strangers = Vec::new();
    for n in 2..6 {
        let mut client = Client::connect_from(host(n), together.submission()).await;
        client.expect(220).await;
        strangers.push(client);
    }
    // The last two have places that they must log in to keep.
    for client in &mut strangers[2..] {
        let reply = client.expect(421).await;
        assert!(reply.has("4.7.0 The places left are for those who authenticate"), "{reply:?}");
    }
    strangers.truncate(2);
    let mut owner = place(&together, 9).await;
    owner.ok("EHLO client.test").await;
    let mut owner = owner.starttls().await;
    owner.ok("EHLO client.test").await;
    assert_eq!(owner.authenticate(ALICE, "secret").await.code, 235);
    // And there is a place for another stranger, who has six seconds; the owner has longer.
    place(&together, 8).await.expect(421).await;
    let reply = owner.transact(ALICE, &[ALICE], b"From: alice@example.test\r\n\r\nx\r\n").await;
    assert_eq!(reply.code, 250, "{reply:?}");
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_is_believed_and_nobody_else() {
    let together = together(&["mta.inbound.greeting_delay=0s", "mta.proxy_from=[\"127.0.0.2\"]"]).await;
    let mut balanced = Client::connect_from(host(2), together.mx()).await;
    balanced.send("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n").await.unwrap();
    balanced.expect(220).await;
    balanced.ok("EHLO client.test").await;
    assert_eq!(balanced.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await.code, 250);
    let messages = together.maildir(ALICE).holds(1).await;
    let received = field(&messages[0], "Received").unwrap();
    assert!(received.contains("[192.0.2.7]"), "{received}");
    let mut liar = Client::connect_from(host(3), together.mx()).await;
    liar.expect(220).await;
    assert_eq!(liar.command("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25").await.code, 500);
    // Without a header nothing is said.
    let mut silent = Client::connect_from(host(2), together.mx()).await;
    silent.send("EHLO client.test\r\n").await.unwrap();
    assert_eq!(silent.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_run_out_and_come_back() {
    let mut together = Together::setup().domain("example.test").account(ALICE, "secret").start().await;
    let process = together.agent.process().id();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let limit = format!("--nofile={}:", open + 20);
    let limited = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status().unwrap();
    assert!(limited.success());
    let mut many = Vec::new();
    for n in 2..42 {
        many.push(Client::connect_from(host(n), together.mx()).await);
    }
    eventually("the limit", async || {
        together.agent.log().contains("cannot accept connections").then_some(())
    })
    .await;
    drop(many);
    let mut client = Client::greeted(together.mx()).await;
    assert_eq!(client.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await.code, 250);
    together.maildir(ALICE).holds(1).await;
}
