//! The server's side of all mechanisms: what it waits for, and where a line takes it.

use mail::{Account, Credentials, ScramChallenge};

use super::scram::{self, BindingKind, Fault};
use super::{Mechanism, bearer, decode, encode};
use crate::agent::Login;
use crate::reply::{self, Reply};
use crate::tls::TlsInfo;

/// What a mechanism may depend on besides what is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Channel<'a> {
    /// TLS, where it is on.
    pub tls: Option<&'a TlsInfo>,
    /// Whether the client has been offered to bind the exchange to TLS.
    pub plus_offered: bool,
}

impl<'a> Channel<'a> {
    /// What an exchange is bound to.
    #[must_use]
    pub fn binding(&self, kind: BindingKind) -> Option<&'a [u8]> {
        self.tls?.binding(kind)
    }
}

/// What the server waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The one response of PLAIN.
    Plain,
    /// The login of LOGIN.
    Login,
    /// The password of LOGIN, for this login.
    Password(String),
    /// The first message of SCRAM, with PLUS or without.
    ScramFirst {
        /// Whether it must be bound to the channel.
        plus: bool,
    },
    /// The last message of SCRAM.
    ScramLast(Box<scram::Server>),
    /// The one response of OAUTHBEARER.
    OauthBearer,
    /// The one response of XOAUTH2.
    Xoauth2,
    /// The one response of EXTERNAL.
    External,
    /// That the client has seen the server's proof: it is in (RFC 4954 4 has no room for the proof in 235).
    Proven(Box<Account>),
    /// That the client has seen why it failed; this is the reply.
    Refused(Box<Reply>),
}

/// Where an exchange goes from a line or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Send the challenge (base64) and wait for the response.
    Challenge(String, Exchange),
    /// Ask the agent for this login's challenge, and go on with [`Exchange::challenged`].
    Lookup(Box<scram::Server>),
    /// All was said: ask the agent, and go on with [`Judgement::pass`].
    Done(Credentials, Judgement),
    /// The client is in.
    Accepted(Box<Account>),
    /// The client has failed.
    Failed(Box<Reply>),
}

/// How a client hears what became of its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// By the reply alone.
    Plain,
    /// By a last message of SCRAM, and then the reply.
    Scram,
    /// By a message of OAUTHBEARER, if the token is refused, and then the reply.
    OauthBearer,
    /// By a message of XOAUTH2, likewise.
    Xoauth2,
}

impl Exchange {
    /// Begins with AUTH and its initial response, if there was one (`=` is an empty one).
    ///
    /// # Errors
    /// With the reply that ends the exchange.
    pub fn begin(
        mechanism: Mechanism,
        initial: Option<&str>,
        channel: &Channel<'_>,
    ) -> Result<Progress, Reply> {
        let start = match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::Login,
            Mechanism::ScramSha256 => Self::ScramFirst { plus: false },
            Mechanism::ScramSha256Plus => Self::ScramFirst { plus: true },
            Mechanism::OauthBearer => Self::OauthBearer,
            Mechanism::Xoauth2 => Self::Xoauth2,
            Mechanism::External => Self::External,
        };
        match initial {
            None => {
                let challenge = if mechanism == Mechanism::Login { "Username:" } else { "" };
                Ok(Progress::Challenge(encode(challenge), start))
            }
            Some(initial) => start.respond(initial, channel),
        }
    }

    /// Moves on with the peer's line. An empty response may be written as `=`, as some clients do not only initially.
    ///
    /// # Errors
    /// With the reply that ends the exchange: 501 where it was cancelled or is not well-formed.
    pub fn respond(self, line: &str, channel: &Channel<'_>) -> Result<Progress, Reply> {
        let malformed = reply::authentication_malformed;
        match (self, line) {
            // Whatever it is, the client has failed already.
            (Self::Refused(_), "*") => Ok(Progress::Failed(Box::new(reply::authentication_cancelled()))),
            (Self::Refused(reply), _) => Ok(Progress::Failed(reply)),
            (_, "*") => Err(reply::authentication_cancelled()),
            (this, line) => {
                let text = if line == "=" { Some(String::new()) } else { decode(line) };
                this.take(&text.ok_or_else(malformed)?, channel)
            }
        }
    }

    fn take(self, text: &str, channel: &Channel<'_>) -> Result<Progress, Reply> {
        let malformed = reply::authentication_malformed;
        match self {
            Self::Plain => plain(text).map(|credentials| Progress::Done(credentials, Judgement::Plain)),
            Self::Login => Ok(Progress::Challenge(encode("Password:"), Self::Password(text.to_owned()))),
            Self::Password(login) => Ok(Progress::Done(Credentials::password(login, text), Judgement::Plain)),
            Self::ScramFirst { plus } => {
                let exchange = scram::Server::begin(text, plus, channel)?;
                Ok(Progress::Lookup(Box::new(exchange)))
            }
            Self::ScramLast(exchange) => Ok(match exchange.finish(text) {
                Ok(proof) => Progress::Done(Credentials::Scram(proof), Judgement::Scram),
                Err(fault) => failed(fault.message(), reply::authentication_failed()),
            }),
            Self::OauthBearer => {
                let credentials = bearer::oauthbearer(text).ok_or_else(malformed)?;
                Ok(bearing(credentials, Judgement::OauthBearer))
            }
            Self::Xoauth2 => {
                let credentials = bearer::xoauth2(text).ok_or_else(malformed)?;
                Ok(bearing(credentials, Judgement::Xoauth2))
            }
            Self::External => {
                if text.contains('\0') {
                    return Err(malformed());
                }
                let addresses = channel.tls.map(|tls| tls.client_addresses.clone()).unwrap_or_default();
                let credentials = Credentials::Certificate { login: text.to_owned(), addresses };
                Ok(Progress::Done(credentials, Judgement::Plain))
            }
            Self::Proven(account) if text.is_empty() => Ok(Progress::Accepted(account)),
            Self::Proven(_) => Err(malformed()),
            Self::Refused(reply) => Ok(Progress::Failed(reply)),
        }
    }

    /// Goes on once the agent has said what a SCRAM client is challenged with; `nonce` must be fresh.
    #[must_use]
    pub fn challenged(mut exchange: Box<scram::Server>, challenge: &ScramChallenge, nonce: &str) -> Progress {
        let message = encode(exchange.challenge(challenge, nonce));
        Progress::Challenge(message, Self::ScramLast(exchange))
    }
}

