//! The client's side: proves a password, and insists that the server prove that it knows it, too.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{BindingKind, MESSAGE_LIMIT, encode_name, is_nonce, value};
use crate::sasl::ClientFault;

/// Fewest iterations that a server may ask for (RFC 7677 4): with fewer, who listens guesses too cheaply.
const ITERATIONS_AT_LEAST: u32 = 4096;
/// Most iterations that a server may ask for: about a second's work.
const ITERATIONS_AT_MOST: u32 = 2_000_000;

/// An exchange, from its first message to the server's signature.
#[derive(Clone)]
pub struct Client {
    password: String,
    bound_to: Vec<u8>,
    header_length: usize,
    first_bare: String,
    nonce: String,
    expected: Option<[u8; 32]>,
    is_proven: bool,
}

/// Shows nothing of the password.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("is_proven", &self.is_proven).finish_non_exhaustive()
    }
}

impl Client {
    /// An exchange for this login. `binding` is what PLUS is bound to; without, `is_able` says that we could have bound but
    /// the server does not offer it. `None` where the
    /// password cannot be prepared (RFC 4013), or the nonce is none.
    #[must_use]
    pub fn new(
        login: &str,
        password: &str,
        binding: Option<(BindingKind, &[u8])>,
        is_able: bool,
        nonce: &str,
    ) -> Option<Self> {
        let prepared = stringprep::saslprep(password).ok();
        let password = prepared.filter(|password| is_nonce(nonce) && !password.is_empty())?.into_owned();
        let header = match binding {
            Some((kind, _)) => format!("p={kind},,"),
            None if is_able => "y,,".to_owned(),
            None => "n,,".to_owned(),
        };
        let data = binding.map(|(_, data)| data).unwrap_or_default();
        Some(Self {
            password,
            header_length: header.len(),
            bound_to: [header.as_bytes(), data].concat(),
            first_bare: format!("n={},r={nonce}", encode_name(login)),
            nonce: nonce.to_owned(),
            expected: None,
            is_proven: false,
        })
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> String {
        let header = String::from_utf8_lossy(&self.bound_to[..self.header_length]);
        format!("{header}{}", self.first_bare)
    }

    /// Answers the server's message: the first with the proof, the last with nothing. Costs the iterations that the server
    /// asks for.
    ///
    /// # Errors
    /// Where the server does not follow RFC 5802, or does not know the password either.
    pub fn respond(&mut self, message: &str) -> Result<String, ClientFault> {
        if message.len() > MESSAGE_LIMIT {
            return Err(ClientFault::Malformed);
        }
        match self.expected {
            None => self.prove(message),
            Some(_) if self.is_proven => Err(ClientFault::Malformed),
            Some(expected) => {
                let last = message.split(',').next();
                if value(last, "e").is_some() {
                    return Err(ClientFault::Denied);
                }
                let signature = value(last, "v").ok_or(ClientFault::NotProven)?;
                let signature = BASE64.decode(signature).map_err(|_| ClientFault::Malformed)?;
                constant_time::verify_slices_are_equal(&signature, &expected)
                    .map_err(|_| ClientFault::NotProven)?;
                self.is_proven = true;
                Ok(String::new())
            }
        }
    }

    /// Whether the server has proven that it knows the password.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    fn prove(&mut self, server_first: &str) -> Result<String, ClientFault> {
        let malformed = ClientFault::Malformed;
        let mut attributes = server_first.split(',');
        let nonce = value(attributes.next(), "r").ok_or(malformed)?;
        let salt =
            value(attributes.next(), "s").and_then(|salt| BASE64.decode(salt).ok()).ok_or(malformed)?;
        let iterations: u32 = value(attributes.next(), "i").and_then(|i| i.parse().ok()).ok_or(malformed)?;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce) && is_nonce(nonce);
        if !is_ours || salt.is_empty() {
            return Err(malformed);
        }
        let iterations = NonZeroU32::new(iterations)
            .filter(|i| (ITERATIONS_AT_LEAST..=ITERATIONS_AT_MOST).contains(&i.get()))
            .ok_or(ClientFault::Iterations)?;
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, self.password.as_bytes(), &mut salted);
        let without_proof = format!("c={},r={nonce}", BASE64.encode(&self.bound_to));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let mut proof = sign(stored_key.as_ref(), auth_message.as_bytes());
        for (octet, key) in proof.iter_mut().zip(client_key) {
            *octet ^= key;
        }
        self.expected = Some(sign(&sign(&salted, b"Server Key"), auth_message.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }
}

/// HMAC-SHA-256.
fn sign(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut signature = [0; 32];
    signature.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref());
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn client() -> Client {
        Client::new("user", "pencil", None, false, "rOprNGfwEbeRWgbNEkqO").unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_followed() {
        let mut client = client();
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            client.respond(SERVER_FIRST).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!client.is_proven());
        assert_eq!(client.respond(SERVER_LAST).unwrap(), "");
        assert!(client.is_proven());
        assert_eq!(client.respond(SERVER_LAST), Err(ClientFault::Malformed));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for (last, fault) in [
            ("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", ClientFault::NotProven),
            ("v=", ClientFault::NotProven),
            ("e=invalid-proof", ClientFault::Denied),
            ("x=", ClientFault::NotProven),
            ("v=!", ClientFault::Malformed),
        ] {
            let mut client = client();
            client.respond(SERVER_FIRST).unwrap();
            assert_eq!(client.respond(last), Err(fault), "{last}");
            assert!(!client.is_proven());
        }
    }

    #[test]
    fn a_server_that_asks_for_too_much_or_too_little_gets_no_proof() {
        for (first, fault) in [
            (SERVER_FIRST.replace("4096", "4095"), ClientFault::Iterations),
            (SERVER_FIRST.replace("4096", "2000001"), ClientFault::Iterations),
            (SERVER_FIRST.replace("4096", "99999999999"), ClientFault::Malformed),
            (SERVER_FIRST.replace("r=rO", "r=r0"), ClientFault::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(), ClientFault::Malformed),
            (SERVER_FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="), ClientFault::Malformed),
            (format!("m=x,{SERVER_FIRST}"), ClientFault::Malformed),
            ("e=other-error".to_owned(), ClientFault::Malformed),
        ] {
            assert_eq!(client().respond(&first), Err(fault), "{first}");
        }
    }

    #[test]
    fn the_header_says_what_the_client_could_do() {
        let first = |binding, able| Client::new("a,b=c", "p", binding, able, "n").unwrap().first();
        assert_eq!(first(None, false), "n,,n=a=2Cb=3Dc,r=n");
        assert_eq!(first(None, true), "y,,n=a=2Cb=3Dc,r=n");
        assert_eq!(
            first(Some((BindingKind::EndPoint, b"\xff")), true),
            "p=tls-server-end-point,,n=a=2Cb=3Dc,r=n"
        );
        assert!(Client::new("a", "a\u{7}", None, false, "n").is_none());
        assert!(Client::new("a", "\u{ad}", None, false, "n").is_none());
        assert!(!format!("{:?}", Client::new("a", "secret", None, false, "n")).contains("secret"));
    }
}
