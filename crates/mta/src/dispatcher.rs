//! Drives the scheduler: starts attempts, loads stored work, takes over lanes and sweeps what expired. It decides nothing about
//! order or failure; those are the scheduler's and the attempt's.

mod aside;
mod under_way;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use mail::{Domain, QueueId, Timestamp};
use queue::{Delivery, DueCursor, LaneGrant, MailTransaction, Message, Queue, RecipientKey, StoreError};
use service::clock::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::attempt::{Attempts, Ended};
use crate::memory::ContentMemory;
use crate::scheduler::{Job, LoadRequest, Scheduler, Verdict};
use aside::{Aside, Waiting, by_lane};
use under_way::UnderWay;

/// Recipients read from the queue at once.
const PAGE: u32 = 500;
/// Recipients that one statement parks.
const PARKED_AT_ONCE: usize = 1000;
/// Recipients that somebody may have tried at once out of their time.
const HASTENED: u32 = 10_000;
/// How long to wait after the queue could not be read.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// When a job is taken up again whose attempt broke off by a fault of ours.
const AFTER_A_FAULT: Duration = Duration::from_mins(15);
/// How often what expired is looked for, at most.
const SWEEP: Duration = Duration::from_secs(30);

/// Starts attempts when they are due.
pub struct Dispatcher {
    scheduler: Mutex<Scheduler>,
    aside: Mutex<Aside>,
    under_way: Arc<UnderWay>,
    wake: Notify,
    queue: Queue,
    memory: ContentMemory,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    sweep: Duration,
    sweeping: AtomicBool,
}

impl Dispatcher {
    /// A dispatcher that has nothing to do yet. `expire` is how long messages are tried.
    #[must_use]
    pub fn new(
        scheduler: Scheduler,
        queue: Queue,
        memory: ContentMemory,
        clock: Arc<dyn Clock>,
        expire: Duration,
    ) -> Self {
        Self {
            scheduler: Mutex::new(scheduler),
            aside: Mutex::default(),
            under_way: Arc::default(),
            wake: Notify::new(),
            queue,
            memory,
            clock,
            tasks: TaskTracker::new(),
            sweep: (expire / 4).clamp(Duration::from_millis(200), SWEEP),
            sweeping: AtomicBool::new(false),
        }
    }

    /// Lines up the first attempts of a message that was just made durable; its content stays in memory where there is room.
    pub fn offer_accepted(self: &Arc<Self>, transaction: MailTransaction) {
        let MailTransaction { id, accepted_at, mut envelope, trace, content, deliveries } = transaction;
        envelope.recipients = Vec::new();
        let size = content.len() as u64;
        let message = Message { id, accepted_at, envelope, trace, size };
        let priority = message.envelope.priority;
        let loaded = self.memory.try_keep(message, content);
        let mut jobs: Vec<Job> = Vec::new();
        for (number, new) in (0u16..).zip(deliveries) {
            let destination = Arc::clone(&new.destination);
            if let Some(until) = new.held_until {
                self.scheduler().stored(&destination, until, self.now());
                continue;
            }
            let delivery = Delivery {
                key: RecipientKey { id, number },
                recipient: new.recipient,
                destination: new.destination,
                priority,
                attempts: 0,
                next_attempt_at: None,
                expires_at: new.expires_at,
                delay_notice_at: new.delay_notice_at,
            };
            match jobs.iter_mut().find(|job| job.destination == destination) {
                Some(job) => job.deliveries.push(delivery),
                None => {
                    jobs.push(Job { id, destination, deliveries: vec![delivery], message: loaded.clone() });
                }
            }
        }
        self.offer(jobs);
    }

    /// Lines jobs up; what finds no room is parked in the queue, due at once.
    fn offer(self: &Arc<Self>, jobs: Vec<Job>) {
        let now = self.now();
        let refused: Vec<Job> = {
            let mut scheduler = self.scheduler();
            jobs.into_iter().filter_map(|job| scheduler.offer(job, now)).collect()
        };
        self.wake.notify_one();
        self.set_aside(refused.into_iter().map(|job| {
            let keys = job.deliveries.iter().map(|delivery| delivery.key).collect();
            Waiting { destination: job.destination, keys, due: None }
        }));
    }

    /// Parks recipients in the queue, a few statements for all that come meanwhile. Their rows are durable: an owner that ends
    /// before they are parked leaves them as they are, and the next one lists them.
    fn set_aside(self: &Arc<Self>, waiting: impl IntoIterator<Item = Waiting>) {
        if self.aside().add(waiting) {
            self.tasks.spawn(Arc::clone(self).park());
        }
    }

    async fn park(self: Arc<Self>) {
        while let Some(waiting) = self.next_aside() {
            let now = self.now();
            for ((lane, due), keys) in by_lane(&waiting, now) {
                for keys in keys.chunks(PARKED_AT_ONCE) {
                    self.park_some(lane, keys, due).await;
                }
            }
            for Waiting { destination, due, .. } in waiting {
                self.scheduler().stored(&destination, due.unwrap_or(now), now);
            }
            self.wake.notify_one();
        }
    }

