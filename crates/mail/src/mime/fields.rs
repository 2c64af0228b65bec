//! Repair of a header section: lines that are too long are folded, and what is not ASCII is encoded where its field lets nobody
//! mistake it. A field that needs nothing stays octet for octet.

use memchr::memchr;

use super::addresses::{self, NoForm};
use super::fold::{Lines, fold};
use super::scan::Octets;
use super::{Letters, Unfit, parameters, words};
use crate::header::{self, Field};

/// Fields of addresses (RFC 5322 3.6.2, 3.6.3, 3.6.6, and common ones).
const ADDRESSES: &[&str] = &[
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Resent-Reply-To",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "Keywords",
];

/// Fields of media types with parameters.
const PARAMETERS: &[&str] = &["Content-Type", "Content-Disposition"];

/// Fields of message identifiers, which may be divided between two of them.
const IDENTIFIERS: &[&str] = &["In-Reply-To", "References"];

/// Fields that machines compare, which have no place for other text.
const CLOSED: &[&str] = &[
    "Date",
    "Message-ID",
    "Resent-Date",
    "Resent-Message-ID",
    "Received",
    "Return-Path",
    "Delivered-To",
    "MIME-Version",
    "Content-Transfer-Encoding",
    "Content-ID",
    "DKIM-Signature",
    "Authentication-Results",
    "Received-SPF",
    "Auto-Submitted",
];

/// What such fields' names begin with.
const CLOSED_FAMILIES: &[&str] = &["ARC-", "List-"];

/// The header section in a form that can be carried; `None` where it is that already.
pub(super) fn repair(header: &[u8], letters: Letters) -> Result<Option<Vec<u8>>, Unfit> {
    if !needs_repair(header, letters) {
        return Ok(None);
    }
    let mut repaired = Vec::with_capacity(header.len() + header.len() / 8);
    let mut rest = header;
    while !rest.is_empty() {
        let (raw, behind) = rest.split_at(header::field_end(rest));
        rest = behind;
        if !needs_repair(raw, letters) {
            repaired.extend_from_slice(raw);
            continue;
        }
        let field = header::fields(raw).next().ok_or(Unfit::HeaderLine)?;
        repaired.extend_from_slice(&repair_field(&field, letters)?);
    }
    Ok(Some(repaired))
}

fn needs_repair(octets: &[u8], letters: Letters) -> bool {
    let found = Octets::of(octets);
    let wrong_letters = match letters {
        Letters::Any => false,
        Letters::Utf8 => found.eight_bit && str::from_utf8(octets).is_err(),
        Letters::Ascii => found.eight_bit,
    };
    found.nul || found.long_line || wrong_letters || has_blank_line(octets)
}

/// Whether a line of a folded field is nothing but white space, which some take for the end of the header section
/// (RFC 5322 3.2.2 forbids it).
fn has_blank_line(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(at) = memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        let spaces = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        if spaces > 0 && (rest[spaces..].starts_with(b"\r\n") || rest[spaces..].is_empty()) {
            return true;
        }
        rest = &rest[spaces..];
    }
    false
}

fn repair_field(field: &Field<'_>, letters: Letters) -> Result<Vec<u8>, Unfit> {
    let name = || field.name.chars().take(64).collect::<String>();
    if memchr(0, field.raw).is_some() {
        return Err(Unfit::HeaderNul(name()));
    }
    let too_long = || Unfit::HeaderTooLong(name());
    let between: &[u8] = match () {
        () if is_one_of(field, ADDRESSES) => b",;",
        () if is_one_of(field, PARAMETERS) => b";",
        () if is_one_of(field, IDENTIFIERS) => b">",
        () => b"",
    };
    if letters == Letters::Any || (letters == Letters::Ascii && field.raw.is_ascii()) {
        return fold(field.raw, between, Lines::TooLong).ok_or_else(too_long);
    }
    let value = str::from_utf8(field.value).map_err(|_| Unfit::HeaderNotUtf8(name()))?;
    if letters == Letters::Utf8 {
        return fold(field.raw, between, Lines::TooLong).ok_or_else(too_long);
    }
    let value = value.replace("\r\n", "");
    let encoded = if is_one_of(field, ADDRESSES) {
        addresses::encode(&value)
    } else if is_one_of(field, PARAMETERS) {
        parameters::encode(&value)
    } else if is_one_of(field, IDENTIFIERS) || is_closed(field) {
        Err(NoForm)
    } else {
        Ok(words::encode_unstructured(&value))
    };
    let encoded = encoded.map_err(|NoForm| Unfit::HeaderLetters(name()))?;
    fold(format!("{}:{encoded}\r\n", field.name).as_bytes(), between, Lines::All).ok_or_else(too_long)
}

fn is_one_of(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

fn is_closed(field: &Field<'_>) -> bool {
    let begins = |start: &&str| field.name.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
    is_one_of(field, CLOSED) || CLOSED_FAMILIES.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(header: &str, letters: Letters) -> Result<Option<String>, Unfit> {
        let repaired = repair(header.as_bytes(), letters)?;
        Ok(repaired.map(|header| String::from_utf8(header).unwrap()))
    }

    #[test]
    fn a_header_that_can_be_carried_is_not_touched() {
        for (header, letters) in [
            ("A: b\r\nSubject: x\r\n y\r\n", Letters::Ascii),
            ("Subject: ü\r\n", Letters::Utf8),
            ("Subject: ü\r\n", Letters::Any),
            ("", Letters::Ascii),
        ] {
            assert_eq!(repaired(header, letters), Ok(None), "{header}");
        }
    }

    #[test]
    fn fields_are_repaired_each_in_its_way() {
        let header = "Subject: Grüße\r\nTo: Jörg <j@bücher.test>\r\nX-Odd  :  as it was  \r\nX-Blank: a\r\n \r\n\
                      Content-Disposition: attachment; filename=ü\r\n";
        let ascii = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: =?utf-8?q?J=C3=B6rg?= <j@xn--bcher-kva.test>\r\n\
                     X-Odd  :  as it was  \r\nX-Blank: a\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC\r\n";
        assert_eq!(repaired(header, Letters::Ascii), Ok(Some(ascii.to_owned())));
        assert_eq!(repaired(ascii, Letters::Ascii), Ok(None));
        assert_eq!(repaired(header, Letters::Utf8).unwrap().unwrap(), header.replace("a\r\n \r\n", "a\r\n"));
    }

    #[test]
    fn what_cannot_be_repaired_says_why() {
        let name = |name: &str| name.to_owned();
        for (header, letters, why) in [
            ("From: jürgen@a.test\r\n", Letters::Ascii, Unfit::HeaderLetters(name("From"))),
            ("Message-ID: <ü@a.test>\r\n", Letters::Ascii, Unfit::HeaderLetters(name("Message-ID"))),
            ("List-Id: Bücher <b.a.test>\r\n", Letters::Ascii, Unfit::HeaderLetters(name("List-Id"))),
            ("X: a\0b\r\n", Letters::Any, Unfit::HeaderNul(name("X"))),
            ("no field ü\r\n", Letters::Ascii, Unfit::HeaderLine),
        ] {
            assert_eq!(repaired(header, letters), Err(why), "{header}");
        }
        let latin = b"Subject: Gr\xfc\xdfe\r\n";
        for letters in [Letters::Ascii, Letters::Utf8] {
            assert_eq!(repair(latin, letters), Err(Unfit::HeaderNotUtf8(name("Subject"))));
        }
        let long = format!("X: {}\r\n", "x".repeat(999));
        assert_eq!(repaired(&long, Letters::Any), Err(Unfit::HeaderTooLong(name("X"))));
    }
}
