//! A group commit on SQLite: one transaction on the one writing connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection, Sqlite, SqliteConnection};

use super::content::{inline, part_count, parts};
use super::keys;
use super::reserve::Reserve;
use super::statements::{
    ACCEPT, ACCEPT_MANY, ACCEPT_MANY_ROWS, ACCEPT_PART, ACCEPT_RECIPIENTS, ACCEPT_REPEAT, CHECKPOINT, DEFER,
    DEFER_HISTORY, END_MESSAGES, END_PARTS, FINISH, FINISH_HISTORY, LOOK_UP, SHRINK,
};
use super::{Writing, connection};
use crate::fault::{Fault, Stage};
use crate::metrics::Metrics;
use crate::model::Reported;
use crate::prepare::{PreparedMessage, PreparedReport, lane_number};
use crate::store::{Batch, Committed, Committer, Form, Statement, Stored};

/// See the module.
pub(super) struct SqliteCommitter {
    writer: Arc<Writing>,
    reserve: Reserve,
    metrics: Metrics,
}

impl SqliteCommitter {
    pub(super) fn new(writer: Arc<Writing>, reserve: Reserve, metrics: Metrics) -> Self {
        Self { writer, reserve, metrics }
    }

    /// Sets the reserve aside where it is missing, and first gives back to the disk what the file does not need.
    async fn mind_the_reserve(&mut self) -> Result<(), Fault> {
        if self.reserve.was_spent() {
            self.run(SHRINK).await?;
            self.run(CHECKPOINT).await?;
        }
        self.reserve.set_aside().await;
        Ok(())
    }

    async fn run(&self, statement: Statement) -> Result<(), Fault> {
        let mut guard = self.writer.lock().await?;
        let run = sqlx::query(statement.sql).fetch_all(connection(&mut guard)?);
        self.metrics.timed(statement, run).await?;
        Ok(())
    }

    /// With the room of the reserve: the log is written back, so that it begins anew, and the results follow.
    async fn commit_from_reserve(&mut self, batch: &Batch<'_>, form: Form) -> Result<Committed, Fault> {
        if let Err(fault) = self.run(CHECKPOINT).await {
            tracing::debug!(error = %fault, "the log was not written back");
        }
        self.commit_once(batch, form).await
    }

    async fn commit_once(&mut self, batch: &Batch<'_>, form: Form) -> Result<Committed, Fault> {
        let mut guard = self.writer.lock().await?;
        // Taken out: a commit that is abandoned takes the connection along.
        let Some(mut connection) = guard.take() else {
            return Err(Fault::Refused("there is no connection".into()));
        };
        let result = run_in_transaction(&mut connection, batch, form, &self.metrics).await;
        match &result {
            Ok(_) | Err(Fault::Data(_) | Fault::Conflict(_)) => *guard = Some(connection),
            // SQLite may have rolled back by itself, which the driver does not know.
            Err(_) => connection.close().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "a broken connection was not closed cleanly");
            }),
        }
        result
    }
}

#[async_trait]
impl Committer for SqliteCommitter {
    async fn commit(&mut self, batch: &Batch<'_>, form: Form) -> Result<Committed, Fault> {
        if self.reserve.is_due()
            && let Err(fault) = self.mind_the_reserve().await
        {
            tracing::debug!(error = %fault, "no room could be made for the reserve");
        }
        if !self.reserve.is_kept() && !batch.messages.is_empty() {
            return Err(Fault::Full);
        }
        match self.commit_once(batch, form).await {
            Err(Fault::Full) if batch.messages.is_empty() && self.reserve.spend() => {
                self.commit_from_reserve(batch, form).await
            }
            result => result,
        }
    }
}

type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A row's key: lane, number, recipient.
type Key = (u8, i64, u16);

async fn run_in_transaction(
    connection: &mut SqliteConnection,
    batch: &Batch<'_>,
    form: Form,
    metrics: &Metrics,
) -> Result<Committed, Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut group = Group { connection: &mut transaction, form, metrics };
    match group.run(batch).await {
        Ok(committed) => {
            let commit = transaction.commit().await;
            commit.map_err(|error| Fault::new(&error, Stage::Committing))?;
            Ok(committed)
        }
        Err(fault) => {
            // A full disk may have rolled everything back already; then this fails, and nothing is lost by it.
            if transaction.rollback().await.is_err() {
                tracing::debug!("there was nothing to roll back");
            }
            Err(fault)
        }
    }
}

struct Group<'a> {
    connection: &'a mut SqliteConnection,
    form: Form,
    metrics: &'a Metrics,
}