    async fn park_some(&self, lane: u8, keys: &[RecipientKey], due: Timestamp) {
        loop {
            match self.queue.park(lane, keys, due).await {
                Ok(_) | Err(StoreError::Fenced) => return,
                Err(error) => {
                    tracing::warn!(%error, recipients = keys.len(), "cannot park recipients; trying again");
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    /// Runs until `stop`, then waits for the attempts under way.
    pub async fn run(self: Arc<Self>, attempts: Arc<Attempts>, stop: CancellationToken) {
        let mut lanes = self.queue.lanes();
        let mut owned = BTreeMap::new();
        let mut sweep = tokio::time::interval(self.sweep);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.start_due(&attempts);
            let idle = self.idle_time();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(idle) => {}
                _ = sweep.tick() => self.sweep(&attempts, &owned),
                changed = lanes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now_owned = lanes.borrow_and_update().as_ref().clone();
                    self.change_lanes(&owned, &now_owned);
                    owned = now_owned;
                }
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn start_due(self: &Arc<Self>, attempts: &Arc<Attempts>) {
        let now = self.now();
        let (jobs, loads) = {
            let mut scheduler = self.scheduler();
            let loads = scheduler.loads(now);
            let jobs: Vec<Job> = std::iter::from_fn(|| scheduler.next(now)).collect();
            (jobs, loads)
        };
        for job in jobs {
            self.tasks.spawn(Arc::clone(self).attempt(Arc::clone(attempts), job));
        }
        for request in loads {
            self.tasks.spawn(Arc::clone(self).load(request));
        }
    }

    /// One attempt, from permit to stored outcomes. The permit is free again before the outcomes are stored.
    async fn attempt(self: Arc<Self>, attempts: Arc<Attempts>, job: Job) {
        let (id, destination) = (job.id, Arc::clone(&job.destination));
        let keys: Vec<RecipientKey> = job.deliveries.iter().map(|delivery| delivery.key).collect();
        let _under_way = self.under_way.enter(&job.deliveries);
        let has_permit = AtomicBool::new(true);
        let released = |verdict| {
            if has_permit.swap(false, Ordering::Relaxed) {
                self.scheduler().release(&destination, verdict, self.now());
                self.wake.notify_one();
            }
        };
        let performed = AssertUnwindSafe(attempts.perform(&self, &self.memory, job, &released));
        let ended = performed.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(queue_id = %id, %destination, "an attempt broke off by a fault of this program");
            released(Verdict::Answered);
            Ended::unstored(AFTER_A_FAULT)
        });
        self.let_go(&destination, keys, ended);
    }

    /// From here on the queue alone knows of these recipients; who waits still is met again by a load.
    fn let_go(self: &Arc<Self>, destination: &Arc<str>, keys: Vec<RecipientKey>, ended: Ended) {
        let now = self.now();
        {
            let mut scheduler = self.scheduler();
            scheduler.settle(&keys);
            if let Some(due) = ended.due {
                scheduler.stored(destination, due, now);
            }
        }
        if let Some(after) = ended.again_after {
            // Only now: a lane that was lost and taken anew while they were held has not lined them up.
            let (destination, due) = (Arc::clone(destination), Some(now + after));
            self.set_aside([Waiting { destination, keys, due }]);
        }
        self.wake.notify_one();
    }

    async fn load(self: Arc<Self>, request: LoadRequest) {
        let LoadRequest { destination, rows } = request;
        let limit = u32::try_from(rows).unwrap_or(u32::MAX);
        let now = self.now();
        let span = tracing::debug_span!("queue.load", destination = %destination, limit);
        let loaded = async {
            let deliveries = self.queue.due(&destination, now, limit, None).await?;
            let next =
                if deliveries.len() < rows { self.next_due(&destination, now).await? } else { Some(now) };
            Ok::<_, StoreError>((deliveries, next))
        };
        let (deliveries, next_due) = match loaded.instrument(span).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(%error, %destination, "cannot read the queue; trying again");
                (Vec::new(), Some(now + READ_AGAIN))
            }
        };
        self.scheduler().loaded(&destination, deliveries, next_due, self.now());
        self.wake.notify_one();
    }

    /// When the first recipient for a destination falls due that is not due now.
    async fn next_due(&self, destination: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        const HORIZON: Duration = Duration::from_hours(365 * 24);
        let last = RecipientKey {
            id: QueueId { shard: u8::MAX, lane: u8::MAX, number: i64::MAX as u64 },
            number: u16::MAX,
        };
        let behind_now = DueCursor { next_attempt_at: now, key: last };
        let first = self.queue.due(destination, now + HORIZON, 1, Some(behind_now)).await?;
        Ok(first.first().and_then(|delivery| delivery.next_attempt_at))
    }