impl Judgement {
    /// Goes on once the agent has said what the credentials are worth.
    ///
    /// # Errors
    /// With the reply that ends the exchange.
    pub fn pass(self, answer: Result<Login, Reply>) -> Progress {
        let refusal = match (self, answer) {
            (Self::Scram, Ok(Login { account, server_signature: Some(signature) })) => {
                let message = encode(format!("v={}", encode(signature)));
                return Progress::Challenge(message, Exchange::Proven(Box::new(account)));
            }
            // The agent owes the signature: without, the client would take us for an impostor.
            (Self::Scram, Ok(_)) => reply::local_trouble(),
            (_, Ok(Login { account, .. })) => return Progress::Accepted(Box::new(account)),
            (_, Err(refusal)) => refusal,
        };
        // A 4yz is our trouble and tells nothing about the credentials.
        match self {
            _ if !refusal.is_permanent() => Progress::Failed(Box::new(refusal)),
            Self::Plain => Progress::Failed(Box::new(refusal)),
            Self::Scram => failed(Fault::InvalidProof.message(), refusal),
            Self::OauthBearer => failed(bearer::REFUSED, refusal),
            Self::Xoauth2 => failed(bearer::REFUSED_XOAUTH2, refusal),
        }
    }
}

/// Tells the client why, and the reply once it has seen it.
fn failed(message: &str, refusal: Reply) -> Progress {
    Progress::Challenge(encode(message), Exchange::Refused(Box::new(refusal)))
}

/// A client without a token only asks how to come to one (RFC 7628 4.3); no agent need hear of it.
fn bearing(credentials: Credentials, judgement: Judgement) -> Progress {
    match &credentials {
        Credentials::Token { token, .. } if token.is_empty() => {
            judgement.pass(Err(reply::authentication_failed()))
        }
        _ => Progress::Done(credentials, judgement),
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
            Ok(Credentials::password(login, password))
        }
        _ => Err(reply::authentication_malformed()),
    }
}

#[cfg(test)]
mod tests {
    use mail::Timestamp;

    use super::*;

    const NONE: Channel<'_> = Channel { tls: None, plus_offered: false };

    fn done(login: &str, password: &str) -> Result<Progress, Reply> {
        Ok(Progress::Done(Credentials::password(login, password), Judgement::Plain))
    }

    fn account() -> Account {
        Account::new("a@b.example".parse().unwrap(), Timestamp::from_millis(0))
    }

