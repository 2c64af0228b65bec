//! The handle that callers hold: every verb of the queue. Checks what this instance may do, hands commits to the writers and
//! questions to the storage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use mail::{Content, Domain, IdempotencyKey, QueueId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::error::{AcceptError, OpenError, StoreError};
use crate::fault::Fault;
use crate::keeper::Keeper;
use crate::lanes::{LaneTable, number_at};
use crate::metrics::Metrics;
use crate::model::{
    Accepted, Backlog, Delivery, Depth, DueCursor, Kept, LaneGrant, MailTransaction, Message, Now,
    RecipientKey, Report, Reported,
};
use crate::prepare::{PreparedKey, PreparedMessage, PreparedReport};
use crate::settings::Settings;
use crate::store::{DuePage, Hurry, Retention, Store};
use crate::writer::{Work, Writer};

/// How long a question to the storage may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows that one maintenance statement deletes at most.
const SWEEP_ROWS: u32 = 1000;

/// The durable queue. A clone is another handle to the same.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    now: Now,
    store: Arc<dyn Store>,
    lanes: Arc<LaneTable>,
    /// One for each writer; empty once the queue stops.
    senders: RwLock<Vec<mpsc::Sender<Work>>>,
    /// What [`Queue::run`] runs; taken by it.
    machinery: Mutex<Option<Machinery>>,
}

struct Machinery {
    writers: Vec<Writer>,
    keeper: Keeper,
}

impl Queue {
    /// Connects, checks that the schema is there, and announces this instance. Nothing is owned and nothing accepted before
    /// [`Queue::run`] runs.
    ///
    /// # Errors
    /// When the storage cannot be reached, is another's (SQLite), or lacks migrations.
    pub async fn open(settings: Settings, now: Now) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let store = crate::open_store(&settings, metrics.clone()).await?;
        let me = Uuid::new_v4();
        store.register(me).await.map_err(|fault| OpenError::Register(fault.to_string()))?;
        let lanes = Arc::new(LaneTable::new());
        let (mut senders, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..store.writers() {
            let (sender, work) = mpsc::channel(settings.waiting_at_most.max(1));
            senders.push(sender);
            writers.push(Writer {
                committer: store.committer(),
                work,
                lanes: Arc::clone(&lanes),
                settings: settings.clone(),
                metrics: metrics.clone(),
            });
        }
        let keeper = Keeper::new(Arc::clone(&store), Arc::clone(&lanes), settings.clone(), me);
        let machinery = Mutex::new(Some(Machinery { writers, keeper }));
        let senders = RwLock::new(senders);
        Ok(Self { inner: Arc::new(Inner { settings, now, store, lanes, senders, machinery }) })
    }

    /// Creates the tables, or brings them up to date.
    ///
    /// # Errors
    /// When the storage cannot be reached or a migration fails.
    pub async fn migrate(url: &str) -> Result<(), OpenError> {
        crate::migrate(url).await
    }

    /// The lanes owned now, with their epochs. What comes in is to be loaded ([`Queue::fresh`], [`Queue::backlog`]); what goes
    /// is to be dropped; a lane whose epoch changed went and came. What is owned already counts as a change that was not seen.
    #[must_use]
    pub fn lanes(&self) -> watch::Receiver<Arc<BTreeMap<u8, i64>>> {
        self.inner.lanes.subscribe()
    }

    /// An id for a message that is to be accepted.
    ///
    /// # Errors
    /// When no lane is owned: before the first was taken, and while the database does not answer.
    pub fn allocate(&self) -> Result<QueueId, AcceptError> {
        let now = (self.inner.now)();
        self.inner
            .lanes
            .allocate(now, self.inner.store.writers())
            .ok_or_else(|| AcceptError::Unavailable("no lane of the queue is owned".into()))
    }

    /// Stores a message. When it returns `Ok`, the message survives a crash of everything. To be run to its end: the commit
    /// goes on when the caller stops waiting.
    ///
    /// # Errors
    /// By what the peer is to be told; see [`AcceptError`].
    pub async fn accept(&self, transaction: MailTransaction) -> Result<(), AcceptError> {
        self.store(transaction, None).await.map(drop)
    }

    /// As [`Queue::accept`], but only if nothing was accepted under this key before; both are one transaction, so that of
    /// many that hand in the same at once, here or at other instances, one has it stored and all others hear which that was.
    /// Whether the request behind the key was the same is the caller's to judge, by the fingerprint.
    ///
    /// # Errors
    /// As [`Queue::accept`].
    pub async fn accept_once(
        &self,
        transaction: MailTransaction,
        key: &IdempotencyKey,
    ) -> Result<Accepted, AcceptError> {
        let retention =
            Duration::from_secs(u64::from(self.inner.settings.idempotency_retention_hours) * 3600);
        let key = PreparedKey::new(key, (self.inner.now)() + retention);
        self.store(transaction, Some(key)).await
    }

