//! Reverse-path and forward-path of RFC 5321 4.1.2, with their angle brackets. A source route is read and left out, as
//! RFC 5321 appendix C asks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer, de};

use crate::address::{AddressError, Domain, Mailbox, serde_as_text};

/// The argument of MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody is to be told of a failure (RFC 5321 4.5.5).
    Null,
    /// The mailbox that is told of a failure.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Takes a reverse-path off the front of `input` and returns it with what follows the `>`.
    ///
    /// # Errors
    /// When `input` does not start with a reverse-path.
    pub fn parse_prefix(input: &str) -> Result<(Self, &str), AddressError> {
        if let Some(rest) = input.strip_prefix("<>") {
            return Ok((Self::Null, rest));
        }
        let (mailbox, rest) = bracketed_mailbox(input)?;
        Ok((Self::Mailbox(mailbox), rest))
    }

    /// The mailbox, unless it is the null reverse-path.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The same path as it is said without SMTPUTF8; see [`Mailbox::to_ascii`].
    #[must_use]
    pub fn to_ascii(&self) -> Option<Self> {
        match self {
            Self::Null => Some(Self::Null),
            Self::Mailbox(mailbox) => mailbox.to_ascii().map(Self::Mailbox),
        }
    }

    /// Whether it is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

/// The argument of RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 4.1.1.3), whatever its case.
    Postmaster,
    /// The mailbox that the mail is for.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Takes a forward-path off the front of `input` and returns it with what follows the `>`.
    ///
    /// # Errors
    /// When `input` does not start with a forward-path.
    pub fn parse_prefix(input: &str) -> Result<(Self, &str), AddressError> {
        const POSTMASTER: &str = "<postmaster>";
        if input.get(..POSTMASTER.len()).is_some_and(|head| head.eq_ignore_ascii_case(POSTMASTER)) {
            return Ok((Self::Postmaster, &input[POSTMASTER.len()..]));
        }
        let (mailbox, rest) = bracketed_mailbox(input)?;
        Ok((Self::Mailbox(mailbox), rest))
    }

    /// The same path as it is said without SMTPUTF8; see [`Mailbox::to_ascii`].
    #[must_use]
    pub fn to_ascii(&self) -> Option<Self> {
        match self {
            Self::Postmaster => Some(Self::Postmaster),
            Self::Mailbox(mailbox) => mailbox.to_ascii().map(Self::Mailbox),
        }
    }

    /// The mailbox, unless it is the bare postmaster.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

fn bracketed_mailbox(input: &str) -> Result<(Mailbox, &str), AddressError> {
    let inner = input.strip_prefix('<').ok_or(AddressError::Brackets)?;
    let inner = skip_source_route(inner)?;
    let (mailbox, rest) = Mailbox::parse_prefix(inner)?;
    let rest = rest.strip_prefix('>').ok_or(AddressError::Brackets)?;
    Ok((mailbox, rest))
}

/// `@one.example,@two.example:` in front of the mailbox, checked and left out.
fn skip_source_route(inner: &str) -> Result<&str, AddressError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, rest) = inner.split_once(':').ok_or(AddressError::Domain)?;
    for hop in route.split(',') {
        Domain::parse(hop.strip_prefix('@').ok_or(AddressError::Domain)?)?;
    }
    Ok(rest)
}

/// With its angle brackets, as it stands behind `MAIL FROM:`.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// With its angle brackets, as it stands behind `RCPT TO:`.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match Self::parse_prefix(text)? {
            (path, "") => Ok(path),
            _ => Err(AddressError::Trailing),
        }
    }
}

impl FromStr for ForwardPath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match Self::parse_prefix(text)? {
            (path, "") => Ok(path),
            _ => Err(AddressError::Trailing),
        }
    }
}

serde_as_text!(ReversePath, ForwardPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_what_follows() {
        assert_eq!(ReversePath::parse_prefix("<> BODY=8BITMIME"), Ok((ReversePath::Null, " BODY=8BITMIME")));
        let (path, rest) = ReversePath::parse_prefix("<\"a>b\"@c.example> SIZE=1").unwrap();
        assert_eq!((path.to_string().as_str(), rest), ("<\"a>b\"@c.example>", " SIZE=1"));
        let (path, _) = ForwardPath::parse_prefix("<@a.example,@b.example:user@c.example>").unwrap();
        assert_eq!(path.to_string(), "<user@c.example>");
        assert_eq!("<pOstmaster>".parse(), Ok(ForwardPath::Postmaster));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in
            ["", "a@b", "<a@b", "< a@b>", "<a@b >", "<@a:b>", "<@a,b:c@d>", "<a>", "<@a.example>", "<<a@b>>"]
        {
            assert!(text.parse::<ForwardPath>().is_err(), "{text}");
        }
        assert!("<>".parse::<ForwardPath>().is_err());
    }
}
