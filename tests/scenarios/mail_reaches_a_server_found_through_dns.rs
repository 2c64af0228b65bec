//! Mail for others goes to the server that DNS names, and goes again when that one cannot take it now.

use tests::peer::{Act, Script};
use tests::{Client, Dns, Peer, Together};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] =
    b"From: <alice@example.test>\r\nTo: <carol@remote.test>\r\nSubject: out\r\n\r\nhello\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn by_its_mail_exchanger() {
    let peer = Peer::start(Script::default().next("RCPT", [Act::say("450 4.2.0 not now")])).await;
    let dns = Dns::start(&[("remote.test", "@ IN MX 10 mx\nmx IN A 127.0.0.1")]).await;
    let together = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&format!("mta.dns.servers=[\"{}\"]", dns.address))
        .set(&format!("mta.outbound.port={}", peer.address.port()))
        .set("mta.retry.delays=[\"200ms\"]")
        .start()
        .await;
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let reply = client.transact(ALICE, &["carol@remote.test"], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let received = peer.accepts(1).await.remove(0);
    let content = String::from_utf8(received.content()).unwrap();
    assert!(content.ends_with("\r\n\r\nhello\r\n"), "{content}");
    assert!(received.mail.starts_with("MAIL FROM:<alice@example.test>"), "{}", received.mail);
    assert_eq!(peer.commands().iter().filter(|command| command.starts_with("RCPT")).count(), 2);
    assert!(dns.asked().iter().any(|question| question == "remote.test. MX"), "{:?}", dns.asked());
}
