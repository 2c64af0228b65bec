//! Finds lines in what has arrived, in any split, in bounded memory: a line that is too long for any command is thrown away
//! as it comes, and answered once its CRLF is there.

use bytes::{Buf, BytesMut};

use crate::command::LINE_LIMIT_AUTH;

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// No whole line yet.
    Incomplete,
    /// A line of so many octets, without its CRLF.
    Whole(usize),
    /// The end of a line that was too long; the input has been moved on behind it.
    TooLong,
}

/// Where the search for CRLF stands, so that no octet is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Lines {
    searched: usize,
    discarding: bool,
    /// Lines that have come to an end.
    ended: u32,
}

impl Lines {
    /// Looks for the next CRLF. A line that was found stays in the input until [`Lines::consume`].
    pub(super) fn find(&mut self, input: &mut BytesMut) -> Line {
        while let Some(found) = memchr::memchr(b'\n', &input[self.searched..]) {
            let at = self.searched + found;
            self.searched = at + 1;
            if at > 0 && input[at - 1] == b'\r' {
                if self.discarding || at + 1 > LINE_LIMIT_AUTH {
                    self.consume(input, at - 1);
                    return Line::TooLong;
                }
                return Line::Whole(at - 1);
            }
        }
        self.searched = input.len();
        if input.len() > LINE_LIMIT_AUTH {
            self.discarding = true;
        }
        if self.discarding {
            // The last octet may be the CR of the CRLF.
            input.advance(input.len().saturating_sub(1));
            self.searched = input.len();
        }
        Line::Incomplete
    }

    /// Moves the input on behind a line and its CRLF.
    pub(super) fn consume(&mut self, input: &mut BytesMut, length: usize) {
        input.advance(length + 2);
        *self = Self { ended: self.ended.wrapping_add(1), ..Self::default() };
    }

    /// Lines that have come to an end so far; it may begin at 0 again.
    pub(super) fn ended(&self) -> u32 {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_in_crlf_only() {
        let mut lines = Lines::default();
        let mut input = BytesMut::from("a\nb\rc\r");
        assert_eq!(lines.find(&mut input), Line::Incomplete);
        input.extend_from_slice(b"\nQUIT\r\n");
        assert_eq!(lines.find(&mut input), Line::Whole(5));
        lines.consume(&mut input, 5);
        assert_eq!(lines.find(&mut input), Line::Whole(4));
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut lines = Lines::default();
        let mut input = BytesMut::new();
        for _ in 0..1000 {
            input.extend_from_slice(&[b'x'; 10_000]);
            assert_eq!(lines.find(&mut input), Line::Incomplete);
            assert!(input.len() <= LINE_LIMIT_AUTH);
        }
        input.extend_from_slice(b"\r");
        assert_eq!(lines.find(&mut input), Line::Incomplete);
        input.extend_from_slice(b"\nNOOP\r\n");
        assert_eq!(lines.find(&mut input), Line::TooLong);
        assert_eq!(lines.find(&mut input), Line::Whole(4));
        assert!(input.capacity() < 100_000);
    }
}
