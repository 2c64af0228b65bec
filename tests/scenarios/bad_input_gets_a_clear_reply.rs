//! Whatever a peer sends, it hears what was wrong, nothing else is harmed, and nothing is taken that should not be.

use tests::maildir::body;
use tests::{Client, Together};

const ALICE: &str = "alice@example.test";

async fn together(settings: &[&str]) -> Together {
    let mut setup = Together::setup().domain("example.test").account(ALICE, "secret");
    for setting in settings {
        setup = setup.set(setting);
    }
    setup.start().await
}

async fn still_serves(together: &Together) {
    let mut client = Client::greeted(together.mx()).await;
    client.ok("QUIT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_binary_garbage() {
    let together = together(&[]).await;
    for port in [together.mx(), together.submission(), together.submissions()] {
        let mut client = Client::connect(port).await;
        let garbage: Vec<u8> =
            (0..64 * 1024u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let _ = client.send(&garbage).await;
        let _ = client.send(b"\r\nQUIT\r\n").await;
        let heard = client.rest().await;
        let text = String::from_utf8_lossy(&heard).into_owned();
        if port != together.submissions() {
            assert!(text.starts_with("220 ") && text.contains("\r\n500 "), "{text}");
        }
    }
    still_serves(&together).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_command_line_of_10_mib_without_growing() {
    let mut together = together(&[]).await;
    let before = resident_kib(together.agent.process().id());
    let mut client = Client::greeted(together.mx()).await;
    client.send(b"NOOP ").await.unwrap();
    for _ in 0..160 {
        client.send(vec![b'x'; 64 * 1024]).await.unwrap();
    }
    client.send(b"\r\n").await.unwrap();
    let reply = client.reply().await;
    assert_eq!(reply.code, 500, "{reply:?}");
    client.ok("NOOP").await;
    let grown = resident_kib(together.agent.process().id()).saturating_sub(before);
    assert!(grown < 8 * 1024, "the process grew by {grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_bare_line_ends_in_commands_and_content() {
    let together = together(&[]).await;
    let mut client = Client::greeted(together.mx()).await;
    client.send(b"NOOP\nNOOP\r\n").await.unwrap();
    client.expect(500).await;
    client.send(b"NOOP\rNOOP\r\n").await.unwrap();
    client.expect(500).await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\0.\r\n"] {
        client.ok("MAIL FROM:<a@elsewhere.test>").await;
        client.ok("RCPT TO:<alice@example.test>").await;
        client.ok("DATA").await;
        let smuggled = format!("Subject: x\r\n\r\nfirst{end}MAIL FROM:<admin@example.test>\r\n.\r\n");
        client.send(smuggled).await.unwrap();
        let reply = client.reply().await;
        let taken_as_content = reply.code == 250;
        assert!(taken_as_content || (reply.code == 554 && reply.has("5.6.0")), "{end:?}: {reply:?}");
        // One reply, and the session goes on where it should.
        client.ok("NOOP").await;
    }
    let mut client = Client::greeted(together.mx()).await;
    let reply = client.transact("a@elsewhere.test", &[ALICE], b"Subject: last\r\n\r\nbody\r\n").await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let messages = together.maildir(ALICE).holds(1).await;
    assert!(messages.iter().all(|m| !body(m).windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r')));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_message_over_size() {
    let together =
        together(&["mta.inbound.message_size=\"64KiB\"", "msa.limits.message_size=\"64KiB\""]).await;
    let mut client = Client::greeted(together.mx()).await;
    let reply = client.command("MAIL FROM:<a@elsewhere.test> SIZE=100000").await;
    assert_eq!((reply.code, reply.has("5.3.4")), (552, true), "{reply:?}");
    let big = [b"Subject: big\r\n\r\n".as_ref(), &b"0123456789\r\n".repeat(10_000)].concat();
    let reply = client.transact("a@elsewhere.test", &[ALICE], &big).await;
    assert_eq!((reply.code, reply.has("5.3.4")), (552, true), "{reply:?}");
    let reply = client.transact("a@elsewhere.test", &[ALICE], b"Subject: small\r\n\r\nbody\r\n").await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(together.maildir(ALICE).holds(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_commands_that_do_not_follow_the_grammar() {
    let together = together(&[]).await;
    let mut client = Client::greeted(together.mx()).await;
    for (command, code) in [
        ("", 500),
        ("FROB", 500),
        ("MAIL", 501),
        ("MAIL FROM:a@b.test", 501),
        ("MAIL FROM:<a@b.test", 501),
        ("MAIL FROM:<a b@c.test>", 501),
        ("MAIL FROM:<a@b.test> FROB=1", 555),
        ("RCPT TO:<alice@example.test>", 503),
        ("DATA", 503),
        ("EXPN staff", 502),
        ("VRFY alice", 252),
        ("AUTH PLAIN AGEAYg==", 503),
    ] {
        let reply = client.command(command).await;
        let acceptable = [code, if code == 503 { 502 } else { code }, if code == 503 { 538 } else { code }];
        assert!(acceptable.contains(&reply.code), "{command:?}: {reply:?}");
        assert!(!reply.text().trim().is_empty());
    }
    client.ok("NOOP").await;
}

/// What a process has in memory.
fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
