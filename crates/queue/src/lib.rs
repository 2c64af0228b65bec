//! The durable mail queue on Postgres and on SQLite.

mod due;
mod error;
mod fault;
mod keeper;
mod lanes;
mod metrics;
mod model;
mod prepare;
mod queue;
mod settings;
mod store;
mod writer;

pub use error::{AcceptError, OpenError, StoreError};
pub use model::{
    Backlog, Delivery, Depth, DueCursor, LaneGrant, MailTransaction, Message, NewDelivery, Now, RecipientKey,
    Report, Reported, Retry,
};
pub use queue::Queue;
pub use settings::Settings;

async fn open_store(_settings: &Settings) -> Result<std::sync::Arc<dyn store::Store>, OpenError> {
    Err(OpenError::Url(None))
}

async fn migrate(_url: &str) -> Result<(), OpenError> {
    Err(OpenError::Url(None))
}
