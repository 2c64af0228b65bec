//! Messages in memory between their acceptance and the end of an attempt, under one budget of octets.

use std::sync::Arc;

use mail::Content;
use queue::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets that one permit stands for.
const UNIT: usize = 1024;

/// A message with its content, which gives its octets back to the budget when the last holder lets go.
#[derive(Debug)]
pub struct Loaded {
    /// The message.
    pub message: Message,
    /// Its content.
    pub content: Content,
    _permit: OwnedSemaphorePermit,
}

/// The budget for content of attempts: one half for messages kept since their acceptance, however long they wait for their
/// turn, the other for those that are read back for an attempt. So what waits never keeps an attempt from its message.
#[derive(Debug, Clone)]
pub struct ContentMemory {
    kept: Arc<Semaphore>,
    read: Arc<Semaphore>,
    /// In each half.
    units: usize,
}

impl ContentMemory {
    /// A budget of this many octets.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        let units = (octets / 2).div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { kept: Arc::new(Semaphore::new(units)), read: Arc::new(Semaphore::new(units)), units }
    }

    /// Keeps a message for its first attempt where there is room now.
    #[must_use]
    pub fn try_keep(&self, message: Message, content: Content) -> Option<Arc<Loaded>> {
        let permit = Arc::clone(&self.kept).try_acquire_many_owned(self.units_of(content.len())).ok()?;
        Some(Arc::new(Loaded { message, content, _permit: permit }))
    }

    /// Waits for room for content of this size, before it is read from the queue.
    pub async fn reserve(&self, octets: usize) -> Option<Reservation> {
        let units = self.units_of(octets);
        Arc::clone(&self.read).acquire_many_owned(units).await.ok().map(Reservation)
    }

    /// One message larger than a half takes all of it.
    fn units_of(&self, octets: usize) -> u32 {
        u32::try_from(octets.div_ceil(UNIT).clamp(1, self.units)).unwrap_or(u32::MAX)
    }
}

/// Room for one message's content.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

impl Reservation {
    /// Fills the room.
    #[must_use]
    pub fn fill(self, message: Message, content: Content) -> Arc<Loaded> {
        Arc::new(Loaded { message, content, _permit: self.0 })
    }
}