impl Group<'_> {
    async fn run(&mut self, batch: &Batch<'_>) -> Result<Committed, Fault> {
        let (delays, finals): (Vec<_>, Vec<_>) =
            batch.reports.iter().copied().partition(|report| report.retry.is_some());
        let mut changed = self.finish(&finals).await?;
        changed.extend(self.defer(&delays).await?);
        let stored = self.insert_all(&batch.messages).await?;
        let mut recipients: Vec<&PreparedMessage> = inserted(&batch.messages, &stored);
        let mut reports = Vec::with_capacity(batch.reports.len());
        for report in &batch.reports {
            let is_changed = changed.contains(&report.key());
            if is_changed {
                for notice in &report.notices {
                    self.insert(notice).await?;
                }
                recipients.extend(&report.notices);
            }
            // An earlier commit of the same report has stored its notices.
            let found = match report.notices.first() {
                Some(notice) if !is_changed => self.look_up(notice).await? == Some(false),
                _ => false,
            };
            reports.push(Some(if is_changed || found { Reported::Stored } else { Reported::Already }));
        }
        self.insert_recipients(&recipients).await?;
        let messages = stored.into_iter().map(|(stored, _)| stored).collect();
        Ok(Committed { messages, reports })
    }

    /// Many rows with few statements, as long as none can be there already.
    async fn insert_all(&mut self, messages: &[&PreparedMessage]) -> Result<Vec<(Stored, bool)>, Fault> {
        let mut stored = Vec::with_capacity(messages.len());
        for some in messages.chunks(ACCEPT_MANY_ROWS) {
            let keyed = some.iter().any(|message| message.key.is_some());
            if !keyed && self.form == Form::First && some.len() == ACCEPT_MANY_ROWS {
                let insert =
                    some.iter().fold(sqlx::query(ACCEPT_MANY.sql), |query, message| bind(query, message));
                self.metrics.timed(ACCEPT_MANY, insert.execute(&mut *self.connection)).await?;
                for message in some {
                    self.insert_parts(message).await?;
                    stored.push((Stored::Yes, true));
                }
            } else {
                for message in some {
                    stored.push(self.insert_once(message).await?);
                }
            }
        }
        Ok(stored)
    }

    /// As [`Group::insert`], unless the message's idempotency key is another's.
    async fn insert_once(&mut self, message: &PreparedMessage) -> Result<(Stored, bool), Fault> {
        let Some(key) = &message.key else { return self.insert(message).await };
        if let Some(kept) = keys::claim(self.connection, message, key, self.metrics).await? {
            return Ok((Stored::Before(kept), false));
        }
        let inserted = self.insert(message).await?;
        if inserted.0 != Stored::Yes {
            keys::release(self.connection, key, self.metrics).await?;
        }
        Ok(inserted)
    }

    /// Tells too whether the row is new.
    async fn insert(&mut self, message: &PreparedMessage) -> Result<(Stored, bool), Fault> {
        let statement = if self.form == Form::First { ACCEPT } else { ACCEPT_REPEAT };
        let insert = bind(sqlx::query(statement.sql), message).execute(&mut *self.connection);
        if self.metrics.timed(statement, insert).await?.rows_affected() == 0 {
            let void = self.look_up(message).await? == Some(true);
            return Ok((if void { Stored::Taken } else { Stored::Yes }, false));
        }
        self.insert_parts(message).await?;
        Ok((Stored::Yes, true))
    }

    async fn insert_parts(&mut self, message: &PreparedMessage) -> Result<(), Fault> {
        for (number, octets) in parts(message) {
            let part = sqlx::query(ACCEPT_PART.sql)
                .bind(i64::from(message.grant.lane))
                .bind(message.number)
                .bind(number)
                .bind(octets)
                .execute(&mut *self.connection);
            self.metrics.timed(ACCEPT_PART, part).await?;
        }
        Ok(())
    }

    async fn insert_recipients(&mut self, messages: &[&PreparedMessage]) -> Result<(), Fault> {
        let rows: Vec<_> = messages
            .iter()
            .flat_map(|message| {
                message.deliveries.iter().map(move |delivery| {
                    (
                        message.grant.lane,
                        message.number,
                        delivery.number,
                        delivery.notify,
                        delivery.expires_at,
                        delivery.delay_notice_at,
                        delivery.destination.as_ref(),
                        delivery.forward_path.as_str(),
                        delivery.original.as_deref(),
                        delivery.held_until,
                        delivery.priority,
                    )
                })
            })
            .collect();
        self.execute(ACCEPT_RECIPIENTS, &rows).await
    }

    /// Whether what lies under the key is void; none where nothing lies there.
    async fn look_up(&mut self, message: &PreparedMessage) -> Result<Option<bool>, Fault> {
        let look_up = sqlx::query_scalar::<_, i64>(LOOK_UP.sql)
            .bind(i64::from(message.grant.lane))
            .bind(message.number)
            .fetch_optional(&mut *self.connection);
        Ok(self.metrics.timed(LOOK_UP, look_up).await?.map(|void| void != 0))
    }

    async fn finish(&mut self, reports: &[&PreparedReport]) -> Result<BTreeSet<Key>, Fault> {
        if reports.is_empty() {
            return Ok(BTreeSet::new());
        }
        let keys: Vec<_> = reports.iter().map(|report| report.key()).collect();
        let changed: BTreeSet<Key> = self.fetch(FINISH, &keys).await?.into_iter().collect();
        let history: Vec<_> = changed_rows(reports, &changed);
        self.execute(FINISH_HISTORY, &history).await?;
        let messages: BTreeSet<_> = changed.iter().map(|(lane, number, _)| (lane, number)).collect();
        let ended: Vec<_> = self.fetch(END_MESSAGES, &messages).await?;
        let with_parts: Vec<_> =
            ended.iter().filter(|(_, _, parts)| *parts > 0).map(|(lane, number, _)| (lane, number)).collect();
        self.execute(END_PARTS, &with_parts).await?;
        Ok(changed)
    }

    async fn defer(&mut self, reports: &[&PreparedReport]) -> Result<BTreeSet<Key>, Fault> {
        if reports.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows: Vec<_> = reports.iter().map(|report| row(report)).collect();
        let changed: BTreeSet<Key> = self.fetch(DEFER, &rows).await?.into_iter().collect();
        self.execute(DEFER_HISTORY, &changed_rows(reports, &changed)).await?;
        Ok(changed)
    }

    /// Runs a statement over rows, unless there are none.
    async fn execute<R: Serialize + Sync>(&mut self, statement: Statement, rows: &[R]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let run = sqlx::query(statement.sql).bind(json(rows)?).execute(&mut *self.connection);
        self.metrics.timed(statement, run).await?;
        Ok(())
    }

    /// Runs a statement over rows and reads the keys that it returns.
    async fn fetch<R: Serialize + Sync + ?Sized>(
        &mut self,
        statement: Statement,
        rows: &R,
    ) -> Result<Vec<Key>, Fault> {
        let run = sqlx::query_as::<_, (i64, i64, i64)>(statement.sql)
            .bind(json(rows)?)
            .fetch_all(&mut *self.connection);
        let found = self.metrics.timed(statement, run).await?;
        found
            .into_iter()
            .map(|(lane, number, last)| {
                Ok((lane_number(lane)?, number, u16::try_from(last).unwrap_or(u16::MAX)))
            })
            .collect()
    }
}

