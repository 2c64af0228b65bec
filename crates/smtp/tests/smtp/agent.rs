//! An agent that answers by simple rules, for the pure session and for the server alike.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Account, Envelope, Recipient, Timestamp};
use smtp::reply::{self, Reply};
use smtp::{Agent, Inquiry, SessionInfo};

/// Knows `demo@a.example` with the password `secret`; refuses senders `banned@…`, recipients `nobody@…` and those at
/// `elsewhere.example`; has trouble with `trouble@…`; keeps what it took.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) taken: Mutex<Vec<(Envelope, Bytes)>>,
}

impl Rules {
    pub(crate) fn judge_credentials(login: &str, password: &str) -> Result<Account, Reply> {
        match (login, password) {
            ("demo@a.example", "secret") => {
                Ok(Account::new(login.parse().unwrap(), Timestamp::from_millis(0)))
            }
            ("trouble@a.example", _) => Err(reply::local_trouble()),
            _ => Err(reply::authentication_failed()),
        }
    }

    /// Serves nobody from 192.0.2.66.
    pub(crate) fn judge_client(
        session: &SessionInfo,
        login: Option<String>,
    ) -> Result<Option<Account>, Reply> {
        if session.peer.ip().to_string() == "192.0.2.66" {
            return Err(reply::too_many_sessions());
        }
        login.map(|login| Self::judge_credentials(&login, "secret")).transpose()
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

    async fn authenticate(&self, _: &SessionInfo, login: &str, password: &str) -> Result<Account, Reply> {
        Self::judge_credentials(login, password)
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
