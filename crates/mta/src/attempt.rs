//! One attempt: a message, the recipients that share a next hop, one outcome for each, stored with the notices that it causes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mail::{
    BodyType, Content, Domain, Envelope, ForwardPath, Origin, Outcome, ReversePath, Status, Timestamp,
};
use protocol::ErrorKind;
use queue::{Delivery, MailTransaction, Message, Queue, Report, Reported, StoreError};
use service::clock::Clock;
use tracing::Instrument;

use crate::dispatcher::Dispatcher;
use crate::local::Local;
use crate::memory::{ContentMemory, Loaded};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::recipients::Recipients;
use crate::report::notice::{self, Notice};
use crate::report::{Attempted, Schedule, time_is_up, too_late};
use crate::route::{LOCAL, NextHop};
use crate::scheduler::{Job, Verdict};
use crate::times;

/// How long to wait before outcomes that could not be stored, or a message that could not be read, are tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to wait before what the storage refuses or cannot read is tried again: only people can mend that.
const MUCH_LATER: Duration = Duration::from_hours(1);

/// What becomes of a job's recipients behind an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// When the first of those that were delayed is due.
    pub due: Option<Timestamp>,
    /// Of some nothing was stored. Where they are ours still, they are to be taken up after this time.
    pub again_after: Option<Duration>,
}

impl Ended {
    /// Nothing was stored: to be taken up after this time.
    #[must_use]
    pub fn unstored(again_after: Duration) -> Self {
        Self { due: None, again_after: Some(again_after) }
    }

    fn due(due: Option<Timestamp>) -> Self {
        Self { due, again_after: None }
    }

    fn and(self, other: Self) -> Self {
        Self {
            due: self.due.into_iter().chain(other.due).min(),
            again_after: self.again_after.into_iter().chain(other.again_after).min(),
        }
    }
}

