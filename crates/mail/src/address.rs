//! Mailbox addresses by the grammar of RFC 5321 4.1.2, widened to UTF-8 by RFC 6531 3.3. Knows nothing of the angle
//! brackets around a path (see [`crate::path`]) and nothing of who owns an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer, de};

/// Longest local part in octets (RFC 5321 4.5.3.1.1).
pub const LOCAL_PART_LIMIT: usize = 64;
/// Longest domain in octets (RFC 5321 4.5.3.1.2).
pub const DOMAIN_LIMIT: usize = 255;
const LABEL_LIMIT: usize = 63;

/// Why a text is no address. The text of each is fit to be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The local part is empty or holds a character that needs quotes.
    #[error("the local part is not well-formed")]
    LocalPart,
    /// The local part is over 64 octets.
    #[error("the local part is longer than 64 octets")]
    LocalPartTooLong,
    /// There is no `@` after the local part.
    #[error("the domain is missing")]
    DomainMissing,
    /// The domain is not made of labels of letters, digits and inner hyphens.
    #[error("the domain is not well-formed")]
    Domain,
    /// The domain is over 255 octets or one of its labels over 63.
    #[error("the domain is too long")]
    DomainTooLong,
    /// `[…]` holds neither an IPv4 nor an `IPv6:` address.
    #[error("the address literal is not well-formed")]
    Literal,
    /// A path does not start with `<` or does not end with `>`.
    #[error("the path needs angle brackets, as in <user@example.org>")]
    Brackets,
    /// Something follows the end of the address.
    #[error("there is something behind the address")]
    Trailing,
}

/// A domain name, in lower case, with at least one label and no final dot; labels may hold UTF-8 (RFC 6531).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

impl Domain {
    /// Parses a whole domain name.
    ///
    /// # Errors
    /// When a label is empty, too long or not well-formed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::DomainMissing);
        }
        // Lower case first: some letters take more octets in it, and what is kept has to be read again.
        let name = if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() };
        if name.len() > DOMAIN_LIMIT {
            return Err(AddressError::DomainTooLong);
        }
        for label in name.split('.') {
            check_label(label)?;
        }
        Ok(Self(name))
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as DNS knows it, with A-labels in place of UTF-8 ones (RFC 5890).
    ///
    /// # Errors
    /// When a label cannot be an A-label.
    pub fn to_ascii(&self) -> Result<String, AddressError> {
        if self.0.is_ascii() {
            return Ok(self.0.clone());
        }
        let name = idna::domain_to_ascii(&self.0).map_err(|_| AddressError::Domain)?;
        // Letters such as U+FF0F or U+FF20 come out as `/` or `@`, and U+3002 as a dot.
        Self::parse(&name).map(|domain| domain.0)
    }

    /// Whether every label is ASCII, so that the name can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

fn check_label(label: &str) -> Result<(), AddressError> {
    let bytes = label.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(b'-') | None, _) | (_, Some(b'-')) => return Err(AddressError::Domain),
        _ => {}
    }
    if bytes.len() > LABEL_LIMIT {
        return Err(AddressError::DomainTooLong);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || (!c.is_ascii() && !c.is_control());
    if label.chars().all(allowed) { Ok(()) } else { Err(AddressError::Domain) }
}

/// What stands behind the `@`: a domain or an address literal (RFC 5321 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A domain name.
    Domain(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

impl Host {
    /// Parses a domain or a bracketed address literal.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some(inner) = text.strip_prefix('[') else {
            return Domain::parse(text).map(Self::Domain);
        };
        let inner = inner.strip_suffix(']').ok_or(AddressError::Literal)?;
        let address = match inner.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
                Ipv6Addr::from_str(&inner[5..]).map(IpAddr::V6).map_err(|_| AddressError::Literal)?
            }
            _ => Ipv4Addr::from_str(inner).map(IpAddr::V4).map_err(|_| AddressError::Literal)?,
        };
        Ok(Self::Literal(address))
    }

    /// The domain, unless it is a literal.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

