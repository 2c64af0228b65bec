//! The byte budget that bounds what messages on their way in may hold of memory, whatever the load. Two pools, so that
//! sessions which hold a part and want more cannot wait for each other in a circle: every message takes its first 64 KiB
//! from the one and all that it may need beyond, at once, from the other. Who holds large memory never waits for more;
//! who waits for it holds only small memory; so somebody can always go on.
//!
//! A share is a budget within a budget, for one peer of many: what it gives it has from the whole. Small memory is taken
//! from the share and then from the whole, large memory likewise, so the order is still one without a circle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// What a message takes from the small pool at most.
pub(crate) const SMALL: usize = 64 * 1024;
/// Memory is counted in KiB.
const UNIT: usize = 1024;

/// Memory for messages on their way in, shared by all sessions (and all listeners) of an agent; a clone is the same budget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// The share first, the whole last.
    levels: Arc<[Level]>,
}

#[derive(Debug, Clone)]
struct Level {
    small: Pool,
    large: Pool,
}

#[derive(Debug, Clone)]
struct Pool {
    units: usize,
    free: Arc<Semaphore>,
}

impl Level {
    fn new(octets: usize) -> Self {
        let small = (octets / 4).max(SMALL);
        Self { small: Pool::new(small), large: Pool::new(octets.saturating_sub(small)) }
    }
}

impl Pool {
    fn new(octets: usize) -> Self {
        let units = octets.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { units, free: Arc::new(Semaphore::new(units)) }
    }

    /// Waits in line for the octets, or for the whole pool where it is smaller.
    async fn take(&self, octets: usize, until: Instant) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(octets.div_ceil(UNIT).min(self.units)).ok()?;
        match Arc::clone(&self.free).try_acquire_many_owned(units) {
            Ok(permit) => Some(permit),
            Err(_) => {
                let permit = Arc::clone(&self.free).acquire_many_owned(units);
                timeout_at(until, permit).await.ok()?.ok()
            }
        }
    }
}

impl Budget {
    /// A budget of so many octets: a quarter for small messages and the beginning of large ones, the rest for large ones.
    /// It should hold several of the largest messages that are taken.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        Self { levels: Arc::new([Level::new(octets)]) }
    }

    /// A budget of so many octets within this one.
    #[must_use]
    pub fn share(&self, octets: usize) -> Self {
        Self { levels: std::iter::once(Level::new(octets)).chain(self.levels.iter().cloned()).collect() }
    }

    /// Whether it was made by [`Budget::share`] of that one.
    pub(super) fn is_share_of(&self, whole: &Self) -> bool {
        let (own, whole) = (self.levels.last(), whole.levels.last());
        own.zip(whole).is_some_and(|(own, whole)| Arc::ptr_eq(&own.large.free, &whole.large.free))
    }

    /// So many hundredths of all its octets.
    pub(super) fn part(&self, percent: u8) -> usize {
        let units = self.levels.first().map_or(0, |level| level.small.units + level.large.units);
        units.saturating_mul(usize::from(percent)) / 100 * UNIT
    }

    /// Octets that nobody holds now.
    #[must_use]
    pub fn available(&self) -> usize {
        let free =
            |level: &Level| level.small.free.available_permits() + level.large.free.available_permits();
        self.levels.first().map_or(0, free) * UNIT
    }

    /// Reserves octets, waiting in line for at most `wait`; `None` where there were none in that time.
    pub async fn reserve(&self, octets: usize, wait: Duration) -> Option<Reservation> {
        let until = Instant::now() + wait;
        let mut held = Vec::with_capacity(self.levels.len());
        for level in &*self.levels {
            let small = level.small.take(octets.clamp(1, SMALL), until).await?;
            held.push(Held { small, large: None });
        }
        let mut reservation =
            Reservation { levels: Arc::clone(&self.levels), held, octets: octets.min(SMALL) };
        reservation.grow_until(octets, until).await.then_some(reservation)
    }
}

/// A part of the budget; it goes back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    levels: Arc<[Level]>,
    /// Of each level.
    held: Vec<Held>,
    octets: usize,
}

#[derive(Debug)]
struct Held {
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn units(&self) -> usize {
        self.small.num_permits() + self.large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn shrink(&mut self, needed: usize) {
        let keep = needed.min(self.small.num_permits());
        drop(self.small.split(self.small.num_permits() - keep));
        if let Some(large) = &mut self.large {
            let surplus = large.num_permits().saturating_sub(needed - keep);
            drop(large.split(surplus));
            if large.num_permits() == 0 {
                self.large = None;
            }
        }
    }
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
        let wait = if self.held.iter().any(|held| held.large.is_some()) { Duration::ZERO } else { wait };
        self.grow_until(octets, Instant::now() + wait).await
    }

    async fn grow_until(&mut self, octets: usize, until: Instant) -> bool {
        let mut taken = Vec::new();
        for (level, held) in self.levels.iter().zip(&self.held) {
            let beyond = octets.saturating_sub(held.units() * UNIT);
            if beyond == 0 {
                taken.push(None);
                continue;
            }
            let Some(more) = level.large.take(beyond, until).await else { return false };
            taken.push(Some(more));
        }
        for (held, more) in self.held.iter_mut().zip(taken) {
            match (&mut held.large, more) {
                (Some(large), Some(more)) => large.merge(more),
                (None, more) => held.large = more,
                (Some(_), None) => {}
            }
        }
        self.octets = self.octets.max(octets);
        true
    }

    /// Gives back what is beyond so many octets, once it is known how many are needed.
    pub fn shrink(&mut self, octets: usize) {
        let needed = octets.max(1).div_ceil(UNIT);
        for held in &mut self.held {
            held.shrink(needed);
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

    #[tokio::test]
    async fn a_share_takes_from_the_whole_and_no_more_than_its_own() {
        let budget = Budget::new(16 * MIB);
        let share = budget.share(4 * MIB);
        let mut one = share.reserve(2 * MIB, SECOND).await.unwrap();
        assert_eq!((share.available(), budget.available()), (2 * MIB, 14 * MIB));
        let nothing = share.reserve(2 * MIB, Duration::from_millis(5)).await;
        assert!(nothing.is_none(), "the share is used up");
        assert_eq!((share.available(), budget.available()), (2 * MIB, 14 * MIB));
        let other = budget.share(4 * MIB).reserve(3 * MIB, SECOND).await.unwrap();
        assert_eq!(budget.available(), 11 * MIB);
        one.shrink(0);
        drop(other);
        assert_eq!(budget.available(), 16 * MIB - UNIT);
        drop(one);
        assert_eq!((share.available(), budget.available()), (4 * MIB, 16 * MIB));
        assert!(share.is_share_of(&budget) && !share.is_share_of(&Budget::new(MIB)));
        assert_eq!(Budget::new(1000 * MIB).part(25), 250 * MIB);
    }

    #[tokio::test]
    async fn many_within_shares_come_to_an_end_too() {
        let budget = Budget::new(8 * MIB);
        let shares: Vec<_> = (0..3).map(|_| budget.share(7 * MIB)).collect();
        let tasks: Vec<_> = (0..60)
            .map(|number| {
                let share = shares[number % 3].clone();
                tokio::spawn(async move {
                    let mut one = share.reserve(SMALL, 10 * SECOND).await.unwrap();
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
