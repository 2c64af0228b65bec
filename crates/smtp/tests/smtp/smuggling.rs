//! Every end of data that some server somewhere took for one, and only CRLF.CRLF is: behind DATA, within chunks and over
//! their borders, cut anywhere. None of them ends a message; what follows it is never heard as a command.

use std::fmt::Write as _;

use smtp::server::{Settings, TlsMode};
use tokio::io::AsyncWriteExt as _;

use super::loopback::{Server, read_all, read_until};
use super::transcripts::{Machine, Setup};

/// What a variant makes of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    BareCr,
    BareLf,
    /// It is content, and this is what is left of it without stuffed dots.
    Content(&'static str),
}
use Verdict::{BareCr, BareLf, Content};

/// What stands between the text and the smuggled commands.
const VARIANTS: &[(&str, Verdict)] = &[
    ("\n.\n", BareLf),
    ("\n.\r\n", BareLf),
    ("\r\n.\n", BareLf),
    ("\n.\r", BareLf),
    ("\r.\r", BareCr),
    ("\r.\n", BareCr),
    ("\r.\r\n", BareCr),
    ("\r\n.\r", BareCr),
    ("\r\n.\r\r\n", BareCr),
    ("\r\r\n.\r\r\n", BareCr),
    ("\n\n.\n\n", BareLf),
    ("\n\r.\n\r", BareLf),
    ("\r\n\n.\r\n", BareLf),
    ("\r\n\r.\r\n", BareCr),
    ("\r\n.\r\0\n", BareCr),
    ("\r\n.\r \n", BareCr),
    ("\r\0\n.\r\n", BareCr),
    ("\r\n.\0\n", BareLf),
    ("\n\0.\r\n", BareLf),
    ("\r\n.\n\r\n", BareLf),
    ("\r\n..\n", BareLf),
    ("\r\n..\r", BareCr),
    ("\x0b.\x0b", Content("\x0b.\x0b")),
    ("\x0c.\x0c", Content("\x0c.\x0c")),
    ("\0.\0", Content("\0.\0")),
    ("\0\r\n\0.\r\n", Content("\0\r\n\0.\r\n")),
    ("\r\n\0.\r\n", Content("\r\n\0.\r\n")),
    ("\r\n.\0\r\n", Content("\r\n\0\r\n")),
    ("\r\n. \r\n", Content("\r\n \r\n")),
    ("\r\n .\r\n", Content("\r\n .\r\n")),
    ("\r\n.\t\r\n", Content("\r\n\t\r\n")),
    ("\r\n..\r\n", Content("\r\n.\r\n")),
    ("\r\n...\r\n", Content("\r\n..\r\n")),
    ("\r\n.x\r\n", Content("\r\nx\r\n")),
    // Of CR and LF in other character sets and encodings.
    ("\u{85}.\u{85}", Content("\u{85}.\u{85}")),
    ("\u{2028}.\u{2028}", Content("\u{2028}.\u{2028}")),
    ("\u{d0a}.\u{d0a}", Content("\u{d0a}.\u{d0a}")),
    ("=0D=0A.=0D=0A", Content("=0D=0A.=0D=0A")),
];

/// What a smuggler wants to be heard.
const SMUGGLED: &str = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nsmuggled\r\n";
const ENVELOPE: &str = "EHLO b.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\n";

/// How the end of the message is answered.
fn answer(verdict: Verdict, size: usize) -> String {
    match verdict {
        BareCr => "554 5.6.0 The message holds a bare CR: lines end in CRLF and nothing else\r\n".to_owned(),
        BareLf => "554 5.6.0 The message holds a bare LF: lines end in CRLF and nothing else\r\n".to_owned(),
        Content(_) => format!("250 2.0.0 Queued as 1 recipients, {size} octets\r\n"),
    }
}

/// The content that may be taken, where any may.
fn content(verdict: Verdict, before: &str) -> Option<String> {
    match verdict {
        Content(left) => Some(format!("{before}{left}{SMUGGLED}")),
        _ => None,
    }
}

/// In front of a variant: text, or nothing, so that the dot is the first octet of the content.
const BEFORE: &[&str] = &["one", "Subject: one\r\n\r\ntwo", ""];

/// What is said to `octets` behind the envelope, and what was taken, for a session that reads them in these pieces.
fn play<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<Vec<u8>>) {
    let mut machine = Machine::new(&Setup::default());
    machine.feed(b"");
    machine.feed(ENVELOPE.as_bytes());
    let said = pieces.into_iter().map(|piece| machine.feed(piece)).collect();
    (said, machine.taken().iter().map(|content| content.to_vec()).collect())
}

