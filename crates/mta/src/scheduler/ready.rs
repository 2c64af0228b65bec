//! The jobs of one destination that wait for their turn: those of a higher priority (RFC 6710) first, and of every four turns one
//! for whoever has waited longest. So a job waits for at most four times those that came before it, whatever comes behind.

use std::collections::{BTreeMap, VecDeque};

use mail::Priority;

use super::Job;

/// Of so many turns one goes to the oldest job, whatever its priority.
const TURNS: u8 = 4;

/// Jobs by priority, each with the number of its arrival.
#[derive(Debug, Default)]
pub(super) struct Ready {
    levels: BTreeMap<Priority, VecDeque<(u64, Job)>>,
    arrivals: u64,
    turn: u8,
    length: usize,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn push(&mut self, job: Job) {
        self.arrivals += 1;
        self.length += 1;
        self.levels.entry(priority(&job)).or_default().push_back((self.arrivals, job));
    }

    /// The job whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Job> {
        self.turn = (self.turn + 1) % TURNS;
        let level = if self.turn == 0 {
            let arrival =
                |jobs: &VecDeque<(u64, Job)>| jobs.front().map_or(u64::MAX, |(arrival, _)| *arrival);
            *self.levels.iter().min_by_key(|(_, jobs)| arrival(jobs))?.0
        } else {
            *self.levels.last_key_value()?.0
        };
        self.take(level, VecDeque::pop_front)
    }

    /// Takes out the youngest of the lowest priority, to make room for a job of this one; none where that is not lower.
    pub(super) fn displace(&mut self, by: &Job) -> Option<Job> {
        let lowest = *self.levels.first_key_value()?.0;
        if lowest < priority(by) { self.take(lowest, VecDeque::pop_back) } else { None }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.levels.values().flatten().map(|(_, job)| job)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.levels.values_mut().flatten().map(|(_, job)| job)
    }

    /// Takes out the jobs that these words are true of.
    pub(super) fn take_out(&mut self, which: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut out = Vec::new();
        for jobs in self.levels.values_mut() {
            for (arrival, job) in std::mem::take(jobs) {
                if which(&job) {
                    out.push(job);
                } else {
                    jobs.push_back((arrival, job));
                }
            }
        }
        self.levels.retain(|_, jobs| !jobs.is_empty());
        self.length -= out.len();
        out
    }

    fn take(
        &mut self,
        level: Priority,
        which: impl Fn(&mut VecDeque<(u64, Job)>) -> Option<(u64, Job)>,
    ) -> Option<Job> {
        let jobs = self.levels.get_mut(&level)?;
        let (_, job) = which(jobs)?;
        if jobs.is_empty() {
            self.levels.remove(&level);
        }
        self.length -= 1;
        Some(job)
    }
}

/// One message, so one priority.
fn priority(job: &Job) -> Priority {
    job.deliveries.first().map_or(Priority::NORMAL, |delivery| delivery.priority)
}
