//! The mechanisms by name.

use std::fmt;
use std::str::FromStr;

/// A mechanism that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// PLAIN (RFC 4616): all in one response.
    Plain,
    /// LOGIN: login and password each for itself; never standardised, still asked for by many clients.
    Login,
    /// SCRAM-SHA-256 (RFC 7677): the password is proven and never sent.
    ScramSha256,
    /// The same bound to the TLS session, so that nobody in the middle can pass it on.
    ScramSha256Plus,
    /// OAUTHBEARER (RFC 7628): an access token.
    OauthBearer,
    /// XOAUTH2: the same in an older form, which never became a standard.
    Xoauth2,
    /// EXTERNAL (RFC 4422 A): the certificate that the client has shown to TLS.
    External,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Login,
        Self::ScramSha256,
        Self::ScramSha256Plus,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::External,
    ];

    /// Those that prove a password, which every directory can check.
    pub const OF_PASSWORDS: [Self; 4] = [Self::Plain, Self::Login, Self::ScramSha256, Self::ScramSha256Plus];

    /// Its name in EHLO and AUTH.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
        }
    }

    /// The mechanism of this name, whatever its case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no mechanism has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no mechanism {0:?} here; there are PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, OAUTHBEARER, XOAUTH2 and EXTERNAL"
)]
pub struct UnknownMechanism(String);

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::named(name).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}
