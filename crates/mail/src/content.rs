//! The content of a message, shared and not copied: the octets between the end of DATA's reply and the final dot, CRLF line
//! ends, no dot-stuffing. Header fields that an agent adds stand in front as segments of their own.

use bytes::{Bytes, BytesMut};

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
}
