//! Group commit: one task per committing connection takes everything that waits for it and commits it in one transaction.
//! Answers callers; knows nothing of statements.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{AcceptError, StoreError};
use crate::fault::Fault;
use crate::lanes::LaneTable;
use crate::metrics::Metrics;
use crate::model::{Accepted, Reported};
use crate::prepare::{PreparedMessage, PreparedReport};
use crate::settings::Settings;
use crate::store::{Batch, Committed, Committer, Form, Stored};

/// How long after a broken connection the commit is repeated.
const REPEAT_AFTER: Duration = Duration::from_millis(100);

/// Something to be committed, and who waits for it.
pub(crate) enum Work {
    Accept(Box<PreparedMessage>, oneshot::Sender<Result<(Group, Accepted), AcceptError>>),
    Report(Box<PreparedReport>, oneshot::Sender<Result<Reported, StoreError>>),
}

/// The group that a message was committed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) messages: usize,
    pub(crate) octets: usize,
}

/// See the module.
pub(crate) struct Writer {
    pub(crate) committer: Box<dyn Committer>,
    pub(crate) work: mpsc::Receiver<Work>,
    pub(crate) lanes: Arc<LaneTable>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
}

impl Writer {
    /// Until nobody can send any more and everything sent is answered.
    pub(crate) async fn run(&mut self) {
        while let Some(group) = self.gather().await {
            self.commit(group).await;
        }
    }

    /// Everything that waits, up to the limits. Results alone wait a moment for a message to ride with.
    async fn gather(&mut self) -> Option<Vec<Work>> {
        let mut group = Gathering::new(self.work.recv().await?);
        let linger = Instant::now() + Duration::from_millis(self.settings.report_linger_ms);
        while group.messages == 0 && group.has_room(&self.settings) {
            match timeout_at(linger, self.work.recv()).await {
                Ok(Some(work)) => group.push(work),
                Ok(None) | Err(_) => break,
            }
        }
        while group.has_room(&self.settings) {
            match self.work.try_recv() {
                Ok(work) => group.push(work),
                Err(_) => break,
            }
        }
        Some(group.work)
    }

    /// Commits a group; one that the storage refuses for its data is split until the guilty one is alone.
    async fn commit(&mut self, group: Vec<Work>) {
        // Who waits at a key, which another instance may be about to store, must not keep the others waiting.
        let (keyed, plain): (Vec<_>, Vec<_>) = group.into_iter().partition(is_keyed);
        let mut waiting = vec![keyed, plain];
        waiting.retain(|group| !group.is_empty());
        while let Some(mut group) = waiting.pop() {
            let started = Instant::now();
            match self.store(&group).await {
                Ok(committed) => {
                    let size = Group { messages: committed.messages.len(), octets: octets(&group) };
                    self.metrics.committed(size.messages, committed.reports.len(), started.elapsed());
                    self.answer(group, committed, size);
                }
                Err(fault) if fault.blames_data() && group.len() > 1 => {
                    let second = group.split_off(group.len() / 2);
                    waiting.push(second);
                    waiting.push(group);
                }
                // What is full for messages may have room for results.
                Err(Fault::Full) if is_mixed(&group) => {
                    let (messages, reports) =
                        group.into_iter().partition::<Vec<_>, _>(|work| matches!(work, Work::Accept(..)));
                    waiting.extend([messages, reports]);
                }
                Err(fault) => self.fail(group, &fault),
            }
        }
    }

    /// Commits once, and where the outcome is not known, again in the repeat form until it is or the deadline has passed.
    async fn store(&mut self, group: &[Work]) -> Result<Committed, Fault> {
        let mut batch = Batch::default();
        for work in group {
            match work {
                Work::Accept(message, _) => batch.messages.push(message),
                Work::Report(report, _) => batch.reports.push(report),
            }
        }
        let deadline = Instant::now() + Duration::from_millis(self.settings.accept_deadline_ms);
        let mut lost = match self.commit_by(deadline, &batch, Form::First).await {
            Err(Fault::Lost(detail)) => detail,
            known => return known,
        };
        tracing::warn!(error = %lost, messages = batch.messages.len(), "a commit's outcome is unknown; it is repeated");
        while Instant::now() < deadline {
            sleep(REPEAT_AFTER).await;
            match self.commit_by(deadline, &batch, Form::Repeat).await {
                Err(Fault::Lost(detail) | Fault::Refused(detail)) => lost = detail,
                known => return known,
            }
        }
        Err(Fault::Lost(lost))
    }

