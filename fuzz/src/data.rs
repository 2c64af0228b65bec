//! Content behind DATA, against a second reading of RFC 5321 4.5.2 that is slow and plain: only CRLF.CRLF ends it, a bare CR
//! or LF refuses it, and what was taken is sent on as the same octets.

use bytes::Bytes;
use mail::Content;
use smtp::data::{self, Decoder, Fault, Fed};

use crate::wire;

/// What became of content, and of how many octets.
type Outcome = Option<(Result<Bytes, Fault>, usize)>;

pub(crate) fn check(octets: &[u8]) {
    let ([seed, limit], wire) = wire::controls(octets);
    let limit = usize::from(limit) * 8;
    let whole = decode(wire, limit, 0);
    assert_eq!(decode(wire, limit, seed), whole);
    match (&whole, expected(wire, limit)) {
        (None, None) => {}
        (Some((Ok(content), at)), Some((Some(expected), end))) => {
            assert_eq!((content.as_ref(), *at), (expected.as_slice(), end));
            sent_on(content);
        }
        (Some((Err(_), at)), Some((None, end))) => assert_eq!(*at, end),
        (was, expected) => panic!("{was:?} in place of {expected:?}"),
    }
}

fn decode(wire: &[u8], limit: usize, seed: u8) -> Outcome {
    // Memory is asked for on the way, as a session does.
    let mut decoder = Decoder::new(limit, limit / 2);
    let mut at = 0;
    for mut piece in wire::pieces(wire, seed) {
        loop {
            let (taken, fed) = decoder.feed(piece);
            at += taken;
            piece = &piece[taken..];
            match fed {
                Fed::More => {
                    assert!(piece.is_empty());
                    break;
                }
                Fed::Full => decoder.allow(limit),
                Fed::End => return Some((decoder.finish(), at)),
            }
        }
    }
    None
}

/// The content, if it is to be taken, and where it ends.
fn expected(wire: &[u8], limit: usize) -> Option<(Option<Vec<u8>>, usize)> {
    let (content, end) = if wire.starts_with(b".\r\n") {
        (0, 3)
    } else {
        let at = wire.windows(5).position(|five| five == b"\r\n.\r\n")?;
        (at + 2, at + 5)
    };
    let stuffed = &wire[..content];
    if wire::has_bare_line_break(stuffed) {
        return Some((None, end));
    }
    let mut plain = Vec::new();
    for line in stuffed.split_inclusive(|octet| *octet == b'\n') {
        plain.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    Some(((plain.len() <= limit).then_some(plain), end))
}

/// On the wire it has one end, at its end, and is read there as what it was.
fn sent_on(content: &Bytes) {
    let sent = data::encode(&Content::from(content.clone())).expect("it is clean").concat();
    assert!(!wire::has_bare_line_break(&sent));
    let ends = sent.windows(5).filter(|five| *five == b"\r\n.\r\n").count();
    assert_eq!(ends + usize::from(sent.starts_with(b".\r\n")), 1, "{:?}", sent.escape_ascii().to_string());
    assert_eq!(expected(&sent, usize::MAX), Some((Some(content.to_vec()), sent.len())));
    // In segments too, wherever they are cut.
    let (front, back) = content.split_at(content.len() / 2);
    let mut segments = Content::from(back.to_vec());
    segments.prepend(front.to_vec());
    assert_eq!(data::encode(&segments).expect("it is clean").concat(), sent);
}