/// The part before the `@`, without its quotes: `"a b"` is kept as `a b` and written with quotes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(String);

impl LocalPart {
    /// The local part without quotes or escapes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(value: String) -> Result<Self, AddressError> {
        match value.len() {
            0 => Err(AddressError::LocalPart),
            1..=LOCAL_PART_LIMIT => Ok(Self(value)),
            _ => Err(AddressError::LocalPartTooLong),
        }
    }

    /// Takes a local part off the front of `input` and returns it with what follows.
    fn parse_prefix(input: &str) -> Result<(Self, &str), AddressError> {
        if let Some(quoted) = input.strip_prefix('"') {
            return Self::parse_quoted(quoted);
        }
        let end = input.find(|c: char| !(is_atext(c) || c == '.')).unwrap_or(input.len());
        let (local, rest) = input.split_at(end);
        if local.split('.').any(str::is_empty) {
            return Err(AddressError::LocalPart);
        }
        Ok((Self::checked(local.to_owned())?, rest))
    }

    /// `quoted` starts behind the opening quote. A quoted pair may escape printable ASCII only (RFC 5321 4.1.2).
    fn parse_quoted(quoted: &str) -> Result<(Self, &str), AddressError> {
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Ok((Self::checked(value)?, &quoted[at + 1..])),
                '\\' => match characters.next() {
                    Some((_, escaped @ ' '..='~')) => value.push(escaped),
                    _ => return Err(AddressError::LocalPart),
                },
                character if character.is_control() => return Err(AddressError::LocalPart),
                character => value.push(character),
            }
        }
        Err(AddressError::LocalPart)
    }

    fn needs_quotes(&self) -> bool {
        self.0.split('.').any(|atom| atom.is_empty() || !atom.chars().all(is_atext))
    }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// `local-part@host` (RFC 5321 4.1.2 Mailbox). The host compares without case, the local part with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    local_part: LocalPart,
    host: Host,
}

impl Mailbox {
    /// Parses a whole mailbox.
    ///
    /// # Errors
    /// When it does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (mailbox, rest) = Self::parse_prefix(text)?;
        if rest.is_empty() { Ok(mailbox) } else { Err(AddressError::Trailing) }
    }

    /// Takes a mailbox off the front of `input` and returns it with what follows.
    ///
    /// # Errors
    /// When `input` does not start with a mailbox.
    pub fn parse_prefix(input: &str) -> Result<(Self, &str), AddressError> {
        let (local_part, rest) = LocalPart::parse_prefix(input)?;
        let rest = match rest.chars().next() {
            Some('@') => &rest[1..],
            None | Some('>' | ' ') => return Err(AddressError::DomainMissing),
            Some(_) => return Err(AddressError::LocalPart),
        };
        let end = match rest.strip_prefix('[') {
            Some(literal) => literal.find(']').ok_or(AddressError::Literal)? + 2,
            None => rest.find(|c: char| "<> ,:;@\"".contains(c) || c.is_control()).unwrap_or(rest.len()),
        };
        let (host, rest) = rest.split_at(end);
        Ok((Self { local_part, host: Host::parse(host)? }, rest))
    }

    /// The same mailbox at a domain, from parts that are known to be well-formed.
    ///
    /// # Errors
    /// When the local part is empty or too long.
    pub fn new(local_part: &str, domain: Domain) -> Result<Self, AddressError> {
        Ok(Self { local_part: LocalPart::checked(local_part.to_owned())?, host: Host::Domain(domain) })
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// The part behind the `@`.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The domain, unless the host is an address literal.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.host.domain()
    }

    /// The same mailbox as it is said without SMTPUTF8, its domain in A-labels (RFC 6531 3.2); `None` where the local part is not
    /// ASCII or the domain has no such form.
    #[must_use]
    pub fn to_ascii(&self) -> Option<Self> {
        let host = match &self.host {
            Host::Domain(domain) if !domain.is_ascii() => Host::Domain(Domain(domain.to_ascii().ok()?)),
            host => host.clone(),
        };
        self.local_part.0.is_ascii().then(|| Self { local_part: self.local_part.clone(), host })
    }

    /// Whether it can be said without SMTPUTF8 as it stands.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local_part.0.is_ascii() && self.domain().is_none_or(Domain::is_ascii)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Self::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.needs_quotes() {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.host)
    }
}