/// The columns of a message, in the order of its statements.
fn bind<'q>(query: Insert<'q>, message: &'q PreparedMessage) -> Insert<'q> {
    query
        .bind(i64::from(message.grant.lane))
        .bind(message.number)
        .bind(message.accepted_at)
        .bind(i64::try_from(message.size).unwrap_or(i64::MAX))
        .bind(i64::try_from(part_count(message)).unwrap_or(i64::MAX))
        .bind(message.reverse_path.as_str())
        .bind(message.account.as_deref())
        .bind(message.trace.traceparent.as_str())
        .bind(message.trace.tracestate.as_str())
        .bind(message.envelope.as_slice())
        .bind(inline(message))
        .bind(message.tick.as_deref())
}

fn json<R: Serialize + ?Sized>(rows: &R) -> Result<String, Fault> {
    serde_json::to_string(rows).map_err(|error| Fault::Data(error.to_string().into()))
}

fn inserted<'a>(messages: &[&'a PreparedMessage], stored: &[(Stored, bool)]) -> Vec<&'a PreparedMessage> {
    messages.iter().zip(stored).filter(|(_, (_, is_new))| *is_new).map(|(message, _)| *message).collect()
}

/// A report as its statements take it apart, in the order of history's columns and what a delay adds.
type ReportRow<'a> =
    (u8, i64, u16, u16, i64, i16, &'a str, &'a str, Option<&'a str>, Option<i64>, Option<i64>);

fn row(report: &PreparedReport) -> ReportRow<'_> {
    (
        report.lane,
        report.number,
        report.recipient,
        report.attempt,
        report.at,
        report.action,
        &report.forward_path,
        &report.status,
        report.remote.as_deref(),
        report.retry.map(|retry| retry.next_attempt_at),
        report.retry.and_then(|retry| retry.delay_notice_at),
    )
}

fn changed_rows<'a>(reports: &[&'a PreparedReport], changed: &BTreeSet<Key>) -> Vec<ReportRow<'a>> {
    reports.iter().filter(|report| changed.contains(&report.key())).map(|report| row(report)).collect()
}
