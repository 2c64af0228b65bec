//! What callers hand to the queue and get back. Nouns only; knows nothing of storage.

use std::sync::Arc;

use bytes::Bytes;
use mail::{Content, Envelope, ForwardPath, Outcome, Priority, QueueId, Recipient, Timestamp, TraceContext};

/// The clock that the queue asks; a test brings its own.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A mail transaction (RFC 5321 3.3) that is to be stored: all of it, or nothing.
#[derive(Debug, Clone)]
pub struct MailTransaction {
    /// From [`crate::Queue::allocate`].
    pub id: QueueId,
    /// When it was taken.
    pub accepted_at: Timestamp,
    /// What MAIL said; its recipients are not looked at, `deliveries` stand for them.
    pub envelope: Envelope,
    /// The trace that every attempt continues.
    pub trace: TraceContext,
    /// Header section and body.
    pub content: Content,
    /// Its recipients; the number of each is its place here.
    pub deliveries: Vec<NewDelivery>,
}

/// What became of a message that was handed in under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It was stored now.
    Now,
    /// Nothing was stored now: the key had been used before.
    Before(Kept),
}

/// What is kept of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The message that was accepted under it.
    pub id: QueueId,
    /// Of the request that it was accepted with.
    pub fingerprint: [u8; 32],
    /// What was kept with it.
    pub note: Bytes,
}

/// A recipient of a new message and where it goes.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// RCPT TO with its DSN options.
    pub recipient: Recipient,
    /// The key by which retries are loaded together: a next hop, whatever the mta calls it.
    pub destination: Arc<str>,
    /// Not to be tried before this time (RFC 4865).
    pub held_until: Option<Timestamp>,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When the sender hears of a delay, if it still waits then.
    pub delay_notice_at: Option<Timestamp>,
}

/// A recipient of a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecipientKey {
    /// The message.
    pub id: QueueId,
    /// Its place among the recipients of the message.
    pub number: u16,
}

/// A recipient that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which it is.
    pub key: RecipientKey,
    /// RCPT TO with its DSN options.
    pub recipient: Recipient,
    /// Its next hop.
    pub destination: Arc<str>,
    /// Its message's priority (RFC 6710).
    pub priority: Priority,
    /// Attempts that have ended.
    pub attempts: u16,
    /// When it is due; none before the end of its first attempt.
    pub next_attempt_at: Option<Timestamp>,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When the sender hears of a delay.
    pub delay_notice_at: Option<Timestamp>,
}

/// A stored message without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its queue id.
    pub id: QueueId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What MAIL said, without recipients.
    pub envelope: Envelope,
    /// The trace that every attempt continues.
    pub trace: TraceContext,
    /// The size of its content in octets.
    pub size: u64,
}

/// What an attempt came to for one recipient. Reporting the same again changes nothing.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose.
    pub key: RecipientKey,
    /// Which attempt it was, from 1: one more than [`Delivery::attempts`]. A later report about an earlier attempt is ignored.
    pub attempt: u16,
    /// When it ended.
    pub at: Timestamp,
    /// RCPT TO, for the timeline.
    pub forward_path: ForwardPath,
    /// What it came to.
    pub outcome: Outcome,
    /// The server that said so.
    pub remote: Option<String>,
    /// When to try again: with [`Outcome::Delayed`], and only with it.
    pub retry: Option<Retry>,
    /// Delivery status notifications (RFC 3464) that it causes, stored in the same transaction and only if this report is the
    /// one that took effect. Their ids come from [`crate::Queue::allocate`].
    pub notices: Vec<MailTransaction>,
}

/// When a delayed recipient is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The next attempt.
    pub next_attempt_at: Timestamp,
    /// When the sender hears of a delay; none when it has heard, or never will.
    pub delay_notice_at: Option<Timestamp>,
}

/// Whether a report took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It did; its notices are queued and their first attempts are the caller's.
    Stored,
    /// Somebody had reported before; its notices were not stored.
    Already,
}

/// A lane that is owned, and how often it has changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneGrant {
    /// The lane.
    pub lane: u8,
    /// Grows with every change of ownership.
    pub epoch: i64,
}

/// What waits in a lane for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The next hop.
    pub destination: Arc<str>,
    /// When the first of them is due.
    pub earliest: Timestamp,
    /// How many wait.
    pub count: u64,
}

/// Where a walk over due recipients stands: behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DueCursor {
    /// When it was due.
    pub next_attempt_at: Timestamp,
    /// Which it was.
    pub key: RecipientKey,
}

impl DueCursor {
    /// The cursor behind a delivery; none for one that has not been tried.
    #[must_use]
    pub fn behind(delivery: &Delivery) -> Option<Self> {
        Some(Self { next_attempt_at: delivery.next_attempt_at?, key: delivery.key })
    }
}

/// How much waits in the lanes of this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Recipients before the end of their first attempt.
    pub fresh: u64,
    /// Recipients that wait for another attempt.
    pub deferred: u64,
    /// When the recipient that is due longest became due.
    pub oldest_due: Option<Timestamp>,
}
