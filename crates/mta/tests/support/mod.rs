//! An mta without a network: a queue in a file of its own, and a directory and mailboxes that do what the test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mail::{
    Credentials, Domain, Envelope, ForwardPath, Origin, Outcome, QueueId, Recipient, Resolution,
    ScramChallenge, Status, Timestamp,
};
use mta::attempt::Attempts;
use mta::config::{self, Dns, Retry};
use mta::dispatcher::Dispatcher;
use mta::intake::Intake;
use mta::local::Local;
use mta::memory::ContentMemory;
use mta::metrics::Metrics;
use mta::outbound::Outbound;
use mta::outbound::resolve::Resolver;
use mta::queue_admin::QueueAdmin;
use mta::recipients::Recipients;
use mta::report::Schedule;
use mta::route::Routes;
use mta::scheduler::{Limits, Scheduler};
use mta::times::Times;
use protocol::{Authentication, Delivery, DeliveryRequest, Directory, Error, ErrorKind, Relay, Submission};
use queue::{Depth, Queue};
use service::clock::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

/// What the mailboxes answer to a delivery; given are its number for that message and recipient, and its request.
pub(crate) type Answer = Box<dyn Fn(usize, &DeliveryRequest, &Queue) -> Script + Send + Sync>;

/// What to answer, and what to do before.
pub(crate) enum Script {
    Say(Outcome),
    ReportThenSay(Box<queue::Report>, Outcome),
    Panic,
}

/// Whatever a test wants otherwise.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) delays: Vec<Duration>,
    pub(crate) content_memory: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) routes: BTreeMap<String, config::RelayHost>,
    pub(crate) directory: Arc<Addresses>,
    pub(crate) answer: Answer,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits {
                ready: 100,
                attempts: 100,
                attempts_per_destination: 20,
                local_deliveries: 8,
                recipients_per_transaction: 100,
                failures_before_suspension: 3,
                suspensions: vec![Duration::from_hours(1)],
            },
            delays: vec![Duration::from_millis(50)],
            content_memory: 1024 * 1024,
            clock: Arc::new(SystemClock),
            routes: BTreeMap::new(),
            directory: Arc::default(),
            answer: Box::new(|_, _, _| Script::Say(delivered())),
        }
    }
}

