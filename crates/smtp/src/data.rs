//! Content on the wire (RFC 5321 4.1.1.4, 4.5.2): dot-stuffing undone and done. Only CRLF.CRLF ends content, and neither
//! direction lets a bare CR or LF pass, so that no two servers can disagree on where a message ends. Knows no session.

use bytes::Bytes;
use mail::Content;

use crate::reply::{self, Reply};

/// The end of data, behind content that ends in CRLF.
const END: &[u8] = b".\r\n";
/// Content up to this size is sent as one piece.
const COALESCE: usize = 64 * 1024;
/// A vector that grows takes at least so much.
const LEAST_GROWTH: usize = 4 * 1024;

/// What is wrong with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A CR that no LF follows.
    #[error("it holds a bare CR")]
    BareCr,
    /// An LF that follows no CR.
    #[error("it holds a bare LF")]
    BareLf,
    /// It is over the limit, which is given in octets.
    #[error("it is larger than {0} octets")]
    TooLarge(usize),
    /// There was no memory for it.
    #[error("there was no memory for it")]
    NoMemory,
}

impl Fault {
    /// How the end of data is answered.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::BareCr => reply::bare_carriage_return(),
            Self::BareLf => reply::bare_line_feed(),
            Self::TooLarge(limit) => reply::too_large(limit),
            Self::NoMemory => reply::no_memory(),
        }
    }
}

/// What came of feeding a [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All was taken; the end has not come yet.
    More,
    /// The next octets need more memory than was allowed.
    Full,
    /// The end of data; what follows is a command.
    End,
}

/// Where the decoder stands within a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Within,
    /// Behind a CR that is not in the content yet.
    Cr,
    /// Behind a dot at the start of a line, which is not in the content.
    Dot,
    /// Behind such a dot and a CR.
    DotCr,
}

/// Undoes dot-stuffing and finds the end. A fault does not end the content: the rest is read to its end and thrown away.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    content: Vec<u8>,
    limit: usize,
    allowed: usize,
    fault: Option<Fault>,
}

impl Decoder {
    /// A decoder for content of at most `limit` octets, of which `allowed` may be held until [`Decoder::allow`] is called.
    #[must_use]
    pub fn new(limit: usize, allowed: usize) -> Self {
        Self { place: Place::LineStart, content: Vec::new(), limit, allowed, fault: None }
    }

    /// Allows it to hold so many octets.
    pub fn allow(&mut self, octets: usize) {
        self.allowed = octets;
    }

    /// Throws away what came and what will come; the first fault is the one that counts.
    pub fn refuse(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.content = Vec::new();
    }

    /// The content, once [`Fed::End`] was seen.
    ///
    /// # Errors
    /// When something was wrong with it.
    pub fn finish(self) -> Result<Bytes, Fault> {
        match self.fault {
            None => Ok(self.content.into()),
            Some(fault) => Err(fault),
        }
    }

