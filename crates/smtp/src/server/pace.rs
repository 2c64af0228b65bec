//! How fast content has to come: a store of time that waiting empties and octets fill again. So the average over the time
//! that the store holds is never below the floor, while a pause is allowed, and our own delays count for nothing.

use std::time::Duration;

/// The floor.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// Octets in a second, on the average; 0 for no floor.
    pub octets_per_second: usize,
    /// Over so long.
    pub window: Duration,
}

/// Where one message stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    floor: Floor,
    left: Duration,
}

impl Pace {
    pub(super) fn new(floor: Floor) -> Self {
        Self { floor, left: floor.window }
    }

    /// How long the peer may still be silent; `None` for as long as it likes.
    pub(super) fn left(&self) -> Option<Duration> {
        (self.floor.octets_per_second > 0).then_some(self.left)
    }

    /// The peer was waited for so long, and so many octets came.
    pub(super) fn came(&mut self, octets: usize, waited: Duration) {
        let rate = u32::try_from(self.floor.octets_per_second.max(1)).unwrap_or(u32::MAX);
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let earned = Duration::from_secs_f64(f64::from(octets) / f64::from(rate));
        self.left = (self.left.saturating_sub(waited) + earned).min(self.floor.window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        Pace::new(Floor { octets_per_second: 1000, window: 60 * SECOND })
    }

    #[test]
    fn who_is_as_fast_as_the_floor_may_go_on_for_ever() {
        let mut pace = pace();
        for _ in 0..10_000 {
            pace.came(1000, SECOND);
            assert_eq!(pace.left(), Some(60 * SECOND));
        }
    }

    #[test]
    fn who_trickles_is_out_of_time_soon() {
        let mut pace = pace();
        let mut seconds = 0;
        while pace.left() >= Some(SECOND) {
            pace.came(100, SECOND);
            seconds += 1;
        }
        assert!((60..70).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_burst_earns_no_more_than_the_window() {
        let mut pace = pace();
        pace.came(100_000_000, SECOND);
        assert_eq!(pace.left(), Some(60 * SECOND));
        pace.came(0, 59 * SECOND);
        assert_eq!(pace.left(), Some(SECOND));
        pace.floor.octets_per_second = 0;
        assert_eq!(pace.left(), None);
    }
}
