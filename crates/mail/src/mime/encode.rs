//! The transfer encodings of RFC 2045 6.7 and 6.8: octets into short 7-bit lines, and lines that are encoded already but too long
//! into shorter ones. Knows no header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest encoded line (RFC 2045 6.7, 6.8).
const LINE: usize = 76;
/// Octets that base64 puts into such a line.
const OCTETS_PER_LINE: usize = LINE / 4 * 3;
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Whether more than half of the text would be escaped in quoted-printable, as in most scripts but Latin: nobody could read it, and
/// base64 is shorter.
pub(super) fn is_mostly_escaped(octets: &[u8]) -> bool {
    let escaped = octets.iter().filter(|octet| !is_literal(**octet) && !b"\r\n".contains(octet)).count();
    escaped.saturating_mul(2) > octets.len()
}

/// In base64, each line with its CRLF, the last one too.
pub(super) fn base64(octets: &[u8]) -> Vec<u8> {
    let lines = octets.len().div_ceil(OCTETS_PER_LINE);
    let mut encoded = vec![0; octets.len().div_ceil(3) * 4 + lines * 2];
    let mut at = 0;
    for line in octets.chunks(OCTETS_PER_LINE) {
        // The room was counted above, so this cannot fail.
        at += STANDARD.encode_slice(line, &mut encoded[at..]).unwrap_or(0);
        encoded[at..at + 2].copy_from_slice(b"\r\n");
        at += 2;
    }
    encoded.truncate(at);
    encoded
}

/// What is in base64 already, in lines of the right length; what is no base64 means nothing in it (RFC 2045 6.8) and is left out.
pub(super) fn base64_again(encoded: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(encoded.len() + encoded.len() / LINE * 2 + 2);
    let mut column = 0;
    for &octet in encoded.iter().filter(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'/' | b'=')) {
        if column == LINE {
            lines.extend_from_slice(b"\r\n");
            column = 0;
        }
        lines.push(octet);
        column += 1;
    }
    if column > 0 {
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// In quoted-printable. CRLF is a line end; a bare CR or LF is an octet like others. A soft line break stands behind text that
/// ends in none, where `ends_line` wants one.
pub(super) fn quoted_printable(octets: &[u8], ends_line: bool) -> Vec<u8> {
    let mut writer = Lines::new(octets.len());
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        if octets[at..].starts_with(b"\r\n") {
            writer.end_line();
            at += 2;
            continue;
        }
        let ends = ends_here(&octets[at + 1..], ends_line);
        // White space at the end of a line may get lost on the way (RFC 2045 6.7 rule 3).
        let at_end = octets.len() == at + 1 || ends;
        let literal = is_literal(octet) && !(at_end && matches!(octet, b' ' | b'\t'));
        writer.put(octet, literal, ends);
        at += 1;
    }
    writer.finish(ends_line)
}

/// What is in quoted-printable already, in lines of the right length and without octets that may not be in it.
pub(super) fn quoted_printable_again(encoded: &[u8], ends_line: bool) -> Vec<u8> {
    let mut writer = Lines::new(encoded.len());
    let mut at = 0;
    while let Some(&octet) = encoded.get(at) {
        let rest = &encoded[at..];
        if let [b'=', high, low, ..] = rest
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            writer.escape([b'=', *high, *low], ends_here(&rest[3..], ends_line));
            at += 3;
        } else if rest.starts_with(b"=\r\n") {
            writer.soft_break();
            at += 3;
        } else if rest.starts_with(b"\r\n") {
            writer.end_line();
            at += 2;
        } else {
            // A lone `=` means itself to most readers, and is nothing else here.
            writer.put(octet, is_literal(octet), ends_here(&rest[1..], ends_line));
            at += 1;
        }
    }
    writer.finish(ends_line)
}

/// Whether the line ends in front of this, without a soft break.
fn ends_here(rest: &[u8], ends_line: bool) -> bool {
    rest.starts_with(b"\r\n") || (rest.is_empty() && !ends_line)
}

fn is_literal(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\t') && octet != b'='
}

/// Lines of quoted-printable. One that goes on behind a soft break never starts with a hyphen, so that no boundary can come about.
struct Lines {
    out: Vec<u8>,
    column: usize,
    behind_soft_break: bool,
}

impl Lines {
    fn new(octets: usize) -> Self {
        Self { out: Vec::with_capacity(octets + octets / 8 + 16), column: 0, behind_soft_break: false }
    }

