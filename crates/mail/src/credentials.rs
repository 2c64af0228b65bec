//! What a client proves its identity with, as agents hand it on. Nothing here is ever shown, logged or stored.

use std::fmt;

/// The proof of an identity, whatever the mechanism.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A login and its password: PLAIN (RFC 4616), LOGIN, HTTP Basic (RFC 7617).
    Password {
        /// An account's address.
        login: String,
        /// As it was typed.
        password: String,
    },
    /// The end of a SCRAM-SHA-256 exchange (RFC 7677).
    Scram(ScramProof),
    /// An access token: OAUTHBEARER (RFC 7628), XOAUTH2, HTTP Bearer (RFC 6750).
    Token {
        /// The account that the client says the token is for; empty where it names none.
        login: String,
        /// The token.
        token: String,
    },
    /// A client certificate that TLS has verified: EXTERNAL (RFC 4422 A).
    Certificate {
        /// The account that the client wants to be (authzid); empty where it names none.
        login: String,
        /// The addresses that the certificate is for.
        addresses: Vec<String>,
    },
}

impl Credentials {
    /// A login and its password.
    #[must_use]
    pub fn password(login: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { login: login.into(), password: password.into() }
    }

    /// Whom the client says to be; empty where it leaves that to the token or the certificate.
    #[must_use]
    pub fn login(&self) -> &str {
        match self {
            Self::Password { login, .. } | Self::Token { login, .. } | Self::Certificate { login, .. } => {
                login
            }
            Self::Scram(proof) => &proof.login,
        }
    }
}

/// Shows the login and nothing of the proof.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Password { .. } => "Password",
            Self::Scram(_) => "Scram",
            Self::Token { .. } => "Token",
            Self::Certificate { .. } => "Certificate",
        };
        f.debug_struct(kind).field("login", &self.login()).finish_non_exhaustive()
    }
}

/// What the server answers to a SCRAM client's first message (RFC 5802 5.1). Somebody who does not exist gets one too, and
/// always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramChallenge {
    /// The salt of the account's password.
    pub salt: Vec<u8>,
    /// How often it was hashed.
    pub iterations: u32,
}

/// What a SCRAM client proves (RFC 5802 3). Only who knows the password or has listened to its derivation can make one, and
/// it is good for this exchange alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramProof {
    /// An account's address.
    pub login: String,
    /// `AuthMessage`: all that both sides have said.
    pub auth_message: String,
    /// `ClientProof`.
    pub proof: [u8; 32],
}

/// Shows the login alone.
impl fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramProof").field("login", &self.login).finish_non_exhaustive()
    }
}

/// `ServerSignature` of RFC 5802 3: proves to the client that the server knows its account.
pub type ServerSignature = [u8; 32];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proof_is_shown() {
        let proof = ScramProof { login: "a@b".into(), auth_message: "secret".into(), proof: [0x73; 32] };
        for credentials in [
            Credentials::password("a@b", "secret"),
            Credentials::Token { login: "a@b".into(), token: "secret".into() },
            Credentials::Scram(proof.clone()),
        ] {
            let shown = format!("{credentials:?} {proof:?}");
            assert!(shown.contains("a@b") && !shown.contains("secret") && !shown.contains("115"), "{shown}");
        }
    }
}
