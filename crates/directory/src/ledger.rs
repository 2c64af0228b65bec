//! What an account has submitted, and whether more fits: pure arithmetic over buckets of time. Knows no storage and asks no
//! clock.
//!
//! An hour is looked back over in buckets of five minutes, a day in buckets of an hour. A bucket counts until all of it lies
//! further back than the period, so that no stretch of an hour or a day, wherever it begins, ever holds more than its limit;
//! for up to one bucket's width more than the period is counted. So an account has 13 and 25 buckets at most.
//!
//! Stored it is a line for each bucket: `hour 1795455600000 3 5 1200` for messages, recipients and octets since that time.

use std::fmt::Write as _;

use mail::quota::{Cost, Excess, Limit, Measure, Period};
use mail::{Quota, Timestamp};

use crate::Error;

const MEASURES: [Measure; 3] = [Measure::Messages, Measure::Recipients, Measure::Octets];
const MINUTE_MS: i64 = 60_000;

/// What counts of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    hour: Series,
    day: Series,
}

/// The buckets of one period, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Series {
    period: Period,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// In milliseconds since 1970, a multiple of the width.
    start: i64,
    counts: [u64; 3],
}

impl Ledger {
    /// Of an account that has submitted nothing.
    pub(crate) const fn empty() -> Self {
        Self {
            hour: Series { period: Period::Hour, buckets: Vec::new() },
            day: Series { period: Period::Day, buckets: Vec::new() },
        }
    }

    /// From what was stored.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut ledger = Self::empty();
        for line in text.lines() {
            let (period, bucket) = Bucket::parse(line).ok_or(Error::Corrupt("ledger of a quota"))?;
            ledger.series_mut(period).buckets.push(bucket);
        }
        Ok(ledger)
    }

    /// To be stored.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, series) in [("hour", &self.hour), ("day", &self.day)] {
            for Bucket { start, counts: [messages, recipients, octets] } in &series.buckets {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name} {start} {messages} {recipients} {octets}");
            }
        }
        text
    }

    /// Forgets what does not count any more, and says by what time the account is to be charged: that of the latest charge
    /// where another replica's clock is ahead of ours.
    pub(crate) fn turn_to(&mut self, now: Timestamp) -> Timestamp {
        self.hour.forget(now);
        self.day.forget(now);
        let latest = self.hour.buckets.last().map_or(now, |bucket| Timestamp::from_millis(bucket.start));
        now.max(latest)
    }

    /// What counts towards a limit.
    pub(crate) fn used(&self, limit: Limit) -> u64 {
        self.series(limit.period).used(limit.measure)
    }

    /// Why a message does not fit: of all limits that it would go beyond the one that takes longest.
    pub(crate) fn excess(&self, quota: &Quota, cost: Cost) -> Option<Excess> {
        let of_limit = |(limit, allowed): (Limit, u64)| {
            let needed = cost.of(limit.measure);
            let series = self.series(limit.period);
            let over = series.used(limit.measure).saturating_add(needed) > allowed;
            over.then(|| Excess { limit, allowed, until: series.room_at(limit.measure, needed, allowed) })
        };
        let never = |excess: &Excess| excess.until.is_none();
        quota.limits().filter_map(of_limit).max_by_key(|excess| (never(excess), excess.until))
    }

    /// Counts a message.
    pub(crate) fn take(&mut self, cost: Cost, at: Timestamp) {
        for series in [&mut self.hour, &mut self.day] {
            series.take(cost, at);
        }
    }

    /// Counts a message that was taken at that time no more; whether there was anything to give back.
    pub(crate) fn give_back(&mut self, cost: Cost, at: Timestamp) -> bool {
        let hour = self.hour.give_back(cost, at);
        self.day.give_back(cost, at) || hour
    }

    fn series(&self, period: Period) -> &Series {
        match period {
            Period::Hour => &self.hour,
            Period::Day => &self.day,
        }
    }

    fn series_mut(&mut self, period: Period) -> &mut Series {
        match period {
            Period::Hour => &mut self.hour,
            Period::Day => &mut self.day,
        }
    }
}

impl Series {
    const fn width(&self) -> i64 {
        match self.period {
            Period::Hour => 5 * MINUTE_MS,
            Period::Day => 60 * MINUTE_MS,
        }
    }

    const fn length(&self) -> i64 {
        match self.period {
            Period::Hour => 60 * MINUTE_MS,
            Period::Day => 24 * 60 * MINUTE_MS,
        }
    }

