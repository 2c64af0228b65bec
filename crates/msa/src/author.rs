//! Who a message says it is from: the addresses in a From or Sender field (RFC 5322 3.6.2).
//!
//! The parser forgives much, and forgiving parsers differ: what it puts together out of pieces another may show as
//! something else. So an address counts only if it stands in the field as one piece.

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
    let HeaderValue::Address(found) =
        MessageStream::new(format!("{text}\r\n").as_bytes()).parse_address().into_owned()
    else {
        return None;
    };
    let whole = |address: &str| stands_in(text, address).then(|| Mailbox::parse(address).ok()).flatten();
    let addresses: Option<Vec<Mailbox>> = found.iter().map(|one| whole(one.address.as_deref()?)).collect();
    addresses.filter(|addresses| !addresses.is_empty())
}

/// Whether the address is there in one piece, with nothing at its ends that could be taken for a part of it.
fn stands_in(text: &str, address: &str) -> bool {
    text.match_indices(address).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + address.len()..].chars().next();
        before.is_none_or(|c| c.is_ascii_whitespace() || "<,:;".contains(c))
            && after.is_none_or(|c| c.is_ascii_whitespace() || ">,;".contains(c))
    })
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
            (" alice@a.test <mallory@b.test>", "mallory@b.test"),
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
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
