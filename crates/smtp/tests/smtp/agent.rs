//! An agent that answers by simple rules, for the pure session and for the server alike.

use std::sync::Mutex;

use async_trait::async_trait;
use aws_lc_rs::{digest, hmac, pbkdf2};
use bytes::Bytes;
use mail::{Account, Credentials, Envelope, Recipient, ScramChallenge, ScramProof, Timestamp};
use smtp::reply::{self, Reply};
use smtp::{Agent, Inquiry, Login, SessionInfo};

/// Knows `demo@a.example` with the password `secret`, the token `good` and a certificate for that address, and `user` of
/// RFC 7677; refuses senders `banned@…`, recipients `nobody@…` and those at
/// `elsewhere.example`; has trouble with `trouble@…`; keeps what it took.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) taken: Mutex<Vec<(Envelope, Bytes)>>,
}

impl Rules {
    pub(crate) fn judge_credentials(credentials: &Credentials) -> Result<Login, Reply> {
        let login = credentials.login();
        if login == "trouble@a.example" {
            return Err(reply::local_trouble());
        }
        let signature = match credentials {
            Credentials::Password { password, .. } => {
                (Some(password.as_str()) == password_of(login)).then_some(None)
            }
            Credentials::Scram(proof) => verify(proof).map(Some),
            Credentials::Token { token, .. } => {
                (token == "good" && ["", "demo@a.example"].contains(&login)).then_some(None)
            }
            Credentials::Certificate { addresses, .. } => {
                (addresses == &["demo@a.example"] && ["", "demo@a.example"].contains(&login)).then_some(None)
            }
        };
        let server_signature = signature.ok_or_else(reply::authentication_failed)?;
        let address = "demo@a.example".parse().unwrap();
        Ok(Login { account: Account::new(address, Timestamp::from_millis(0)), server_signature })
    }

    /// Everybody has one.
    pub(crate) fn challenge(login: &str) -> Result<ScramChallenge, Reply> {
        if login == "trouble@a.example" {
            return Err(reply::local_trouble());
        }
        // That of RFC 7677.
        let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81".to_vec();
        Ok(ScramChallenge { salt, iterations: 4096 })
    }

    /// Serves nobody from 192.0.2.66.
    pub(crate) fn judge_client(
        session: &SessionInfo,
        login: Option<String>,
    ) -> Result<Option<Account>, Reply> {
        if session.peer.ip().to_string() == "192.0.2.66" {
            return Err(reply::too_many_sessions());
        }
        let vouched = |login: String| Self::judge_credentials(&Credentials::password(login, "secret"));
        login.map(|login| vouched(login).map(|login| login.account)).transpose()
    }

    /// Says what was asked.
    pub(crate) fn judge_inquiry(inquiry: &Inquiry) -> Reply {
        Reply::new(250, (2, 0, 0), format!("{inquiry:?}").replace('"', "'"))
    }

    pub(crate) fn judge_sender(envelope: &Envelope) -> Result<(), Reply> {
        match envelope.reverse_path.mailbox().map(|mailbox| mailbox.local_part().as_str()) {
            Some("banned") => Err(reply::sender_not_owned()),
            Some("closing") => Err(reply::shutting_down()),
            _ => Ok(()),
        }
    }

    pub(crate) fn judge_recipient(recipient: &Recipient) -> Result<(), Reply> {
        let path = recipient.forward_path.to_string();
        if path.ends_with("@elsewhere.example>") {
            return Err(reply::relay_denied());
        }
        match path.split('@').next() {
            Some("<nobody") => Err(reply::unknown_user()),
            Some("<trouble") => Err(reply::local_trouble()),
            _ => Ok(()),
        }
    }

    /// Names the message by its recipients and its size, so that a transcript shows what was taken.
    pub(crate) fn take(&self, envelope: Envelope, content: Bytes) -> Reply {
        let name = format!("{} recipients, {} octets", envelope.recipients.len(), content.len());
        self.taken.lock().unwrap().push((envelope, content));
        reply::queued(name)
    }
}

#[async_trait]
impl Agent for Rules {
    async fn connect(&self, _session: &SessionInfo) -> Result<(), Reply> {
        Ok(())
    }

    async fn authenticate(&self, _: &SessionInfo, credentials: &Credentials) -> Result<Login, Reply> {
        Self::judge_credentials(credentials)
    }

    async fn challenge_scram(&self, _: &SessionInfo, login: &str) -> Result<ScramChallenge, Reply> {
        Self::challenge(login)
    }

    async fn mail(&self, _session: &SessionInfo, envelope: &Envelope) -> Result<(), Reply> {
        Self::judge_sender(envelope)
    }

    async fn rcpt(&self, _: &SessionInfo, _: &Envelope, recipient: &Recipient) -> Result<(), Reply> {
        Self::judge_recipient(recipient)
    }

    async fn data(&self, _session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply {
        self.take(envelope, content)
    }
}

fn password_of(login: &str) -> Option<&'static str> {
    match login {
        "demo@a.example" => Some("secret"),
        "user" => Some("pencil"),
        _ => None,
    }
}

/// The server's signature for a proof that is right (RFC 5802 3).
fn verify(proof: &ScramProof) -> Option<[u8; 32]> {
    let challenge = Rules::challenge(&proof.login).ok()?;
    let mut salted = [0; 32];
    let iterations = challenge.iterations.try_into().unwrap();
    let password = password_of(&proof.login)?.as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &challenge.salt, password, &mut salted);
    let sign = |key: &[u8], message: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        <[u8; 32]>::try_from(hmac::sign(&key, message.as_bytes()).as_ref()).unwrap()
    };
    let stored = digest::digest(&digest::SHA256, &sign(&salted, "Client Key"));
    let signature = sign(stored.as_ref(), &proof.auth_message);
    let client_key: Vec<u8> = proof.proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let is_right = digest::digest(&digest::SHA256, &client_key).as_ref() == stored.as_ref();
    is_right.then(|| sign(&sign(&salted, "Server Key"), &proof.auth_message))
}