    /// When a bucket counts no more.
    const fn end(&self, bucket: &Bucket) -> i64 {
        bucket.start.saturating_add(self.width()).saturating_add(self.length())
    }

    /// A bucket of a time that will not come for longer than a period is the work of a clock that was wrong.
    fn forget(&mut self, now: Timestamp) {
        let now = now.as_millis();
        let (length, width) = (self.length(), self.width());
        self.buckets.retain(|bucket| {
            let passed = now.saturating_sub(bucket.start);
            passed < length + width && passed > -length
        });
    }

    fn used(&self, measure: Measure) -> u64 {
        self.buckets.iter().fold(0, |sum, bucket| sum.saturating_add(bucket.counts[measure as usize]))
    }

    /// When there is room for so much, if nothing else comes.
    fn room_at(&self, measure: Measure, needed: u64, allowed: u64) -> Option<Timestamp> {
        let spare = allowed.checked_sub(needed)?;
        let mut used = self.used(measure);
        for bucket in &self.buckets {
            used = used.saturating_sub(bucket.counts[measure as usize]);
            if used <= spare {
                return Some(Timestamp::from_millis(self.end(bucket)));
            }
        }
        None
    }

    fn take(&mut self, cost: Cost, at: Timestamp) {
        let start = at.as_millis().div_euclid(self.width()) * self.width();
        let place = self.buckets.partition_point(|bucket| bucket.start < start);
        if self.buckets.get(place).is_none_or(|bucket| bucket.start != start) {
            self.buckets.insert(place, Bucket { start, counts: [0; 3] });
        }
        for (count, measure) in self.buckets[place].counts.iter_mut().zip(MEASURES) {
            *count = count.saturating_add(cost.of(measure));
        }
    }

    fn give_back(&mut self, cost: Cost, at: Timestamp) -> bool {
        let start = at.as_millis().div_euclid(self.width()) * self.width();
        let Some(place) = self.buckets.iter().position(|bucket| bucket.start == start) else { return false };
        for (count, measure) in self.buckets[place].counts.iter_mut().zip(MEASURES) {
            *count = count.saturating_sub(cost.of(measure));
        }
        if self.buckets[place].counts == [0; 3] {
            self.buckets.remove(place);
        }
        true
    }
}

