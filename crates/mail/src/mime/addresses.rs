//! Fields of addresses (RFC 5322 3.4) in ASCII: names in encoded words, domains in A-labels. A local part that is not ASCII has no
//! such form (RFC 6531 3.2).

use crate::Mailbox;

use super::words::{self, Word, is_space};

/// Why there is no form in ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoForm;

/// The value of a field of addresses, unfolded, in ASCII.
pub(super) fn encode(value: &str) -> Result<String, NoForm> {
    let mut encoded = String::new();
    let mut phrase: Vec<Word> = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (space, behind) = rest.split_at(rest.find(|c| !is_space(c)).unwrap_or(rest.len()));
        let (token, behind) = behind.split_at(token_end(behind));
        rest = behind;
        match token.chars().next() {
            Some('(') if !token.is_ascii() => {
                flush(&mut phrase, &mut encoded);
                // White space belongs around it (RFC 2047 5 (2)); it means nothing here.
                encoded.push_str(&format!("{space}({})", words::encode(&unescaped(token))));
            }
            Some('<') if !token.is_ascii() => {
                let inner = token.strip_prefix('<').and_then(|t| t.strip_suffix('>')).ok_or(NoForm)?;
                let space = space_behind(&phrase, space);
                flush(&mut phrase, &mut encoded);
                encoded.push_str(&format!("{space}<{}>", ascii_mailbox(inner)?));
            }
            Some('<' | '(' | ',' | ';' | ':' | '>' | ')') | None => {
                let space = if token.starts_with(['<', '(']) { space_behind(&phrase, space) } else { space };
                flush(&mut phrase, &mut encoded);
                encoded.push_str(space);
                encoded.push_str(token);
            }
            // White space around an `@`: which of the words are the address nobody can say for certain.
            Some(_) if has_at(token) && phrase.last().is_some_and(|word| word.text.is_some()) => {
                return Err(NoForm);
            }
            Some(_) if has_at(token) => {
                flush(&mut phrase, &mut encoded);
                encoded.push_str(space);
                encoded.push_str(&if token.is_ascii() { token.to_owned() } else { ascii_mailbox(token)? });
            }
            Some(_) => phrase.push(Word {
                space: space.to_owned(),
                raw: token.to_owned(),
                text: (!token.is_ascii()).then(|| unescaped(token)),
            }),
        }
    }
    flush(&mut phrase, &mut encoded);
    Ok(encoded)
}

fn flush(phrase: &mut Vec<Word>, encoded: &mut String) {
    encoded.push_str(&words::join(phrase));
    phrase.clear();
}

/// An encoded word needs white space behind it.
fn space_behind<'a>(phrase: &[Word], space: &'a str) -> &'a str {
    if space.is_empty() && phrase.last().is_some_and(|word| word.text.is_some()) { " " } else { space }
}

/// Where the token ends that starts here: a comment, an angle address, a character that divides, or a word with its quoted parts.
fn token_end(text: &str) -> usize {
    match text.chars().next() {
        None => 0,
        Some('(') => comment_end(text),
        Some(',' | ';' | ':' | '>' | ')') => 1,
        Some('<') => outside_quotes(text, |c| c == '>').map_or(text.len(), |at| at + 1),
        Some(_) => outside_quotes(text, |c| is_space(c) || ",;:<>()".contains(c)).unwrap_or(text.len()),
    }
}

fn comment_end(text: &str) -> usize {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 1 => return at + 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The first such character outside of quoted strings and domain literals.
fn outside_quotes(text: &str, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let (mut quoted, mut literal, mut escaped) = (false, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted || literal => escaped = true,
            '"' if !literal => quoted = !quoted,
            '[' if !quoted => literal = true,
            ']' if !quoted => literal = false,
            other if !quoted && !literal && wanted(other) => return Some(at),
            _ => {}
        }
    }
    None
}

fn has_at(token: &str) -> bool {
    outside_quotes(token, |c| c == '@').is_some()
}

/// The text of a word without quotes, of a comment without its parentheses.
fn unescaped(token: &str) -> String {
    let is_comment = token.starts_with('(');
    let inner = if is_comment { &token[1..token.len() - usize::from(token.ends_with(')'))] } else { token };
    let mut text = String::with_capacity(inner.len());
    let (mut escaped, mut quoted) = (false, is_comment);
    for character in inner.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                text.push(character);
            }
            '\\' if quoted => escaped = true,
            '"' if !is_comment => quoted = !quoted,
            other => text.push(other),
        }
    }
    text
}

fn ascii_mailbox(text: &str) -> Result<String, NoForm> {
    let mailbox = Mailbox::parse(text.trim_matches(is_space)).map_err(|_| NoForm)?;
    mailbox.to_ascii().map(|mailbox| mailbox.to_string()).ok_or(NoForm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_domains_become_a_labels() {
        for (plain, ascii) in [
            (" a@b.test, \"C, D\" <c@d.test>", " a@b.test, \"C, D\" <c@d.test>"),
            (" Jürgen Groß <j@a.test>", " =?utf-8?q?J=C3=BCrgen_Gro=C3=9F?= <j@a.test>"),
            (" \"Groß, J\\\"\"<j@a.test>", " =?utf-8?q?Gro=C3=9F=2C_J=22?= <j@a.test>"),
            (" Jim Groß Jr <j@a.test>", " Jim =?utf-8?q?Gro=C3=9F?= Jr <j@a.test>"),
            (
                " j@bücher.test (Jürgen (der 2.))",
                " j@xn--bcher-kva.test (=?utf-8?q?J=C3=BCrgen_=28der_2=2E=29?=)",
            ),
            (" Jim <\"j j\"@bücher.test>", " Jim <\"j j\"@xn--bcher-kva.test>"),
            (" Größe: a@b.test, c@d.test;", " =?utf-8?q?Gr=C3=B6=C3=9Fe?=: a@b.test, c@d.test;"),
            (" x <y@[IPv6:::1]>, ü <z@z>", " x <y@[IPv6:::1]>, =?utf-8?b?w7w=?= <z@z>"),
        ] {
            assert_eq!(encode(plain).as_deref(), Ok(ascii), "{plain}");
        }
    }

    #[test]
    fn a_local_part_has_no_form_in_ascii() {
        for value in [
            " jürgen@a.test",
            " J <jürgen@bücher.test>",
            " jürgen @ a.test",
            " a@b.test@ü.test",
            " <ü",
            " ü@",
        ] {
            assert_eq!(encode(value), Err(NoForm), "{value}");
        }
    }
}