pub(crate) struct World {
    pub(crate) queue: Queue,
    pub(crate) mailboxes: Arc<Mailboxes>,
    intake: Intake,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("queue.sqlite").display());
        Queue::migrate(&url).await.unwrap();
        let clock = Arc::clone(&setup.clock);
        let now = Arc::new(move || Timestamp::from(clock.now()));
        let queue = Queue::open(queue::Settings::at(&url), now).await.unwrap();
        let mailboxes =
            Arc::new(Mailboxes { queue: queue.clone(), answer: setup.answer, requests: Mutex::default() });
        let directory = setup.directory;
        let retry = Retry {
            delays: setup.delays.iter().map(|d| (*d).into()).collect(),
            jitter: 0.0,
            ..Retry::default()
        };
        let recipients = Recipients {
            directory,
            routes: Arc::new(Routes::new(&setup.routes, None, false)),
            times: Times { expire: Duration::from_hours(24), delay_notice: Duration::from_hours(4) },
            expansion: 100,
        };
        let dispatcher = Arc::new(Dispatcher::new(
            Scheduler::new(setup.limits),
            queue.clone(),
            ContentMemory::new(setup.content_memory),
            Arc::clone(&setup.clock),
            Duration::from_secs(1),
        ));
        let host: Domain = "mta.test".parse().unwrap();
        let dns = Dns { servers: vec!["127.0.0.1:9".parse().unwrap()], ..Dns::default() };
        let resolver = Resolver::new(&dns, "mta.test", 5).unwrap();
        let attempts = Attempts {
            queue: queue.clone(),
            local: Local(mailboxes.clone()),
            outbound: Outbound::new(resolver, &config::Outbound::default(), "mta.test").unwrap(),
            recipients: recipients.clone(),
            schedule: Schedule::new(&retry),
            returned_size: 1024,
            host,
            clock: Arc::clone(&setup.clock),
            metrics: Metrics::default(),
        };
        let intake = Intake {
            queue: queue.clone(),
            recipients,
            dispatcher: Arc::clone(&dispatcher),
            hops: 50,
            admin: QueueAdmin(queue::Views::open(&url).await.unwrap()),
            clock: setup.clock,
            metrics: Metrics::default(),
            open: Arc::new(CancellationToken::new().drop_guard()),
        };
        let stop = CancellationToken::new();
        let (running, ended) = (queue.clone(), stop.clone());
        tokio::spawn(async move { running.run(ended).await });
        tokio::spawn(dispatcher.run(Arc::new(attempts), stop.clone()));
        let world = Self { queue, mailboxes, intake, stop, _folder: folder };
        world.until("a lane is owned", || !world.queue.lanes().borrow().is_empty()).await;
        world
    }

    /// Hands in a message of this size from `sender@here.test`.
    pub(crate) async fn send(&self, recipient: impl Into<Recipient>, size: usize) -> QueueId {
        let origin = Origin { helo: "test".to_owned(), protocol: "ESMTP".to_owned(), ..Origin::default() };
        let mut envelope = Envelope::new("<sender@here.test>".parse().unwrap(), origin);
        envelope.recipients.push(recipient.into());
        let content = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(size)).into();
        let by = "mta.test".parse().unwrap();
        let submission = Submission { envelope, content, tls: None, by, key: None };
        Relay::enqueue(&self.intake, submission).await.unwrap().id
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}; {:?}", self.mailboxes.all());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the queue holds nothing.
    pub(crate) async fn until_empty(&self) {
        self.until_depth("the queue is empty", |depth| depth.fresh + depth.deferred == 0).await;
    }

    pub(crate) async fn until_depth(&self, what: &str, holds: impl Fn(Depth) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let depth = self.queue.depth().await.unwrap();
            if holds(depth) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}; {depth:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Mailboxes that remember what they were asked.
pub(crate) struct Mailboxes {
    queue: Queue,
    answer: Answer,
    requests: Mutex<Vec<(QueueId, String)>>,
}

impl Mailboxes {
    /// Deliveries of a message to a recipient.
    pub(crate) fn count(&self, id: QueueId, recipient: &str) -> usize {
        self.all().iter().filter(|(of, to)| (*of, to.as_str()) == (id, recipient)).count()
    }

    /// Deliveries to a recipient of whatever messages.
    pub(crate) fn count_to(&self, recipient: &str) -> usize {
        self.all().iter().filter(|(_, to)| to == recipient).count()
    }

    pub(crate) fn all(&self) -> Vec<(QueueId, String)> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Delivery for Mailboxes {
    async fn deliver(&self, request: DeliveryRequest) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::new();
        for recipient in &request.recipients {
            let path = recipient.forward_path.to_string();
            self.requests.lock().unwrap().push((request.id, path.clone()));
            let number = self.count(request.id, &path);
            outcomes.push(match (self.answer)(number, &request, &self.queue) {
                Script::Say(outcome) => outcome,
                Script::ReportThenSay(report, outcome) => {
                    self.queue.report(*report).await.unwrap();
                    outcome
                }
                Script::Panic => panic!("as the test wants"),
            });
        }
        Ok(outcomes)
    }
}

/// Knows all of `here.test`, unless it is away.
#[derive(Default)]
pub(crate) struct Addresses {
    is_away: AtomicBool,
    refusals: AtomicUsize,
}

impl Addresses {
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Questions that found it away.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Directory for Addresses {
    async fn authenticate(&self, _: &Credentials) -> Result<Authentication, Error> {
        Ok(Authentication::Refused)
    }

    async fn challenge_scram(&self, _: &str) -> Result<ScramChallenge, Error> {
        Err(Error::new(ErrorKind::Rejected, "nobody logs in here"))
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        if self.is_away.load(Ordering::Relaxed) {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        Ok(match forward_path.mailbox() {
            Some(mailbox) if mailbox.to_string().ends_with("@here.test") => {
                Resolution::Deliverable(vec![mailbox.clone()])
            }
            _ => Resolution::NotLocal,
        })
    }
}

pub(crate) fn path(text: &str) -> ForwardPath {
    text.parse().unwrap()
}

pub(crate) fn delivered() -> Outcome {
    Outcome::Delivered(Status::new(250, (2, 0, 0), "done"))
}

pub(crate) fn delayed() -> Outcome {
    Outcome::Delayed(Status::new(451, (4, 3, 0), "busy"))
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed(Status::new(550, (5, 1, 1), "no such user"))
}
