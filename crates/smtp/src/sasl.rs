//! The exchanges of AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN, for both sides, as values that each line moves on. Knows
//! no accounts: who is who is for the agent to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::reply::{self, Reply};

/// A mechanism that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616): all in one response.
    Plain,
    /// LOGIN: login and password each for itself; never standardised, still asked for by many clients.
    Login,
}

impl Mechanism {
    /// The mechanisms, the one that is preferred first.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Its name in EHLO and AUTH.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanism of this name, whatever its case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// What a peer proved its identity with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The login.
    pub login: String,
    /// The password.
    pub password: String,
}

/// Never shows the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("login", &self.login).finish_non_exhaustive()
    }
}

/// The server's side: what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The one response of PLAIN.
    Plain,
    /// The login of LOGIN.
    Login,
    /// The password of LOGIN, for this login.
    Password(String),
}

/// Where an exchange goes from a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Send the challenge (base64) and wait for the response.
    Challenge(&'static str, Exchange),
    /// All was said.
    Done(Credentials),
}

impl Exchange {
    /// Begins with AUTH and its initial response, if there was one (`=` is an empty one).
    ///
    /// # Errors
    /// With the reply that ends the exchange.
    pub fn begin(mechanism: Mechanism, initial: Option<&str>) -> Result<Progress, Reply> {
        let start = match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::Login,
        };
        match initial {
            None => {
                // "Username:" in base64; PLAIN's challenge is empty.
                let challenge = if mechanism == Mechanism::Login { "VXNlcm5hbWU6" } else { "" };
                Ok(Progress::Challenge(challenge, start))
            }
            Some("=") => start.respond(""),
            Some(initial) => start.respond(initial),
        }
    }

    /// Moves on with the peer's line.
    ///
    /// # Errors
    /// With the reply that ends the exchange: 501 where it was cancelled or is not well-formed.
    pub fn respond(self, line: &str) -> Result<Progress, Reply> {
        if line == "*" {
            return Err(reply::authentication_cancelled());
        }
        let text = BASE64
            .decode(line)
            .ok()
            .and_then(|octets| String::from_utf8(octets).ok())
            .ok_or_else(reply::authentication_malformed)?;
        match self {
            Self::Plain => plain(&text).map(Progress::Done),
            // "Password:" in base64.
            Self::Login => Ok(Progress::Challenge("UGFzc3dvcmQ6", Self::Password(text))),
            Self::Password(login) => Ok(Progress::Done(Credentials { login, password: text })),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`. Acting as somebody else than one authenticates as is not provided for.
fn plain(text: &str) -> Result<Credentials, Reply> {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authorize), Some(login), Some(password), None) => {
            if !authorize.is_empty() && authorize != login {
                return Err(reply::authentication_failed());
            }
            Ok(Credentials { login: login.to_owned(), password: password.to_owned() })
        }
        _ => Err(reply::authentication_malformed()),
    }
}

/// The client's responses, in order. The first goes with the AUTH command for PLAIN, the others answer challenges.
#[must_use]
pub fn responses(mechanism: Mechanism, login: &str, password: &str) -> Vec<String> {
    match mechanism {
        Mechanism::Plain => vec![BASE64.encode(format!("\0{login}\0{password}"))],
        Mechanism::Login => vec![BASE64.encode(login), BASE64.encode(password)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(login: &str, password: &str) -> Result<Progress, Reply> {
        Ok(Progress::Done(Credentials { login: login.to_owned(), password: password.to_owned() }))
    }

    #[test]
    fn plain_takes_one_response_first_or_later() {
        let response = &responses(Mechanism::Plain, "a@b", "p ä")[0];
        assert_eq!(Exchange::begin(Mechanism::Plain, Some(response)), done("a@b", "p ä"));
        assert_eq!(Exchange::begin(Mechanism::Plain, None), Ok(Progress::Challenge("", Exchange::Plain)));
        assert_eq!(Exchange::Plain.respond(response), done("a@b", "p ä"));
        assert_eq!(Exchange::Plain.respond(&BASE64.encode("a\0a\0p")), done("a", "p"));
        assert_eq!(Exchange::Plain.respond(&BASE64.encode("b\0a\0p")), Err(reply::authentication_failed()));
    }

    #[test]
    fn login_asks_twice() {
        let said = responses(Mechanism::Login, "a@b", "p");
        let Ok(Progress::Challenge(challenge, exchange)) = Exchange::begin(Mechanism::Login, None) else {
            panic!("no challenge")
        };
        assert_eq!(BASE64.decode(challenge).unwrap(), b"Username:");
        let Ok(Progress::Challenge(challenge, exchange)) = exchange.respond(&said[0]) else {
            panic!("no challenge")
        };
        assert_eq!(BASE64.decode(challenge).unwrap(), b"Password:");
        assert_eq!(exchange.respond(&said[1]), done("a@b", "p"));
    }

    #[test]
    fn what_does_not_fit_ends_the_exchange() {
        for line in ["!", "YQ", "AAAA====", &BASE64.encode("a\0b"), &BASE64.encode("a\0b\0c\0d"), "/w=="] {
            assert_eq!(Exchange::Plain.respond(line), Err(reply::authentication_malformed()), "{line}");
        }
        assert_eq!(Exchange::Login.respond("*"), Err(reply::authentication_cancelled()));
        assert_eq!(Exchange::begin(Mechanism::Plain, Some("=")), Err(reply::authentication_malformed()));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Credentials { login: "a".to_owned(), password: "secret".to_owned() });
        assert!(!shown.contains("secret"));
    }
}