impl Bucket {
    fn parse(line: &str) -> Option<(Period, Self)> {
        let mut words = line.split(' ');
        let period = match words.next()? {
            "hour" => Period::Hour,
            "day" => Period::Day,
            _ => return None,
        };
        let start = words.next()?.parse().ok()?;
        let mut counts = [0; 3];
        for count in &mut counts {
            *count = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some((period, Self { start, counts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 17:44:00 UTC.
    const NOW: i64 = 1_795_455_840_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(NOW + minutes * MINUTE_MS)
    }

    fn limit(name: &str) -> Limit {
        Limit::of_name(name).unwrap()
    }

    fn quota(limits: &[(&str, u64)]) -> Quota {
        limits.iter().map(|(name, allowed)| (limit(name), *allowed)).collect()
    }

    const ONE: Cost = Cost { recipients: 2, octets: 1000 };

    /// Takes a message if it fits; says whether it did, or which limit stood against it and for how many minutes.
    fn submit(
        ledger: &mut Ledger,
        quota: &Quota,
        cost: Cost,
        now: Timestamp,
    ) -> Result<(), (String, Option<i64>)> {
        let now = ledger.turn_to(now);
        if let Some(excess) = ledger.excess(quota, cost) {
            let minutes = excess.until.map(|until| (until.as_millis() - now.as_millis()) / MINUTE_MS);
            return Err((excess.limit.name().to_owned(), minutes));
        }
        ledger.take(cost, now);
        Ok(())
    }

    #[test]
    fn no_hour_ever_holds_more_than_its_limit() {
        let quota = quota(&[("messages_per_hour", 10)]);
        let mut ledger = Ledger::empty();
        let mut taken = Vec::new();
        for minute in 0..600 {
            for _ in 0..minute % 4 {
                if submit(&mut ledger, &quota, ONE, at(minute)).is_ok() {
                    taken.push(minute);
                }
            }
            let within = taken.iter().filter(|then| **then > minute - 60).count();
            assert!(within <= 10, "{within} in the hour before minute {minute}");
        }
        // At worst an hour and a bucket hold the limit: ten hours give nine times ten.
        assert!(taken.len() >= 90, "{}", taken.len());
    }

    #[test]
    fn one_who_is_refused_hears_when_to_come_back_and_is_served_then() {
        let quota = quota(&[("messages_per_hour", 2), ("recipients_per_day", 6)]);
        let mut ledger = Ledger::empty();
        assert_eq!(submit(&mut ledger, &quota, ONE, at(0)), Ok(()));
        assert_eq!(submit(&mut ledger, &quota, ONE, at(20)), Ok(()));
        // 17:44 lies in the bucket that ends at 17:45; what it holds counts until 18:45.
        assert_eq!(submit(&mut ledger, &quota, ONE, at(30)), Err(("messages_per_hour".into(), Some(31))));
        assert_eq!(submit(&mut ledger, &quota, ONE, at(60)), Err(("messages_per_hour".into(), Some(1))));
        assert_eq!(submit(&mut ledger, &quota, ONE, at(61)), Ok(()));
        // Both are full; the day's bucket ends at 18:00 and counts until 18:00 tomorrow.
        let tomorrow = 16 + 24 * 60;
        assert_eq!(
            submit(&mut ledger, &quota, ONE, at(62)),
            Err(("recipients_per_day".into(), Some(tomorrow - 62)))
        );
        assert!(submit(&mut ledger, &quota, ONE, at(tomorrow - 1)).is_err());
        assert_eq!(submit(&mut ledger, &quota, ONE, at(tomorrow)), Ok(()));
        assert_eq!(ledger.used(limit("recipients_per_day")), 6);
        assert_eq!(ledger.used(limit("recipients_per_hour")), 2);
    }

    #[test]
    fn what_can_never_fit_is_told_from_what_must_wait() {
        let quota = quota(&[("octets_per_hour", 999), ("messages_per_hour", 1)]);
        let mut ledger = Ledger::empty();
        let small = Cost { octets: 999, ..ONE };
        assert_eq!(submit(&mut ledger, &quota, ONE, at(0)), Err(("octets_per_hour".into(), None)));
        assert_eq!(submit(&mut ledger, &quota, small, at(0)), Ok(()));
        assert_eq!(submit(&mut ledger, &quota, ONE, at(1)), Err(("octets_per_hour".into(), None)));
        let wait = submit(&mut ledger, &quota, Cost { octets: 0, ..ONE }, at(1));
        assert_eq!(wait, Err(("messages_per_hour".into(), Some(60))));
    }

    #[test]
    fn what_is_given_back_has_never_been() {
        let mut ledger = Ledger::empty();
        ledger.take(ONE, at(0));
        let before = ledger.clone();
        ledger.take(ONE, at(10));
        assert!(ledger.give_back(ONE, at(10)));
        assert_eq!(ledger, before);
        assert!(ledger.give_back(ONE, at(0)));
        assert_eq!(ledger, Ledger::empty());
        assert!(!ledger.give_back(ONE, at(0)));
    }

    #[test]
    fn clocks_that_differ_do_not_make_room_and_a_wrong_one_does_not_close_an_account() {
        let quota = quota(&[("messages_per_hour", 2)]);
        let mut ledger = Ledger::empty();
        assert_eq!(submit(&mut ledger, &quota, ONE, at(8)), Ok(()));
        assert_eq!(ledger.turn_to(at(0)), at(6), "the bucket that began at 17:50");
        assert_eq!(submit(&mut ledger, &quota, ONE, at(0)), Ok(()));
        assert!(submit(&mut ledger, &quota, ONE, at(9)).is_err());
        let mut ledger = Ledger::empty();
        for _ in 0..2 {
            assert_eq!(submit(&mut ledger, &quota, ONE, at(60 * 24 * 365)), Ok(()));
        }
        assert_eq!(submit(&mut ledger, &quota, ONE, at(0)), Ok(()));
    }

    #[test]
    fn it_is_stored_whole_and_stays_small() {
        let mut ledger = Ledger::empty();
        for minute in 0..5000 {
            let now = ledger.turn_to(at(minute));
            ledger.take(Cost { recipients: u64::MAX, octets: u64::MAX }, now);
        }
        assert_eq!((ledger.hour.buckets.len(), ledger.day.buckets.len()), (13, 25));
        let text = ledger.to_text();
        assert!(text.len() < 4096, "{} octets", text.len());
        assert_eq!(Ledger::parse(&text).unwrap(), ledger);
        assert_eq!(Ledger::parse("").unwrap(), Ledger::empty());
        for broken in ["hour", "hour 1 2 3", "week 1 2 3 4", "hour 1 2 3 4 5", "hour x 2 3 4", "\n"] {
            assert!(Ledger::parse(broken).is_err(), "{broken}");
        }
    }
}
