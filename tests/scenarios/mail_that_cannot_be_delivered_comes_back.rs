//! A failure for good reaches the sender as a delivery status notification, once, and a notice never causes another.

use tests::maildir::{body, field};
use tests::peer::{Act, Script};
use tests::{Client, Peer, Together, eventually};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] =
    b"From: <alice@example.test>\r\nTo: <carol@remote.test>\r\nSubject: out\r\n\r\nhello\r\n";

async fn together(peer: &Peer, settings: &[&str]) -> Together {
    let mut setup = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"200ms\"]");
    for setting in settings {
        setup = setup.set(setting);
    }
    setup.start().await
}

async fn submit(together: &Together, from: &str, recipients: &[&str]) {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let reply = client.transact(from, recipients, CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_refuses_the_recipient() {
    let peer =
        Peer::start(Script::default().always("RCPT TO:<nobody@", Act::say("550 5.1.1 no such user"))).await;
    let together = together(&peer, &[]).await;
    submit(&together, ALICE, &["nobody@remote.test", "somebody@remote.test"]).await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    assert_eq!(field(&notice, "Return-Path").as_deref(), Some("<>"));
    assert_eq!(field(&notice, "Auto-Submitted").as_deref(), Some("auto-replied"));
    let text = String::from_utf8_lossy(body(&notice)).into_owned();
    for line in
        ["Final-Recipient: rfc822; nobody@remote.test", "Action: failed", "Status: 5.1.1", "Subject: out"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("somebody@remote.test"), "{text}");
    peer.accepts(1).await;
    assert_eq!(together.maildir(ALICE).messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_time_is_up() {
    let peer = Peer::start(Script::default().always("RCPT", Act::say("450 4.2.0 not today"))).await;
    let together = together(&peer, &["mta.retry.expire=\"1s\""]).await;
    submit(&together, ALICE, &["carol@remote.test"]).await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    let text = String::from_utf8_lossy(body(&notice)).into_owned();
    assert!(text.contains("Status: 5.4.7") && text.contains("450 4.2.0 not today"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_ever_answers_there() {
    let peer = Peer::start(Script::default()).await;
    let address = peer.address;
    drop(peer);
    let peer = Peer::start(Script::default()).await;
    let together =
        together(&peer, &["mta.retry.expire=\"1s\"", &format!("mta.routes.\"silent.test\"=\"{address}\"")])
            .await;
    for _ in 0..5 {
        submit(&together, ALICE, &["carol@silent.test"]).await;
    }
    let notices = together.maildir(ALICE).holds(5).await;
    assert!(notices.iter().all(|n| String::from_utf8_lossy(n).contains("Status: 5.4.7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn but_not_to_a_null_reverse_path() {
    let peer = Peer::start(Script::default().always("RCPT", Act::say("550 5.1.1 no such user"))).await;
    let together = together(&peer, &[]).await;
    submit(&together, "", &["nobody@remote.test"]).await;
    eventually("an empty queue", async || {
        (together.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    submit(&together, ALICE, &[ALICE]).await;
    let only = together.maildir(ALICE).holds(1).await;
    assert_eq!(
        field(&only[0], "Subject").as_deref(),
        Some("out"),
        "the message sent last, and no notice before it"
    );
}
