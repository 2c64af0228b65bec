//! Where mail becomes ours: a message from the msa, from another server or from ourselves is checked, routed, made durable and
//! handed to the scheduler with its content still in memory.

use std::sync::Arc;

use async_trait::async_trait;
use mail::timeline::MessageView;
use mail::{Content, Envelope, IdempotencyKey, Mailbox, QueueId, Timestamp, header, received};
use protocol::{Error, ErrorKind, QueueAdmin as _, Submission, Submitted};
use queue::{AcceptError, Accepted, MailTransaction, Queue};
use service::clock::Clock;
use tokio_util::sync::DropGuard;
use tracing::Instrument as _;

use crate::dispatcher::Dispatcher;
use crate::metrics::Metrics;
use crate::once;
use crate::queue_admin::{self, QueueAdmin};
use crate::recipients::{Expanded, Recipients};

/// How far into a message Received fields are counted.
const HEADER_LIMIT: usize = 256 * 1024;

/// Takes mail into the queue.
#[derive(Clone)]
pub struct Intake {
    /// Where it is made durable.
    pub queue: Queue,
    /// Knows where recipients go.
    pub recipients: Recipients,
    /// Shows what is there.
    pub admin: QueueAdmin,
    /// Starts the first attempts.
    pub dispatcher: Arc<Dispatcher>,
    /// Received fields that a message may carry.
    pub hops: usize,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// Keeps the queue open for as long as somebody may hand in mail.
    pub open: Arc<DropGuard>,
}

#[async_trait]
impl protocol::Intake for Intake {
    async fn allocate(&self) -> Result<QueueId, Error> {
        self.queue.allocate().map_err(accept_error)
    }

    async fn enqueue_as(&self, id: QueueId, submission: Submission) -> Result<Submitted, Error> {
        let at = Timestamp::from(self.clock.now());
        let Submission { envelope, mut content, tls, by, key } = submission;
        self.check_header(&mut content)?;
        content.prepend(received::received(&envelope, &by, id, tls.as_deref(), at));
        self.accept(id, envelope, content, key, at).await
    }

    async fn resolve(&self, id: QueueId) -> Result<bool, Error> {
        self.queue.resolve(id).await.map_err(|error| Error::new(ErrorKind::Unavailable, error))
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        let kept = self.queue.recall(key).await.map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        kept.map(|kept| once::answered(kept, key)).transpose()
    }

    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error> {
        let view = self.admin.show(id).await?;
        if view.account.as_ref() == Some(account) {
            return Ok(view);
        }
        // As if it were not there: nobody learns of others' messages.
        Err(queue_admin::unknown(id))
    }
}

impl Intake {
    /// Counts the hops (RFC 5321 6.3) and keeps the header section apart from content that has none of its own.
    fn check_header(&self, content: &mut Content) -> Result<(), Error> {
        let start = content.start(HEADER_LIMIT);
        let (header, _) = header::split(&start);
        let hops = header::fields(header).filter(|field| field.is("Received")).count();
        if hops >= self.hops {
            let text = format!("the message goes in circles: it has {hops} Received fields");
            return Err(Error::new(ErrorKind::Rejected, text));
        }
        if header.is_empty() && !start.starts_with(b"\r\n") {
            content.prepend("\r\n");
        }
        Ok(())
    }

    async fn accept(
        &self,
        id: QueueId,
        envelope: Envelope,
        content: Content,
        key: Option<IdempotencyKey>,
        at: Timestamp,
    ) -> Result<Submitted, Error> {
        // To its end, whoever goes away meanwhile: what is durable must come to its first attempt. Keeps the queue open.
        let work = self.clone().take(id, envelope, content, key, at).in_current_span();
        tokio::spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(queue_id = %id, %error, "a message could not be taken to its end");
            Err(Error::new(ErrorKind::Unknown, "the mta has a fault; its log says more"))
        })
    }

    async fn take(
        self,
        id: QueueId,
        envelope: Envelope,
        content: Content,
        key: Option<IdempotencyKey>,
        at: Timestamp,
    ) -> Result<Submitted, Error> {
        let Expanded { deliveries, numbers } = self.recipients.deliveries(&envelope, at).await?;
        let trace = protocol::trace::current();
        let transaction = MailTransaction { id, accepted_at: at, envelope, trace, content, deliveries };
        if let Some(before) = self.store(transaction.clone(), &numbers, key).await? {
            return Ok(before);
        }
        tracing::Span::current().record("queue_id", tracing::field::display(id));
        tracing::info!(
            queue_id = %id,
            peer = transaction.envelope.origin.address.map(tracing::field::display),
            account = transaction.envelope.origin.account.as_ref().map(tracing::field::display),
            from = %transaction.envelope.reverse_path,
            recipients = transaction.deliveries.len(),
            size = transaction.content.len(),
            "message accepted"
        );
        self.metrics.accepted(transaction.content.len());
        self.dispatcher.offer_accepted(transaction);
        Ok(Submitted { id, numbers, repeated: None })
    }

    /// Makes a message durable, unless another was accepted under its key before: then the answer is that one's.
    async fn store(
        &self,
        transaction: MailTransaction,
        numbers: &[u16],
        key: Option<IdempotencyKey>,
    ) -> Result<Option<Submitted>, Error> {
        let Some(mut key) = key else {
            self.queue.accept(transaction).await.map_err(accept_error)?;
            return Ok(None);
        };
        key.note = once::note(numbers, &key.note);
        let Accepted::Before(kept) = self.queue.accept_once(transaction, &key).await.map_err(accept_error)?
        else {
            return Ok(None);
        };
        tracing::info!(queue_id = %kept.id, account = %key.account, "a message was handed in again under its key");
        once::answered(kept, &key).map(Some)
    }
}

fn accept_error(error: AcceptError) -> Error {
    let kind = match &error {
        AcceptError::Overloaded => ErrorKind::Overloaded,
        AcceptError::Rejected(_) => ErrorKind::Rejected,
        AcceptError::Unknown => ErrorKind::Unknown,
        // Another id, which the caller takes anew, may do.
        AcceptError::Unavailable(_) | AcceptError::Fenced | AcceptError::Taken => ErrorKind::Unavailable,
    };
    Error::new(kind, error)
}
