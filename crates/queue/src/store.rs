//! What a storage can do, in batches. Two implement it: `postgres` and `sqlite`. Knows nothing of who waits for an answer.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mail::{Content, QueueId, Timestamp};
use uuid::Uuid;

use crate::fault::Fault;
use crate::model::{Backlog, Delivery, Depth, DueCursor, Kept, LaneGrant, Message, RecipientKey, Reported};
use crate::prepare::{PreparedMessage, PreparedReport};

/// A statement and the name that metrics and traces know it by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// What survives a crash.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// How many connections may commit.
    fn writers(&self) -> usize;

    /// A connection that commits, made when first used and again after it broke.
    fn committer(&self) -> Box<dyn Committer>;

    /// Whether content of this size is stored ahead of its message.
    fn spools(&self, size: usize) -> bool;

    /// Stores the parts of a message's content; they count only once the message is committed.
    async fn spool(&self, message: &PreparedMessage) -> Result<(), Fault>;

    async fn fresh(&self, lane: u8, after: Option<RecipientKey>, limit: u32) -> Result<Vec<Delivery>, Fault>;
    async fn backlog(&self, lane: u8) -> Result<Vec<Backlog>, Fault>;
    /// Due recipients in the order of [`DueCursor`], at most `per_lane` of each lane.
    async fn due(&self, page: &DuePage<'_>) -> Result<Vec<Delivery>, Fault>;
    async fn expired(&self, lane: u8, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, Fault>;
    async fn message(&self, id: QueueId) -> Result<Option<Message>, Fault>;
    async fn content(&self, id: QueueId) -> Result<Option<Content>, Fault>;
    async fn depth(&self, lanes: &[u8]) -> Result<Depth, Fault>;

    /// Whether the message was accepted; if not, makes sure that it never is.
    async fn resolve(&self, id: QueueId, now: Timestamp) -> Result<bool, Fault>;
    /// Makes fresh recipients due at `at`, where the lane is still owned.
    async fn park(&self, grant: LaneGrant, keys: &[RecipientKey], at: Timestamp) -> Result<u64, Fault>;
    /// Makes recipients due at `now` who wait for another attempt; answers where each goes.
    async fn hasten(&self, hurry: &Hurry<'_>) -> Result<Vec<String>, Fault>;
    /// Deletes some of what is too old in a lane; answers how many rows of the largest kind went.
    async fn sweep(&self, lane: u8, before: Retention) -> Result<u64, Fault>;

    /// What was accepted under an idempotency key.
    async fn recall(&self, account: &str, key: &str) -> Result<Option<Kept>, Fault>;
    /// Forgets some of the idempotency keys whose time is over; answers how many.
    async fn forget_keys(&self, now: Timestamp, limit: u32) -> Result<u64, Fault>;

    /// Announces this instance.
    async fn register(&self, me: Uuid) -> Result<(), Fault>;
    /// Renews the lease; none when this instance has been declared dead.
    async fn heartbeat(&self, me: Uuid) -> Result<Option<Standing>, Fault>;
    /// Declares instances dead whose lease ran out.
    async fn bury(&self) -> Result<usize, Fault>;
    /// Takes lanes that nobody living owns.
    async fn take(&self, me: Uuid, at_most: usize) -> Result<Vec<Taken>, Fault>;
    /// Gives lanes back.
    async fn release(&self, me: Uuid, lanes: &[u8]) -> Result<(), Fault>;
    /// Gives all lanes back and forgets this instance.
    async fn retire(&self, me: Uuid) -> Result<(), Fault>;
    /// Closes what is open.
    async fn close(&self);
}

/// Commits batches, one at a time.
#[async_trait]
pub(crate) trait Committer: Send {
    /// All of a batch in one transaction; whatever is fenced stays out of it and is named in the answer.
    async fn commit(&mut self, batch: &Batch<'_>, form: Form) -> Result<Committed, Fault>;
}

/// Whether a batch may have been committed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// It cannot; a key that exists is a conflict.
    First,
    /// It may; what is there already is taken as stored.
    Repeat,
}

/// Messages and results for one commit.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    pub(crate) messages: Vec<&'a PreparedMessage>,
    pub(crate) reports: Vec<&'a PreparedReport>,
}

/// One answer for each message and each result of a batch, in their order.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) messages: Vec<Stored>,
    pub(crate) reports: Vec<ReportStored>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Yes,
    /// The lane is owned by another.
    Fenced,
    /// The id is void or another message's.
    Taken,
    /// Its spooled parts are gone: the database crashed between them and the message.
    Incomplete,
    /// Another message was accepted under its idempotency key.
    Before(Kept),
}

/// What became of a result: none where its lane, or that of a notice, is owned by another.
pub(crate) type ReportStored = Option<Reported>;

/// A question for due recipients.
#[derive(Debug)]
pub(crate) struct DuePage<'a> {
    pub(crate) lanes: &'a [u8],
    pub(crate) destination: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) after: Option<DueCursor>,
    pub(crate) per_lane: u32,
}

/// Whose next attempt is to be made now.
#[derive(Debug)]
pub(crate) struct Hurry<'a> {
    pub(crate) lanes: &'a [u8],
    pub(crate) now: Timestamp,
    /// How the forward-path ends.
    pub(crate) end: &'a str,
    /// How it may end as well; empty for no more.
    pub(crate) other_end: &'a str,
    pub(crate) limit: u32,
}

/// Ids below which history and orphans go, and how many rows at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) history: i64,
    pub(crate) orphans: i64,
    pub(crate) limit: u32,
}

/// A lane that was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) grant: LaneGrant,
    /// The highest number in it: the owner before may have had a faster clock.
    pub(crate) last: i64,
}

/// What the storage says of an instance and its lanes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) lanes: BTreeMap<u8, i64>,
    /// Instances that are not dead, this one included.
    pub(crate) live: usize,
    /// Lanes that the schema has.
    pub(crate) total: usize,
}