    /// Takes octets in any split and says how many it took.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Fed) {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    at += 1;
                }
                (Place::Within, _) => match self.take_run(&input[at..]) {
                    Some(taken) => at += taken,
                    None => return (at, Fed::Full),
                },
                (Place::Cr, b'\n') => {
                    if !self.push(b"\r\n") {
                        return (at, Fed::Full);
                    }
                    self.place = Place::LineStart;
                    at += 1;
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    at += 1;
                }
                (Place::LineStart | Place::Dot, _) => self.place = Place::Within,
                (Place::DotCr, b'\n') => return (at + 1, Fed::End),
                (Place::Cr | Place::DotCr, _) => {
                    self.refuse(Fault::BareCr);
                    self.place = Place::Within;
                }
            }
        }
        (at, Fed::More)
    }

    /// Takes what can be copied in one go: up to a line that starts with a dot, a bare line break or the end of input.
    /// `None` where there is no room for it.
    fn take_run(&mut self, input: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let Some(found) = memchr::memchr2(b'\r', b'\n', &input[from..]) else {
                return self.push(input).then_some(input.len());
            };
            let at = from + found;
            match (input[at], input.get(at + 1)) {
                (b'\r', Some(b'\n')) => match input.get(at + 2) {
                    Some(b'.') | None => return self.take_to(input, at + 2, at + 2, Place::LineStart),
                    Some(_) => from = at + 2,
                },
                (b'\r', None) => return self.take_to(input, at, at + 1, Place::Cr),
                (b'\r', Some(_)) => return self.take_faulty(input, at, Fault::BareCr),
                _ => return self.take_faulty(input, at, Fault::BareLf),
            }
        }
    }

    fn take_to(&mut self, input: &[u8], copied: usize, taken: usize, place: Place) -> Option<usize> {
        if !self.push(&input[..copied]) {
            return None;
        }
        self.place = place;
        Some(taken)
    }

    /// What stands in front of the fault counts first: it may be over the limit, and that was the earlier fault.
    fn take_faulty(&mut self, input: &[u8], at: usize, fault: Fault) -> Option<usize> {
        self.take_to(input, at, at + 1, Place::Within)?;
        self.refuse(fault);
        Some(at + 1)
    }

    /// Whether there was room. Octets behind a fault need none.
    fn push(&mut self, octets: &[u8]) -> bool {
        if self.fault.is_some() {
            return true;
        }
        let length = self.content.len() + octets.len();
        if length > self.limit {
            self.refuse(Fault::TooLarge(self.limit));
            return true;
        }
        if length > self.allowed {
            return false;
        }
        if length > self.content.capacity() {
            let wanted = (self.content.capacity() * 2).max(LEAST_GROWTH).min(self.allowed).max(length);
            self.content.reserve_exact(wanted - self.content.len());
        }
        self.content.extend_from_slice(octets);
        true
    }
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(wire: &[u8], step: usize) -> (Option<Result<Bytes, Fault>>, usize) {
        let mut decoder = Decoder::new(1 << 20, 1 << 20);
        let mut at = 0;
        for piece in wire.chunks(step.max(1)) {
            let (taken, fed) = decoder.feed(piece);
            at += taken;
            if fed == Fed::End {
                return (Some(decoder.finish()), at);
            }
        }
        (None, at)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_content() {
        for wire in [
            "a\n.\n",
            "a\n.\r\n",
            "a\r\n.\n",
            "a\r.\r",
            "a\r\n.\r",
            "a\r.\r\n",
            "a\r\n.\0\r\n",
            "a\0\r\n\0.\r\n",
            "a\r\n..\r\n",
            "a.\r\n",
            "a\r\n .\r\n",
            "\n.\r\n",
        ] {
            for step in [1, 2, 3, 100] {
                assert_eq!(decode(wire.as_bytes(), step).0, None, "{wire:?} by {step}");
            }
        }
    }

    #[test]
    fn bare_line_breaks_are_found_and_the_end_still_is_the_end() {
        for (wire, fault) in [
            ("a\n.\nb\r\n.\r\n", Fault::BareLf),
            ("a\n.\r\nMAIL\r\n.\r\n", Fault::BareLf),
            ("a\r\n.\nb\r\n.\r\n", Fault::BareLf),
            ("a\r\r\n.\r\n", Fault::BareCr),
            ("a\r\n.\r\r\n.\r\n", Fault::BareCr),
            ("a\rb\r\n.\r\n", Fault::BareCr),
            (".\nb\r\n.\r\n", Fault::BareLf),
        ] {
            for step in [1, 2, 3, 100] {
                let (content, at) = decode(wire.as_bytes(), step);
                assert_eq!((content, at), (Some(Err(fault)), wire.len()), "{wire:?} by {step}");
            }
        }
    }

    #[test]
    fn dots_are_unstuffed_and_what_follows_the_end_is_left() {
        for step in [1, 2, 100] {
            let (content, at) = decode(b"..a\r\n.b\r\n\r\n...\r\n.\r\n", step);
            assert_eq!(content, Some(Ok(Bytes::from(".a\r\nb\r\n\r\n..\r\n"))));
            assert_eq!(at, 19);
        }
        assert_eq!(decode(b".\r\nQUIT\r\n", 100), (Some(Ok(Bytes::new())), 3));
    }

    #[test]
    fn the_limit_holds_to_the_octet_and_memory_is_asked_for() {
        let mut decoder = Decoder::new(5, 3);
        assert_eq!(decoder.feed(b"abc"), (3, Fed::More));
        assert_eq!(decoder.feed(b"\r\n.\r\n"), (0, Fed::Full));
        decoder.allow(5);
        assert_eq!(decoder.feed(b"\r\n.\r\n"), (5, Fed::End));
        assert_eq!(decoder.finish(), Ok(Bytes::from("abc\r\n")));
        let mut decoder = Decoder::new(4, 100);
        assert_eq!(decoder.feed(b"abc\r\nmore\n\r\n.\r\nX"), (15, Fed::End));
        assert_eq!(decoder.finish(), Err(Fault::TooLarge(4)));
    }

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
            let (decoded, at) = decode(&wire, step);
            prop_assert_eq!(decoded, Some(Ok(Bytes::from(text))));
            prop_assert_eq!(at, wire.len());
        }

        #[test]
        fn any_octets_in_any_split_decode_alike(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60),
            step in 1usize..20,
        ) {
            prop_assert_eq!(decode(&octets, step), decode(&octets, octets.len()));
        }
    }
}
