//! `directory.proto`.

use mail::{Account, Alias, Resolution, Timestamp};

use super::{required, text, texts};
use crate::generated as wire;
use crate::generated::resolve_recipient_response::Resolution as Answer;
use crate::{Authentication, Error};

impl From<&Account> for wire::Account {
    fn from(account: &Account) -> Self {
        Self {
            address: account.address.to_string(),
            may_send_as: account.may_send_as.iter().map(ToString::to_string).collect(),
            created_at: account.created_at.as_millis(),
        }
    }
}

impl TryFrom<wire::Account> for Account {
    type Error = Error;
    fn try_from(account: wire::Account) -> Result<Self, Error> {
        Ok(Self {
            address: text("address of an account", &account.address)?,
            may_send_as: texts("address of an account", &account.may_send_as)?,
            created_at: Timestamp::from_millis(account.created_at),
        })
    }
}

impl From<&Authentication> for wire::AuthenticateResponse {
    fn from(authentication: &Authentication) -> Self {
        match authentication {
            Authentication::Accepted(account) => Self { account: Some(account.into()) },
            Authentication::Refused => Self { account: None },
        }
    }
}

impl TryFrom<wire::AuthenticateResponse> for Authentication {
    type Error = Error;
    fn try_from(answer: wire::AuthenticateResponse) -> Result<Self, Error> {
        match answer.account {
            Some(account) => Ok(Self::Accepted(account.try_into()?)),
            None => Ok(Self::Refused),
        }
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
