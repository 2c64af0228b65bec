//! A group commit on Postgres: one statement where only one kind of change is in the group, else one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgBindIterExt, PgConnectOptions, PgConnection};
use sqlx::{Arguments, ConnectOptions, Connection};
use tokio::time::{Instant, timeout};

use super::content::{Octets, part_count, parts};
use super::keys;
use super::statements::{ACCEPT, ACCEPT_REPEAT, DEFER, FENCE, FINISH, LOOK_UP};
use crate::fault::{Fault, Stage};
use crate::metrics::Metrics;
use crate::model::{LaneGrant, Reported};
use crate::prepare::{PreparedMessage, PreparedReport, lane_number};
use crate::store::{Batch, Committed, Committer, Form, ReportStored, Stored};

/// A connection that was idle for longer is asked whether it lives before it gets a commit: its death would leave the commit's
/// outcome unknown.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// One connection of its own, not of a pool, which would ask after every use whether it lives.
pub(super) struct PostgresCommitter {
    options: PgConnectOptions,
    connect_timeout: Duration,
    metrics: Metrics,
    /// None before the first commit, after a failure, and while a commit runs: an abandoned commit takes it along.
    connection: Option<PgConnection>,
    used_at: Instant,
}

impl PostgresCommitter {
    pub(super) fn new(options: PgConnectOptions, connect_timeout: Duration, metrics: Metrics) -> Self {
        Self { options, connect_timeout, metrics, connection: None, used_at: Instant::now() }
    }

    async fn connect(&mut self) -> Result<PgConnection, Fault> {
        if let Some(mut connection) = self.connection.take() {
            let alive = self.used_at.elapsed() < FRESH_FOR
                || matches!(timeout(self.connect_timeout, connection.ping()).await, Ok(Ok(())));
            if alive {
                return Ok(connection);
            }
        }
        match timeout(self.connect_timeout, self.options.connect()).await {
            Ok(connected) => connected.map_err(|error| Fault::new(&error, Stage::Revocable)),
            Err(_) => Err(Fault::Refused("connecting took too long".into())),
        }
    }
}

#[async_trait]
impl Committer for PostgresCommitter {
    async fn commit(&mut self, batch: &Batch<'_>, form: Form) -> Result<Committed, Fault> {
        let mut connection = self.connect().await?;
        let group = Group::of(batch, form, &self.metrics);
        let result = if group.is_one_statement() {
            group.run(&mut connection, Stage::Committing).await
        } else {
            group.run_in_transaction(&mut connection).await
        };
        if matches!(&result, Ok(_) | Err(Fault::Data(_) | Fault::Conflict(_) | Fault::Full)) {
            self.connection = Some(connection);
            self.used_at = Instant::now();
        }
        result
    }
}

/// A batch by the statements that it needs.
struct Group<'a> {
    batch: &'a Batch<'a>,
    form: Form,
    metrics: &'a Metrics,
    finals: Vec<&'a PreparedReport>,
    delays: Vec<&'a PreparedReport>,
    notices: usize,
}

/// A row's key: lane, number, recipient.
type Key = (u8, i64, u16);

impl<'a> Group<'a> {
    fn of(batch: &'a Batch<'a>, form: Form, metrics: &'a Metrics) -> Self {
        let (delays, finals) = batch.reports.iter().copied().partition(|report| report.retry.is_some());
        let notices = batch.reports.iter().map(|report| report.notices.len()).sum();
        Self { batch, form, metrics, finals, delays, notices }
    }

    fn is_one_statement(&self) -> bool {
        let kinds = [self.batch.messages.is_empty(), self.finals.is_empty(), self.delays.is_empty()];
        let keyed = self.batch.messages.iter().any(|message| message.key.is_some());
        !keyed
            && self.notices == 0
            && self.form == Form::First
            && kinds.iter().filter(|empty| !**empty).count() <= 1
    }

    async fn run_in_transaction(&self, connection: &mut PgConnection) -> Result<Committed, Fault> {
        let mut transaction = connection.begin().await?;
        match Box::pin(self.run(&mut transaction, Stage::Revocable)).await {
            Ok(committed) => {
                let commit = transaction.commit().await;
                commit.map_err(|error| Fault::new(&error, Stage::Committing))?;
                Ok(committed)
            }
            Err(fault) => {
                // Should the rollback fail, the connection is of no more use, and its end is a rollback too.
                transaction.rollback().await?;
                Err(fault)
            }
        }
    }

