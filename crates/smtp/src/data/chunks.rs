//! Content that comes in chunks (RFC 3030): counted, so that nothing in it can end it, and judged as it comes.

use bytes::Bytes;

use super::Fault;
use super::buffer::Buffer;

/// Where the content stands, as far as its line ends matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Within,
    /// Behind a CR; whether the line is empty before it.
    Cr {
        empty: bool,
    },
    /// In the body of a binary message, where every octet may be.
    Body,
}

/// Collects the chunks of one message. Its lines end in CRLF and nothing else, also from one chunk to the next; the body of a
/// binary message is free of that, its header section is not (RFC 3030 3). A fault does not end a chunk: the rest is read
/// and thrown away.
#[derive(Debug)]
pub struct Chunks {
    buffer: Buffer,
    place: Place,
    binary: bool,
}

impl Chunks {
    /// For content of at most `limit` octets; it may hold none of them before [`Chunks::allow`] is called.
    #[must_use]
    pub fn new(limit: usize, binary: bool) -> Self {
        Self { buffer: Buffer::new(limit, 0), place: Place::LineStart, binary }
    }

    /// A chunk of so many octets follows: with one that leads over the limit all is refused, before any octet is kept.
    pub fn announce(&mut self, size: u64) {
        let whole = usize::try_from(size).ok().and_then(|size| size.checked_add(self.buffer.len()));
        if whole.is_none_or(|whole| whole > self.buffer.limit()) {
            self.buffer.refuse(Fault::TooLarge(self.buffer.limit()));
        }
    }

    /// Allows it to hold so many octets.
    pub fn allow(&mut self, octets: usize) {
        self.buffer.allow(octets);
    }

    /// Throws away what came and what will come; the first fault is the one that counts.
    pub fn refuse(&mut self, fault: Fault) {
        self.buffer.refuse(fault);
    }

    /// What is wrong, if anything is by now.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.buffer.fault()
    }

    /// Octets that it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Takes octets of a chunk, all of them, or none where they need more memory than was allowed: whether it did.
    #[must_use]
    pub fn feed(&mut self, octets: &[u8]) -> bool {
        if !self.buffer.push(octets) {
            return false;
        }
        if self.buffer.fault().is_none() {
            match judge(self.place, self.binary, octets) {
                Ok(place) => self.place = place,
                Err(fault) => self.buffer.refuse(fault),
            }
        }
        true
    }

    /// The content, behind the last chunk.
    ///
    /// # Errors
    /// When something was wrong with it.
    pub fn finish(mut self) -> Result<Bytes, Fault> {
        if matches!(self.place, Place::Cr { .. }) {
            self.buffer.refuse(Fault::BareCr);
        }
        self.buffer.finish()
    }
}

/// Where the content stands behind these octets.
fn judge(mut place: Place, binary: bool, mut octets: &[u8]) -> Result<Place, Fault> {
    while let Some(&first) = octets.first() {
        match (place, first) {
            (Place::Body, _) => break,
            (Place::Cr { empty }, b'\n') => {
                place = if empty && binary { Place::Body } else { Place::LineStart };
                octets = &octets[1..];
            }
            (Place::Cr { .. }, _) => return Err(Fault::BareCr),
            (Place::LineStart | Place::Within, _) => match memchr::memchr2(b'\r', b'\n', octets) {
                None => return Ok(Place::Within),
                Some(at) if octets[at] == b'\n' => return Err(Fault::BareLf),
                Some(at) => {
                    place = Place::Cr { empty: at == 0 && place == Place::LineStart };
                    octets = &octets[at + 1..];
                }
            },
        }
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(content: &[u8], binary: bool, step: usize) -> Result<Bytes, Fault> {
        let mut chunks = Chunks::new(1 << 20, binary);
        chunks.allow(1 << 20);
        assert!(content.chunks(step).all(|piece| chunks.feed(piece)));
        chunks.finish()
    }

    #[test]
    fn text_has_no_bare_line_breaks_in_any_chunk() {
        for (text, expected) in [
            ("a\r\n.\r\nb", None),
            ("\r\n\r\n", None),
            ("", None),
            ("a\nb", Some(Fault::BareLf)),
            ("a\r\n\n", Some(Fault::BareLf)),
            ("a\r\r\n", Some(Fault::BareCr)),
            ("a\rb", Some(Fault::BareCr)),
            ("a: b\r\n\r\nc\r", Some(Fault::BareCr)),
        ] {
            for step in [1, 2, 3, 100] {
                let whole = expected.map_or_else(|| Ok(Bytes::from(text)), Err);
                assert_eq!(collect(text.as_bytes(), false, step), whole, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_binary_body_is_free_and_its_header_is_not() {
        for (text, expected) in [
            ("a: b\r\n\r\n\n\r\0\r\n.\r\n\r", None),
            ("\r\n\n", None),
            ("a: b\r\n", None),
            ("a: b\nc: d\r\n\r\n", Some(Fault::BareLf)),
            ("a: b\r\n\n\r\n", Some(Fault::BareLf)),
            ("a: b\r\n\r\r\n", Some(Fault::BareCr)),
        ] {
            for step in [1, 2, 3, 100] {
                let whole = expected.map_or_else(|| Ok(Bytes::from(text)), Err);
                assert_eq!(collect(text.as_bytes(), true, step), whole, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn the_limit_counts_all_chunks_and_memory_is_asked_for() {
        let mut chunks = Chunks::new(5, false);
        chunks.announce(3);
        assert!(!chunks.feed(b"abc"));
        chunks.allow(5);
        assert!(chunks.feed(b"abc"));
        chunks.announce(2);
        assert_eq!((chunks.held(), chunks.fault()), (3, None));
        chunks.announce(3);
        assert_eq!((chunks.held(), chunks.fault()), (0, Some(Fault::TooLarge(5))));
        let mut chunks = Chunks::new(5, false);
        chunks.announce(u64::MAX);
        assert!(chunks.feed(b"thrown away, without memory"));
        assert_eq!(chunks.finish(), Err(Fault::TooLarge(5)));
    }

    proptest! {
        #[test]
        fn any_octets_in_any_split_are_judged_alike(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..40),
            binary in any::<bool>(),
            step in 1usize..20,
        ) {
            prop_assert_eq!(collect(&octets, binary, step), collect(&octets, binary, 100));
        }
    }
}