    /// A database that hangs is as good as a broken connection; the committer drops it with the unfinished call.
    async fn commit_by(
        &mut self,
        deadline: Instant,
        batch: &Batch<'_>,
        form: Form,
    ) -> Result<Committed, Fault> {
        let commit = self.committer.commit(batch, form);
        timeout_at(deadline, commit).await.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into())))
    }

    fn answer(&self, group: Vec<Work>, committed: Committed, size: Group) {
        let mut messages = committed.messages.into_iter();
        let mut reports = committed.reports.into_iter();
        // A receiver that is gone has nothing more to ask: what was committed stays committed.
        for work in group {
            match work {
                Work::Accept(_, waiting) => {
                    let answer = match messages.next() {
                        Some(Stored::Yes) => Ok((size, Accepted::Now)),
                        Some(Stored::Before(kept)) => Ok((size, Accepted::Before(kept))),
                        Some(Stored::Fenced) => Err(AcceptError::Fenced),
                        Some(Stored::Taken) => Err(AcceptError::Taken),
                        Some(Stored::Incomplete) | None => Err(AcceptError::Unavailable(
                            "its parts were lost in a crash of the database".into(),
                        )),
                    };
                    let _ = waiting.send(answer);
                }
                Work::Report(_, waiting) => {
                    let _ = waiting.send(reports.next().flatten().ok_or(StoreError::Fenced));
                }
            }
        }
    }

    fn fail(&self, group: Vec<Work>, fault: &Fault) {
        tracing::warn!(error = %fault, calls = group.len(), "a group commit failed");
        self.metrics.failed();
        for work in group {
            match work {
                Work::Accept(message, waiting) => {
                    if matches!(fault, Fault::Lost(_)) {
                        self.lanes.distrust(message.grant);
                    }
                    let _ = waiting.send(Err(fault.clone().into()));
                }
                Work::Report(report, waiting) => {
                    if matches!(fault, Fault::Lost(_)) {
                        report.notices.iter().for_each(|notice| self.lanes.distrust(notice.grant));
                    }
                    let _ = waiting.send(Err(fault.clone().into()));
                }
            }
        }
    }
}

fn is_keyed(work: &Work) -> bool {
    matches!(work, Work::Accept(message, _) if message.key.is_some())
}

fn is_mixed(group: &[Work]) -> bool {
    let messages = group.iter().filter(|work| matches!(work, Work::Accept(..))).count();
    messages > 0 && messages < group.len()
}

fn octets(group: &[Work]) -> usize {
    group
        .iter()
        .map(|work| match work {
            Work::Accept(message, _) => message.size,
            Work::Report(..) => 0,
        })
        .sum()
}

/// A group while it grows.
struct Gathering {
    work: Vec<Work>,
    messages: usize,
    reports: usize,
    octets: usize,
}

impl Gathering {
    fn new(first: Work) -> Self {
        let mut group = Self { work: Vec::new(), messages: 0, reports: 0, octets: 0 };
        group.push(first);
        group
    }

    fn push(&mut self, work: Work) {
        match &work {
            Work::Accept(message, _) => {
                self.messages += 1;
                self.octets += message.octets_to_commit();
            }
            Work::Report(..) => self.reports += 1,
        }
        self.work.push(work);
    }

    fn has_room(&self, settings: &Settings) -> bool {
        self.messages < settings.batch_messages
            && self.octets < settings.batch_octets
            && self.reports < settings.batch_reports
    }
}
