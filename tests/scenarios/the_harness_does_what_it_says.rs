//! The parts of the harness against each other, without our programs.

use tests::certificates::Authority;
use tests::peer::{Act, Script};
use tests::{Client, Dns, Maildir, Peer, maildir};

#[tokio::test]
async fn a_peer_takes_mail_octet_for_octet() {
    let certificate = Authority::default().issue(&["peer.test"]);
    let peer = Peer::start(Script::default().tls(certificate.server())).await;
    let content = b"Subject: x\r\n\r\n.dot\r\n..dots\r\n\xff\r\n";
    let mut client = Client::greeted(peer.address).await.starttls().await;
    assert!(!client.ok("EHLO client.test").await.has("STARTTLS"));
    let reply = client.transact("a@client.test", &["b@peer.test", "c@peer.test"], content).await;
    assert_eq!(reply.code, 250);
    let received = peer.accepts(1).await.remove(0);
    assert_eq!(received.content(), content);
    assert_eq!(received.wire, b"Subject: x\r\n\r\n..dot\r\n...dots\r\n\xff\r\n");
    assert!(received.tls && received.accepted);
    assert_eq!((received.helo.as_str(), received.recipients.len()), ("client.test", 2));
    client.ok("QUIT").await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_peer_follows_its_script() {
    let script = Script::default()
        .offers(&["8BITMIME"])
        .next("RCPT TO:<b@", [Act::say("450 4.2.0 later"), Act::say("550 5.1.1 never")])
        .next("CONTENT", [Act::Close])
        .always("VRFY", Act::say("252 2.5.0 maybe"));
    let peer = Peer::start(script).await;
    let mut client = Client::connect(peer.address).await;
    client.expect(220).await;
    let hello = client.ok("EHLO client.test").await;
    assert!(hello.has("8BITMIME") && !hello.has("PIPELINING") && !hello.has("STARTTLS"));
    client.ok("MAIL FROM:<>").await;
    assert_eq!(client.command("RCPT TO:<b@peer.test>").await.code, 450);
    assert_eq!(client.command("RCPT TO:<B@peer.test>").await.code, 550);
    assert_eq!(client.command("RCPT TO:<b@peer.test>").await.code, 250);
    assert_eq!(client.command("VRFY b").await.code, 252);
    assert_eq!(client.command("STARTTLS").await.code, 502);
    client.ok("DATA").await;
    client.send(".\r\n").await.unwrap();
    assert!(client.rest().await.is_empty());
    assert_eq!((peer.received().len(), peer.accepted().len(), peer.sessions()), (1, 0, 1));
    assert!(client.dialogue().contains("S: 550 5.1.1 never"), "{}", client.dialogue());
}

#[test]
fn header_fields_are_read_unfolded() {
    let message = b"To: a\r\n\t(b)\r\nX: 1\r\nx: 2\r\n\r\nTo: body\r\n";
    assert_eq!(maildir::field(message, "TO").as_deref(), Some("a (b)"));
    assert_eq!(maildir::fields(message, "x"), ["1", "2"]);
    assert_eq!(maildir::body(message), b"To: body\r\n");
}

#[tokio::test]
async fn a_maildir_that_is_not_there_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Maildir::of(folder.path(), "a@b.test").messages().is_empty());
}

#[tokio::test]
async fn dns_answers_from_its_zones_and_fails_on_demand() {
    let dns = Dns::start(&[("remote.test", "@ IN MX 10 mx\nmx IN A 127.0.0.1\nnull IN MX 0 .")]).await;
    let answer = ask(&dns, "remote.test", 15).await;
    assert_eq!((answer.code, answer.answers), (0, 1));
    assert_eq!(ask(&dns, "nobody.remote.test", 1).await.code, 3, "NXDOMAIN");
    assert_eq!(ask(&dns, "elsewhere.test", 1).await.code, 5, "REFUSED");
    dns.break_name("mx.remote.test");
    assert_eq!(ask(&dns, "mx.remote.test", 1).await.code, 2, "SERVFAIL");
    assert_eq!(ask(&dns, "null.remote.test", 15).await.answers, 1);
    dns.fail(true);
    assert_eq!(ask(&dns, "remote.test", 15).await.code, 2);
    assert!(dns.asked().contains(&"remote.test. MX".to_owned()), "{:?}", dns.asked());
}

struct Answer {
    code: u8,
    answers: u16,
}

/// A question by hand (RFC 1035 4.1), over TCP.
async fn ask(dns: &Dns, name: &str, kind: u8) -> Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, kind, 0, 1]);
    let mut stream = tokio::net::TcpStream::connect(dns.address).await.unwrap();
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &message].concat()).await.unwrap();
    let length = tests::wait::soon("an answer", stream.read_u16()).await.unwrap();
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.unwrap();
    Answer { code: answer[3] & 15, answers: u16::from_be_bytes([answer[6], answer[7]]) }
}
