//! The client's side: which mechanism, and what is said in it.

use super::scram::{self, BindingKind};
use super::{Mechanism, decode, encode};
use crate::tls::TlsInfo;

/// Why a client ends an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// The server's message does not follow the mechanism.
    #[error("the server's challenge is not what its mechanism wants")]
    Malformed,
    /// SCRAM: the server asks for fewer iterations than are safe, or for more than are bearable.
    #[error("the server asks for a number of iterations that is not acceptable")]
    Iterations,
    /// SCRAM: the server says that it does not accept the proof; its reply follows.
    #[error("the server does not accept the proof of the password")]
    Denied,
    /// SCRAM: the server does not know the password either, so it is not who it says, or wants to hear nothing of us.
    #[error("the server did not prove that it knows the password")]
    NotProven,
}

/// An exchange of ours with a server.
pub struct ClientExchange {
    mechanism: Mechanism,
    /// What is still to be said, the last first.
    left: Vec<String>,
    scram: Option<scram::Client>,
}

/// Chooses the mechanism that gives the least away: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, the first of them that the
/// server offers and that the password and the channel allow. `None` where there is none.
#[must_use]
pub fn choose(
    offered: &[String],
    login: &str,
    password: &str,
    tls: Option<&TlsInfo>,
    nonce: &str,
) -> Option<ClientExchange> {
    let offers = |mechanism: Mechanism| offered.iter().any(|name| name == mechanism.name());
    let binding = tls.and_then(|tls| {
        [BindingKind::Exporter, BindingKind::EndPoint]
            .into_iter()
            .find_map(|kind| tls.binding(kind).map(|data| (kind, data)))
    });
    let begin = |mechanism| {
        let scram = match mechanism {
            Mechanism::ScramSha256Plus => {
                Some(scram::Client::new(login, password, Some(binding?), true, nonce)?)
            }
            Mechanism::ScramSha256 => {
                let is_able = binding.is_some() && !offers(Mechanism::ScramSha256Plus);
                Some(scram::Client::new(login, password, None, is_able, nonce)?)
            }
            _ => None,
        };
        let left = match (mechanism, &scram) {
            (_, Some(scram)) => vec![scram.first()],
            (Mechanism::Plain, _) => vec![format!("\0{login}\0{password}")],
            (_, None) => vec![password.to_owned(), login.to_owned()],
        };
        Some(ClientExchange { mechanism, left, scram })
    };
    let preferred = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
    preferred.into_iter().filter(|mechanism| offers(*mechanism)).find_map(begin)
}

/// Shows nothing of what is said.
impl std::fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientExchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl ClientExchange {
    /// Which mechanism it is.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What goes with AUTH, in base64; LOGIN has nothing there.
    pub fn initial(&mut self) -> Option<String> {
        if self.mechanism == Mechanism::Login { None } else { self.left.pop().map(encode) }
    }

    /// Answers a challenge, both in base64. With SCRAM this can take a second of work.
    ///
    /// # Errors
    /// Where there is no answer; the client cancels with `*`.
    pub fn respond(&mut self, challenge: &str) -> Result<String, ClientFault> {
        match &mut self.scram {
            Some(scram) => {
                let message = decode(challenge).ok_or(ClientFault::Malformed)?;
                scram.respond(&message).map(encode)
            }
            None => self.left.pop().map(encode).ok_or(ClientFault::Malformed),
        }
    }

    /// Whether a 235 may be believed: with SCRAM only once the server has proven itself.
    ///
    /// # Errors
    /// Where it may not.
    pub fn finish(&self) -> Result<(), ClientFault> {
        match &self.scram {
            Some(scram) if !scram.is_proven() => Err(ClientFault::NotProven),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        offered: &[&str],
        password: &str,
        tls: Option<&TlsInfo>,
    ) -> Option<(Mechanism, Option<String>)> {
        let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
        let mut exchange = choose(&offered, "a@b", password, tls, "abc")?;
        let initial = exchange.initial().map(|initial| decode(&initial).unwrap());
        Some((exchange.mechanism(), initial))
    }

    #[test]
    fn the_mechanism_that_gives_the_least_away_is_chosen() {
        let tls = TlsInfo { exporter: Some([1; 32]), end_point: Some([2; 32].into()), ..TlsInfo::default() };
        let old = TlsInfo { end_point: Some([2; 32].into()), ..TlsInfo::default() };
        let all = ["LOGIN", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5"];
        let said = |text: &str| Some(text.to_owned());
        for (offered, password, tls, expected) in [
            (
                &all[..],
                "p",
                Some(&tls),
                Some((Mechanism::ScramSha256Plus, said("p=tls-exporter,,n=a@b,r=abc"))),
            ),
            (
                &all,
                "p",
                Some(&old),
                Some((Mechanism::ScramSha256Plus, said("p=tls-server-end-point,,n=a@b,r=abc"))),
            ),
            // It is offered and we cannot: that is not "y".
            (&all, "p", None, Some((Mechanism::ScramSha256, said("n,,n=a@b,r=abc")))),
            (&all[..3], "p", Some(&tls), Some((Mechanism::ScramSha256, said("y,,n=a@b,r=abc")))),
            (&all[..3], "p", None, Some((Mechanism::ScramSha256, said("n,,n=a@b,r=abc")))),
            (&all[..2], "p", Some(&tls), Some((Mechanism::Plain, said("\0a@b\0p")))),
            (&all[..1], "p", Some(&tls), Some((Mechanism::Login, None))),
            // SCRAM has no use for it, PLAIN may.
            (&all, "p\u{7}", Some(&tls), Some((Mechanism::Plain, said("\0a@b\0p\u{7}")))),
            (&all[4..], "p", Some(&tls), None),
            (&[], "p", Some(&tls), None),
        ] {
            assert_eq!(chosen(offered, password, tls), expected, "{offered:?}");
        }
    }

    #[test]
    fn a_server_that_asks_on_gets_nothing_more() {
        let mut exchange = choose(&["LOGIN".to_owned()], "a@b", "p", None, "abc").unwrap();
        let said: Vec<_> = (0..3).map(|_| exchange.respond("")).collect();
        assert_eq!(said, [Ok(encode("a@b")), Ok(encode("p")), Err(ClientFault::Malformed)]);
        let mut exchange = choose(&["PLAIN".to_owned()], "a@b", "p", None, "abc").unwrap();
        assert!(exchange.initial().is_some());
        assert_eq!(exchange.respond(""), Err(ClientFault::Malformed));
        assert_eq!(exchange.finish(), Ok(()));
        let exchange = choose(&["SCRAM-SHA-256".to_owned()], "a@b", "p", None, "abc").unwrap();
        assert_eq!(exchange.finish(), Err(ClientFault::NotProven));
    }
}
