//! Which message is tried next: a window of the queue in memory, lined up by destination, in fair turns. Pure: time is passed
//! in, nothing is awaited, and the queue is named only through what is to be loaded from it.
//!
//! A destination is *open* until several attempts in a row find nobody to talk to; then it is *suspended*, its messages
//! stay untouched, and at the end of the suspension one of them probes it.

mod lineup;
mod ready;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mail::{QueueId, Timestamp};
use queue::{Delivery, RecipientKey};

use crate::memory::Loaded;
use lineup::Lineup;

/// How much is held in memory and tried at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Jobs in memory for one destination.
    pub ready: usize,
    /// Attempts under way at once.
    pub attempts: usize,
    /// Attempts under way at once to one remote destination.
    pub attempts_per_destination: usize,
    /// Deliveries under way at once into local mailboxes.
    pub local_deliveries: usize,
    /// Recipients in one transaction.
    pub recipients_per_transaction: usize,
    /// Attempts in a row without a peer to talk to that suspend a destination.
    pub failures_before_suspension: u32,
    /// How long the first, second… suspension in a row lasts; the last repeats.
    pub suspensions: Vec<Duration>,
}

/// One message's recipients at one destination, ready for one attempt.
#[derive(Debug, Clone)]
pub struct Job {
    /// The message.
    pub id: QueueId,
    /// Where it goes.
    pub destination: Arc<str>,
    /// Its recipients there.
    pub deliveries: Vec<Delivery>,
    /// The message, where it is still in memory from its acceptance.
    pub message: Option<Arc<Loaded>>,
}

/// What an attempt showed about its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody answered, whatever the answer was.
    Answered,
    /// Nobody could be talked to: connection, greeting or name look-up failed.
    Silent,
}

/// Work that lies in the queue and may be loaded now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// Whose work.
    pub destination: Arc<str>,
    /// How many rows to read: the room, and as many as are in memory already and will be met again.
    pub rows: usize,
}

/// The window on the queue.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    lineups: HashMap<Arc<str>, Lineup>,
    /// Destinations with a job that may start, each once.
    turns: VecDeque<Arc<str>>,
    /// When a destination wants to be looked at again: its suspension ends or stored work falls due.
    alarms: BTreeSet<(Timestamp, Arc<str>)>,
    /// Every recipient in memory, ready or under way; a load leaves them out.
    held: HashSet<RecipientKey>,
    under_way: usize,
}

