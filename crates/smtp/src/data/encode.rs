//! Content on its way out: dot-stuffed lines with the end of data, or the octets as they are.

use bytes::Bytes;
use mail::Content;

use super::{Fault, Place};

/// The end of data, behind content that ends in CRLF.
const END: &[u8] = b".\r\n";
/// Content up to this size is sent as one piece.
const COALESCE: usize = 64 * 1024;
/// Longest line of content in octets, CRLF not included (RFC 5321 4.5.3.1.6, RFC 6152 3).
const LINE_LIMIT: usize = 998;

/// Content as it goes over the wire: dot-stuffed, with its last line end and the final dot, in pieces that share the
/// content's octets. Small content is one piece.
///
/// # Errors
/// When the content holds a bare CR or LF: it is never sent.
pub fn encode(content: &Content) -> Result<Vec<Bytes>, Fault> {
    let mut pieces = Pieces::new(content.len());
    let mut place = Place::LineStart;
    for segment in content.segments() {
        place = encode_segment(segment, place, &mut pieces)?;
    }
    match place {
        Place::LineStart => pieces.add_static(END),
        Place::Cr => return Err(Fault::BareCr),
        _ => pieces.add_static(b"\r\n.\r\n"),
    }
    Ok(pieces.finish())
}

fn encode_segment(segment: &Bytes, mut place: Place, pieces: &mut Pieces) -> Result<Place, Fault> {
    let mut start = 0;
    let mut at = 0;
    while let Some(&octet) = segment.get(at) {
        match (place, octet) {
            (Place::LineStart, b'.') => {
                pieces.add(segment, start, at);
                pieces.add_static(b".");
                start = at;
                place = Place::Within;
            }
            (Place::Cr, b'\n') => {
                at += 1;
                place = Place::LineStart;
            }
            (Place::Cr, _) => return Err(Fault::BareCr),
            _ => match memchr::memchr2(b'\r', b'\n', &segment[at..]) {
                None => {
                    at = segment.len();
                    place = Place::Within;
                }
                Some(found) if segment[at + found] == b'\r' => {
                    at += found + 1;
                    place = Place::Cr;
                }
                Some(_) => return Err(Fault::BareLf),
            },
        }
    }
    pieces.add(segment, start, segment.len());
    Ok(place)
}

/// Collects slices of the content, or one copy where that is cheaper than many writes.
enum Pieces {
    Copied(Vec<u8>),
    Shared(Vec<Bytes>),
}

impl Pieces {
    fn new(size: usize) -> Self {
        if size > COALESCE { Self::Shared(Vec::new()) } else { Self::Copied(Vec::with_capacity(size + 64)) }
    }

    fn add(&mut self, segment: &Bytes, from: usize, to: usize) {
        if from == to {
            return;
        }
        match self {
            Self::Copied(whole) => whole.extend_from_slice(&segment[from..to]),
            Self::Shared(pieces) => pieces.push(segment.slice(from..to)),
        }
    }

    fn add_static(&mut self, octets: &'static [u8]) {
        match self {
            Self::Copied(whole) => whole.extend_from_slice(octets),
            Self::Shared(pieces) => pieces.push(Bytes::from_static(octets)),
        }
    }

    fn finish(self) -> Vec<Bytes> {
        match self {
            Self::Copied(whole) => vec![whole.into()],
            Self::Shared(pieces) => pieces,
        }
    }
}

/// Content as it goes over the wire behind BDAT: one chunk, the last, with its command in front (RFC 3030 2).
#[must_use]
pub fn chunk(content: &Content) -> Vec<Bytes> {
    let command = Bytes::from(format!("BDAT {} LAST\r\n", content.len()));
    let mut pieces = Pieces::new(content.len());
    for segment in std::iter::once(&command).chain(content.segments()) {
        pieces.add(segment, 0, segment.len());
    }
    pieces.finish()
}

/// Whether content is binary in fact and not only by name: DATA would change it, or may not carry it (RFC 2045 2.8, 2.9).
#[must_use]
pub fn needs_chunk(content: &Content) -> bool {
    let (mut length, mut after_cr) = (0, false);
    for segment in content.segments() {
        for &octet in segment {
            match (after_cr, octet) {
                (true, b'\n') => length = 0,
                (true, _) | (false, b'\n' | 0) => return true,
                (false, b'\r') => {}
                (false, _) => length += 1,
            }
            after_cr = !after_cr && octet == b'\r';
            if length > LINE_LIMIT {
                return true;
            }
        }
    }
    after_cr || length > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Decoder, Fed};
    use super::*;

    #[test]
    fn content_with_bare_line_breaks_is_not_sent() {
        for (content, fault) in
            [("a\nb", Fault::BareLf), ("a\rb", Fault::BareCr), ("a\r", Fault::BareCr), ("\n", Fault::BareLf)]
        {
            assert_eq!(encode(&Content::from(content)), Err(fault), "{content:?}");
        }
        let mut across = Content::from("\nb");
        across.prepend("a\r");
        assert_eq!(encode(&across).unwrap(), ["a\r\nb\r\n.\r\n"]);
        assert_eq!(encode(&Content::default()).unwrap(), [".\r\n"]);
    }

    #[test]
    fn a_chunk_says_its_size_and_changes_nothing() {
        let mut content = Content::from("\n.\r\n\0");
        content.prepend("a\r");
        assert_eq!(chunk(&content), ["BDAT 7 LAST\r\na\r\n.\r\n\0"]);
        assert_eq!(chunk(&Content::default()), ["BDAT 0 LAST\r\n"]);
        let large = Content::from(vec![b'\n'; COALESCE + 1]);
        assert_eq!(chunk(&large).len(), 2);
    }

    #[test]
    fn content_is_binary_where_lines_cannot_carry_it() {
        let line = "x".repeat(LINE_LIMIT);
        for text in ["", "\r\n", "a\r\n.\r\nä\r\n", &format!("{line}\r\n{line}\r\n")] {
            assert!(!needs_chunk(&Content::from(text.to_owned())), "{text:?}");
        }
        for text in ["a", "a\r", "\r\n\n", "a\nb\r\n", "\r\r\n", "a\0\r\n", &format!("{line}x\r\n")] {
            assert!(needs_chunk(&Content::from(text.to_owned())), "{text:?}");
        }
        let mut across = Content::from("\nb\r\n");
        across.prepend("a\r");
        assert!(!needs_chunk(&across));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            lines in proptest::collection::vec("[.a\u{e4}]{0,4}", 0..30),
            cuts in proptest::collection::vec(0usize..200, 0..4),
            large in any::<bool>(),
            step in 1usize..50,
        ) {
            let mut text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            if large {
                text.push_str(&format!("{}\r\n", ".".repeat(COALESCE)));
            }
            let mut content = Content::default();
            let mut at = 0;
            for cut in cuts {
                let to = (at + cut).min(text.len());
                content.append(text.as_bytes()[at..to].to_vec());
                at = to;
            }
            content.append(text.as_bytes()[at..].to_vec());
            let wire: Vec<u8> = encode(&content).unwrap().concat();
            let mut decoder = Decoder::new(1 << 20, 1 << 20);
            let fed: Vec<Fed> = wire.chunks(step).map(|piece| decoder.feed(piece).1).collect();
            prop_assert_eq!(fed.iter().position(|fed| *fed == Fed::End), Some(fed.len() - 1));
            prop_assert_eq!(decoder.finish(), Ok(Bytes::from(text)));
        }
    }
}
