//! Listed hosts may say by XCLIENT and XFORWARD whose mail it is, and ask who is here; what they say stands in Received.

use tests::maildir::field;
use tests::{Client, Maildir, Together};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] = b"From: <stranger@elsewhere.test>\r\nSubject: in\r\n\r\nhello\r\n";

async fn together() -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set("mta.xclient_from=[\"127.0.0.0/8\"]")
        .set("mta.verify_from=[\"198.51.100.0/24\"]")
        .start()
        .await
}

async fn received(maildir: &Maildir) -> String {
    let messages = maildir.holds(1).await;
    field(&messages[0], "Received").expect("a Received field")
}

#[tokio::test(flavor = "multi_thread")]
async fn by_xclient_for_the_session() {
    let together = together().await;
    let mut client = Client::greeted(together.mx()).await;
    assert_eq!(client.command("EXPN alice@example.test").await.code, 502, "the proxy itself may not ask");
    let greeting = client.command("XCLIENT ADDR=198.51.100.7 NAME=client.elsewhere.test").await;
    assert_eq!(greeting.code, 220, "{greeting:?}");
    assert!(client.command("EHLO client.test").await.has("VRFY"), "its client may");
    let reply = client.command("VRFY alice@example.test").await;
    assert_eq!((reply.code, reply.has("2.1.5 <alice@example.test>")), (250, true), "{reply:?}");
    assert_eq!(client.command("VRFY nobody@example.test").await.code, 550);
    assert_eq!(client.command("VRFY somebody@elsewhere.test").await.code, 551);
    let reply = client.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let received = received(&together.maildir(ALICE)).await;
    assert!(received.contains("from client.test ") && received.contains("[198.51.100.7]"), "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_xforward_for_one_message() {
    let together = together().await;
    let mut client = Client::greeted(together.mx()).await;
    client.ok("XFORWARD ADDR=IPV6:2001:db8::7 HELO=six.test PROTO=ESMTP").await;
    let reply = client.transact("stranger@elsewhere.test", &[ALICE], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let received = received(&together.maildir(ALICE)).await;
    assert!(received.contains("from six.test ") && received.contains("[IPv6:2001:db8::7]"), "{received}");
}
