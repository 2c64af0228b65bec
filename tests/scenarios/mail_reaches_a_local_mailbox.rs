//! The first thing that anybody tries: start it, log in, send, and the mail is there.

use tests::maildir::{body, field, fields};
use tests::{Apart, Client, Collector, Together};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CONTENT: &[u8] = b"From: <alice@example.test>\r\nTo: <bob@example.test>\r\nSubject: hello\r\n\r\n.\r\ngr\xc3\xbc\xc3\x9fe\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn from_everything_in_one_process() {
    let mut together = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .start()
        .await;
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let reply = client.transact(ALICE, &[BOB], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let message = together.maildir(BOB).holds(1).await.remove(0);
    assert_eq!(body(&message), body(CONTENT));
    assert_eq!(field(&message, "Return-Path").as_deref(), Some("<alice@example.test>"));
    assert_eq!(fields(&message, "Subject"), ["hello"]);
    assert!(field(&message, "Message-ID").is_some() && field(&message, "Date").is_some());
    // Killed without a word and started again on the same data, it goes on where it was.
    let before = together.submission();
    together.agent.kill();
    together.agent.start().await;
    assert_eq!(together.submission(), before);
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    assert_eq!(client.transact(ALICE, &[BOB], CONTENT).await.code, 250);
    together.maildir(BOB).holds(2).await;
    assert!(together.agent.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn from_agents_apart_and_in_one_trace() {
    let collector = Collector::start().await;
    let setup = Apart::setup().mtas(2).account(ALICE, "secret").account(BOB, "geheim").collector(&collector);
    let apart = setup.start().await;
    let mut client = Client::logged_in(apart.submission(), ALICE, "secret").await;
    let reply = client.transact(ALICE, &[BOB], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let message = apart.maildir(BOB).holds(1).await.remove(0);
    assert_eq!(body(&message), body(CONTENT));
    let delivered = collector.span("the delivery's span", |span| span.name == "mailbox.deliver").await;
    let names = [
        "smtp.transaction",
        "relay.enqueue",
        "queue.commit",
        "delivery.attempt",
        "delivery.deliver",
        "mailbox.deliver",
    ];
    let spans = collector.trace(&delivered.trace_id, &names).await;
    let service = |name: &str| spans.iter().find(|span| span.name == name).map(|span| span.service.as_str());
    assert_eq!(service("smtp.transaction"), Some("msa"));
    assert_eq!(service("relay.enqueue"), Some("mta"));
    assert_eq!(service("queue.commit"), Some("mta"));
    assert_eq!(service("delivery.attempt"), Some("mta"));
    assert_eq!(service("mailbox.deliver"), Some("mda"));
    let ancestry = collector.ancestry(&delivered);
    assert_eq!(ancestry.last().map(String::as_str), Some("smtp.transaction"), "{ancestry:?}");
    assert!(ancestry.contains(&"delivery.attempt".to_owned()), "{ancestry:?}");
}
