//! What is in octets that not every way can carry: one pass, in blocks that stay in the processor's cache, over content that
//! in nearly every case needs nothing. Knows no MIME.

use memchr::{memchr, memchr2_iter, memrchr};

/// Longest line in octets, CRLF not included (RFC 5322 2.1.1, RFC 5321 4.5.3.1.6).
pub const LINE_LIMIT: usize = 998;
/// The same with its CRLF.
const WHOLE_LINE: usize = LINE_LIMIT + 2;
/// Octets that are looked at for one thing after the other.
const BLOCK: usize = 32 * 1024;

/// What some octets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Octets {
    /// An octet above 127.
    pub eight_bit: bool,
    /// A NUL.
    pub nul: bool,
    /// A line of more than [`LINE_LIMIT`] octets.
    pub long_line: bool,
}

impl Octets {
    /// Looks at octets that start at the start of a line.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let mut found = Self { long_line: has_long_line(octets), ..Self::default() };
        for block in octets.chunks(BLOCK) {
            found.eight_bit |= !block.is_ascii();
            found.nul |= memchr(0, block).is_some();
        }
        found
    }
}

/// Looks from line start to line start, as far ahead as a line may be long, so that of most lines only the end is seen.
fn has_long_line(octets: &[u8]) -> bool {
    let mut at = 0;
    while octets.len() - at > LINE_LIMIT {
        let window = &octets[at..octets.len().min(at + WHOLE_LINE)];
        match memrchr(b'\n', window) {
            Some(end) => at += end + 1,
            // Without a line end behind it, what is left may be one CR too long for the limit and no longer.
            None => return window.len() == WHOLE_LINE || !window.ends_with(b"\r"),
        }
    }
    false
}

/// Whether there is a CR that no LF follows, or an LF that follows no CR: content that only BDAT carries (RFC 3030).
#[must_use]
pub fn has_bare_line_break(octets: &[u8]) -> bool {
    let mut behind_cr = None;
    for at in memchr2_iter(b'\r', b'\n', octets) {
        match (octets[at], behind_cr == Some(at)) {
            (b'\n', true) => behind_cr = None,
            (b'\r', false) if behind_cr.is_none() => behind_cr = Some(at + 1),
            _ => return true,
        }
    }
    behind_cr.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_long_from_the_999th_octet_on() {
        for (length, long) in [(997, false), (998, false), (999, true), (1000, true), (5000, true)] {
            for text in ["{}", "{}\r\n", "a\r\n{}\r\n", "{}\r\n\r\n", "\r\n{}"]
                .map(|t| t.replace("{}", &"x".repeat(length)))
            {
                assert_eq!(Octets::of(text.as_bytes()).long_line, long, "{length} in {} octets", text.len());
            }
        }
    }

    #[test]
    fn bare_line_breaks_are_found_at_the_ends_too() {
        for text in ["\r", "\n", "a\rb", "a\nb", "\r\r\n", "\r\n\n", "a\r\n\r"] {
            assert!(has_bare_line_break(text.as_bytes()), "{text:?}");
        }
        for text in ["", "a", "\r\n", "a\r\n\r\nb\r\n"] {
            assert!(!has_bare_line_break(text.as_bytes()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_sees_what_a_slow_look_sees(lines in proptest::collection::vec((0u8..=255, 990usize..1005), 0..8)) {
            let octets: Vec<u8> = lines
                .iter()
                .filter(|(octet, _)| !b"\r\n".contains(octet))
                .flat_map(|(octet, length)| [vec![*octet; *length], b"\r\n".to_vec()].concat())
                .collect();
            let slow = Octets {
                eight_bit: octets.iter().any(|octet| *octet > 127),
                nul: octets.contains(&0),
                long_line: octets.split(|octet| *octet == b'\n').any(|line| line.len() > LINE_LIMIT + 1),
            };
            prop_assert_eq!(Octets::of(&octets), slow);
        }
    }
}
