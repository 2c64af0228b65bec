//! Whatever end of data a client tries to smuggle with, none leaves towards another server: each message that was accepted
//! has one end of data, its own, and no line of it ends in anything but CRLF.

use tests::peer::Script;
use tests::{Client, Peer, Together};

const ALICE: &str = "alice@example.test";

/// Each in the middle of a body; what the middle of the list holds is clean, and has to arrive.
const VARIANTS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n.\r\0\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\0\r\n\0.\0\r\n",
    b"\r\n..\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
    b"\r\n...\r\n",
    b"\x0b.\x0b",
];
/// Of them, those that nobody can find fault with.
const CLEAN: usize = 3;
/// Only a chunk can carry it: behind DATA it is an end.
const END: &[u8] = b"\r\n.\r\n";
const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@example.test>\r\nRCPT TO:<evil@remote.test>\r\nDATA\r\nsmuggled\r\n";

async fn together(peer: &Peer) -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .start()
        .await
}

fn message(number: usize, variant: &[u8]) -> Vec<u8> {
    let header = format!("From: <{ALICE}>\r\nSubject: {number}\r\n\r\none");
    [header.as_bytes(), variant, SMUGGLED].concat()
}

/// Whether it was accepted. Its end is the last of these octets, and QUIT, behind it, is the next command that is heard.
async fn submit(client: &mut Client, parameters: &str, octets: Vec<u8>, end: &[u8]) -> bool {
    client.ok(&format!("MAIL FROM:<{ALICE}>{parameters}")).await;
    client.ok("RCPT TO:<carol@remote.test>").await;
    let chunked = end.is_empty();
    let command = if chunked { format!("BDAT {} LAST\r\n", octets.len()) } else { "DATA\r\n".to_owned() };
    client.send(command).await.unwrap();
    if !chunked {
        client.expect(354).await;
    }
    client.send([octets.as_slice(), end, b"NOOP\r\n"].concat()).await.unwrap();
    let reply = client.reply().await;
    client.expect(250).await;
    assert!(reply.code == 250 || reply.has("5.6."), "{reply:?}");
    reply.code == 250
}

/// What a session said, with each message cut out: the commands, and the messages.
fn dialogue(mut octets: &[u8]) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut commands, mut messages) = (Vec::new(), Vec::new());
    while !octets.is_empty() {
        let end = octets.windows(2).position(|two| two == b"\r\n").expect("commands end in CRLF");
        let command = str::from_utf8(&octets[..end]).expect("commands are text").to_owned();
        octets = &octets[end + 2..];
        if let Some(size) = command.strip_prefix("BDAT ") {
            let size = size.strip_suffix(" LAST").unwrap().parse().unwrap();
            messages.push(octets[..size].to_vec());
            octets = &octets[size..];
        } else if command == "DATA" {
            let end = octets.windows(5).position(|five| five == END).expect("an end of data");
            messages.push(octets[..end + 2].to_vec());
            octets = &octets[end + 5..];
        }
        commands.push(command);
    }
    (commands, messages)
}

fn has_bare_line_break(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "");
    text.contains(['\r', '\n'])
}

#[tokio::test(flavor = "multi_thread")]
async fn as_text() {
    let peer = Peer::start(Script::default()).await;
    let together = together(&peer).await;
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let mut accepted = 0;
    for (number, variant) in VARIANTS.iter().enumerate() {
        let octets = message(number, variant);
        accepted += usize::from(submit(&mut client, "", octets.clone(), b".\r\n").await);
        accepted += usize::from(submit(&mut client, "", octets, b"").await);
    }
    // Counted, so content; on its way out it is stuffed.
    assert!(submit(&mut client, "", message(99, END), b"").await);
    accepted += 1;
    assert!(accepted > 2 * CLEAN, "{accepted} were accepted");
    peer.accepts(accepted).await;
    drop(together);
    assert_eq!(peer.received().len(), accepted, "one message there for each here");
    let mut ends = 0;
    for session in peer.octets() {
        assert!(!has_bare_line_break(&session), "{}", session.escape_ascii());
        let (commands, messages) = dialogue(&session);
        assert!(!commands.iter().any(|command| command.contains("evil")), "{commands:?}");
        for message in messages {
            ends += 1;
            assert!(message.windows(8).any(|octets| octets == b"smuggled"), "{}", message.escape_ascii());
            let line = |line: &[u8]| line == b".\r\n" || line == b".\n" || line == b".\r";
            assert!(
                !message.split_inclusive(|octet| *octet == b'\n').any(line),
                "{}",
                message.escape_ascii()
            );
        }
    }
    assert_eq!(ends, accepted, "one end of data for each message");
}

/// A binary body may hold any of them: it travels in one chunk, or encoded.
#[tokio::test(flavor = "multi_thread")]
async fn as_binary() {
    for chunks in [true, false] {
        let offers = if chunks { ["CHUNKING", "BINARYMIME"].as_slice() } else { ["CHUNKING"].as_slice() };
        let peer = Peer::start(Script::default().offers(offers)).await;
        let together = together(&peer).await;
        let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
        let variants: Vec<_> = VARIANTS.iter().copied().chain([END]).collect();
        for (number, variant) in variants.iter().enumerate() {
            assert!(submit(&mut client, " BODY=BINARYMIME", message(number, variant), b"").await);
        }
        // The clean ones are text in fact, and DATA carries them; the others are encoded where no chunk carries them.
        let expected = variants.len();
        peer.accepts(expected).await;
        drop(together);
        assert_eq!(peer.received().len(), expected);
        for (commands, messages) in peer.octets().iter().map(|session| dialogue(session)) {
            assert!(!commands.iter().any(|command| command.contains("evil")), "{commands:?}");
            let said_binary = commands.iter().any(|command| command.contains("BODY=BINARYMIME"));
            assert!(chunks || !said_binary, "{commands:?}");
            for message in messages {
                assert!(chunks || !has_bare_line_break(&message), "{}", message.escape_ascii());
                let encoded = String::from_utf8_lossy(&message).contains("\r\nContent-Transfer-Encoding: ");
                assert!(message.ends_with(SMUGGLED) || (!chunks && encoded), "{}", message.escape_ascii());
            }
        }
    }
}
