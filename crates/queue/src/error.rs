//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::fault::Fault;

/// Why the queue could not be opened or migrated. Each text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no storage we have.
    #[error("queue.url must be postgres://… or sqlite:PATH")]
    Url(#[source] Option<sqlx::Error>),
    /// Another process owns the SQLite file.
    #[error("the queue {} is in use by another process; stop that one first, or use Postgres for several", .0.display())]
    InUse(PathBuf),
    /// A folder or file could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The tables are missing or older than this program.
    #[error(
        "the queue's database has schema version {found} and this program needs {needed}; run the migration first"
    )]
    Schema {
        /// What the database has; 0 for nothing.
        found: i64,
        /// What this program needs.
        needed: i64,
    },
    /// A migration failed.
    #[error("cannot bring the queue's database up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database answered, but not to this.
    #[error("cannot announce this instance in the queue's database: {0}")]
    Register(String),
    /// The database cannot be reached or refuses us.
    #[error("cannot open the queue's database: {0}")]
    Connect(#[from] sqlx::Error),
}

/// Why a message was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// The disk is full: 452 4.3.1.
    #[error("the queue's storage is full")]
    Overloaded,
    /// Nothing was written and the same may work later: 451 4.3.0.
    #[error("the queue's storage is not available: {0}")]
    Unavailable(Arc<str>),
    /// The connection broke at the commit and could not be asked again in time: 451 4.3.0, and [`crate::Queue::resolve`]
    /// tells later. If it was stored, its lane is taken anew, so that it is found among the fresh.
    #[error("whether the message was stored is not known")]
    Unknown,
    /// The storage will never take this message: 554 5.6.0.
    #[error("the storage refuses the message: {0}")]
    Rejected(Arc<str>),
    /// This instance does not own the lane any more and nothing was written: allocate anew.
    #[error("the lane is owned by another instance")]
    Fenced,
    /// The id is void or in use and nothing was written: 451 4.3.0, never under another id, for whoever made it void has sent
    /// the message again.
    #[error("the queue id is void or in use")]
    Taken,
}

/// Why the storage could not be asked or told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing was done and the same may work later.
    #[error("the queue's storage is not available: {0}")]
    Unavailable(Arc<str>),
    /// The disk is full.
    #[error("the queue's storage is full")]
    Full,
    /// The lane of the recipient, or of a notice, is owned by another instance, and nothing was written.
    #[error("the lane is owned by another instance")]
    Fenced,
    /// Whether it was stored is not known; repeat it.
    #[error("whether it was stored is not known")]
    Unknown,
    /// The storage will never take this.
    #[error("the storage refuses it: {0}")]
    Rejected(Arc<str>),
    /// A row that does not make sense.
    #[error("the storage holds something that cannot be read: {0}")]
    Corrupt(Arc<str>),
}

impl From<Fault> for AcceptError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Overloaded,
            Fault::Refused(detail) => Self::Unavailable(detail),
            Fault::Lost(_) => Self::Unknown,
            Fault::Conflict(_) => Self::Taken,
            Fault::Data(detail) | Fault::Corrupt(detail) => Self::Rejected(detail),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Full,
            Fault::Refused(detail) => Self::Unavailable(detail),
            Fault::Lost(_) => Self::Unknown,
            Fault::Data(detail) | Fault::Conflict(detail) => Self::Rejected(detail),
            Fault::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}
