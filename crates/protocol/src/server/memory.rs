//! The budget for content on its way in. A call takes its whole share before it reads, so that calls which each hold a part
//! never wait for one another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, ErrorKind};

/// Permits count units of this many bytes.
const UNIT: u64 = 1024;

#[derive(Clone)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    units: u32,
    wait: Duration,
}

impl Memory {
    pub(super) fn new(bytes: u64, wait: Duration) -> Self {
        let units = units(bytes).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(units as usize)), units, wait }
    }

    /// Waits for a share of this size; it is given back when the permit is dropped.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let Some(units) = units(bytes).filter(|units| *units <= self.units) else {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "the message is larger than all memory for messages",
            ));
        };
        match timeout(self.wait, Arc::clone(&self.free).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                Err(Error::new(ErrorKind::Overloaded, "no memory for the message came free in time"))
            }
        }
    }
}

/// At least one, so that an empty message has a permit too.
fn units(bytes: u64) -> Option<u32> {
    u32::try_from(bytes.div_ceil(UNIT).max(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_is_waited_for_and_given_back() {
        let memory = Memory::new(10 * UNIT, Duration::from_millis(10));
        let share = memory.reserve(9 * UNIT + 1).await.unwrap();
        assert_eq!(memory.reserve(0).await.unwrap_err().kind, ErrorKind::Overloaded);
        drop(share);
        assert!(memory.reserve(10 * UNIT).await.is_ok());
        assert_eq!(memory.reserve(11 * UNIT).await.unwrap_err().kind, ErrorKind::Overloaded);
    }
}