/// Makes attempts.
pub struct Attempts {
    /// Where outcomes are stored.
    pub queue: Queue,
    /// The way into mailboxes here.
    pub local: Local,
    /// The way to other servers.
    pub outbound: Outbound,
    /// Knows where recipients, and the senders who get notices, are.
    pub recipients: Recipients,
    /// When retries are due.
    pub schedule: Schedule,
    /// The size up to which a failed message is returned whole.
    pub returned_size: usize,
    /// The host that notices come from.
    pub host: Domain,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Attempts {
    /// Makes one attempt for a job and stores what it came to. `released` is told what it showed about the destination, before
    /// the outcomes are stored.
    pub async fn perform(
        &self,
        dispatcher: &Arc<Dispatcher>,
        memory: &ContentMemory,
        mut job: Job,
        released: impl Fn(Verdict),
    ) -> Ended {
        let loaded = match self.load(memory, &mut job).await {
            Ok(loaded) => loaded,
            Err(ended) => {
                released(Verdict::Answered);
                return ended;
            }
        };
        let span = tracing::info_span!(
            "delivery.attempt",
            queue_id = %job.id,
            destination = %job.destination,
            attempt = job.deliveries.iter().map(|d| d.attempts).min().unwrap_or(0) + 1,
            recipients = job.deliveries.len(),
            tick = loaded.message.envelope.origin.tick,
            remote = tracing::field::Empty,
            outcome = tracing::field::Empty,
            otel.kind = "client",
        );
        protocol::trace::span_parent(&span, &loaded.message.trace);
        async {
            if times::is_overdue(&loaded.message.envelope, loaded.message.accepted_at, self.now()) {
                released(Verdict::Answered);
                let attempted = vec![Attempted::here(Outcome::Failed(too_late())); job.deliveries.len()];
                return self.store(dispatcher, &job, &loaded, attempted).await;
            }
            let (attempted, verdict) = self.attempt(&job, &loaded).await;
            released(verdict);
            self.store(dispatcher, &job, &loaded, attempted).await
        }
        .instrument(span)
        .await
    }

    /// Fails a job whose time is up without another attempt.
    pub async fn expire(&self, dispatcher: &Arc<Dispatcher>, memory: &ContentMemory, mut job: Job) -> Ended {
        let loaded = match self.load(memory, &mut job).await {
            Ok(loaded) => loaded,
            Err(ended) => return ended,
        };
        let span = tracing::info_span!(
            "delivery.expire",
            queue_id = %job.id,
            destination = %job.destination,
            recipients = job.deliveries.len(),
            outcome = tracing::field::Empty,
        );
        protocol::trace::span_parent(&span, &loaded.message.trace);
        let last = Status::new(451, (4, 4, 1), "no server of the destination has answered");
        let attempted =
            job.deliveries.iter().map(|_| Attempted::here(Outcome::Failed(time_is_up(&last)))).collect();
        self.store(dispatcher, &job, &loaded, attempted).instrument(span).await
    }

    /// The message in memory, or read from the queue once there is room for it. An end where it cannot be read, or is gone, for
    /// somebody else finished it.
    async fn load(&self, memory: &ContentMemory, job: &mut Job) -> Result<Arc<Loaded>, Ended> {
        if let Some(loaded) = job.message.take() {
            return Ok(loaded);
        }
        loop {
            match self.read(memory, job).await {
                Ok(loaded) => return loaded.ok_or_else(Ended::default),
                Err(StoreError::Corrupt(detail)) => {
                    tracing::error!(queue_id = %job.id, %detail, "a queued message cannot be read; it stays queued");
                    return Err(Ended::unstored(MUCH_LATER));
                }
                Err(error) if self.queue.may_commit(job.id) => {
                    tracing::warn!(queue_id = %job.id, %error, "cannot read a queued message; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => return Err(Ended::unstored(AGAIN)),
            }
        }
    }

    async fn read(&self, memory: &ContentMemory, job: &Job) -> Result<Option<Arc<Loaded>>, StoreError> {
        let Some(message) = self.queue.message(job.id).await? else { return Ok(None) };
        let size = usize::try_from(message.size).unwrap_or(usize::MAX);
        let Some(room) = memory.reserve(size).await else { return Ok(None) };
        let content = self.queue.content(job.id).await?;
        Ok(content.map(|content| room.fill(message, content)))
    }

    /// Sends to each next hop that the recipients have: one, unless routes changed since they were queued.
    async fn attempt(&self, job: &Job, loaded: &Loaded) -> (Vec<Attempted>, Verdict) {
        let is_ours = job.destination.as_ref() == LOCAL;
        let next_hop = |d: &Delivery| self.recipients.routes.next_hop(&d.recipient.forward_path, is_ours);
        let mut attempted: Vec<Option<Attempted>> = vec![None; job.deliveries.len()];
        let mut verdict = Verdict::Answered;
        while let Some(first) = attempted.iter().position(Option::is_none) {
            let hop = next_hop(&job.deliveries[first]);
            let places: Vec<usize> = (first..attempted.len())
                .filter(|&at| attempted[at].is_none() && next_hop(&job.deliveries[at]) == hop)
                .collect();
            let deliveries: Vec<&Delivery> = places.iter().map(|&at| &job.deliveries[at]).collect();
            let (outcomes, said) = match &hop {
                NextHop::Local => self.local.deliver(loaded, &deliveries).await,
                hop => {
                    let Message { envelope, accepted_at, .. } = &loaded.message;
                    let deliver_by = times::remaining(envelope, *accepted_at, self.now());
                    let may_commit = || self.queue.may_commit(job.id);
                    self.outbound.deliver(hop, loaded, deliver_by, &deliveries, &may_commit).await
                }
            };
            verdict = said;
            let mut outcomes = outcomes.into_iter();
            for place in places {
                let missing =
                    || Attempted::here(Outcome::Delayed(Status::new(451, (4, 3, 0), "no outcome was given")));
                attempted[place] = Some(outcomes.next().unwrap_or_else(missing));
            }
        }
        (attempted.into_iter().flatten().collect(), verdict)
    }

    /// Stores the outcomes, all in one batch of the queue where it can.
    async fn store(
        &self,
        dispatcher: &Arc<Dispatcher>,
        job: &Job,
        loaded: &Loaded,
        attempted: Vec<Attempted>,
    ) -> Ended {
        let span = tracing::Span::current();
        if let Some(first) = attempted.first() {
            span.record("outcome", first.outcome.action().as_str());
            if let Some(remote) = &first.remote {
                span.record("remote", remote.as_str());
            }
        }
        let stored = job.deliveries.iter().zip(attempted).map(|(delivery, attempted)| async move {
            let report = self.report(delivery, loaded, attempted).await;
            self.metrics.outcome(report.outcome.action(), delivery.destination.as_ref() == LOCAL);
            log(&report, &loaded.message);
            self.store_one(dispatcher, report).await
        });
        join_all(stored).await.into_iter().fold(Ended::default(), Ended::and)
    }

    async fn report(&self, delivery: &Delivery, loaded: &Loaded, attempted: Attempted) -> Report {
        let now = self.now();
        let Attempted { outcome, remote, passed_on } = attempted;
        let recipient = &delivery.recipient;
        let envelope = &loaded.message.envelope;
        let mut ruling = self.schedule.rule(delivery, envelope, outcome, now);
        let wanted = notice::is_wanted(envelope, recipient, &ruling.outcome, passed_on)
            && (ruling.retry.is_none() || ruling.delay_notice);
        let mut notices = Vec::new();
        if wanted {
            match self.notices(delivery, loaded, &ruling.outcome, remote.as_deref(), now).await {
                Ok(made) => notices = made,
                // Whoever is to hear of it cannot be found now: the recipient waits for that.
                Err(status) => ruling = self.schedule.postpone(delivery, status, now),
            }
        }
        Report {
            key: delivery.key,
            attempt: delivery.attempts.saturating_add(1),
            at: now,
            forward_path: recipient.forward_path.clone(),
            outcome: ruling.outcome,
            remote,
            retry: ruling.retry,
            notices,
        }
    }

    /// What the sender is to be told. What has been delivered waits here until it can be told: to wait in the queue would mean to
    /// deliver it again.
    async fn notices(
        &self,
        delivery: &Delivery,
        loaded: &Loaded,
        outcome: &Outcome,
        remote: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<MailTransaction>, Status> {
        loop {
            match self.notice(delivery, loaded, outcome, remote, now).await {
                Ok(notice) => return Ok(notice.into_iter().collect()),
                Err(status) if matches!(outcome, Outcome::Delayed(_) | Outcome::Failed(_)) => {
                    return Err(status);
                }
                Err(status) => {
                    tracing::warn!(queue_id = %delivery.key.id, %status, "a notice of delivery has to wait");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// The notice of an outcome as a message to the sender, from the null reverse-path; none where the sender's address leads
    /// nowhere.
    async fn notice(
        &self,
        delivery: &Delivery,
        loaded: &Loaded,
        outcome: &Outcome,
        remote: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<MailTransaction>, Status> {
        let unavailable = |error: &dyn std::fmt::Display| {
            Status::new(451, (4, 3, 0), format!("a notice to the sender cannot be queued now: {error}"))
        };
        let id = self.queue.allocate().map_err(|error| unavailable(&error))?;
        let origin =
            Origin { helo: self.host.to_string(), protocol: "LOCAL".to_owned(), ..Origin::default() };
        let mut envelope = Envelope::new(ReversePath::Null, origin);
        envelope.smtputf8 = loaded.message.envelope.smtputf8;
        // What was to be kept from others is not told to them in a notice (RFC 8689 5).
        envelope.require_tls = loaded.message.envelope.require_tls;
        // A notice of a binary message is none itself.
        envelope.body = match loaded.message.envelope.body {
            BodyType::BinaryMime => BodyType::EightBitMime,
            body => body,
        };
        if let Some(sender) = loaded.message.envelope.reverse_path.mailbox() {
            envelope.recipients.push(ForwardPath::Mailbox(sender.clone()).into());
        }
        let deliveries = match self.recipients.deliveries(&envelope, now).await {
            Ok(expanded) => expanded.deliveries,
            // To wait for that would be to wait for ever.
            Err(error) if error.kind == ErrorKind::Rejected => {
                tracing::warn!(queue_id = %delivery.key.id, %error, "nobody can be told what became of a message");
                Vec::new()
            }
            Err(error) => return Err(unavailable(&error)),
        };
        if deliveries.is_empty() {
            return Ok(None);
        }
        let content: Content = Notice {
            message: &loaded.message,
            content: &loaded.content,
            recipient: &delivery.recipient,
            outcome,
            remote,
            retry_until: matches!(outcome, Outcome::Delayed(_)).then_some(delivery.expires_at),
            returned_size: self.returned_size,
        }
        .build(id, &self.host, now);
        let trace = protocol::trace::current();
        Ok(Some(MailTransaction { id, accepted_at: now, envelope, trace, content, deliveries }))
    }

    /// Stores one report until it is stored or the queue says that it is not ours to store.
    async fn store_one(&self, dispatcher: &Arc<Dispatcher>, mut report: Report) -> Ended {
        let id = report.key.id;
        let due = Ended::due(report.retry.map(|retry| retry.next_attempt_at));
        loop {
            match self.queue.report(report.clone()).await {
                Ok(Reported::Stored) => {
                    for notice in report.notices {
                        dispatcher.offer_accepted(notice);
                    }
                    return due;
                }
                // Perhaps by ourselves, in a commit whose answer was lost: the retry is ours to schedule.
                Ok(Reported::Already) => return due,
                Err(StoreError::Fenced) if report.retry.is_some() && !self.queue.may_commit(id) => {
                    return Ended::unstored(AGAIN);
                }
                // What has ended has ended, whoever owns the lane: only its notice needs another.
                Err(StoreError::Fenced) => {
                    tokio::time::sleep(AGAIN).await;
                    self.rename_notices(&mut report);
                }
                Err(error @ (StoreError::Rejected(_) | StoreError::Corrupt(_))) => {
                    tracing::error!(queue_id = %id, %error, "an outcome cannot be stored; the recipient stays queued");
                    return Ended::unstored(MUCH_LATER);
                }
                Err(error) => {
                    tracing::warn!(queue_id = %id, %error, "an outcome cannot be stored; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// The lane that a notice was to lie in is no longer ours: it gets another, once there is one.
    fn rename_notices(&self, report: &mut Report) {
        for notice in &mut report.notices {
            if let Ok(id) = self.queue.allocate() {
                notice.id = id;
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }
}

/// One line for each recipient and attempt: what happened, and why.
fn log(report: &Report, message: &Message) {
    let Report { key, attempt, forward_path: to, outcome, remote, retry, .. } = report;
    let (id, from, status) = (key.id, &message.envelope.reverse_path, outcome.status());
    let remote = remote.as_deref().unwrap_or("");
    match (outcome, retry) {
        (Outcome::Failed(_), _) => {
            tracing::warn!(queue_id = %id, %from, %to, attempt, remote, %status, "delivery failed for good");
        }
        (_, Some(retry)) => {
            tracing::info!(queue_id = %id, %from, %to, attempt, remote, %status, again = %retry.next_attempt_at, "delivery delayed");
        }
        (outcome, None) => {
            tracing::info!(queue_id = %id, %from, %to, attempt, remote, %status, "message {}", outcome.action());
        }
    }
}
