//! One attempt: a message, the recipients that share a next hop, one outcome for each, stored with the notices that it causes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mail::{Content, Domain, Envelope, ForwardPath, Origin, Outcome, ReversePath, Status, Timestamp};
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
use crate::report::{Attempted, Schedule, time_is_up};
use crate::route::{LOCAL, NextHop};
use crate::scheduler::{Job, Verdict};

/// How long to wait before outcomes that could not be stored, or a message that could not be read, are tried again.
const AGAIN: Duration = Duration::from_secs(1);

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
    /// the outcomes are stored. Returns when the first retry is due.
    pub async fn perform(
        &self,
        dispatcher: &Arc<Dispatcher>,
        memory: &ContentMemory,
        mut job: Job,
        released: impl Fn(Verdict),
    ) -> Option<Timestamp> {
        let Some(loaded) = self.load(memory, &mut job).await else {
            released(Verdict::Answered);
            return None;
        };
        let span = tracing::info_span!(
            "delivery.attempt",
            queue_id = %job.id,
            destination = %job.destination,
            attempt = job.deliveries.iter().map(|d| d.attempts).min().unwrap_or(0) + 1,
            recipients = job.deliveries.len(),
            remote = tracing::field::Empty,
            outcome = tracing::field::Empty,
            otel.kind = "client",
        );
        protocol::trace::span_parent(&span, &loaded.message.trace);
        async {
            let (attempted, verdict) = self.attempt(&job, &loaded).await;
            released(verdict);
            self.store(dispatcher, &job, &loaded, attempted).await
        }
        .instrument(span)
        .await
    }

    /// Fails a job whose time is up without another attempt.
    pub async fn expire(&self, dispatcher: &Arc<Dispatcher>, memory: &ContentMemory, mut job: Job) {
        let Some(loaded) = self.load(memory, &mut job).await else { return };
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
        self.store(dispatcher, &job, &loaded, attempted).instrument(span).await;
    }

    /// The message in memory, or read from the queue once there is room for it. None when it is gone: somebody else finished it.
    async fn load(&self, memory: &ContentMemory, job: &mut Job) -> Option<Arc<Loaded>> {
        if let Some(loaded) = job.message.take() {
            return Some(loaded);
        }
        loop {
            match self.read(memory, job).await {
                Ok(loaded) => return loaded,
                Err(StoreError::Corrupt(detail)) => {
                    tracing::error!(queue_id = %job.id, %detail, "a queued message cannot be read; it stays queued");
                    return None;
                }
                Err(error) if self.queue.may_commit(job.id) => {
                    tracing::warn!(queue_id = %job.id, %error, "cannot read a queued message; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => return None,
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
                    self.outbound.deliver(hop, loaded, &deliveries, &|| self.queue.may_commit(job.id)).await
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
    ) -> Option<Timestamp> {
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
        join_all(stored).await.into_iter().flatten().min()
    }

    async fn report(&self, delivery: &Delivery, loaded: &Loaded, attempted: Attempted) -> Report {
        let now = self.now();
        let Attempted { outcome, remote, passed_on } = attempted;
        let recipient = &delivery.recipient;
        let mut ruling = self.schedule.rule(delivery, recipient, outcome, now);
        let sender = &loaded.message.envelope.reverse_path;
        let wanted = notice::is_wanted(sender, recipient, &ruling.outcome, passed_on)
            && (ruling.retry.is_none() || ruling.delay_notice);
        let mut notices = Vec::new();
        if wanted {
            match self.notice(delivery, loaded, &ruling.outcome, remote.as_deref(), now).await {
                Ok(notice) => notices.push(notice),
                Err(status) => {
                    // Whoever is to hear of it cannot be found now: the recipient waits for that.
                    let waiting = Delivery { expires_at: now + Duration::from_secs(1), ..delivery.clone() };
                    ruling = self.schedule.rule(&waiting, recipient, Outcome::Delayed(status), now);
                }
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

    /// The notice of an outcome as a message to the sender, from the null reverse-path.
    async fn notice(
        &self,
        delivery: &Delivery,
        loaded: &Loaded,
        outcome: &Outcome,
        remote: Option<&str>,
        now: Timestamp,
    ) -> Result<MailTransaction, Status> {
        let unavailable = |error: &dyn std::fmt::Display| {
            Status::new(451, (4, 3, 0), format!("a notice to the sender cannot be queued now: {error}"))
        };
        let id = self.queue.allocate().map_err(|error| unavailable(&error))?;
        let origin =
            Origin { helo: self.host.to_string(), protocol: "LOCAL".to_owned(), ..Origin::default() };
        let mut envelope = Envelope::new(ReversePath::Null, origin);
        envelope.smtputf8 = loaded.message.envelope.smtputf8;
        envelope.body = loaded.message.envelope.body;
        if let Some(sender) = loaded.message.envelope.reverse_path.mailbox() {
            envelope.recipients.push(ForwardPath::Mailbox(sender.clone()).into());
        }
        let deliveries = self
            .recipients
            .deliveries(&envelope.recipients, now)
            .await
            .map_err(|error| unavailable(&error))?;
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
        Ok(MailTransaction {
            id,
            accepted_at: now,
            envelope,
            trace: protocol::trace::current(),
            content,
            deliveries,
        })
    }

    /// Stores one report until it is stored or the queue says that it is not ours to store. Returns when the retry is due.
    async fn store_one(&self, dispatcher: &Arc<Dispatcher>, mut report: Report) -> Option<Timestamp> {
        let due = report.retry.map(|retry| retry.next_attempt_at);
        loop {
            match self.queue.report(report.clone()).await {
                Ok(Reported::Stored) => {
                    for notice in report.notices {
                        dispatcher.offer_accepted(notice);
                    }
                    return due;
                }
                Ok(Reported::Already) => return None,
                Err(StoreError::Fenced) if !self.queue.may_commit(report.key.id) => return None,
                Err(StoreError::Fenced) => self.rename_notices(&mut report).await,
                Err(error @ (StoreError::Rejected(_) | StoreError::Corrupt(_))) => {
                    tracing::error!(queue_id = %report.key.id, %error, "an outcome cannot be stored; the recipient stays queued");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(queue_id = %report.key.id, %error, "an outcome cannot be stored; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// The recipient is ours still, but not the lane that a notice was to lie in: it gets another.
    async fn rename_notices(&self, report: &mut Report) {
        for notice in &mut report.notices {
            match self.queue.allocate() {
                Ok(id) => notice.id = id,
                Err(_) => tokio::time::sleep(AGAIN).await,
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