    async fn run(&self, connection: &mut PgConnection, stage: Stage) -> Result<Committed, Fault> {
        let fault = |error: sqlx::Error| Fault::new(&error, stage);
        let owned = self.fence_notices(connection).await.map_err(fault)?;
        let notifiable =
            |report: &PreparedReport| report.notices.iter().all(|notice| owned.contains(&notice.grant));
        let finals: Vec<_> = self.finals.iter().copied().filter(|report| notifiable(report)).collect();
        let delays: Vec<_> = self.delays.iter().copied().filter(|report| notifiable(report)).collect();
        let mut changed = self.finish(connection, &finals).await.map_err(fault)?;
        let (delayed, lanes) = self.defer(connection, &delays).await.map_err(fault)?;
        changed.extend(delayed);

        let of_others = keys::claim(connection, &self.batch.messages, self.metrics).await.map_err(fault)?;
        let mut messages = self.batch.messages.clone();
        messages.retain(|message| !of_others.contains_key(&message.key()));
        let count = messages.len();
        let stored_notices = self.batch.reports.iter().filter(|report| changed.contains(&report.key()));
        messages.extend(stored_notices.flat_map(|report| report.notices.iter()));
        let stored = self.accept(connection, &messages).await.map_err(fault)?;
        let (stored, notices) = stored.split_at(count);
        if notices.iter().any(|stored| *stored != Stored::Yes) {
            return Err(Fault::Refused("a notice could not be stored".into()));
        }
        let stored = keys::settle(connection, &self.batch.messages, stored, of_others, self.metrics);
        let stored = stored.await.map_err(fault)?;
        let known = self.known_notices(connection, &changed).await.map_err(fault)?;
        let reports = self.batch.reports.iter().map(|report| {
            let found = report.notices.first().is_some_and(|notice| known.contains_key(&notice.key()));
            let fenced = !notifiable(report) || (report.retry.is_some() && !lanes.contains(&report.fence()));
            report_stored(changed.contains(&report.key()) || found, fenced)
        });
        Ok(Committed { messages: stored, reports: reports.collect() })
    }

    /// Locks the lanes of notices; answers those that are still owned.
    async fn fence_notices(&self, connection: &mut PgConnection) -> sqlx::Result<BTreeSet<LaneGrant>> {
        let notices = self.batch.reports.iter().flat_map(|report| &report.notices);
        let grants: BTreeSet<LaneGrant> = notices.map(|notice| notice.grant).collect();
        if grants.is_empty() {
            return Ok(grants);
        }
        let fence = sqlx::query_as::<_, (i16, i64)>(FENCE.sql)
            .bind(grants.iter().map(|grant| i16::from(grant.lane)).bind_iter())
            .bind(grants.iter().map(|grant| grant.epoch).bind_iter())
            .fetch_all(connection);
        Ok(self.metrics.timed(FENCE, fence).await?.into_iter().filter_map(grant).collect())
    }

    async fn finish(
        &self,
        connection: &mut PgConnection,
        reports: &[&PreparedReport],
    ) -> sqlx::Result<BTreeSet<Key>> {
        if reports.is_empty() {
            return Ok(BTreeSet::new());
        }
        let finish = sqlx::query_as::<_, (i16, i64, i32)>(FINISH.sql)
            .bind(reports.iter().map(|report| i16::from(report.lane)).bind_iter())
            .bind(reports.iter().map(|report| report.number).bind_iter())
            .bind(reports.iter().map(|report| i32::from(report.recipient)).bind_iter())
            .bind(reports.iter().map(|report| i32::from(report.attempt)).bind_iter())
            .bind(reports.iter().map(|report| report.at).bind_iter())
            .bind(reports.iter().map(|report| report.action).bind_iter())
            .bind(reports.iter().map(|report| report.forward_path.as_str()).bind_iter())
            .bind(reports.iter().map(|report| report.status.as_str()).bind_iter())
            .bind(reports.iter().map(|report| report.remote.as_deref()).bind_iter())
            .fetch_all(connection);
        Ok(self.metrics.timed(FINISH, finish).await?.into_iter().filter_map(key).collect())
    }