impl FromStr for Domain {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;
serde_as_text!(Domain, Mailbox);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_mailboxes_round_trip() {
        for text in [
            "a@b",
            "first.last+tag@example.org",
            "\"a b\"@example.org",
            "\"a\\\"b\"@example.org",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
            "δοκιμή@παράδειγμα.δοκιμή",
            "!#$%&'*+-/=?^_`{|}~@example.org",
        ] {
            assert_eq!(Mailbox::parse(text).map(|m| m.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(Mailbox::parse("\"plain\"@Example.ORG").unwrap().to_string(), "plain@example.org");
    }

    #[test]
    fn malformed_mailboxes_are_refused_with_the_reason() {
        for (text, error) in [
            ("", AddressError::LocalPart),
            ("@b", AddressError::LocalPart),
            (".a@b", AddressError::LocalPart),
            ("a..b@c", AddressError::LocalPart),
            ("a", AddressError::DomainMissing),
            ("a@", AddressError::DomainMissing),
            ("a b@c", AddressError::DomainMissing),
            ("a@b..c", AddressError::Domain),
            ("a@-b", AddressError::Domain),
            ("a@b_c", AddressError::Domain),
            ("a@b.", AddressError::Domain),
            ("a@[1.2.3]", AddressError::Literal),
            ("a@[1.2.3.4", AddressError::Literal),
            ("a@b@c", AddressError::Trailing),
            ("a@b c", AddressError::Trailing),
            ("\"a@b", AddressError::LocalPart),
        ] {
            assert_eq!(Mailbox::parse(text), Err(error), "{text}");
        }
        assert_eq!(Mailbox::parse(&format!("{}@b", "a".repeat(65))), Err(AddressError::LocalPartTooLong));
        assert_eq!(Mailbox::parse(&format!("a@{}", "b".repeat(64))), Err(AddressError::DomainTooLong));
    }

    #[test]
    fn an_internationalised_domain_has_a_name_in_dns() {
        for (text, ascii) in [
            ("Bücher.example", Ok("xn--bcher-kva.example")),
            ("\u{ff25}xample.test", Ok("example.test")),
            ("a\u{ff0f}b.test", Err(AddressError::Domain)),
            ("a\u{ff20}b.test", Err(AddressError::Domain)),
            ("example.test\u{3002}", Err(AddressError::Domain)),
        ] {
            assert_eq!(Domain::parse(text).unwrap().to_ascii().as_deref().map_err(|e| *e), ascii, "{text}");
        }
    }

    #[test]
    fn a_mailbox_has_a_form_in_ascii_unless_its_local_part_is_not() {
        for (text, ascii) in [
            ("a@bücher.example", Some("a@xn--bcher-kva.example")),
            ("\"a b\"@[192.0.2.1]", Some("\"a b\"@[192.0.2.1]")),
            ("ä@b.example", None),
            ("a@b\u{ff20}c.example", None),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.to_ascii().map(|mailbox| mailbox.to_string()).as_deref(), ascii, "{text}");
        }
    }

    /// Some letters take more octets in lower case.
    #[test]
    fn limits_hold_for_what_is_kept() {
        let label = |letters: usize| "\u{130}".repeat(letters);
        assert_eq!(Domain::parse(&label(31)), Err(AddressError::DomainTooLong));
        let kept = Domain::parse(&label(21)).unwrap();
        assert_eq!(Domain::parse(kept.as_str()), Ok(kept));
    }

    proptest::proptest! {
        #[test]
        fn what_parses_prints_as_something_that_parses_to_the_same(text in "\\PC{0,80}") {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                proptest::prop_assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox));
            }
        }
    }
}
