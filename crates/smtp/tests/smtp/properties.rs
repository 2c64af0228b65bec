//! What holds of a session whatever is sent to it, and however it is split.

use proptest::prelude::*;

use super::transcripts::{Machine, Setup, Transcript, Turn, all};

/// All that the client of a transcript says, in one.
fn client_octets(transcript: &Transcript) -> Vec<u8> {
    let said = transcript.turns.iter().filter_map(|turn| match turn {
        Turn::Client(octets) => Some(octets.as_slice()),
        _ => None,
    });
    said.collect::<Vec<_>>().concat()
}

fn answers<'a>(setup: &Setup, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut machine = Machine::new(setup);
    let mut said = machine.feed(b"");
    for piece in pieces {
        said.push_str(&machine.feed(piece));
    }
    said
}

fn cut<'a>(octets: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = octets;
    for at in cuts.iter().cycle() {
        if rest.is_empty() || cuts.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*at).clamp(1, rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Something like a command, or not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "EHLO a.example\r\n", "HELO a\r\n", "MAIL FROM:<a@b.example>\r\n", "MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
            "RCPT TO:<a@b.example>\r\n", "RCPT TO:<nobody@b.example>\r\n", "DATA\r\n", ".\r\n", "text\r\n", "..\r\n",
            "RSET\r\n", "NOOP\r\n", "AUTH PLAIN\r\n", "AUTH LOGIN ZGVtb0BhLmV4YW1wbGU=\r\n", "c2VjcmV0\r\n", "*\r\n",
            "AUTH PLAIN AGRlbW9AYS5leGFtcGxlAHNlY3JldA==\r\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r\n", "\r", "\n",
        ]).prop_map(|text: &str| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..15_000).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    #[test]
    fn any_split_of_a_transcript_gives_the_same_replies(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(1usize..60, 1..20),
    ) {
        let transcripts = all();
        let transcript = &transcripts[which.index(transcripts.len())];
        if !transcript.turns.contains(&Turn::Handshake) && !transcript.name.contains("starttls") {
            let octets = client_octets(transcript);
            let whole = answers(&transcript.setup, [octets.as_slice()]);
            prop_assert_eq!(answers(&transcript.setup, cut(&octets, &cuts)), whole);
        }
    }

    #[test]
    fn any_octets_in_any_split_give_the_same_replies(
        lines in prop::collection::vec(line(), 0..25),
        cuts in prop::collection::vec(1usize..200, 1..10),
    ) {
        let setup = all().into_iter().find(|t| t.name == "auth-plain").unwrap().setup;
        let octets = lines.concat();
        let whole = answers(&setup, [octets.as_slice()]);
        prop_assert_eq!(answers(&setup, cut(&octets, &cuts)), whole.clone());
        for reply in whole.split_terminator("\r\n") {
            prop_assert!(reply.len() <= 510 && reply.bytes().all(|b| matches!(b, b' '..=b'~')), "{reply:?}");
        }
    }
}