    /// Answers what was changed, and the lanes that are owned.
    async fn defer(
        &self,
        connection: &mut PgConnection,
        reports: &[&PreparedReport],
    ) -> sqlx::Result<(BTreeSet<Key>, BTreeSet<LaneGrant>)> {
        if reports.is_empty() {
            return Ok((BTreeSet::new(), BTreeSet::new()));
        }
        let fences: BTreeSet<LaneGrant> = reports.iter().map(|report| report.fence()).collect();
        let retries = || reports.iter().filter_map(|report| report.retry);
        let defer = sqlx::query_as::<_, (i16, i64, i32)>(DEFER.sql)
            .bind(fences.iter().map(|grant| i16::from(grant.lane)).bind_iter())
            .bind(fences.iter().map(|grant| grant.epoch).bind_iter())
            .bind(reports.iter().map(|report| i16::from(report.lane)).bind_iter())
            .bind(reports.iter().map(|report| report.fence().epoch).bind_iter())
            .bind(reports.iter().map(|report| report.number).bind_iter())
            .bind(reports.iter().map(|report| i32::from(report.recipient)).bind_iter())
            .bind(reports.iter().map(|report| i32::from(report.attempt)).bind_iter())
            .bind(reports.iter().map(|report| report.at).bind_iter())
            .bind(reports.iter().map(|report| report.action).bind_iter())
            .bind(reports.iter().map(|report| report.forward_path.as_str()).bind_iter())
            .bind(reports.iter().map(|report| report.status.as_str()).bind_iter())
            .bind(reports.iter().map(|report| report.remote.as_deref()).bind_iter())
            .bind(retries().map(|retry| retry.next_attempt_at).bind_iter())
            .bind(retries().map(|retry| retry.delay_notice_at).bind_iter())
            .fetch_all(connection);
        let rows = self.metrics.timed(DEFER, defer).await?;
        let lanes = rows.iter().filter(|row| row.2 < 0).filter_map(|row| grant((row.0, row.1))).collect();
        Ok((rows.into_iter().filter_map(key).collect(), lanes))
    }

    async fn accept(
        &self,
        connection: &mut PgConnection,
        messages: &[&PreparedMessage],
    ) -> sqlx::Result<Vec<Stored>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let statement = if self.form == Form::First { ACCEPT } else { ACCEPT_REPEAT };
        let arguments = accept_arguments(messages).map_err(sqlx::Error::Encode)?;
        let accept = sqlx::query_as_with::<_, (i16, i64, bool), _>(statement.sql, arguments)
            .fetch_all(&mut *connection);
        let rows = self.metrics.timed(statement, accept).await?;
        let (mut inserted, mut owned) = (BTreeSet::new(), BTreeSet::new());
        for (lane, number, is_message) in rows {
            if is_message {
                inserted.insert((lane, number));
            } else {
                owned.extend(grant((lane, number)));
            }
        }
        let is_inserted =
            |message: &PreparedMessage| inserted.contains(&(i16::from(message.grant.lane), message.number));
        let missing: Vec<_> = messages.iter().copied().filter(|message| !is_inserted(message)).collect();
        let known = match self.form {
            Form::First => BTreeMap::new(),
            Form::Repeat => self.look_up(connection, &missing).await?,
        };
        let stored = messages.iter().map(|message| match known.get(&message.key()) {
            _ if is_inserted(message) => Stored::Yes,
            Some(Existing::Accepted) => Stored::Yes,
            Some(Existing::Void) => Stored::Taken,
            None if owned.contains(&message.grant) => Stored::Incomplete,
            None => Stored::Fenced,
        });
        Ok(stored.collect())
    }

    /// The notices of unchanged reports that are stored: an earlier commit of the same report made them.
    async fn known_notices(
        &self,
        connection: &mut PgConnection,
        changed: &BTreeSet<Key>,
    ) -> sqlx::Result<BTreeMap<(u8, i64), Existing>> {
        let unchanged = self.batch.reports.iter().filter(|report| !changed.contains(&report.key()));
        let notices: Vec<_> = unchanged.flat_map(|report| report.notices.first()).collect();
        let mut known = self.look_up(connection, &notices).await?;
        known.retain(|_, existing| *existing == Existing::Accepted);
        Ok(known)
    }

    async fn look_up(
        &self,
        connection: &mut PgConnection,
        messages: &[&PreparedMessage],
    ) -> sqlx::Result<BTreeMap<(u8, i64), Existing>> {
        if messages.is_empty() {
            return Ok(BTreeMap::new());
        }
        let look_up = sqlx::query_as::<_, (i16, i64, Option<bool>)>(LOOK_UP.sql)
            .bind(messages.iter().map(|message| i16::from(message.grant.lane)).bind_iter())
            .bind(messages.iter().map(|message| message.number).bind_iter())
            .fetch_all(connection);
        let rows = self.metrics.timed(LOOK_UP, look_up).await?;
        let existing = |void| if void == Some(true) { Existing::Void } else { Existing::Accepted };
        let rows = rows
            .into_iter()
            .filter_map(|(lane, number, void)| Some(((lane_number(lane).ok()?, number), existing(void))));
        Ok(rows.collect())
    }
}

