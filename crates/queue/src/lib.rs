//! The durable mail queue: what was accepted survives everything until each recipient has ended. On Postgres for many
//! instances, on SQLite for one. It knows messages, recipients, destinations by name, and time as it is told; it knows no
//! SMTP, no route and no agent.
//!
//! # How it works
//! The queue is cut into **lanes** (256 on Postgres, one on SQLite). An instance leases lanes by a heartbeat; each change of owner
//! raises the lane's **epoch**. An instance writes what it accepts into lanes that it owns and knows it from memory: nothing is
//! claimed, and the first attempt reads nothing. Whatever changes a lane carries the epoch (the **fence**) and changes nothing
//! under an old one. Accepts and results that wait together are **one commit**. What is delivered at its first attempt never enters
//! an index beyond primary keys; retries are loaded per destination.
//!
//! # A recipient's states
//! ```text
//!            accept                    report: delayed
//!  (nothing) ──────▶ fresh ───────────────────────────▶ deferred ◀─┐ report: delayed
//!      │               │ └─────────── park ───────────────▲ │ └────┘
//!      │ resolve       │ report: delivered, relayed, failed │
//!      ▼               ▼                                    ▼
//!   void id         ended: a row of history, and with the message's last recipient the message goes
//! ```
//! A pending recipient is a row of `delivery`; there is no other truth about what is pending. A void id is a message row that nobody
//! can replace.
//!
//! # What a crash may leave, and who repairs it
//! | left behind | repaired by |
//! | --- | --- |
//! | a fresh recipient whose attempt was under way, or that only memory knew | the next owner of the lane: [`Queue::fresh`] when it is taken |
//! | a deferred recipient | the next owner: [`Queue::backlog`], then [`Queue::due`] |
//! | a recipient delivered but not reported | nobody can know: it is attempted again. Bounded by what was past the final dot (RFC 5321 6.1); the mda's delivery changes nothing when repeated |
//! | parts without a message (a crash between them) | the sweep, after `orphan_retention_hours` |
//! | a message whose parts were lost with the database's last moments | cannot be: the message's commit asks for its last part, and the log is written in order |
//! | a commit whose answer was lost | the writer repeats it in a form that finds what is there; if that fails until the deadline, the caller hears [`AcceptError::Unknown`], the lane is taken anew and with it whatever was stored, and [`Queue::resolve`] tells later |
//! | lanes of a killed instance | any other, when the lease has run out (`lease_ms` and 2 s) |
//! | lanes of an instance that stands still | as above; it drops them itself `margin_ms` before, and its late writes are fenced. Final results count: what happened, happened |
//! | lanes that nobody could renew, the database being down | each instance drops its own, and takes its share anew under new epochs |
//! | an idempotency key without its message, or the other way round | cannot be: both are one transaction |
//! | two owners reporting one failure | the row is deleted once, and the notice is stored in that transaction or not at all |
//! | a void row | the sweep, after `orphan_retention_hours`; a later accept under its id is far out of any deadline |
//! | a message row without recipients (two last recipients ended at once in two instances) | the sweep |
//! | an SQLite write-ahead log | SQLite, when the file is next opened |

mod due;
mod error;
mod fault;
mod keeper;
mod lanes;
mod metrics;
mod model;
mod postgres;
mod prepare;
mod queue;
mod settings;
mod sqlite;
mod store;
mod views;
mod writer;

pub use error::{AcceptError, OpenError, StoreError};
pub use model::{
    Accepted, Backlog, Delivery, Depth, DueCursor, Kept, LaneGrant, MailTransaction, Message, NewDelivery,
    Now, RecipientKey, Report, Reported, Retry,
};
pub use queue::Queue;
pub use settings::Settings;
pub use views::Views;

use std::path::PathBuf;
use std::sync::Arc;

/// Where a queue lies, by its URL.
enum Place {
    Postgres,
    Sqlite(PathBuf),
}

impl Place {
    fn of(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres);
        }
        match url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
            None | Some("" | ":memory:") => Err(OpenError::Url(None)),
            Some(path) => Ok(Self::Sqlite(path.into())),
        }
    }
}

async fn open_store(
    settings: &Settings,
    metrics: metrics::Metrics,
) -> Result<Arc<dyn store::Store>, OpenError> {
    Ok(match Place::of(&settings.url)? {
        Place::Postgres => Arc::new(postgres::PostgresStore::open(settings, metrics).await?),
        Place::Sqlite(path) => Arc::new(sqlite::SqliteStore::open(&path, settings, metrics).await?),
    })
}

async fn migrate(url: &str) -> Result<(), OpenError> {
    match Place::of(url)? {
        Place::Postgres => postgres::migrate(url).await,
        Place::Sqlite(path) => sqlite::migrate(&path).await,
    }
}
