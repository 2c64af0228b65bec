//! A message that said BODY=BINARYMIME arrives octet for octet, or in an encoding that decodes to it, or its sender is told.

use tests::maildir::{body, field};
use tests::peer::Script;
use tests::{Client, Peer, Together};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const BODY: &[u8] = b"\n.\r\n\r\n.\r\n\0\r\r\n\xff\n.\nQUIT\r\n\r";

async fn together(peer: &Peer) -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .start()
        .await
}

/// Sends it in chunks of 20 octets, all at once.
async fn submit(together: &Together, recipient: &str) {
    submit_below(together, recipient, b"Content-Type: image/x").await;
}

/// The same with another first field.
async fn submit_below(together: &Together, recipient: &str, first: &[u8]) {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    client.ok(&format!("MAIL FROM:<{ALICE}> BODY=BINARYMIME")).await;
    client.ok(&format!("RCPT TO:<{recipient}>")).await;
    let content = [first, b"\r\nFrom: <alice@example.test>\r\nSubject: binary\r\n\r\n", BODY].concat();
    let mut wire = Vec::new();
    for chunk in content.chunks(20) {
        wire.extend(format!("BDAT {}\r\n", chunk.len()).into_bytes());
        wire.extend(chunk);
    }
    wire.extend(b"BDAT 0 LAST\r\n");
    client.send(wire).await.unwrap();
    for _ in content.chunks(20) {
        client.expect(250).await;
    }
    let reply = client.expect(250).await;
    assert!(reply.text().contains("Queued"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_local_mailbox() {
    let peer = Peer::start(Script::default()).await;
    let together = together(&peer).await;
    submit(&together, BOB).await;
    let message = together.maildir(BOB).holds(1).await.remove(0);
    assert!(message.ends_with(&[b"\r\n\r\n", BODY].concat()), "{}", message.escape_ascii());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_server_that_takes_it() {
    let peer =
        Peer::start(Script::default().offers(&["PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"])).await;
    let together = together(&peer).await;
    submit(&together, "carol@remote.test").await;
    let received = peer.accepts(1).await.remove(0);
    assert!(received.mail.contains(" BODY=BINARYMIME"), "{}", received.mail);
    assert!(received.wire.ends_with(&[b"\r\n\r\n", BODY].concat()), "{}", received.wire.escape_ascii());
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_at_one_that_does_not() {
    let peer = Peer::start(Script::default().offers(&["PIPELINING", "8BITMIME", "CHUNKING"])).await;
    let together = together(&peer).await;
    submit(&together, "carol@remote.test").await;
    let received = peer.accepts(1).await.remove(0);
    assert!(received.mail.contains(" BODY=8BITMIME"), "{}", received.mail);
    let message = received.content();
    assert_eq!(field(&message, "Content-Transfer-Encoding").as_deref(), Some("base64"));
    assert_eq!(body(&message), b"Ci4NCg0KLg0KAA0NCv8KLgpRVUlUDQoN\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn and_comes_back_where_it_is_signed() {
    let peer = Peer::start(Script::default().offers(&["PIPELINING", "8BITMIME", "CHUNKING"])).await;
    let together = together(&peer).await;
    submit_below(&together, "carol@remote.test", b"DKIM-Signature: v=1").await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    assert_eq!(field(&notice, "Return-Path").as_deref(), Some("<>"));
    let text = String::from_utf8_lossy(body(&notice)).into_owned();
    assert!(text.contains("Status: 5.6.3") && text.contains("Subject: binary"), "{text}");
    assert!(!notice.contains(&0), "the body stays where it is: {text}");
    assert!(peer.received().is_empty());
}
