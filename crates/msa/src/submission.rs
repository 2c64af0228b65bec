//! What a submission session asks: who may come in, send as whom, to whom, and what becomes of the message.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Account, Credentials, Domain, Envelope, Recipient, Resolution, Timestamp};
use protocol::{Authentication, Directory, Error, ErrorKind, Relay, Submission};
use service::clock::Clock;
use smtp::reply::{self, Reply};
use smtp::{Agent, SessionInfo};
use uuid::Uuid;

use crate::completion::{Fresh, complete};
use crate::metrics::Metrics;
use crate::refusal;
use crate::sender::Sender;

/// The agent behind all submission ports.
pub(crate) struct Submissions {
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) directory: Arc<dyn Directory>,
    /// This host, in Received and Message-ID fields.
    pub(crate) host: Domain,
    pub(crate) detail_separator: Option<char>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

#[async_trait]
impl Agent for Submissions {
    async fn connect(&self, _: &SessionInfo) -> Result<(), Reply> {
        Ok(())
    }

    async fn authenticate(
        &self,
        session: &SessionInfo,
        login: &str,
        password: &str,
    ) -> Result<Account, Reply> {
        match self.directory.authenticate(&Credentials::password(login, password)).await {
            Ok(Authentication::Accepted(account) | Authentication::Proven(account, _)) => {
                self.metrics.authentication("accepted");
                Ok(account)
            }
            Ok(Authentication::Refused) => {
                self.metrics.authentication("refused");
                tracing::warn!(peer = %session.peer.ip(), login, "authentication failed");
                Err(reply::authentication_failed())
            }
            Err(error) => {
                self.metrics.authentication("unavailable");
                tracing::warn!(%error, peer = %session.peer.ip(), "authentication cannot be checked");
                Err(refusal::authentication_away())
            }
        }
    }

    /// The null reverse-path is everybody's: clients send disposition notifications with it (RFC 8098 3).
    async fn mail(&self, session: &SessionInfo, envelope: &Envelope) -> Result<(), Reply> {
        let account = account(session)?;
        match envelope.reverse_path.mailbox() {
            Some(mailbox) if !self.sender(account).owns(mailbox) => Err(refusal::reverse_path()),
            _ => Ok(()),
        }
    }

    /// Submission goes anywhere; what is ours must be there (RFC 6409 3.1).
    async fn rcpt(&self, _: &SessionInfo, _: &Envelope, recipient: &Recipient) -> Result<(), Reply> {
        match self.directory.resolve(&recipient.forward_path).await {
            Ok(Resolution::Deliverable(_) | Resolution::NotLocal) => Ok(()),
            Ok(Resolution::UnknownUser) => Err(reply::unknown_user()),
            Err(error) => {
                tracing::warn!(%error, recipient = %recipient.forward_path, "the directory cannot be asked");
                Err(refusal::directory_away())
            }
        }
    }

    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply {
        let size = content.len();
        let reply = self.submit(session, envelope, &content).await.unwrap_or_else(|refused| refused);
        self.metrics.message(&reply, size);
        reply
    }
}

impl Submissions {
    fn sender<'a>(&self, account: &'a Account) -> Sender<'a> {
        Sender::new(account, self.detail_separator)
    }

    /// Completes a message and hands it over; `Ok` only once the mta has made it durable.
    async fn submit(
        &self,
        session: &SessionInfo,
        envelope: Envelope,
        content: &Bytes,
    ) -> Result<Reply, Reply> {
        let account = account(session)?;
        let sender = self.sender(account);
        let message_id = format!("<{}@{}>", Uuid::new_v4(), self.host);
        let fresh = Fresh {
            now: Timestamp::from(self.clock.now()),
            message_id: &message_id,
            author: envelope.reverse_path.mailbox().unwrap_or(&account.address),
        };
        let content = complete(content, &sender, &fresh)?;
        let submission = Submission {
            envelope,
            content,
            tls: session.tls.as_ref().map(|tls| tls.version.clone()),
            by: self.host.clone(),
        };
        let submitted = self.relay.enqueue(submission).await.map_err(|error| not_taken(session, error))?;
        tracing::Span::current().record("queue_id", tracing::field::display(submitted.id));
        Ok(reply::queued(submitted.id))
    }
}

/// The session asks for mail only from those who have authenticated; should it ever not, nobody is served.
fn account(session: &SessionInfo) -> Result<&Account, Reply> {
    session.account.as_ref().ok_or_else(reply::authentication_required)
}

/// Whatever is not known to be for good is worth another try; the client still has the message.
fn not_taken(session: &SessionInfo, error: Error) -> Reply {
    tracing::warn!(%error, peer = %session.peer.ip(), "a message was not taken by the mta");
    match error.kind {
        ErrorKind::Overloaded => reply::storage_full(),
        ErrorKind::Rejected => refusal::rejected(error.message),
        ErrorKind::Unavailable
        | ErrorKind::Unknown
        | ErrorKind::Internal
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists => refusal::not_queued(),
    }
}