    #[test]
    fn plain_takes_one_response_first_or_later() {
        let response = &encode("\0a@b\0p ä");
        assert_eq!(Exchange::begin(Mechanism::Plain, Some(response), &NONE), done("a@b", "p ä"));
        assert_eq!(
            Exchange::begin(Mechanism::Plain, None, &NONE),
            Ok(Progress::Challenge(String::new(), Exchange::Plain))
        );
        assert_eq!(Exchange::Plain.respond(response, &NONE), done("a@b", "p ä"));
        assert_eq!(Exchange::Plain.respond(&encode("a\0a\0p"), &NONE), done("a", "p"));
        assert_eq!(Exchange::Plain.respond(&encode("b\0a\0p"), &NONE), Err(reply::authentication_failed()));
    }

    #[test]
    fn login_asks_twice() {
        let Ok(Progress::Challenge(challenge, exchange)) = Exchange::begin(Mechanism::Login, None, &NONE)
        else {
            panic!("no challenge")
        };
        assert_eq!(decode(&challenge).unwrap(), "Username:");
        let Ok(Progress::Challenge(challenge, exchange)) = exchange.respond(&encode("a@b"), &NONE) else {
            panic!("no challenge")
        };
        assert_eq!(decode(&challenge).unwrap(), "Password:");
        assert_eq!(exchange.respond(&encode("p"), &NONE), done("a@b", "p"));
    }

    #[test]
    fn what_does_not_fit_ends_the_exchange() {
        for line in ["!", "YQ", "AAAA====", &encode("a\0b"), &encode("a\0b\0c\0d"), "/w=="] {
            let refused = Exchange::Plain.respond(line, &NONE);
            assert_eq!(refused, Err(reply::authentication_malformed()), "{line}");
        }
        assert_eq!(Exchange::Login.respond("*", &NONE), Err(reply::authentication_cancelled()));
        assert_eq!(
            Exchange::begin(Mechanism::Plain, Some("="), &NONE),
            Err(reply::authentication_malformed())
        );
        let long = encode(vec![b'x'; super::super::MESSAGE_LIMIT + 1]);
        assert_eq!(Exchange::Login.respond(&long, &NONE), Err(reply::authentication_malformed()));
    }

    #[test]
    fn a_proof_is_answered_by_a_proof_and_a_refusal_by_a_reason() {
        let login = Login { account: account(), server_signature: Some([1; 32]) };
        let Progress::Challenge(message, exchange) = Judgement::Scram.pass(Ok(login)) else { panic!() };
        assert_eq!(decode(&message).unwrap(), "v=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        for line in ["", "="] {
            let accepted = Ok(Progress::Accepted(Box::new(account())));
            assert_eq!(exchange.clone().respond(line, &NONE), accepted);
        }
        assert_eq!(exchange.clone().respond("YQ==", &NONE), Err(reply::authentication_malformed()));
        assert_eq!(exchange.respond("*", &NONE), Err(reply::authentication_cancelled()));
        for (judgement, reason) in [
            (Judgement::Scram, "e=invalid-proof"),
            (Judgement::OauthBearer, bearer::REFUSED),
            (Judgement::Xoauth2, bearer::REFUSED_XOAUTH2),
        ] {
            let Progress::Challenge(message, exchange) = judgement.pass(Err(reply::authentication_failed()))
            else {
                panic!()
            };
            assert_eq!(decode(&message).unwrap(), reason);
            for (line, refusal) in [
                ("", reply::authentication_failed()),
                ("AQ==", reply::authentication_failed()),
                ("*", reply::authentication_cancelled()),
            ] {
                let failed = Ok(Progress::Failed(Box::new(refusal)));
                assert_eq!(exchange.clone().respond(line, &NONE), failed);
            }
            let trouble = Progress::Failed(Box::new(reply::local_trouble()));
            assert_eq!(judgement.pass(Err(reply::local_trouble())), trouble);
        }
        // An agent without a signature is at fault, and nobody else.
        let login = Login { account: account(), server_signature: None };
        assert_eq!(Judgement::Scram.pass(Ok(login)), Progress::Failed(Box::new(reply::local_trouble())));
    }

    #[test]
    fn external_hands_on_what_the_certificate_is_for() {
        let tls = TlsInfo { client_addresses: vec!["a@b.example".to_owned()], ..TlsInfo::default() };
        let channel = Channel { tls: Some(&tls), plus_offered: false };
        for (initial, login) in [("=", ""), (&*encode("a@b.example"), "a@b.example")] {
            let expected = Credentials::Certificate {
                login: login.to_owned(),
                addresses: vec!["a@b.example".to_owned()],
            };
            let progress = Exchange::begin(Mechanism::External, Some(initial), &channel);
            assert_eq!(progress, Ok(Progress::Done(expected, Judgement::Plain)));
        }
        let refused = Exchange::External.respond(&encode("a\0b"), &channel);
        assert_eq!(refused, Err(reply::authentication_malformed()));
    }
}
