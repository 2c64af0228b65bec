//! A queue for one test: on a file of its own, or on a database of its own on the Postgres server of this test binary.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use mail::{Content, Envelope, Origin, Outcome, QueueId, Recipient, Status, Timestamp, TraceContext};
use queue::{
    Delivery, LaneGrant, MailTransaction, NewDelivery, Queue, RecipientKey, Report, Retry, Settings,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::postgres::Postgres;

/// 2026-01-01, where every test's clock begins.
pub(crate) const START: i64 = 1_767_225_600_000;

/// A place for a queue, and the clock of those who use it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) clock: Arc<AtomicI64>,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("below/queue.sqlite").display());
        Self::at(url, Some(folder))
    }

    pub(crate) async fn postgres() -> Self {
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        let start = || async { tokio::task::spawn_blocking(Postgres::start).await.unwrap() };
        Self::on(SERVER.get_or_init(start).await).await
    }

    /// On a server that this test stops and starts.
    pub(crate) async fn on(server: &Postgres) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let url = server.url();
        let mut administrator = PgConnection::connect(&url).await.unwrap();
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut administrator).await.unwrap();
        administrator.close().await.unwrap();
        Self::at(url.replace("/postgres?", &format!("/{name}?")), None)
    }

    /// A file in a folder that the test has.
    pub(crate) fn in_folder(folder: &std::path::Path) -> Self {
        Self::at(format!("sqlite:{}", folder.join("queue.sqlite").display()), None)
    }

    fn at(url: String, folder: Option<tempfile::TempDir>) -> Self {
        Self { url, clock: Arc::new(AtomicI64::new(START)), _folder: folder }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::at(&self.url)
    }

    /// Migrates, opens, runs, and waits for lanes.
    pub(crate) async fn run(&self) -> Running {
        self.run_with(self.settings()).await
    }

    pub(crate) async fn run_with(&self, settings: Settings) -> Running {
        Queue::migrate(&self.url).await.unwrap();
        let clock = Arc::clone(&self.clock);
        let now = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::Relaxed)));
        let queue = Queue::open(settings, now).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (queue, stop) = (queue.clone(), stop.clone());
            async move { queue.run(stop).await }
        });
        let running = Running { queue, stop, task };
        running.until("lanes are owned", |queue| !queue.lanes().borrow().is_empty()).await;
        running
    }

    /// Runs a statement beside the queue.
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            return sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected();
        }
        let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected()
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        }
        let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }
}

/// A queue whose `run` runs.
pub(crate) struct Running {
    pub(crate) queue: Queue,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a kill would: nothing is flushed, nothing given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Queue) -> bool) {
        until(what, || holds(&self.queue)).await;
    }

    pub(crate) fn lanes(&self) -> Vec<LaneGrant> {
        let lanes = self.queue.lanes();
        let lanes = lanes.borrow();
        lanes.iter().map(|(lane, epoch)| LaneGrant { lane: *lane, epoch: *epoch }).collect()
    }

    pub(crate) fn lane_of(&self, id: QueueId) -> LaneGrant {
        LaneGrant { lane: id.lane, epoch: self.queue.lanes().borrow()[&id.lane] }
    }

    /// A message from `<sender@example.org>`.
    pub(crate) fn message(&self, content: &str, recipients: &[&str]) -> MailTransaction {
        message(self.queue.allocate().unwrap(), content.to_owned(), recipients)
    }

    /// Accepts a message and answers its id.
    pub(crate) async fn accept(&self, content: &str, recipients: &[&str]) -> QueueId {
        let message = self.message(content, recipients);
        let id = message.id;
        self.queue.accept(message).await.unwrap();
        id
    }

    /// What is fresh in the lane of a message.
    pub(crate) async fn fresh(&self, id: QueueId) -> Vec<Delivery> {
        self.queue.fresh(self.lane_of(id), None, 1000).await.unwrap()
    }
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

pub(crate) fn recipient(path: &str) -> Recipient {
    Recipient::from(path.parse::<mail::ForwardPath>().unwrap())
}

/// All recipients go to the destination `remote` and expire after 1,000 s.
pub(crate) fn message(id: QueueId, content: impl Into<Content>, recipients: &[&str]) -> MailTransaction {
    let origin = Origin { account: Some("sender@example.org".parse().unwrap()), ..Origin::default() };
    MailTransaction {
        id,
        accepted_at: at(0),
        envelope: Envelope::new("<sender@example.org>".parse().unwrap(), origin),
        trace: TraceContext {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            tracestate: "vendor=1".to_owned(),
        },
        content: content.into(),
        deliveries: recipients.iter().map(|path| to("remote", path)).collect(),
    }
}

pub(crate) fn to(destination: &str, path: &str) -> NewDelivery {
    NewDelivery {
        held_until: None,
        recipient: recipient(path),
        destination: destination.into(),
        expires_at: at(1_000_000),
        delay_notice_at: Some(at(500_000)),
    }
}

pub(crate) fn key(id: QueueId, number: u16) -> RecipientKey {
    RecipientKey { id, number }
}

fn report(key: RecipientKey, attempt: u16, outcome: Outcome) -> Report {
    Report {
        key,
        attempt,
        at: at(i64::from(attempt) * 1000),
        forward_path: "<rcpt@remote.test>".parse().unwrap(),
        outcome,
        remote: Some("mx.remote.test [192.0.2.1]".to_owned()),
        retry: None,
        notices: Vec::new(),
    }
}

pub(crate) fn relayed(key: RecipientKey, attempt: u16) -> Report {
    report(key, attempt, Outcome::Relayed(Status::new(250, (2, 0, 0), "ok")))
}

pub(crate) fn failed(key: RecipientKey, attempt: u16, notices: Vec<MailTransaction>) -> Report {
    let outcome = Outcome::Failed(Status::new(550, (5, 1, 1), "no such user"));
    Report { notices, ..report(key, attempt, outcome) }
}

pub(crate) fn delayed(key: RecipientKey, attempt: u16, next: Timestamp) -> Report {
    let outcome = Outcome::Delayed(Status::new(450, (4, 2, 0), "busy"));
    let retry = Some(Retry { next_attempt_at: next, delay_notice_at: None });
    Report { retry, ..report(key, attempt, outcome) }
}
