//! So many in so long, by a level that drains: it needs two numbers a counter and no list of times.

use std::time::{Duration, Instant};

/// At most so many within so long; 0 means without limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) most: u32,
    pub(super) within: Duration,
}

/// A level that rises with what happens and drains evenly: full with `most`, empty again after `within`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    level: f64,
    at: Option<Instant>,
}

impl Level {
    /// Where it stands now.
    pub(super) fn now(&self, rate: Rate, now: Instant) -> f64 {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let within = rate.within.as_secs_f64().max(f64::MIN_POSITIVE);
        (self.level - since.as_secs_f64() / within * f64::from(rate.most)).max(0.0)
    }

    /// Adds so much, up to the brim; whether that was reached, but for the little that drained while it rose.
    pub(super) fn add(&mut self, amount: u32, rate: Rate, now: Instant) -> bool {
        if rate.most == 0 {
            return false;
        }
        let level = self.now(rate, now) + f64::from(amount);
        let most = f64::from(rate.most);
        *self = Self { level: level.min(most), at: Some(now) };
        level.round() >= most
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self, rate: Rate, now: Instant) -> bool {
        rate.most == 0 || self.now(rate, now) + 1.0 <= f64::from(rate.most)
    }

    /// Adds one where there is room; whether there was.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let room = self.has_room(rate, now);
        if room {
            self.add(1, rate, now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { most: 60, within: Duration::from_secs(60) };

    #[test]
    fn a_burst_and_then_one_a_second() {
        let (mut level, start) = (Level::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((0..100).filter(|_| level.take(RATE, at(0))).count(), 60);
        assert!(!level.take(RATE, at(900)));
        assert!(level.take(RATE, at(1100)));
        assert!(!level.take(RATE, at(1200)));
        assert_eq!((0..100).filter(|_| level.take(RATE, at(3_600_000))).count(), 60);
        // A clock that stands still or is behind gives nothing back.
        assert!(!level.take(RATE, at(0)));
    }

    #[test]
    fn zero_is_without_limit() {
        let (mut level, now) = (Level::default(), Instant::now());
        let rate = Rate { most: 0, ..RATE };
        assert!((0..1000).all(|_| level.take(rate, now)));
        assert!(!level.add(1000, rate, now));
    }

    #[test]
    fn what_is_added_counts_up_to_the_brim() {
        let (mut level, start) = (Level::default(), Instant::now());
        assert!(!level.add(59, RATE, start));
        assert!(level.add(1000, RATE, start));
        assert!(!level.has_room(RATE, start));
        assert!(level.has_room(RATE, start + Duration::from_secs(2)), "no more than full, however much came");
    }
}
