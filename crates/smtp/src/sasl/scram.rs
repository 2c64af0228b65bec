//! SCRAM-SHA-256 (RFC 5802, 7677): the messages of both sides, and what the client's password becomes. What the server's
//! side of a password is, salt and keys, the directory knows.

mod client;
mod server;

use std::fmt;

pub use client::Client;
pub use server::{Fault, Server, nonce};

/// Longest message of SCRAM, decoded; salt and nonces are a few dozen octets each.
const MESSAGE_LIMIT: usize = 4096;
/// Longest nonce of a client; the server's first message must fit one reply line with it.
const NONCE_LIMIT: usize = 200;

/// What ties an exchange to the TLS session that it happens in (RFC 5056).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// `tls-exporter` (RFC 9266): of the session itself.
    Exporter,
    /// `tls-server-end-point` (RFC 5929 4): of the server's certificate.
    EndPoint,
}

impl BindingKind {
    /// Its name in IANA's registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exporter => "tls-exporter",
            Self::EndPoint => "tls-server-end-point",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Exporter, Self::EndPoint].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for BindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name in which `=2C` and `=3D` stand for comma and equals sign (`saslname`).
pub(super) fn decode_name(name: &str) -> Option<String> {
    let mut decoded = String::with_capacity(name.len());
    let mut pieces = name.split('=');
    decoded.push_str(pieces.next()?);
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        decoded.push(sign);
        decoded.push_str(rest);
    }
    let fits = !decoded.is_empty() && !name.contains([',', '\0']);
    fits.then_some(decoded)
}

fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// The value of an attribute such as `r=…`.
fn value<'a>(attribute: Option<&'a str>, name: &str) -> Option<&'a str> {
    attribute?.strip_prefix(name)?.strip_prefix('=')
}

/// Printable ASCII without comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| matches!(octet, 0x21..=0x2b | 0x2d..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(decode_name("a=2Cb=3Dc=2C"), Some("a,b=c,".to_owned()));
        assert_eq!(encode_name("a,b=c,"), "a=2Cb=3Dc=2C");
        for wrong in ["", "=", "a=2c", "a=", "a=4", "a,b", "a\0"] {
            assert_eq!(decode_name(wrong), None, "{wrong}");
        }
    }
}
