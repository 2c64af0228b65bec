//! What the next server does not take as it is goes in another form that says the same, or its sender is told.

use tests::maildir::{body, field};
use tests::peer::Script;
use tests::{Client, Peer, Together};

const ALICE: &str = "alice@example.test";
const CAROL: &str = "carol@remote.test";

async fn together(peer: &Peer) -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&format!("mta.routes.\"remote.test\"=\"{0}\"", peer.address))
        .set(&format!("mta.routes.\"bücher.test\"=\"{0}\"", peer.address))
        .start()
        .await
}

/// Says MAIL with these parameters, and then the rest.
async fn submit(together: &Together, parameters: &str, recipient: &str, content: &[u8]) {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    client.ok(&format!("MAIL FROM:<{ALICE}>{parameters}")).await;
    client.ok(&format!("RCPT TO:<{recipient}>")).await;
    assert_eq!(client.command("DATA").await.code, 354);
    client.send([content, b".\r\n"].concat()).await.unwrap();
    client.expect(250).await;
}

/// RFC 2045 6.7, of text that was encoded well.
fn quoted_printable(text: &str) -> Vec<u8> {
    let joined = text.replace("=\r\n", "");
    let (first, rest) = joined.split_once('=').map_or((joined.as_str(), None), |(a, b)| (a, Some(b)));
    let mut decoded = first.as_bytes().to_vec();
    for escaped in rest.into_iter().flat_map(|rest| rest.split('=')) {
        decoded.push(u8::from_str_radix(&escaped[..2], 16).unwrap());
        decoded.extend(&escaped.as_bytes()[2..]);
    }
    decoded
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_bits_in_short_lines() {
    let peer = Peer::start(Script::default().offers(&["PIPELINING"])).await;
    let together = together(&peer).await;
    let text = format!("kurz\r\n{}\r\nein = und ein Ende \r\n", "Grüße ".repeat(700));
    assert!(text.lines().any(|line| line.len() > 5000));
    let content = format!("From: <{ALICE}>\r\nSubject: Grüße\r\n\r\n{text}");
    submit(&together, "", CAROL, content.as_bytes()).await;
    let received = peer.accepts(1).await.remove(0);
    assert!(!received.mail.contains("BODY="), "{}", received.mail);
    let message = received.content();
    assert!(message.is_ascii(), "{}", message.escape_ascii());
    assert!(message.split(|octet| *octet == b'\n').all(|line| line.len() <= 999));
    for (name, value) in [
        ("Subject", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?="),
        ("Content-Transfer-Encoding", "quoted-printable"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(field(&message, name).unwrap().to_lowercase(), value.to_lowercase());
    }
    assert_eq!(quoted_printable(str::from_utf8(body(&message)).unwrap()), text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_bits_said_to_be_such() {
    let peer = Peer::start(Script::default().offers(&["8BITMIME"])).await;
    let together = together(&peer).await;
    let content = format!("From: <{ALICE}>\r\n\r\nGrüße\r\n");
    submit(&together, "", CAROL, content.as_bytes()).await;
    let received = peer.accepts(1).await.remove(0);
    assert!(received.mail.ends_with(" BODY=8BITMIME"), "{}", received.mail);
    assert!(received.content().ends_with("\r\n\r\nGrüße\r\n".as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_where_a_signature_would_break() {
    let peer = Peer::start(Script::default().offers(&["PIPELINING"])).await;
    let together = together(&peer).await;
    let content =
        format!("DKIM-Signature: v=1; d=example.test\r\nFrom: <{ALICE}>\r\nSubject: signed\r\n\r\nGrüße\r\n");
    submit(&together, " BODY=8BITMIME", CAROL, content.as_bytes()).await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    let text = String::from_utf8_lossy(body(&notice)).into_owned();
    assert!(text.contains("Status: 5.6.3") && text.contains("must not be altered"), "{text}");
    assert!(peer.received().is_empty());
}

/// RFC 6531 3.2: a domain has a form in ASCII, and the message needs SMTPUTF8 for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_in_ascii() {
    let peer = Peer::start(Script::default().offers(&["8BITMIME"])).await;
    let together = together(&peer).await;
    let content = format!("From: <{ALICE}>\r\nSubject: books\r\n\r\nx\r\n");
    submit(&together, " SMTPUTF8", "carol@bücher.test", content.as_bytes()).await;
    let received = peer.accepts(1).await.remove(0);
    assert!(!received.mail.contains("SMTPUTF8"), "{}", received.mail);
    assert_eq!(received.recipients, ["RCPT TO:<carol@xn--bcher-kva.test>"]);
    assert!(received.content().is_ascii());
}

/// RFC 6531 3.6, and RFC 6533 for what the sender hears.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_where_a_name_has_no_such_form() {
    let peer = Peer::start(Script::default().offers(&["8BITMIME"])).await;
    let together = together(&peer).await;
    let content = format!("From: <{ALICE}>\r\nSubject: books\r\n\r\nx\r\n");
    submit(&together, " SMTPUTF8", "jürgen@remote.test", content.as_bytes()).await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    let text = String::from_utf8(body(&notice).to_vec()).unwrap();
    for line in
        ["message/global-delivery-status", "Final-Recipient: utf-8; jürgen@remote.test", "Status: 5.6.7"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(peer.received().is_empty());
}
