//! Content on its way in: reserved, then put together, with all limits.

use std::time::Duration;

use bytes::Bytes;
use mail::Content;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::memory::Memory;
use crate::{Error, ErrorKind};

/// What all calls that carry content share.
#[derive(Clone)]
pub(super) struct Transfers {
    memory: Memory,
    content_limit: u64,
    pub(super) deadline: Duration,
    /// The calls under way, so that the end can wait for them.
    pub(super) tasks: TaskTracker,
}

impl Transfers {
    pub(super) fn new(settings: &Settings) -> Self {
        let wait = Duration::from_millis(settings.memory_wait_ms);
        Self {
            memory: Memory::new(settings.message_memory_bytes, wait),
            content_limit: settings.content_limit_bytes,
            deadline: Duration::from_millis(settings.transfer_deadline_ms),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits for memory for content of the announced size.
    pub(super) async fn begin(&self, size: u64, inline: Option<Bytes>) -> Result<Assembly, Error> {
        if size > self.content_limit {
            let message = format!("the message has {size} octets; at most {} are taken", self.content_limit);
            return Err(Error::new(ErrorKind::Rejected, message));
        }
        let permit = self.memory.reserve(size).await?;
        let mut assembly = Assembly { content: Content::default(), missing: size, _permit: permit };
        if let Some(inline) = inline {
            assembly.push(inline)?;
        }
        Ok(assembly)
    }
}

/// Content as it arrives; its memory is given back when this is dropped.
pub(super) struct Assembly {
    content: Content,
    missing: u64,
    _permit: OwnedSemaphorePermit,
}

impl Assembly {
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        let more = || Error::new(ErrorKind::Rejected, "the content is longer than announced");
        self.missing = self.missing.checked_sub(chunk.len() as u64).ok_or_else(more)?;
        if !chunk.is_empty() {
            self.content.append(chunk);
        }
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// A second handle on the content, once all of it is there.
    pub(super) fn content(&self) -> Result<Content, Error> {
        if self.is_complete() {
            Ok(self.content.clone())
        } else {
            Err(Error::new(ErrorKind::Rejected, "the content is shorter than announced"))
        }
    }
}
