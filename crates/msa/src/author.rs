//! Who a message says it is from: the addresses in a From or Sender field (RFC 5322 3.6.2).
//!
//! The parser forgives much, and forgiving parsers differ: what it puts together out of pieces another may show as
//! something else. So an address counts only if it stands in the field as one piece, and the field only if the letter of RFC
//! 5322 finds the same addresses in it.

use std::collections::HashSet;

use mail::Mailbox;
use mail::header::Field;
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

/// Longest From or Sender field that is read; many times what a list of authors needs.
const LIMIT: usize = 64 * 1024;

/// The addresses in the field; `None` where there are none or one cannot be told for certain.
pub(crate) fn addresses(field: &Field<'_>) -> Option<Vec<Mailbox>> {
    if field.value.len() > LIMIT || field.value.contains(&0) {
        return None;
    }
    let text = str::from_utf8(field.value).ok()?;
    if !has_plain_encoded_words(text) {
        return None;
    }
    let HeaderValue::Address(found) =
        MessageStream::new(format!("{text}\r\n").as_bytes()).parse_address().into_owned()
    else {
        return None;
    };
    let read = |address: &str| Mailbox::parse(address).ok();
    let addresses: Option<Vec<Mailbox>> = found.iter().map(|one| read(one.address.as_deref()?)).collect();
    let addresses = addresses.filter(|addresses| !addresses.is_empty())?;
    let to_the_letter = to_the_letter(text)?;
    let same = addresses.iter().collect::<HashSet<_>>() == to_the_letter.iter().collect();
    same.then_some(addresses)
}

/// Whatever has an `@` outside quoted strings and comments (RFC 5322 3.4.1); `None` where such a piece is no address or
/// something is left open.
fn to_the_letter(text: &str) -> Option<Vec<Mailbox>> {
    let mut found = Vec::new();
    let (mut piece, mut has_at) = (String::new(), false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            // Nobody knows whether a comment within a piece divides it.
            '(' if !piece.is_empty() => return None,
            '(' => {
                let end = comment_end(rest)?;
                let next = rest[end..].chars().next();
                next.is_none_or(|next| next.is_ascii_whitespace() || "(<>,;:".contains(next))
                    .then_some(end)?
            }
            '"' => quoted_end(rest)?,
            '[' => rest.find(']')? + 1,
            '\\' | ')' => return None,
            _ => c.len_utf8(),
        };
        if c == '(' || c.is_ascii_whitespace() || "<>,;:".contains(c) {
            if std::mem::take(&mut has_at) {
                found.push(Mailbox::parse(&piece).ok()?);
            }
            piece.clear();
        } else {
            has_at |= c == '@';
            piece.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    if has_at {
        found.push(Mailbox::parse(&piece).ok()?);
    }
    Some(found)
}

/// Where the comment ends that this begins with; comments nest.
fn comment_end(text: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at + 1),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the quoted string ends that this begins with.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether all that looks like an encoded word is one (RFC 2047 2) and holds none of the characters that structure a list of
/// addresses: readers that decode anywhere, in quoted strings and comments too, must not see another structure.
fn has_plain_encoded_words(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let Some(length) = encoded_word(&rest[at + 2..]) else { return false };
        rest = &rest[at + 2 + length..];
    }
    true
}

/// How long the rest of an encoded word is behind its `=?`.
fn encoded_word(text: &str) -> Option<usize> {
    let (charset, rest) = text.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (encoded, _) = rest.split_once("?=")?;
    let of_charset = |c: char| c.is_ascii_alphanumeric() || "_-.+*".contains(c);
    let is_plain = !charset.is_empty()
        && charset.chars().all(of_charset)
        && matches!(encoding, "b" | "B" | "q" | "Q")
        && encoded.chars().all(|c| c.is_ascii_graphic() && !"\"<>(),;:@\\?".contains(c));
    is_plain.then(|| charset.len() + encoding.len() + encoded.len() + 4)
}

#[cfg(test)]
mod tests {
    use mail::header::fields;

    use super::*;

    fn read(value: &str) -> Option<Vec<String>> {
        let raw = format!("From:{value}\r\n");
        let field = fields(raw.as_bytes()).next().unwrap();
        addresses(&field).map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn addresses_are_found_in_all_common_forms() {
        for (value, expected) in [
            (" alice@a.test", "alice@a.test"),
            (" <alice@a.test>", "alice@a.test"),
            (" Alice Example <alice@a.test>", "alice@a.test"),
            (" \"Example, Alice\" <alice+x@a.test>", "alice+x@a.test"),
            (" =?UTF-8?Q?J=C3=BCrgen?= <j@a.test>", "j@a.test"),
            (" Alice\r\n <alice@a.test>", "alice@a.test"),
            (" alice@a.test (Alice)", "alice@a.test"),
            (" \"ceo@b.test\" <alice@a.test>", "alice@a.test"),
            (" alice@a.test <alice@a.test>", "alice@a.test"),
            (" =?UTF-8?B?SsO8cmdlbg==?= =?UTF-8?B?SsO8cmdlbg==?= <j@a.test>", "j@a.test"),
            (" \"=?utf-8?Q?J=C3=BC?=\" <j@a.test>", "j@a.test"),
            (" \"A (b) \\\" <c@d>\" <j@a.test> (<x@y> (z\\)))", "j@a.test"),
            (" <alice@[IPv6:2001:db8::1]>", "alice@[IPv6:2001:db8::1]"),
            (" Jürgen <jürgen@bücher.example>", "jürgen@bücher.example"),
            (" a@a.test, B <b@b.test>", "a@a.test b@b.test"),
            (" Team: a@a.test, b@b.test;", "a@a.test b@b.test"),
        ] {
            assert_eq!(read(value).map(|all| all.join(" ")).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_could_be_read_in_several_ways_is_not_read() {
        for value in [
            "",
            " Alice",
            " <>",
            " undisclosed:;",
            " <al> <ice@a.test>",
            " <al\\ice@a.test>",
            " <al ice@a.test>",
            " alice@a.test mallory@b.test",
            " alice@a.test, Mallory",
            " =?utf-8?q?alice=40a.test?=",
            " =?utf-8?q?alice=40a.test?= (x)",
            " al(x)ice@a.test",
            " <@b.test:alice@a.test>",
            " alice@a.test\0",
            " ceo@b.test <alice@a.test>",
            " <ceo@b.test>: alice@a.test;",
            " \"=?utf-8?q?\" <ceo@b.test> (?=\" <alice@a.test>)",
            " \"=?utf-8?q?\"<ceo@b.test>,\"?=\"<alice@a.test>",
            " =?\"<ceo@b.test>(\"?q?x?=\"<alice@a.test>",
            " <alice@a.test> (left open",
            " \"left open <alice@a.test>",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
