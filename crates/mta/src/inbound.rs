//! SMTP from other servers, on port 25: takes mail for recipients here and for nobody else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Content, Credentials, Domain, Envelope, Recipient, Resolution, ScramChallenge};
use protocol::{Directory, ErrorKind, QueueSummary, Relay, Submission};
use smtp::reply::{self, Reply};
use smtp::verification::Subject;
use smtp::{Agent, Inquiry, Login, SessionInfo};

use crate::intake::Intake;

/// Domains that QUEU names.
const DOMAINS: u32 = 100;

/// What the sessions on port 25 ask.
pub struct Inbound {
    /// Takes the messages.
    pub intake: Intake,
    /// Knows who is ours.
    pub directory: Arc<dyn Directory>,
    /// Knows how much waits.
    pub summary: Arc<dyn QueueSummary>,
    /// This host, for the Received field.
    pub host: Domain,
}

#[async_trait]
impl Agent for Inbound {
    async fn connect(&self, _: &SessionInfo) -> Result<(), Reply> {
        Ok(())
    }

    async fn authenticate(&self, _: &SessionInfo, _: &Credentials) -> Result<Login, Reply> {
        Err(reply::authentication_failed())
    }

    async fn challenge_scram(&self, _: &SessionInfo, _: &str) -> Result<ScramChallenge, Reply> {
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

    async fn inquire(&self, _: &SessionInfo, inquiry: &Inquiry) -> Reply {
        match inquiry {
            Inquiry::Verify(name) => self.ask(name, |subject, found| subject.verified(found, false)).await,
            Inquiry::Expand(name) => self.ask(name, Subject::expanded).await,
            Inquiry::Start { domain, below } => self.start_queue(domain, *below).await,
            Inquiry::List { ages, domain } => self.list(*ages, domain.as_ref()).await,
        }
    }

    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply {
        let submission = Submission {
            envelope,
            content: Content::from(content),
            tls: session.tls.as_ref().map(|tls| tls.version.clone()),
            by: self.host.clone(),
            key: None,
        };
        match self.intake.enqueue(submission).await {
            Ok(submitted) => {
                tracing::Span::current().record("queue_id", tracing::field::display(submitted.id));
                reply::queued_for(session, submitted.id, protocol::trace::current().trace_id())
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

impl Inbound {
    /// ETRN (RFC 1985): for the lanes of this mta.
    async fn start_queue(&self, domain: &Domain, below: bool) -> Reply {
        match self.intake.dispatcher.retry_now(domain, below).await {
            Ok(0) => reply::nothing_waits(),
            Ok(waiting) => reply::queue_started(waiting),
            Err(error) => {
                tracing::warn!(%error, %domain, "the queue for a domain cannot be started");
                reply::queue_not_started()
            }
        }
    }

    async fn list(&self, ages: bool, domain: Option<&Domain>) -> Reply {
        match self.summary.summarize(domain, DOMAINS).await {
            Ok(summary) => reply::queue_summary(&summary, ages.then(|| self.intake.clock.now().into())),
            Err(error) => {
                tracing::warn!(%error, "the queue cannot say how much waits");
                reply::local_trouble()
            }
        }
    }

    /// What a peer hears of somebody that it asks about.
    async fn ask(&self, name: &str, say: impl Fn(&Subject, &Resolution) -> Reply) -> Reply {
        let subject = match Subject::parse(name) {
            Ok(subject) => subject,
            Err(refusal) => return refusal,
        };
        match self.directory.resolve(subject.path()).await {
            Ok(found) => say(&subject, &found),
            Err(error) => {
                tracing::warn!(%error, recipient = %subject.path(), "the directory cannot be asked");
                reply::local_trouble()
            }
        }
    }
}
