//! Content on the wire, in lines behind DATA (RFC 5321 4.1.1.4, 4.5.2) or in counted chunks behind BDAT (RFC 3030). Only
//! CRLF.CRLF ends lines, and neither direction lets a bare CR or LF pass, so that no two servers can disagree on where a
//! message ends; they may be only in the body of a message that said BODY=BINARYMIME, which travels in chunks or not at all.
//! Knows no session.

mod buffer;
mod chunks;
mod encode;

use bytes::Bytes;

use buffer::Buffer;
pub use chunks::Chunks;
pub use encode::{chunk, encode, needs_chunk};

use crate::reply::{self, Reply};

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
    buffer: Buffer,
}

impl Decoder {
    /// A decoder for content of at most `limit` octets, of which `allowed` may be held until [`Decoder::allow`] is called.
    #[must_use]
    pub fn new(limit: usize, allowed: usize) -> Self {
        Self { place: Place::LineStart, buffer: Buffer::new(limit, allowed) }
    }

    /// Allows it to hold so many octets.
    pub fn allow(&mut self, octets: usize) {
        self.buffer.allow(octets);
    }

    /// Throws away what came and what will come; the first fault is the one that counts.
    pub fn refuse(&mut self, fault: Fault) {
        self.buffer.refuse(fault);
    }

    /// The content, once [`Fed::End`] was seen.
    ///
    /// # Errors
    /// When something was wrong with it.
    pub fn finish(self) -> Result<Bytes, Fault> {
        self.buffer.finish()
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
                    if !self.buffer.push(b"\r\n") {
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
                return self.buffer.push(input).then_some(input.len());
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
        if !self.buffer.push(&input[..copied]) {
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

    proptest! {
        #[test]
        fn any_octets_in_any_split_decode_alike(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60),
            step in 1usize..20,
        ) {
            prop_assert_eq!(decode(&octets, step), decode(&octets, octets.len()));
        }
    }
}