impl Scheduler {
    /// An empty window.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lineups: HashMap::new(),
            turns: VecDeque::new(),
            alarms: BTreeSet::new(),
            held: HashSet::new(),
            under_way: 0,
        }
    }

    /// Lines a job up. Gives back what there is no room for: the job itself, or one of lower priority in its place; the caller
    /// parks it in the queue and then says so by [`Self::stored`].
    pub fn offer(&mut self, job: Job, now: Timestamp) -> Option<Job> {
        let lineup = self.lineups.entry(Arc::clone(&job.destination)).or_default();
        let mut displaced = None;
        if lineup.ready.len() >= self.limits.ready {
            let Some(lower) = lineup.ready.displace(&job) else { return Some(job) };
            for delivery in &lower.deliveries {
                self.held.remove(&delivery.key);
            }
            displaced = Some(lower);
        }
        let destination = Arc::clone(&job.destination);
        let Job { id, deliveries, message, .. } = job;
        let message = message.filter(|_| !lineup.is_suspended(now));
        let mut fresh = deliveries.into_iter().filter(|d| self.held.insert(d.key)).peekable();
        while fresh.peek().is_some() {
            let deliveries: Vec<_> = fresh.by_ref().take(self.limits.recipients_per_transaction).collect();
            lineup.ready.push(Job {
                id,
                destination: Arc::clone(&destination),
                deliveries,
                message: message.clone(),
            });
        }
        self.enlist(&destination, now);
        displaced
    }

    /// The next job to start, in turn between destinations; its permit is given back by [`Self::release`].
    pub fn next(&mut self, now: Timestamp) -> Option<Job> {
        while self.under_way < self.limits.attempts {
            let destination = self.turns.pop_front()?;
            let Some(lineup) = self.lineups.get_mut(&destination) else { continue };
            lineup.listed = false;
            if !lineup.may_start(now) {
                continue;
            }
            let Some(job) = lineup.ready.pop() else {
                self.enlist(&destination, now);
                continue;
            };
            lineup.under_way += 1;
            lineup.recipients_under_way += job.deliveries.len();
            self.under_way += 1;
            self.enlist(&destination, now);
            return Some(job);
        }
        None
    }

    /// An attempt is over; its recipients stay held until [`Self::settle`].
    pub fn release(&mut self, destination: &Arc<str>, verdict: Verdict, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        let maximum = self.window_limit(destination);
        let Some(lineup) = self.lineups.get_mut(destination) else { return };
        lineup.under_way = lineup.under_way.saturating_sub(1);
        if lineup.under_way == 0 {
            lineup.recipients_under_way = 0;
        }
        match verdict {
            Verdict::Answered => lineup.answered(maximum),
            Verdict::Silent => {
                let suspensions = match self.limits.suspensions.as_slice() {
                    // Our own mailboxes are back as soon as somebody has mended them.
                    [first, ..] if is_local(destination) => std::slice::from_ref(first),
                    all => all,
                };
                lineup.silent(now, self.limits.failures_before_suspension, suspensions);
            }
        }
        self.enlist(destination, now);
    }

    /// The outcomes of these recipients are stored; from here on the queue alone knows of them.
    pub fn settle<'a>(&mut self, keys: impl IntoIterator<Item = &'a RecipientKey>) {
        for key in keys {
            self.held.remove(key);
        }
    }

    /// Takes a recipient in hand that is not lined up; false when it is in memory already. Ends with [`Self::settle`].
    pub fn hold(&mut self, key: RecipientKey) -> bool {
        self.held.insert(key)
    }

    /// The queue holds work for this destination that falls due then.
    pub fn stored(&mut self, destination: &Arc<str>, due: Timestamp, now: Timestamp) {
        let lineup = self.lineups.entry(Arc::clone(destination)).or_default();
        lineup.stored_from = Some(lineup.stored_from.map_or(due, |known| known.min(due)));
        self.enlist(destination, now);
    }

    /// What to load now; each is answered by [`Self::loaded`].
    pub fn loads(&mut self, now: Timestamp) -> Vec<LoadRequest> {
        let mut requests = Vec::new();
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, destination)) = self.alarms.pop_first() else { break };
            let Some(lineup) = self.lineups.get_mut(&destination) else { continue };
            lineup.alarm = None;
            if let Some(room) = lineup.room_to_load(self.limits.ready, now) {
                lineup.loading = true;
                // What is stored from here on may be missing in what the load sees.
                lineup.stored_from = None;
                let rows = room + lineup.in_memory();
                requests.push(LoadRequest { destination, rows });
            } else {
                self.enlist(&destination, now);
            }
        }
        requests
    }

    /// Takes what a load brought; `next_due` is when the queue holds more for the destination, or when to try again a load
    /// that failed.
    pub fn loaded(
        &mut self,
        destination: &Arc<str>,
        deliveries: Vec<Delivery>,
        next_due: Option<Timestamp>,
        now: Timestamp,
    ) {
        let mut jobs: Vec<Job> = Vec::new();
        for delivery in deliveries {
            match jobs.iter_mut().rev().take(8).find(|job| job.id == delivery.key.id) {
                Some(job) => job.deliveries.push(delivery),
                None => jobs.push(Job {
                    id: delivery.key.id,
                    destination: Arc::clone(destination),
                    deliveries: vec![delivery],
                    message: None,
                }),
            }
        }
        let lineup = self.lineups.entry(Arc::clone(destination)).or_default();
        lineup.loading = false;
        lineup.stored_from = [lineup.stored_from, next_due].into_iter().flatten().min();
        for job in jobs {
            if self.offer(job, now).is_some() {
                self.stored(destination, now, now);
            }
        }
        self.enlist(destination, now);
    }

    /// Drops everything of a lane that another instance owns now. Attempts under way are not stopped here.
    pub fn forget_lane(&mut self, lane: u8, now: Timestamp) {
        let lost = self.take_out(now, |_, job| job.id.lane == lane);
        for delivery in lost.iter().flat_map(|job| &job.deliveries) {
            self.held.remove(&delivery.key);
        }
    }

    /// Takes out the jobs whose time is up while their destination is suspended.
    pub fn expired(&mut self, now: Timestamp) -> Vec<Job> {
        let is_over = |job: &Job| job.deliveries.iter().all(|d| d.expires_at <= now);
        self.take_out(now, |lineup, job| !lineup.may_start(now) && is_over(job))
    }

    /// Takes jobs out of the line-ups. The room that this makes may be what stored work waits for.
    fn take_out(&mut self, now: Timestamp, which: impl Fn(&Lineup, &Job) -> bool) -> Vec<Job> {
        let (mut out, mut changed) = (Vec::new(), Vec::new());
        for (destination, lineup) in &mut self.lineups {
            if !lineup.ready.iter().any(|job| which(lineup, job)) {
                continue;
            }
            let mut ready = std::mem::take(&mut lineup.ready);
            out.extend(ready.take_out(|job| which(lineup, job)));
            lineup.ready = ready;
            changed.push(Arc::clone(destination));
        }
        for destination in changed {
            self.enlist(&destination, now);
        }
        out
    }

    /// Ends the suspension of destinations, `also` by name, for which somebody waits in memory who is meant: one job probes them
    /// now. Answers for how many recipients.
    pub fn revive(
        &mut self,
        is_meant: impl Fn(&Delivery) -> bool,
        also: impl Fn(&Arc<str>) -> bool,
        now: Timestamp,
    ) -> u64 {
        let (mut waiting, mut changed) = (0, Vec::new());
        for (destination, lineup) in &mut self.lineups {
            if !lineup.is_suspended(now) {
                continue;
            }
            let deliveries = lineup.ready.iter().flat_map(|job| &job.deliveries);
            let meant = deliveries.filter(|delivery| is_meant(delivery)).count() as u64;
            if meant > 0 || also(destination) {
                waiting += meant;
                lineup.revive(now);
                changed.push(Arc::clone(destination));
            }
        }
        for destination in changed {
            self.enlist(&destination, now);
        }
        waiting
    }

    /// When [`Self::next`] or [`Self::loads`] has something to do again, if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Jobs in memory that wait for their turn.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.lineups.values().map(|lineup| lineup.ready.len()).sum()
    }

    /// Attempts under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Puts a destination where it belongs: among the turns, on an alarm, or out of memory.
    fn enlist(&mut self, destination: &Arc<str>, now: Timestamp) {
        let maximum = self.window_limit(destination);
        let Some(lineup) = self.lineups.get_mut(destination) else { return };
        lineup.limit(maximum);
        if !lineup.listed && !lineup.ready.is_empty() && lineup.may_start(now) {
            lineup.listed = true;
            self.turns.push_back(Arc::clone(destination));
        }
        let alarm = lineup.next_alarm(self.limits.ready, now);
        if alarm != lineup.alarm {
            if let Some(old) = lineup.alarm {
                self.alarms.remove(&(old, Arc::clone(destination)));
            }
            if let Some(at) = alarm {
                self.alarms.insert((at, Arc::clone(destination)));
            }
            lineup.alarm = alarm;
        }
        if lineup.is_idle(now) {
            self.lineups.remove(destination);
        }
    }

    fn window_limit(&self, destination: &Arc<str>) -> usize {
        if is_local(destination) {
            self.limits.local_deliveries
        } else {
            self.limits.attempts_per_destination
        }
    }
}

fn is_local(destination: &Arc<str>) -> bool {
    destination.as_ref() == crate::route::LOCAL
}

#[cfg(test)]
mod tests;
