//! SMTP from other servers, on port 25: takes mail for recipients here and for nobody else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Account, Content, Domain, Envelope, Recipient, Resolution};
use protocol::{Directory, ErrorKind, Relay, Submission};
use smtp::reply::{self, Reply};
use smtp::{Agent, SessionInfo};

use crate::intake::Intake;

/// What the sessions on port 25 ask.
pub struct Inbound {
    /// Takes the messages.
    pub intake: Intake,
    /// Knows who is ours.
    pub directory: Arc<dyn Directory>,
    /// This host, for the Received field.
    pub host: Domain,
}

#[async_trait]
impl Agent for Inbound {
    async fn connect(&self, _: &SessionInfo) -> Result<(), Reply> {
        Ok(())
    }

    async fn authenticate(&self, _: &SessionInfo, _: &str, _: &str) -> Result<Account, Reply> {
        Err(reply::authentication_failed())
    }

    async fn mail(&self, _: &SessionInfo, _: &Envelope) -> Result<(), Reply> {
        Ok(())
    }

    async fn rcpt(&self, _: &SessionInfo, _: &Envelope, recipient: &Recipient) -> Result<(), Reply> {
        match self.directory.resolve(&recipient.forward_path).await {
            Ok(Resolution::Deliverable(_)) => Ok(()),
            Ok(Resolution::UnknownUser) => Err(reply::unknown_user()),
            Ok(Resolution::NotLocal) => Err(reply::relay_denied()),
            Err(error) => {
                tracing::warn!(%error, recipient = %recipient.forward_path, "the directory cannot be asked");
                Err(reply::local_trouble())
            }
        }
    }

    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply {
        let submission = Submission {
            envelope,
            content: Content::from(content),
            tls: session.tls.as_ref().map(|tls| tls.version.clone()),
            by: self.host.clone(),
        };
        match self.intake.enqueue(submission).await {
            Ok(submitted) => {
                tracing::Span::current().record("queue_id", tracing::field::display(submitted.id));
                reply::queued(submitted.id)
            }
            Err(error) => {
                tracing::warn!(%error, peer = %session.peer, "a message was not taken");
                match error.kind {
                    ErrorKind::Overloaded => reply::storage_full(),
                    ErrorKind::Rejected => Reply::new(554, (5, 6, 0), error.message),
                    _ => reply::local_trouble(),
                }
            }
        }
    }
}
