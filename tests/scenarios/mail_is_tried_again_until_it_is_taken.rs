//! What cannot be taken now stays queued, is tried again when it is due, and can be followed meanwhile.

use tests::peer::{Act, Script};
use tests::{Client, Peer, Together, eventually};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] =
    b"From: <alice@example.test>\r\nTo: <carol@remote.test>\r\nSubject: out\r\n\r\nhello\r\n";

async fn routed_to(peer: &Peer) -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"200ms\"]")
        .start()
        .await
}

/// Returns the queue id.
async fn submit(together: &Together, recipients: &[&str]) -> String {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let reply = client.transact(ALICE, recipients, CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    reply.text().split_whitespace().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_only_some_recipients_are_taken_only_the_others_are_tried_again() {
    let script =
        Script::default().next("RCPT TO:<busy@", [Act::say("450 4.2.1 busy"), Act::say("451 4.2.1 busy")]);
    let peer = Peer::start(script).await;
    let together = routed_to(&peer).await;
    submit(&together, &["busy@remote.test", "free@remote.test"]).await;
    let taken = peer.accepts(2).await;
    assert!(taken[0].recipients.iter().all(|r| r.contains("free@")), "{:?}", taken[0].recipients);
    assert!(taken[1].recipients.iter().all(|r| r.contains("busy@")), "{:?}", taken[1].recipients);
    assert_eq!(peer.commands().iter().filter(|c| c.starts_with("RCPT TO:<free@")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_drops_the_connection_or_closes_the_session() {
    let script = Script::default()
        .next("CONNECT", [Act::say("421 4.3.2 come back later"), Act::Close])
        .next("MAIL", [Act::Close])
        .next("DATA", [Act::Close]);
    let peer = Peer::start(script).await;
    let together = routed_to(&peer).await;
    submit(&together, &["carol@remote.test"]).await;
    peer.accepts(1).await;
    eventually("an empty queue", async || {
        (together.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    assert_eq!(peer.accepted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn and_each_attempt_is_shown_with_what_the_server_said() {
    let peer = Peer::start(Script::default().next("RCPT", [Act::say("452 4.2.2 mailbox full today")])).await;
    let together = routed_to(&peer).await;
    let id = submit(&together, &["carol@remote.test"]).await;
    peer.accepts(1).await;
    let shown = eventually("a finished timeline", async || {
        let shown = together.postrider(&["queue", "show", &id]).await;
        shown.contains("relayed (2)").then_some(shown)
    })
    .await;
    assert!(shown.contains("delayed (1)") && shown.contains("452 4.2.2 mailbox full today"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_recipients_and_messages_at_a_time_as_the_server_takes() {
    let limited = Script::default().offers(&["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=1"]);
    let peer = Peer::start(limited).await;
    let together = routed_to(&peer).await;
    let recipients = ["a", "b", "c", "d", "e"].map(|name| format!("{name}@remote.test"));
    submit(&together, &recipients.each_ref().map(String::as_str)).await;
    let taken = peer.accepts(3).await;
    assert_eq!(taken.iter().map(|message| message.recipients.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let commands = peer.commands();
    let count = |start: &str| commands.iter().filter(|command| command.starts_with(start)).count();
    assert_eq!((count("EHLO"), count("RCPT")), (3, 5), "each message in a session of its own: {commands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn and_who_was_taken_before_a_connection_broke_is_not_sent_again() {
    let limited = Script::default()
        .offers(&["LIMITS RCPTMAX=2"])
        .next("MAIL", [Act::say("250 2.1.0 once"), Act::Close, Act::Close]);
    let peer = Peer::start(limited).await;
    let together = routed_to(&peer).await;
    submit(&together, &["a@remote.test", "b@remote.test", "c@remote.test"]).await;
    let taken = peer.accepts(2).await;
    assert_eq!(taken.iter().map(|message| message.recipients.len()).collect::<Vec<_>>(), [2, 1]);
    assert!(taken[1].recipients[0].starts_with("RCPT TO:<c@"), "{taken:?}");
}
