//! The content of a message, shared and not copied: the octets between the end of DATA's reply and the final dot, CRLF line
//! ends, no dot-stuffing. Header fields that an agent adds stand in front as segments of their own.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::header;

/// The end of a header section.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";
/// Octets that show whether content starts with a header field.
const FIRST_FIELD: usize = 4096;

/// Content in segments; a clone shares the octets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    segments: Vec<Bytes>,
}

impl Content {
    /// Puts octets in front, such as trace fields; they must end in CRLF.
    pub fn prepend(&mut self, octets: impl Into<Bytes>) {
        self.segments.insert(0, octets.into());
    }

    /// Puts octets behind, as content arrives from a stream.
    pub fn append(&mut self, octets: impl Into<Bytes>) {
        self.segments.push(octets.into());
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// The size in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }

    /// Whether there is not one octet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole in one piece; copies only when there are several segments.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.segments.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            several => {
                let mut whole = BytesMut::with_capacity(self.len());
                several.iter().for_each(|segment| whole.extend_from_slice(segment));
                whole.freeze()
            }
        }
    }

    /// The first octets, up to `limit` or somewhat more, in one piece; copies only when the first segment holds fewer and
    /// is not the only one.
    #[must_use]
    pub fn start(&self, limit: usize) -> Bytes {
        match self.segments.as_slice() {
            [] => Bytes::new(),
            [first, ..] if first.len() >= limit || self.segments.len() == 1 => first.clone(),
            several => {
                let mut start = BytesMut::new();
                for segment in several {
                    let room = limit.saturating_sub(start.len());
                    start.extend_from_slice(&segment[..segment.len().min(room)]);
                }
                start.freeze()
            }
        }
    }

    /// The header section with the empty line behind it, in one piece, and the body; copies only a header section that lies in
    /// several segments. Content that does not start with a header field is all body.
    #[must_use]
    pub fn split_header(&self) -> (Bytes, Self) {
        let end = self.header_end();
        let (mut section, mut body) = (Self::default(), Self::default());
        let mut at = 0;
        for segment in &self.segments {
            let cut = end.saturating_sub(at).min(segment.len());
            at += segment.len();
            if cut > 0 {
                section.append(segment.slice(..cut));
            }
            if cut < segment.len() {
                body.append(segment.slice(cut..));
            }
        }
        (section.to_bytes(), body)
    }

    /// Where the body starts.
    fn header_end(&self) -> usize {
        if let [only] = self.segments.as_slice() {
            return only.len() - header::split(only).1.len();
        }
        let start = self.start(FIRST_FIELD);
        if start.starts_with(b"\r\n") {
            return 2;
        }
        if header::split(&start).0.is_empty() {
            return 0;
        }
        let (mut at, mut tail) = (0, Vec::new());
        for segment in &self.segments {
            // An empty line may begin in one segment and end in the next.
            let before = tail.len();
            tail.extend_from_slice(&segment[..segment.len().min(3)]);
            if let Some(found) = memmem::find(&tail, EMPTY_LINE) {
                return at - before + found + EMPTY_LINE.len();
            }
            if let Some(found) = memmem::find(segment, EMPTY_LINE) {
                return at + found + EMPTY_LINE.len();
            }
            if segment.len() > 3 {
                tail = segment[segment.len() - 3..].to_vec();
            } else {
                tail.drain(..tail.len().saturating_sub(3));
            }
            at += segment.len();
        }
        at
    }

    /// The same octets as slices that share them, each but the last of exactly `size` octets or cut at a segment's end.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Bytes> + '_ {
        let size = size.max(1);
        self.segments.iter().flat_map(move |segment| {
            (0..segment.len())
                .step_by(size)
                .map(move |start| segment.slice(start..segment.len().min(start + size)))
        })
    }
}

impl<B: Into<Bytes>> From<B> for Content {
    fn from(octets: B) -> Self {
        Self { segments: vec![octets.into()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_make_one_whole() {
        let mut content = Content::from("body");
        content.prepend("Field: 1\r\n\r\n");
        assert_eq!((content.len(), content.to_bytes().as_ref()), (16, b"Field: 1\r\n\r\nbody".as_ref()));
        assert_eq!(
            (content.start(5).as_ref(), content.start(14).as_ref()),
            (b"Field: 1\r\n\r\n".as_ref(), b"Field: 1\r\n\r\nbo".as_ref())
        );
        let chunks: Vec<_> = content.chunks(5).collect();
        assert_eq!(chunks, ["Field", ": 1\r\n", "\r\n", "body"]);
    }

    #[test]
    fn the_header_section_is_found_wherever_segments_end() {
        for text in [
            "A: b\r\nC: d\r\n\r\nbody\r\n\r\n",
            "A: b\r\n",
            "\r\nbody",
            "no field\r\n\r\nmore",
            "A: b\r\n\r\n",
        ] {
            let (header, body) = header::split(text.as_bytes());
            let section = text.len() - body.len();
            assert!(section >= header.len());
            for cut in 0..=text.len() {
                for other in cut..=text.len() {
                    let mut content = Content::from(text[..cut].to_owned());
                    content.append(text[cut..other].to_owned());
                    content.append(text[other..].to_owned());
                    let (found, rest) = content.split_header();
                    assert_eq!(
                        (found.as_ref(), rest.to_bytes().as_ref()),
                        (&text.as_bytes()[..section], body)
                    );
                }
            }
        }
        let whole = Content::from("A: b\r\n\r\nbody");
        let (section, body) = whole.split_header();
        assert_eq!(section.as_ptr(), whole.segments()[0].as_ptr());
        assert_eq!(body.segments()[0].as_ptr(), whole.segments()[0][8..].as_ptr());
    }
}