#[test]
fn no_variant_ends_content_wherever_it_is_cut() {
    for (variant, verdict) in VARIANTS {
        for before in BEFORE {
            let taken = content(*verdict, before);
            let answer = answer(*verdict, taken.as_ref().map_or(0, String::len));
            let wire = format!("DATA\r\n{before}{variant}{SMUGGLED}.\r\nQUIT\r\n");
            let expected = (
                format!("354 Start mail input; end with <CRLF>.<CRLF>\r\n{answer}221 2.0.0 Goodbye\r\n"),
                taken.into_iter().map(String::into_bytes).collect(),
            );
            let wire = wire.as_bytes();
            assert_eq!(play(wire.chunks(1)), expected, "{variant:?} octet by octet");
            for cut in 0..wire.len() {
                let (front, back) = wire.split_at(cut);
                assert_eq!(play([front, back]), expected, "{variant:?} cut at {cut}");
            }
        }
    }
}

/// The one that is an end, so that the tests above and below are known to be able to fail.
#[test]
fn crlf_dot_crlf_is_an_end() {
    let wire = format!("DATA\r\none\r\n.\r\n{SMUGGLED}.\r\nQUIT\r\n");
    for cut in 0..wire.len() {
        let (front, back) = wire.as_bytes().split_at(cut);
        let (_, taken) = play([front, back]);
        assert_eq!(taken, [b"one\r\n".to_vec(), b"smuggled\r\n".to_vec()], "cut at {cut}");
    }
}

/// Chunks are counted, so that here not even CRLF.CRLF ends anything.
#[test]
fn no_variant_ends_a_chunk_nor_the_message_at_its_border() {
    let real = ("\r\n.\r\n", Content("\r\n.\r\n"));
    for (variant, verdict) in VARIANTS.iter().chain([&real]) {
        let whole = format!("one{variant}{SMUGGLED}.\r\n");
        // Dots are not stuffed in chunks: what is taken is what was sent.
        let taken = matches!(verdict, Content(_)).then(|| whole.clone().into_bytes());
        let last = answer(*verdict, whole.len());
        for cut in 0..=whole.len() {
            let (front, back) = whole.as_bytes().split_at(cut);
            let commands = [format!("BDAT {cut}\r\n"), format!("BDAT {} LAST\r\n", back.len())];
            let wire = [commands[0].as_bytes(), front, commands[1].as_bytes(), back, b"QUIT\r\n"];
            for pieces in [vec![wire.concat().as_slice()], wire.concat().chunks(1).collect()] {
                let (said, was) = play(pieces);
                assert!(
                    said.ends_with(&format!("{last}221 2.0.0 Goodbye\r\n")),
                    "{variant:?} at {cut}: {said}"
                );
                let answers = said.lines().count();
                assert_eq!(
                    (answers, was),
                    (3, taken.iter().cloned().collect()),
                    "{variant:?} at {cut}: {said}"
                );
            }
        }
    }
}

/// The same over TCP, in segments that are cut within the variant.
#[tokio::test]
async fn no_variant_ends_content_over_the_wire() {
    let server = Server::start(Settings::default(), TlsMode::None);
    let (mut expected, mut faults) = (Vec::new(), String::new());
    for (variant, verdict) in VARIANTS {
        let taken = content(*verdict, "one");
        let answer = answer(*verdict, taken.as_ref().map_or(0, String::len));
        let wire = format!("one{variant}{SMUGGLED}.\r\nQUIT\r\n");
        let mut stream = server.raw().await;
        stream.set_nodelay(true).unwrap();
        read_until(&mut stream, "220").await;
        stream.write_all(b"EHLO b.example\r\n").await.unwrap();
        read_until(&mut stream, "250 ").await;
        stream.write_all(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n").await.unwrap();
        read_until(&mut stream, "354").await;
        let (within, after) = wire.as_bytes().split_at("one".len() + variant.len());
        for octet in within {
            stream.write_all(&[*octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(after).await.unwrap();
        let said = read_all(&mut stream).await;
        if said != format!("{answer}221 2.0.0 Goodbye\r\n") {
            let _ = writeln!(faults, "{variant:?}: {said:?}");
        }
        expected.extend(taken.map(String::into_bytes));
    }
    assert!(faults.is_empty(), "{faults}");
    let taken: Vec<Vec<u8>> = server.stop().await.into_iter().map(|(_, content)| content.to_vec()).collect();
    assert_eq!(taken, expected);
}