    /// Tries now what waits for a domain, and with `below` for the domains below it: who waits for another attempt becomes due,
    /// and where nobody answered lately somebody is asked again. Answers for how many recipients; who is held stays held.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn retry_now(&self, domain: &Domain, below: bool) -> Result<u64, StoreError> {
        let hastened = self.queue.hasten(domain, below, HASTENED).await?;
        let is_meant = |delivery: &Delivery| {
            let host = under_way::domain_of(&delivery.recipient.forward_path);
            let parent = host.strip_suffix(domain.as_str());
            parent.is_some_and(|rest| rest.is_empty() || (below && rest.ends_with('.')))
        };
        let now = self.now();
        let mut started = hastened.values().sum();
        {
            let mut scheduler = self.scheduler();
            started += scheduler.revive(is_meant, |destination| hastened.contains_key(destination), now);
            for destination in hastened.keys() {
                scheduler.stored(destination, now, now);
            }
        }
        self.wake.notify_one();
        Ok(started)
    }

    /// For how many recipients of a domain attempts are under way: first ones, and others.
    #[must_use]
    pub fn under_way(&self, domain: &str) -> (u64, u64) {
        self.under_way.of(domain)
    }

    fn change_lanes(self: &Arc<Self>, before: &BTreeMap<u8, i64>, now: &BTreeMap<u8, i64>) {
        for (lane, epoch) in before {
            if now.get(lane) != Some(epoch) {
                self.scheduler().forget_lane(*lane, self.now());
            }
        }
        for (&lane, &epoch) in now {
            if before.get(&lane) != Some(&epoch) {
                self.tasks.spawn(Arc::clone(self).take_over(LaneGrant { lane, epoch }));
            }
        }
    }

    /// Lines up what a lane holds: fresh rows by page, the rest by destination and earliest due time.
    async fn take_over(self: Arc<Self>, lane: LaneGrant) {
        while self.owns(lane) {
            match self.read_lane(lane).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, lane = lane.lane, "cannot read a lane of the queue; trying again");
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    async fn read_lane(self: &Arc<Self>, lane: LaneGrant) -> Result<(), StoreError> {
        for backlog in self.queue.backlog(lane).await? {
            self.scheduler().stored(&backlog.destination, backlog.earliest, self.now());
        }
        self.wake.notify_one();
        let mut after = None;
        loop {
            let page = self.queue.fresh(lane, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key);
            let mut jobs: Vec<Job> = Vec::new();
            for delivery in page {
                let (id, destination) = (delivery.key.id, Arc::clone(&delivery.destination));
                match jobs.iter_mut().rev().take(8).find(|j| j.id == id && j.destination == destination) {
                    Some(job) => job.deliveries.push(delivery),
                    None => jobs.push(Job { id, destination, deliveries: vec![delivery], message: None }),
                }
            }
            self.offer(jobs);
        }
    }

    /// Gives up on what expired without an attempt to do it: behind a suspended destination, in memory and in the queue.
    fn sweep(self: &Arc<Self>, attempts: &Arc<Attempts>, owned: &BTreeMap<u8, i64>) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let expired = self.scheduler().expired(self.now());
        let (this, attempts) = (Arc::clone(self), Arc::clone(attempts));
        let lanes: Vec<LaneGrant> = owned.iter().map(|(&lane, &epoch)| LaneGrant { lane, epoch }).collect();
        self.tasks.spawn(async move {
            for job in expired {
                let keys: Vec<RecipientKey> = job.deliveries.iter().map(|delivery| delivery.key).collect();
                let destination = Arc::clone(&job.destination);
                let ended = attempts.expire(&this, &this.memory, job).await;
                this.let_go(&destination, keys, ended);
            }
            for lane in lanes {
                match this.queue.expired(lane, this.now(), PAGE).await {
                    Ok(deliveries) => this.expire_stored(&attempts, deliveries).await,
                    Err(error) => {
                        tracing::warn!(%error, "cannot look for expired recipients");
                        break;
                    }
                }
            }
            this.sweeping.store(false, Ordering::Relaxed);
        });
    }

    /// Rows that an attempt has in hand are left to it.
    async fn expire_stored(self: &Arc<Self>, attempts: &Attempts, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let (id, destination, key) = (delivery.key.id, Arc::clone(&delivery.destination), delivery.key);
            if !self.scheduler().hold(key) {
                continue;
            }
            let job =
                Job { id, destination: Arc::clone(&destination), deliveries: vec![delivery], message: None };
            let ended = attempts.expire(self, &self.memory, job).await;
            self.let_go(&destination, vec![key], ended);
        }
    }

    fn owns(&self, lane: LaneGrant) -> bool {
        self.queue.lanes().borrow().get(&lane.lane) == Some(&lane.epoch)
    }

    fn idle_time(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        match self.scheduler().wake_at() {
            Some(at) => at.since(self.now()).min(LONGEST).max(Duration::from_millis(1)),
            None => LONGEST,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    /// A panic in a holder leaves the window in a state that is still sound to use: every change is small and complete.
    fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aside(&self) -> MutexGuard<'_, Aside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_aside(&self) -> Option<Vec<Waiting>> {
        self.aside().take()
    }

    /// Jobs that wait for their turn, and attempts under way: for metrics.
    #[must_use]
    pub fn load_figures(&self) -> (usize, usize) {
        let scheduler = self.scheduler();
        (scheduler.ready(), scheduler.under_way())
    }
}