    /// What was accepted under a key; none where nothing was, or so long ago that it is forgotten.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Kept>, StoreError> {
        let account = key.account.to_string();
        Ok(self.ask(self.inner.store.recall(&account, &key.key)).await?)
    }

    async fn store(
        &self,
        transaction: MailTransaction,
        key: Option<PreparedKey>,
    ) -> Result<Accepted, AcceptError> {
        let size = transaction.content.len();
        let span = tracing::info_span!(
            "queue.commit",
            queue_id = %transaction.id,
            message.size = size,
            batch.messages = tracing::field::Empty,
            batch.octets = tracing::field::Empty,
        );
        let lane = transaction.id.lane;
        let work = async {
            let epoch = self.inner.lanes.epoch(lane).ok_or(AcceptError::Fenced)?;
            let mut message = PreparedMessage::new(transaction, epoch)?;
            message.key = key;
            if self.inner.store.spools(size) {
                self.ask(self.inner.store.spool(&message)).await?;
                message.spooled = true;
            }
            let (answer, waiting) = oneshot::channel();
            if !self.send(lane, Work::Accept(Box::new(message), answer)).await {
                return Err(AcceptError::Unavailable("the queue is stopping".into()));
            }
            let (group, accepted) = waiting.await.unwrap_or(Err(AcceptError::Unknown))?;
            tracing::Span::current().record("batch.messages", group.messages);
            tracing::Span::current().record("batch.octets", group.octets);
            Ok(accepted)
        };
        work.instrument(span).await
    }

    /// Stores what an attempt came to; see [`Report`]. Final results count even when the lane was lost meanwhile, for what
    /// happened, happened.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] for a delay in a lane that is lost, and for notices whose lane is lost. Anything else may be
    /// repeated with the same report.
    pub async fn report(&self, report: Report) -> Result<Reported, StoreError> {
        let lane = report.key.id.lane;
        let prepared = self.prepare_report(report)?;
        for notice in &prepared.notices {
            if self.inner.store.spools(notice.size) {
                self.ask(self.inner.store.spool(notice)).await?;
            }
        }
        let (answer, waiting) = oneshot::channel();
        if !self.send(lane, Work::Report(Box::new(prepared), answer)).await {
            return Err(StoreError::Unavailable("the queue is stopping".into()));
        }
        waiting.await.unwrap_or(Err(StoreError::Unknown))
    }

    fn prepare_report(&self, mut report: Report) -> Result<PreparedReport, StoreError> {
        let epoch = self.inner.lanes.epoch(report.key.id.lane);
        if report.retry.is_some() && epoch.is_none() {
            return Err(StoreError::Fenced);
        }
        let mut notices = Vec::with_capacity(report.notices.len());
        for notice in std::mem::take(&mut report.notices) {
            let epoch = self.inner.lanes.epoch(notice.id.lane).ok_or(StoreError::Fenced)?;
            let mut notice = PreparedMessage::new(notice, epoch)?;
            notice.spooled = self.inner.store.spools(notice.size);
            notices.push(notice);
        }
        Ok(PreparedReport::new(report, epoch, notices)?)
    }

    /// To the writer of a lane; false when the queue has stopped.
    async fn send(&self, lane: u8, work: Work) -> bool {
        let sender = {
            let senders = self.inner.senders.read().unwrap_or_else(PoisonError::into_inner);
            match senders.len() {
                0 => return false,
                writers => senders[usize::from(lane) % writers].clone(),
            }
        };
        sender.send(work).await.is_ok()
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        tokio::time::timeout(PATIENCE, question)
            .await
            .unwrap_or_else(|_| Err(Fault::Refused("no answer in time".into())))
    }

    /// Recipients of a lane before the end of their first attempt, by key: what a new owner has to attempt.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn fresh(
        &self,
        lane: LaneGrant,
        after: Option<RecipientKey>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.ask(self.inner.store.fresh(lane.lane, after, limit)).await?)
    }

    /// What waits in a lane for another attempt, by destination.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn backlog(&self, lane: LaneGrant) -> Result<Vec<Backlog>, StoreError> {
        Ok(self.ask(self.inner.store.backlog(lane.lane)).await?)
    }

    /// Recipients for one destination that are due, over all owned lanes, due longest first. Fewer than `limit` means that there are no more behind
    /// `after`.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn due(
        &self,
        destination: &str,
        now: Timestamp,
        limit: u32,
        after: Option<DueCursor>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let lanes: Vec<u8> = self.inner.lanes.owned().into_iter().map(|grant| grant.lane).collect();
        if lanes.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let page = DuePage { lanes: &lanes, destination, now, after, per_lane: 0 };
        Ok(self.ask(crate::due::walk(self.inner.store.as_ref(), page, limit)).await?)
    }

    /// Recipients of a lane that wait although their time is up, longest first.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn expired(
        &self,
        lane: LaneGrant,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.ask(self.inner.store.expired(lane.lane, now, limit)).await?)
    }

    /// Gives up the first attempt from memory of recipients, all of one lane: they become due at `at` and are found by [`Queue::due`].
    /// For a scheduler that is full. Answers how many were still fresh.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lane is lost; else when the storage does not answer.
    pub async fn park(&self, lane: u8, keys: &[RecipientKey], at: Timestamp) -> Result<u64, StoreError> {
        let epoch = self.inner.lanes.epoch(lane).ok_or(StoreError::Fenced)?;
        Ok(self.ask(self.inner.store.park(LaneGrant { lane, epoch }, keys, at)).await?)
    }

    /// Makes recipients of a domain due now who wait for another attempt, in the lanes of this instance and at most `limit` of
    /// them; with `below` those of the domains below it too. Who is held stays held. Answers where they go, and how many.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn hasten(
        &self,
        domain: &Domain,
        below: bool,
        limit: u32,
    ) -> Result<BTreeMap<Arc<str>, u64>, StoreError> {
        let lanes: Vec<u8> = self.inner.lanes.owned().into_iter().map(|grant| grant.lane).collect();
        let (end, other_end) =
            (format!("@{domain}>"), if below { format!(".{domain}>") } else { String::new() });
        let hurry = Hurry { lanes: &lanes, now: (self.inner.now)(), end: &end, other_end: &other_end, limit };
        let mut destinations = BTreeMap::new();
        for destination in self.ask(self.inner.store.hasten(&hurry)).await? {
            *destinations.entry(Arc::from(destination)).or_default() += 1;
        }
        Ok(destinations)
    }

    /// A message without its content; none when its last recipient has ended.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn message(&self, id: QueueId) -> Result<Option<Message>, StoreError> {
        Ok(self.ask(self.inner.store.message(id)).await?)
    }

    /// The content of a message, byte for byte; none when its last recipient has ended.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn content(&self, id: QueueId) -> Result<Option<Content>, StoreError> {
        Ok(self.ask(self.inner.store.content(id)).await?)
    }

    /// Whether the lease of the message's lane still holds: asked before the final dot.
    #[must_use]
    pub fn may_commit(&self, id: QueueId) -> bool {
        self.inner.lanes.may_commit(id.lane)
    }

    /// Whether a message was accepted; if not, its id becomes void, so that it never is. Any instance may be asked.
    ///
    /// # Errors
    /// When the storage does not answer; the question may be repeated.
    pub async fn resolve(&self, id: QueueId) -> Result<bool, StoreError> {
        Ok(self.ask(self.inner.store.resolve(id, (self.inner.now)())).await?)
    }

    /// How much waits in the lanes of this instance. Reads every pending row: for a gauge, not for a loop.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        let lanes: Vec<u8> = self.inner.lanes.owned().into_iter().map(|grant| grant.lane).collect();
        Ok(self.ask(self.inner.store.depth(&lanes)).await?)
    }

    /// Leases lanes, commits and cleans up until `stop`; then commits what was handed in, gives the lanes back at once and
    /// closes. To be called once.
    pub async fn run(&self, stop: CancellationToken) {
        let machinery = self.inner.machinery.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Machinery { writers, mut keeper }) = machinery else {
            tracing::error!("the queue runs already");
            return;
        };
        let mut writing = JoinSet::new();
        for mut writer in writers {
            writing.spawn(async move { writer.run().await });
        }
        tokio::select! {
            () = keeper.run(&stop) => {}
            () = self.maintain() => {}
        }
        self.inner.senders.write().unwrap_or_else(PoisonError::into_inner).clear();
        while let Some(ended) = writing.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a writer of the queue broke");
            }
        }
        keeper.leave().await;
        self.inner.store.close().await;
    }

    /// Never ends: expired history and orphans of owned lanes, a bounded number of rows at a time.
    async fn maintain(&self) {
        let interval = Duration::from_millis(self.inner.settings.maintenance_interval_ms.max(1000));
        loop {
            tokio::time::sleep(interval).await;
            let now = (self.inner.now)();
            if let Err(fault) = self.forget_keys(now).await {
                tracing::warn!(error = %fault, "old idempotency keys could not be cleaned up");
            }
            for grant in self.inner.lanes.owned() {
                if let Err(fault) = self.sweep(grant).await {
                    tracing::warn!(error = %fault, lane = grant.lane, "history could not be cleaned up");
                    break;
                }
            }
        }
    }

    async fn forget_keys(&self, now: Timestamp) -> Result<(), Fault> {
        while self.inner.store.forget_keys(now, SWEEP_ROWS).await? >= u64::from(SWEEP_ROWS) {}
        Ok(())
    }

    async fn sweep(&self, grant: LaneGrant) -> Result<(), Fault> {
        let now = (self.inner.now)();
        let before = |hours: u32| {
            let millis = i64::from(hours) * 3_600_000;
            number_at(Timestamp::from_millis(now.as_millis().saturating_sub(millis)))
        };
        let retention = Retention {
            history: before(self.inner.settings.history_retention_hours),
            orphans: before(self.inner.settings.orphan_retention_hours),
            limit: SWEEP_ROWS,
        };
        while self.inner.store.sweep(grant.lane, retention).await? >= u64::from(SWEEP_ROWS) {}
        Ok(())
    }
}
