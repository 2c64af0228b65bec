//! The byte budget that bounds what messages on their way in may hold of memory, whatever the load. Two pools, so that
//! sessions which hold a part and want more cannot wait for each other in a circle: every message takes its first 64 KiB
//! from the one and all that it may need beyond, at once, from the other. Who holds large memory never waits for more;
//! who waits for it holds only small memory; so somebody can always go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a message takes from the small pool at most.
pub(crate) const SMALL: usize = 64 * 1024;
/// Memory is counted in KiB.
const UNIT: usize = 1024;

/// Memory for messages on their way in, shared by all sessions (and all listeners) of an agent; a clone is the same budget.
#[derive(Debug, Clone)]
pub struct Budget {
    small: Pool,
    large: Pool,
}

#[derive(Debug, Clone)]
struct Pool {
    units: usize,
    free: Arc<Semaphore>,
}

impl Pool {
    fn new(octets: usize) -> Self {
        let units = octets.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { units, free: Arc::new(Semaphore::new(units)) }
    }

    /// Waits in line for the octets, or for the whole pool where it is smaller.
    async fn take(&self, octets: usize, wait: Duration) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(octets.div_ceil(UNIT).min(self.units)).ok()?;
        match Arc::clone(&self.free).try_acquire_many_owned(units) {
            Ok(permit) => Some(permit),
            Err(_) => {
                let permit = Arc::clone(&self.free).acquire_many_owned(units);
                tokio::time::timeout(wait, permit).await.ok()?.ok()
            }
        }
    }
}

impl Budget {
    /// A budget of so many octets: a quarter for small messages and the beginning of large ones, the rest for large ones.
    /// It should hold several of the largest messages that are taken.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        let small = (octets / 4).max(SMALL);
        Self { small: Pool::new(small), large: Pool::new(octets.saturating_sub(small)) }
    }

    /// Octets that nobody holds now.
    #[must_use]
    pub fn available(&self) -> usize {
        (self.small.free.available_permits() + self.large.free.available_permits()) * UNIT
    }

    /// Reserves octets, waiting in line for at most `wait`; `None` where there were none in that time.
    pub async fn reserve(&self, octets: usize, wait: Duration) -> Option<Reservation> {
        let small = self.small.take(octets.clamp(1, SMALL), wait).await?;
        let mut reservation =
            Reservation { budget: self.clone(), small, large: None, octets: octets.min(SMALL) };
        reservation.grow(octets, wait).await.then_some(reservation)
    }
}

/// A part of the budget; it goes back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
    octets: usize,
}

impl Reservation {
    /// Octets that it stands for.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Makes it stand for at least so many octets, from the large pool. It waits once; who holds large memory already gets
    /// more only where it is free at once, for waiting could be in a circle then.
    pub async fn grow(&mut self, octets: usize, wait: Duration) -> bool {
        let held =
            self.small.num_permits() + self.large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let beyond = octets.saturating_sub(held * UNIT);
        if beyond > 0 {
            let wait = if self.large.is_some() { Duration::ZERO } else { wait };
            let Some(more) = self.budget.large.take(beyond, wait).await else { return false };
            match &mut self.large {
                Some(large) => large.merge(more),
                None => self.large = Some(more),
            }
        }
        self.octets = self.octets.max(octets);
        true
    }

    /// Gives back what is beyond so many octets, once it is known how many are needed.
    pub fn shrink(&mut self, octets: usize) {
        let needed = octets.max(1).div_ceil(UNIT);
        let keep = needed.min(self.small.num_permits());
        drop(self.small.split(self.small.num_permits() - keep));
        if let Some(large) = &mut self.large {
            let surplus = large.num_permits().saturating_sub(needed - keep);
            drop(large.split(surplus));
            if large.num_permits() == 0 {
                self.large = None;
            }
        }
        self.octets = self.octets.min(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn what_is_reserved_comes_back() {
        let budget = Budget::new(4 * MIB);
        let mut one = budget.reserve(2 * MIB, SECOND).await.unwrap();
        assert_eq!(budget.available(), 2 * MIB);
        one.shrink(4000);
        assert_eq!((one.octets(), budget.available()), (4000, 4 * MIB - 4 * 1024));
        assert!(one.grow(MIB, SECOND).await);
        assert_eq!(budget.available(), 3 * MIB);
        drop(one);
        assert_eq!(budget.available(), 4 * MIB);
    }

    #[tokio::test]
    async fn who_waits_too_long_gets_nothing_and_holds_nothing() {
        let budget = Budget::new(4 * MIB);
        let one = budget.reserve(3 * MIB, SECOND).await.unwrap();
        let before = budget.available();
        assert!(budget.reserve(2 * MIB, Duration::from_millis(5)).await.is_none());
        assert_eq!(budget.available(), before);
        drop(one);
        assert!(budget.reserve(100 * MIB, SECOND).await.is_some(), "more than there is means all of it");
    }

    #[tokio::test]
    async fn many_that_all_grow_come_to_an_end() {
        let budget = Budget::new(8 * MIB);
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move {
                    let mut one = budget.reserve(SMALL, 10 * SECOND).await.unwrap();
                    tokio::task::yield_now().await;
                    assert!(one.grow(5 * MIB, 10 * SECOND).await);
                    tokio::task::yield_now().await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(budget.available(), 8 * MIB);
    }
}
