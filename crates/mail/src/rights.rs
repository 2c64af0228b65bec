//! What an administrator lets an account send as beyond its own addresses (RFC 6409 6.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{AddressError, Domain, Mailbox};

/// Stands for any local part, or with [`SenderPattern::Anybody`] for any address.
const WILDCARD: &str = "*";

/// Addresses that were granted to an account: one, all of a domain, or all there are. The last two are meant for service
/// accounts: the application that writes for a whole shop, the gateway that passes on what others wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderPattern {
    /// This address.
    Address(Mailbox),
    /// Every address of this domain and none of the domains below it, written `*@example.org`.
    Domain(Domain),
    /// Every address, written `*@*`: a lone `*` would be the shell's.
    Anybody,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The part that has to be an address or a domain is none.
    #[error("{0}; write an address, *@example.org for all of a domain, or *@* for all there are")]
    Address(#[from] AddressError),
    /// A quoted star, which could be meant either way.
    #[error("a quoted * is no pattern; write *@example.org for all of a domain")]
    QuotedWildcard,
}

impl FromStr for SenderPattern {
    type Err = PatternError;
    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text.strip_prefix("*@") {
            Some(WILDCARD) => Ok(Self::Anybody),
            Some(domain) => Ok(Self::Domain(Domain::parse(domain)?)),
            None => {
                let mailbox = Mailbox::parse(text)?;
                // It would be shown without its quotes, and then read as a wildcard.
                if mailbox.local_part().as_str() == WILDCARD {
                    return Err(PatternError::QuotedWildcard);
                }
                Ok(Self::Address(mailbox))
            }
        }
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mailbox) => mailbox.fmt(f),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Anybody => f.write_str("*@*"),
        }
    }
}

impl Serialize for SenderPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SenderPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_shown_alike() {
        for (text, shown) in [
            ("news@Example.org", "news@example.org"),
            ("*@example.org", "*@example.org"),
            ("*@bücher.example", "*@bücher.example"),
            ("*@*", "*@*"),
            ("\"*x\"@example.org", "*x@example.org"),
        ] {
            let pattern: SenderPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), shown);
            assert_eq!(shown.parse(), Ok(pattern));
        }
    }

    #[test]
    fn what_could_be_meant_otherwise_is_no_pattern() {
        for text in ["", "*", "*@", "@example.org", "*@*.example.org", "*@[192.0.2.1]", "example.org"] {
            assert!(text.parse::<SenderPattern>().is_err(), "{text}");
        }
        assert_eq!("\"*\"@example.org".parse::<SenderPattern>(), Err(PatternError::QuotedWildcard));
    }
}
