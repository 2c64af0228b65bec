//! How much waits: what the queue counts, of which the dispatcher knows what it is at just now.

use std::sync::Arc;

use async_trait::async_trait;
use mail::{Domain, Summary, Timestamp};
use protocol::{Error, ErrorKind};
use queue::Views;
use service::clock::Clock;

use crate::dispatcher::Dispatcher;

/// Domains that are named where the caller says no number.
const DOMAINS: u32 = 100;
/// Domains that are named at most.
const MOST_DOMAINS: u32 = 1000;

/// Counts the whole queue; attempts under way are those of this mta alone.
pub struct QueueSummary {
    /// The queue of all mtas.
    pub views: Views,
    /// What this mta is at.
    pub dispatcher: Arc<Dispatcher>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl protocol::QueueSummary for QueueSummary {
    async fn summarize(&self, domain: Option<&Domain>, limit: u32) -> Result<Summary, Error> {
        let limit = if limit == 0 { DOMAINS } else { limit.min(MOST_DOMAINS) };
        let now = Timestamp::from(self.clock.now());
        let counted = self.views.summary(domain, now, limit).await;
        let mut summary = counted.map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        for waiting in &mut summary.domains {
            let (first, again) = self.dispatcher.under_way(&waiting.domain);
            waiting.active = first + again;
            // The two are looked at one after the other: what ends in between must not make a number run over.
            waiting.queued = waiting.queued.saturating_sub(first);
            waiting.retry = waiting.retry.saturating_sub(again);
        }
        Ok(summary)
    }
}
