//! One destination as the scheduler sees it: the jobs that wait, how many may run at once, and whether anybody answers there.

use std::time::Duration;

use mail::Timestamp;

use super::ready::Ready;

/// Attempts at once to a destination that has not answered yet.
const FIRST_WINDOW: f64 = 5.0;

#[derive(Debug)]
pub(super) struct Lineup {
    /// Jobs that wait for their turn.
    pub(super) ready: Ready,
    /// Attempts under way.
    pub(super) under_way: usize,
    /// Their recipients; counted down only when none is under way, so never too low.
    pub(super) recipients_under_way: usize,
    /// Whether it stands among the turns.
    pub(super) listed: bool,
    /// Where it stands among the alarms.
    pub(super) alarm: Option<Timestamp>,
    /// The earliest due time of work that lies in the queue only.
    pub(super) stored_from: Option<Timestamp>,
    /// A load is under way.
    pub(super) loading: bool,
    /// Attempts at once, adapted by a share of itself with each answer and each silence.
    window: f64,
    silences: u32,
    suspensions: usize,
    suspended_until: Option<Timestamp>,
}

impl Default for Lineup {
    fn default() -> Self {
        Self {
            ready: Ready::default(),
            under_way: 0,
            recipients_under_way: 0,
            listed: false,
            alarm: None,
            stored_from: None,
            loading: false,
            window: FIRST_WINDOW,
            silences: 0,
            suspensions: 0,
            suspended_until: None,
        }
    }
}

impl Lineup {
    /// Whether a job may start now. After a suspension one probe goes alone.
    pub(super) fn may_start(&self, now: Timestamp) -> bool {
        match self.suspended_until {
            Some(until) => now >= until && self.under_way == 0,
            None => (self.under_way as f64) < self.window.max(1.0),
        }
    }

    pub(super) fn answered(&mut self, maximum: usize) {
        self.silences = 0;
        self.suspensions = 0;
        self.suspended_until = None;
        self.window += 1.0 / self.window.max(1.0);
        self.limit(maximum);
    }

    pub(super) fn limit(&mut self, maximum: usize) {
        self.window = self.window.min(maximum.max(1) as f64);
    }

    /// Nobody answered. Attempts that began before a suspension and end within it say nothing new.
    pub(super) fn silent(&mut self, now: Timestamp, threshold: u32, suspensions: &[Duration]) {
        if self.is_suspended(now) {
            return;
        }
        self.silences += 1;
        self.window = (self.window - 1.0 / self.window).max(1.0);
        if self.silences >= threshold || self.suspended_until.is_some() {
            let last = suspensions.len().saturating_sub(1);
            let pause =
                suspensions.get(self.suspensions.min(last)).copied().unwrap_or(Duration::from_mins(1));
            self.suspensions += 1;
            self.suspended_until = Some(now + pause);
            // It may last for hours: others need the memory more.
            self.ready.iter_mut().for_each(|job| job.message = None);
        }
    }

    /// Somebody says that it answers again: one probe goes now.
    pub(super) fn revive(&mut self, now: Timestamp) {
        self.suspended_until = self.suspended_until.map(|until| until.min(now));
    }

    pub(super) fn is_suspended(&self, now: Timestamp) -> bool {
        self.suspended_until.is_some_and(|until| now < until)
    }

    /// For how many more jobs there is room, when stored work is due and less than half of the room is taken.
    pub(super) fn room_to_load(&self, limit: usize, now: Timestamp) -> Option<usize> {
        let due = self.stored_from.is_some_and(|from| from <= now);
        (due && !self.is_suspended(now) && !self.loading && self.ready.len() <= limit / 2)
            .then(|| limit - self.ready.len())
    }

    /// Recipients that a load may meet though they are in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.ready.iter().map(|job| job.deliveries.len()).sum::<usize>() + self.recipients_under_way
    }

    /// When to look at it again without anything else happening.
    pub(super) fn next_alarm(&self, limit: usize, now: Timestamp) -> Option<Timestamp> {
        // Were it only to be forgotten then.
        let suspended = self.suspended_until.filter(|until| *until > now);
        if suspended.is_some() {
            return suspended;
        }
        let may_load = !self.loading && self.ready.len() <= limit / 2;
        self.stored_from.filter(|_| may_load)
    }

    /// Nothing is known of it that a new entry would not say.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.ready.is_empty()
            && self.under_way == 0
            && self.stored_from.is_none()
            && !self.loading
            && !self.listed
            && !self.is_suspended(now)
    }
}
