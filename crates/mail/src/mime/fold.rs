//! Folding (RFC 5322 2.2.3): long lines of a header field are divided where white space stands already, so that whoever unfolds
//! the field reads what was there before; and in fields of lists also where white space means nothing.

use super::scan::LINE_LIMIT;

/// The length that lines should have at most (RFC 5322 2.1.1).
const PREFERRED: usize = 78;

/// Which lines of a field are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Those that are too long for SMTP.
    TooLong,
    /// All that are longer than they should be, in a field that is written anew.
    All,
}

/// The field, raw, with its lines divided; `between` are characters that white space may follow outside of quotes, comments and
/// angle brackets. Lines of nothing but white space are left out: some take one for the end of the header section.
/// `None` where a line cannot be divided so that it is short enough.
pub(super) fn fold(field: &[u8], between: &[u8], lines: Lines) -> Option<Vec<u8>> {
    let mut folded = Vec::with_capacity(field.len() + field.len() / PREFERRED * 3);
    let mut quotes = Quotes::default();
    for line in field.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let is_blank = text.iter().all(|octet| matches!(octet, b' ' | b'\t'));
        if is_blank && !folded.is_empty() {
            continue;
        }
        let wanted = if lines == Lines::All { PREFERRED } else { LINE_LIMIT };
        if text.len() > wanted {
            divide(text, between, &mut quotes, &mut folded)?;
        } else {
            text.iter().for_each(|octet| quotes.pass(*octet));
            folded.extend_from_slice(text);
        }
        folded.extend_from_slice(&line[text.len()..]);
    }
    Some(folded)
}

/// Where a line may be divided.
#[derive(Debug, Clone, Copy)]
struct Break {
    at: usize,
    /// White space has to be added.
    adds_space: bool,
}

/// Divides a line at the last place before it gets longer than it should be, or at the next place behind that.
fn divide(line: &[u8], between: &[u8], quotes: &mut Quotes, folded: &mut Vec<u8>) -> Option<()> {
    let mut start = Break { at: 0, adds_space: false };
    let mut last: Option<Break> = None;
    let mut space: Option<usize> = None;
    for (at, &octet) in line.iter().enumerate() {
        let is_space = matches!(octet, b' ' | b'\t');
        let found = if is_space {
            // Behind a backslash it is part of a pair.
            if at > 0 && space.is_none() && !quotes.escaped {
                space = Some(at);
            }
            None
        } else if let Some(at) = space.take() {
            Some(Break { at, adds_space: false })
        } else if at > 0 && between.contains(&line[at - 1]) && quotes.is_outside() {
            Some(Break { at, adds_space: true })
        } else {
            None
        };
        quotes.pass(octet);
        let Some(found) = found else { continue };
        if found.at - start.at > PREFERRED
            && let Some(last) = last.take()
        {
            write(line, start, last.at, folded)?;
            start = last;
        }
        if found.at - start.at > PREFERRED {
            write(line, start, found.at, folded)?;
            start = found;
        } else {
            last = Some(found);
        }
    }
    if line.len() - start.at > PREFERRED
        && let Some(last) = last
    {
        write(line, start, last.at, folded)?;
        start = last;
    }
    write(line, start, line.len(), folded)
}

/// Writes a line from one break to the next.
fn write(line: &[u8], start: Break, end: usize, folded: &mut Vec<u8>) -> Option<()> {
    if start.at > 0 {
        folded.extend_from_slice(b"\r\n");
    }
    if start.adds_space {
        folded.push(b' ');
    }
    folded.extend_from_slice(&line[start.at..end]);
    (end - start.at + usize::from(start.adds_space) <= LINE_LIMIT).then_some(())
}

/// Whether a place is within a quoted string, a comment, a domain literal or angle brackets.
#[derive(Debug, Default)]
struct Quotes {
    quoted: bool,
    comments: usize,
    brackets: bool,
    escaped: bool,
}

impl Quotes {
    fn is_outside(&self) -> bool {
        !self.quoted && self.comments == 0 && !self.brackets && !self.escaped
    }

    fn pass(&mut self, octet: u8) {
        let in_text = self.quoted || self.comments > 0;
        match octet {
            _ if self.escaped => self.escaped = false,
            b'\\' if in_text || self.brackets => self.escaped = true,
            b'"' if self.comments == 0 => self.quoted = !self.quoted,
            b'(' if !self.quoted => self.comments += 1,
            b')' if !self.quoted => self.comments = self.comments.saturating_sub(1),
            b'<' | b'[' if !in_text => self.brackets = true,
            b'>' | b']' if !in_text => self.brackets = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(field: &str, between: &[u8]) -> Option<String> {
        fold(field.as_bytes(), between, Lines::TooLong).map(|field| String::from_utf8(field).unwrap())
    }

    fn is_short(field: &str) -> bool {
        field.split("\r\n").all(|line| line.len() <= LINE_LIMIT)
    }

    #[test]
    fn lines_are_divided_at_white_space() {
        let field = format!("Subject:{}\r\n", " word".repeat(400));
        let short = folded(&field, b"").unwrap();
        assert_eq!(short.replace("\r\n", ""), field.replace("\r\n", ""));
        assert!(short.starts_with(&format!("Subject:{}\r\n word", " word".repeat(14))), "{short}");
        let word = "x".repeat(990);
        assert_eq!(folded(&format!("Subject: {word}\r\n"), b"").unwrap(), format!("Subject:\r\n {word}\r\n"));
        assert_eq!(folded(&format!("X: {}\r\n", "x".repeat(998)), b""), None);
        assert_eq!(folded(&format!("X: {}\r\n", " ".repeat(999)), b""), None);
        assert_eq!(folded("A: b\r\n \r\n\t\r\n c\r\n  \r\n", b"").unwrap(), "A: b\r\n c\r\n");
    }

    #[test]
    fn lists_are_divided_between_their_members() {
        let one = "\"a,b c\"@example.test,(x,y)<c,d@e.test>,";
        let list = format!("To: {}end@example.test\r\n", one.repeat(60));
        let short = folded(&list, b",").unwrap();
        assert!(is_short(&short));
        let joined = short.replace("\r\n ", "").replace("\r\n", "").replace(' ', "");
        assert_eq!(joined, list.replace("\r\n", "").replace(' ', ""));
        assert!(short.contains("\"a,b c\"") && short.contains("(x,y)<c,d@e.test>"), "{short}");
    }

    #[test]
    fn a_quoted_pair_is_not_divided() {
        let field = format!("To: \"{}\\ {}\" <a@b.test>\r\n", "x".repeat(500), "y".repeat(500));
        assert_eq!(folded(&field, b","), None);
    }

    proptest! {
        #[test]
        fn what_is_unfolded_is_what_was_there(words in proptest::collection::vec("[ \t]{1,3}[!-~]{1,200}", 1..40)) {
            let field = format!("X:{}\r\n", words.concat());
            let short = folded(&field, b"").unwrap();
            prop_assert!(is_short(&short));
            prop_assert_eq!(short.replace("\r\n", ""), field.replace("\r\n", ""));
            prop_assert_eq!(folded(&short, b"").unwrap(), short);
        }
    }
}