/// What lies under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Accepted,
    Void,
}

fn report_stored(stored: bool, fenced: bool) -> ReportStored {
    match (stored, fenced) {
        (true, _) => Some(Reported::Stored),
        (false, false) => Some(Reported::Already),
        (false, true) => None,
    }
}

fn grant((lane, epoch): (i16, i64)) -> Option<LaneGrant> {
    Some(LaneGrant { lane: lane_number(lane).ok()?, epoch })
}

fn key((lane, number, recipient): (i16, i64, i32)) -> Option<Key> {
    Some((lane_number(lane).ok()?, number, u16::try_from(recipient).ok()?))
}

/// The parameters of `ACCEPT`, in its order.
fn accept_arguments(messages: &[&PreparedMessage]) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    let grants: BTreeSet<LaneGrant> = messages.iter().map(|message| message.grant).collect();
    let count = |message: &PreparedMessage| i32::try_from(part_count(message)).unwrap_or(i32::MAX);
    let carried = || messages.iter().filter(|message| !message.spooled);
    let pieces = || carried().flat_map(|message| parts(message).map(move |part| (*message, part)));
    let rows = || {
        messages
            .iter()
            .flat_map(|message| message.deliveries.iter().map(move |delivery| (*message, delivery)))
    };
    arguments.add(grants.iter().map(|grant| i16::from(grant.lane)).bind_iter())?;
    arguments.add(grants.iter().map(|grant| grant.epoch).bind_iter())?;
    arguments.add(messages.iter().map(|message| i16::from(message.grant.lane)).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.grant.epoch).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.number).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.accepted_at).bind_iter())?;
    arguments
        .add(messages.iter().map(|message| i64::try_from(message.size).unwrap_or(i64::MAX)).bind_iter())?;
    arguments.add(messages.iter().map(|message| count(message)).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.spooled).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.reverse_path.as_str()).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.account.as_deref()).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.trace.traceparent.as_str()).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.trace.tracestate.as_str()).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.envelope.as_slice()).bind_iter())?;
    arguments.add(messages.iter().map(|message| Octets::inline(message)).bind_iter())?;
    arguments.add(pieces().map(|(message, _)| i16::from(message.grant.lane)).bind_iter())?;
    arguments.add(pieces().map(|(message, _)| message.number).bind_iter())?;
    arguments.add(pieces().map(|(_, (number, _))| number).bind_iter())?;
    arguments.add(pieces().map(|(_, (_, octets))| octets).bind_iter())?;
    arguments.add(rows().map(|(message, _)| i16::from(message.grant.lane)).bind_iter())?;
    arguments.add(rows().map(|(message, _)| message.number).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| i32::from(delivery.number)).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.notify).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.expires_at).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.delay_notice_at).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.destination.as_ref()).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.forward_path.as_str()).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.original.as_deref()).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.held_until).bind_iter())?;
    arguments.add(rows().map(|(_, delivery)| delivery.priority).bind_iter())?;
    arguments.add(messages.iter().map(|message| message.tick.as_deref()).bind_iter())?;
    Ok(arguments)
}
