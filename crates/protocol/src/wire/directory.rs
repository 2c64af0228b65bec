//! `directory.proto`.

use mail::{Account, Alias, Credentials, Resolution, ScramChallenge, ScramProof, Timestamp};

use super::{malformed, quotas, required, text, texts};
use crate::generated as wire;
use crate::generated::authenticate_request::Proof;
use crate::generated::resolve_recipient_response::Resolution as Answer;
use crate::{Authentication, Error};

impl From<&Account> for wire::Account {
    fn from(account: &Account) -> Self {
        Self {
            address: account.address.to_string(),
            may_send_as: account.may_send_as.iter().map(ToString::to_string).collect(),
            created_at: account.created_at.as_millis(),
            granted: account.granted.iter().map(ToString::to_string).collect(),
            quota: quotas::to_names(&account.quota),
        }
    }
}

impl TryFrom<wire::Account> for Account {
    type Error = Error;
    fn try_from(account: wire::Account) -> Result<Self, Error> {
        Ok(Self {
            address: text("address of an account", &account.address)?,
            may_send_as: texts("address of an account", &account.may_send_as)?,
            granted: texts("grant of an account", &account.granted)?,
            quota: quotas::from_names(&account.quota),
            created_at: Timestamp::from_millis(account.created_at),
        })
    }
}

impl From<&Authentication> for wire::AuthenticateResponse {
    fn from(authentication: &Authentication) -> Self {
        match authentication {
            Authentication::Accepted(account) => {
                Self { account: Some(account.into()), server_signature: None }
            }
            Authentication::Proven(account, signature) => {
                let signature = bytes::Bytes::copy_from_slice(signature);
                Self { account: Some(account.into()), server_signature: Some(signature) }
            }
            Authentication::Refused => Self { account: None, server_signature: None },
        }
    }
}

impl TryFrom<wire::AuthenticateResponse> for Authentication {
    type Error = Error;
    fn try_from(answer: wire::AuthenticateResponse) -> Result<Self, Error> {
        let Some(account) = answer.account else { return Ok(Self::Refused) };
        let account = account.try_into()?;
        Ok(match answer.server_signature {
            Some(signature) => Self::Proven(account, octets("server signature", &signature)?),
            None => Self::Accepted(account),
        })
    }
}

impl From<&Credentials> for wire::AuthenticateRequest {
    fn from(credentials: &Credentials) -> Self {
        let proof = match credentials {
            Credentials::Password { password, .. } => Proof::Password(password.clone()),
            Credentials::Scram(proof) => Proof::Scram(wire::ScramProof {
                auth_message: proof.auth_message.clone(),
                proof: bytes::Bytes::copy_from_slice(&proof.proof),
            }),
            Credentials::Token { token, .. } => Proof::Token(token.clone()),
            Credentials::Certificate { addresses, .. } => {
                Proof::Certificate(wire::Certificate { addresses: addresses.clone() })
            }
        };
        Self { login: credentials.login().to_owned(), proof: Some(proof) }
    }
}

impl TryFrom<wire::AuthenticateRequest> for Credentials {
    type Error = Error;
    fn try_from(request: wire::AuthenticateRequest) -> Result<Self, Error> {
        let login = request.login;
        Ok(match required("proof", request.proof)? {
            Proof::Password(password) => Self::Password { login, password },
            Proof::Scram(proof) => Self::Scram(ScramProof {
                login,
                proof: octets("proof", &proof.proof)?,
                auth_message: proof.auth_message,
            }),
            Proof::Token(token) => Self::Token { login, token },
            Proof::Certificate(certificate) => Self::Certificate { login, addresses: certificate.addresses },
        })
    }
}

fn octets(what: &'static str, octets: &[u8]) -> Result<[u8; 32], Error> {
    octets.try_into().map_err(|_| malformed(what, "not 32 octets"))
}

impl From<ScramChallenge> for wire::ChallengeScramResponse {
    fn from(challenge: ScramChallenge) -> Self {
        Self { salt: challenge.salt.into(), iterations: challenge.iterations }
    }
}

impl From<wire::ChallengeScramResponse> for ScramChallenge {
    fn from(challenge: wire::ChallengeScramResponse) -> Self {
        Self { salt: challenge.salt.into(), iterations: challenge.iterations }
    }
}

impl From<&Resolution> for wire::ResolveRecipientResponse {
    fn from(resolution: &Resolution) -> Self {
        let answer = match resolution {
            Resolution::Deliverable(mailboxes) => Answer::Deliverable(wire::Deliverable {
                mailboxes: mailboxes.iter().map(ToString::to_string).collect(),
            }),
            Resolution::UnknownUser => Answer::UnknownUser(wire::UnknownUser {}),
            Resolution::NotLocal => Answer::NotLocal(wire::NotLocal {}),
        };
        Self { resolution: Some(answer) }
    }
}

impl TryFrom<wire::ResolveRecipientResponse> for Resolution {
    type Error = Error;
    fn try_from(answer: wire::ResolveRecipientResponse) -> Result<Self, Error> {
        Ok(match required("resolution", answer.resolution)? {
            Answer::Deliverable(deliverable) => Self::Deliverable(texts("mailbox", &deliverable.mailboxes)?),
            Answer::UnknownUser(_) => Self::UnknownUser,
            Answer::NotLocal(_) => Self::NotLocal,
        })
    }
}

impl From<&Alias> for wire::Alias {
    fn from(alias: &Alias) -> Self {
        Self {
            address: alias.address.clone(),
            targets: alias.targets.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The address stays text: `*` stands for any local part, and the directory knows the rules.
impl TryFrom<wire::Alias> for Alias {
    type Error = Error;
    fn try_from(alias: wire::Alias) -> Result<Self, Error> {
        Ok(Self { address: alias.address, targets: texts("target of an alias", &alias.targets)? })
    }
}
