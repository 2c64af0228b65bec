//! The durable mail queue on Postgres and on SQLite.

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
    Backlog, Delivery, Depth, DueCursor, LaneGrant, MailTransaction, Message, NewDelivery, Now, RecipientKey,
    Report, Reported, Retry,
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
