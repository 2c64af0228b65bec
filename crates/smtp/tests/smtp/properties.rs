//! What holds of a session whatever is sent to it, and however it is split.

use proptest::prelude::*;

use bytes::Bytes;

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

pub(crate) fn cut<'a>(octets: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
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
            "MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n", "BDAT 6\r\n", "BDAT 6 LAST\r\n", "BDAT 0\r\n", "BDAT 0 LAST\r\n",
            "BDAT 16000\r\n", "BDAT 2 LAST\r\n\r\n", "BDAT 3\r\na\r\n", "BDAT 3\r\n\na\r", "BDAT x\r\n",
            "RSET\r\n", "NOOP\r\n", "AUTH PLAIN\r\n", "AUTH LOGIN ZGVtb0BhLmV4YW1wbGU=\r\n", "c2VjcmV0\r\n", "*\r\n",
            "AUTH PLAIN AGRlbW9AYS5leGFtcGxlAHNlY3JldA==\r\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r\n", "\r", "\n",
        ]).prop_map(|text: &str| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..15_000).prop_map(|length| vec![b'x'; length]),
    ]
}

/// What is answered to the end of a message in these chunks, and the content that was taken.
fn chunked(binary: bool, chunks: &[&[u8]], cuts: &[usize]) -> (String, Option<Bytes>) {
    let mut octets = b"EHLO a.example\r\nMAIL FROM:<a@b.example>".to_vec();
    octets.extend(if binary { " BODY=BINARYMIME\r\n" } else { "\r\n" }.as_bytes());
    octets.extend(b"RCPT TO:<a@b.example>\r\n");
    let last = chunks.len() - 1;
    for (place, chunk) in chunks.iter().enumerate() {
        octets.extend(
            format!("BDAT {}{}\r\n", chunk.len(), if place == last { " LAST" } else { "" }).as_bytes(),
        );
        octets.extend(*chunk);
    }
    octets.extend(b"QUIT\r\n");
    let mut machine = Machine::new(&Setup::default());
    let said: String = cut(&octets, cuts).into_iter().map(|piece| machine.feed(piece)).collect();
    let answers: Vec<&str> = said.lines().rev().take(2).collect();
    assert!(answers[0].starts_with("221"), "{said}");
    (answers[1].to_owned(), machine.taken().pop())
}

proptest! {
    #[test]
    fn any_chunks_in_any_split_are_the_same_message(
        content in prop_oneof![
            "[a.]{0,3}(\r\n[a.]{0,3}){0,12}",
            "[a\r\n]{0,30}",
            "[a]{0,2}\r\n\r\n[a\r\n\0.]{0,30}",
        ],
        binary in any::<bool>(),
        sizes in prop::collection::vec(1usize..20, 1..5),
        cuts in prop::collection::vec(1usize..60, 1..10),
    ) {
        let whole = chunked(binary, &[content.as_bytes()], &[1000]);
        prop_assert_eq!(chunked(binary, &cut(content.as_bytes(), &sizes), &cuts), whole.clone());
        if let Some(taken) = whole.1 {
            prop_assert_eq!(taken, content);
        } else {
            prop_assert!(content.replace("\r\n", "").contains(['\r', '\n']), "{:?}", whole.0);
        }
    }

    #[test]
    fn any_split_of_a_transcript_gives_the_same_replies(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(1usize..60, 1..20),
    ) {
        let transcripts = all();
        let transcript = &transcripts[which.index(transcripts.len())];
        if !transcript.turns.contains(&Turn::Handshake) && !["starttls", "turns"].iter().any(|word| transcript.name.contains(word))
        {
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