    fn put(&mut self, octet: u8, literal: bool, ends: bool) {
        let room = if ends { LINE } else { LINE - 1 };
        let starts_behind_break = self.behind_soft_break || self.column + 1 > room;
        if literal && !(octet == b'-' && starts_behind_break) {
            self.make_room(1, room);
            self.out.push(octet);
            self.column += 1;
            self.behind_soft_break = false;
        } else {
            let digits = [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]];
            self.escape([b'=', digits[0], digits[1]], ends);
        }
    }

    fn escape(&mut self, escaped: [u8; 3], ends: bool) {
        self.make_room(3, if ends { LINE } else { LINE - 1 });
        self.out.extend_from_slice(&escaped);
        self.column += 3;
        self.behind_soft_break = false;
    }

    fn make_room(&mut self, octets: usize, room: usize) {
        if self.column + octets > room {
            self.soft_break();
        }
    }

    fn soft_break(&mut self) {
        self.out.extend_from_slice(b"=\r\n");
        self.column = 0;
        self.behind_soft_break = true;
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
        self.behind_soft_break = false;
    }

    fn finish(mut self, ends_line: bool) -> Vec<u8> {
        if ends_line && self.column > 0 {
            self.out.extend_from_slice(b"=\r\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(octets: &[u8]) -> String {
        String::from_utf8(octets.to_vec()).unwrap()
    }

    #[test]
    fn text_stays_readable_in_quoted_printable() {
        for (plain, encoded) in [
            ("Grüße = 1\r\n", "Gr=C3=BC=C3=9Fe =3D 1\r\n"),
            ("end \r\n\ttab\t\r\n", "end=20\r\n\ttab=09\r\n"),
            ("\r\n\r\n", "\r\n\r\n"),
            ("a\nb\rc\0\r\n", "a=0Ab=0Dc=00\r\n"),
            ("no end", "no end=\r\n"),
        ] {
            assert_eq!(text(&quoted_printable(plain.as_bytes(), true)), encoded);
        }
        assert_eq!(text(&quoted_printable(b"no end", false)), "no end");
    }

    /// A line that goes on could otherwise begin as a delimiter does.
    #[test]
    fn no_boundary_comes_about_behind_a_soft_break() {
        let line = format!("{}--boundary\r\n", "x".repeat(75));
        for encoded in
            [quoted_printable(line.as_bytes(), true), quoted_printable_again(line.as_bytes(), true)]
        {
            assert_eq!(text(&encoded), format!("{}=\r\n=2D-boundary\r\n", "x".repeat(75)));
        }
        assert_eq!(text(&quoted_printable_again(b"a=\r\n--b\xe4\r\n", true)), "a=\r\n=2D-b=E4\r\n");
    }

    #[test]
    fn base64_is_in_lines() {
        assert_eq!(text(&base64(b"")), "");
        assert_eq!(text(&base64(&[0; 58])), format!("{}\r\nAA==\r\n", "A".repeat(76)));
        let long = "QUJD".repeat(50);
        assert_eq!(text(&base64_again(format!("{long}\r\n\r\n").as_bytes())).replace("\r\n", ""), long);
    }

    /// As a reader does it, whatever it is given.
    fn decode(encoded: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut at = 0;
        while at < encoded.len() {
            let rest = &encoded[at..];
            match rest {
                [b'=', b'\r', b'\n', ..] => at += 3,
                [b'=', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    octets.push(u8::from_str_radix(str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap());
                    at += 3;
                }
                _ => {
                    octets.push(rest[0]);
                    at += 1;
                }
            }
        }
        octets
    }

    fn is_short(encoded: &[u8]) -> bool {
        encoded.is_ascii() && encoded.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE + 1)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(octets in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'-'), Just(b'='), b'a'..=b'z'], 0..600),
            ends_line in any::<bool>(),
        ) {
            let quoted = quoted_printable(&octets, ends_line);
            prop_assert!(is_short(&quoted));
            prop_assert_eq!(decode(&quoted), octets.clone());
            prop_assert!(!ends_line || quoted.is_empty() || quoted.ends_with(b"\r\n"));
            prop_assert!(!quoted.windows(5).any(|five| five == b"=\r\n--"));
            let based = base64(&octets);
            prop_assert!(is_short(&based));
            let joined: Vec<u8> = based.iter().copied().filter(|octet| !b"\r\n".contains(octet)).collect();
            prop_assert_eq!(STANDARD.decode(joined).unwrap(), octets);
            prop_assert_eq!(base64_again(&based), based);
        }

        #[test]
        fn what_is_encoded_again_means_the_same(octets in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'='), Just(b'\r'), Just(b'\n'), b'A'..=b'F', b'0'..=b'9'], 0..600),
            ends_line in any::<bool>(),
        ) {
            let again = quoted_printable_again(&octets, ends_line);
            prop_assert!(is_short(&again));
            prop_assert_eq!(decode(&again), decode(&octets));
            prop_assert_eq!(quoted_printable_again(&again, ends_line), again);
        }
    }
}
