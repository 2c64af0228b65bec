//! Questions to Postgres about what waits, and the few changes that do not ride in a group commit.

use mail::{QueueId, Timestamp, TraceContext};
use sqlx::Row;
use sqlx::postgres::{PgBindIterExt, PgRow};

use super::PostgresStore;
use super::statements::{
    BACKLOG, DEPTH, DUE, EXPIRED, FRESH, HASTEN, HISTORY_EXISTS, LOOK_UP, MESSAGE, PARK, SWEEP_HISTORY,
    SWEEP_MESSAGES, SWEEP_PARTS, VOID,
};
use crate::fault::{Fault, Stage};
use crate::model::{Backlog, Delivery, Depth, LaneGrant, Message, RecipientKey};
use crate::prepare::{DeliveryRow, lane_number, readable, stored_number};
use crate::store::{DuePage, Hurry, Retention};

/// Reads the columns that every load of recipients selects.
pub(super) fn delivery(row: &PgRow) -> Result<Delivery, Fault> {
    let read = || -> Result<_, sqlx::Error> {
        Ok((
            row.try_get::<i16, _>(0)?,
            DeliveryRow {
                lane: 0,
                number: row.try_get(1)?,
                recipient: row.try_get(2)?,
                destination: row.try_get(3)?,
                attempts: row.try_get(4)?,
                next_attempt_at: row.try_get(5)?,
                expires_at: row.try_get(6)?,
                delay_notice_at: row.try_get(7)?,
                notify: row.try_get(8)?,
                forward_path: row.try_get(9)?,
                original: row.try_get(10)?,
                priority: row.try_get(11)?,
            },
        ))
    };
    let (lane, row) = read()?;
    DeliveryRow { lane: lane_number(lane)?, ..row }.try_into()
}

impl PostgresStore {
    pub(super) async fn load_fresh(
        &self,
        lane: u8,
        after: Option<RecipientKey>,
        limit: u32,
    ) -> Result<Vec<Delivery>, Fault> {
        let (number, recipient) = match after {
            Some(key) => (stored_number(key.id)?, i32::from(key.number)),
            None => (-1, -1),
        };
        let load = sqlx::query(FRESH.sql)
            .bind(i16::from(lane))
            .bind(number)
            .bind(recipient)
            .bind(i64::from(limit))
            .fetch_all(&self.readers);
        Ok(readable(self.metrics.timed(FRESH, load).await?.iter().map(delivery)))
    }

    pub(super) async fn load_backlog(&self, lane: u8) -> Result<Vec<Backlog>, Fault> {
        let load = sqlx::query_as::<_, (String, i64, i64)>(BACKLOG.sql)
            .bind(i16::from(lane))
            .fetch_all(&self.readers);
        let rows = self.metrics.timed(BACKLOG, load).await?;
        rows.into_iter()
            .map(|(destination, earliest, count)| {
                Ok(Backlog {
                    destination: destination.into(),
                    earliest: Timestamp::from_millis(earliest),
                    count: u64::try_from(count).map_err(Fault::corrupt)?,
                })
            })
            .collect()
    }

    pub(super) async fn load_due(&self, page: &DuePage<'_>) -> Result<Vec<Delivery>, Fault> {
        let (time, lane, number, recipient) = match page.after {
            Some(after) => (
                after.next_attempt_at.as_millis(),
                i16::from(after.key.id.lane),
                stored_number(after.key.id)?,
                i32::from(after.key.number),
            ),
            None => (i64::MIN, -1, -1, -1),
        };
        let load = sqlx::query(DUE.sql)
            .bind(page.lanes.iter().map(|lane| i16::from(*lane)).bind_iter())
            .bind(page.destination)
            .bind(page.now.as_millis())
            .bind(time)
            .bind(lane)
            .bind(number)
            .bind(recipient)
            .bind(i64::from(page.per_lane))
            .fetch_all(&self.readers);
        Ok(readable(self.metrics.timed(DUE, load).await?.iter().map(delivery)))
    }

    pub(super) async fn load_expired(
        &self,
        lane: u8,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, Fault> {
        let load = sqlx::query(EXPIRED.sql)
            .bind(i16::from(lane))
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .fetch_all(&self.readers);
        Ok(readable(self.metrics.timed(EXPIRED, load).await?.iter().map(delivery)))
    }

    pub(super) async fn load_message(&self, id: QueueId) -> Result<Option<Message>, Fault> {
        let load = sqlx::query_as::<_, (i64, i64, String, String, Vec<u8>)>(MESSAGE.sql)
            .bind(i16::from(id.lane))
            .bind(stored_number(id)?)
            .fetch_optional(&self.readers);
        let row = self.metrics.timed(MESSAGE, load).await?;
        row.map(|(accepted_at, octets, traceparent, tracestate, envelope)| {
            Ok(Message {
                id,
                accepted_at: Timestamp::from_millis(accepted_at),
                envelope: serde_json::from_slice(&envelope).map_err(Fault::corrupt)?,
                trace: TraceContext { traceparent, tracestate },
                size: u64::try_from(octets).map_err(Fault::corrupt)?,
            })
        })
        .transpose()
    }

    pub(super) async fn load_depth(&self, lanes: &[u8]) -> Result<Depth, Fault> {
        let load = sqlx::query_as::<_, (i64, i64, Option<i64>)>(DEPTH.sql)
            .bind(lanes.iter().map(|lane| i16::from(*lane)).bind_iter())
            .fetch_one(&self.readers);
        let (fresh, deferred, oldest) = self.metrics.timed(DEPTH, load).await?;
        Ok(Depth {
            fresh: u64::try_from(fresh).map_err(Fault::corrupt)?,
            deferred: u64::try_from(deferred).map_err(Fault::corrupt)?,
            oldest_due: oldest.map(Timestamp::from_millis),
        })
    }

    /// The insert waits for an accept that is under way under the same key. A message that ended between the two statements has
    /// left history, which the second one sees: then the void row is not kept.
    pub(super) async fn accepted_or_void(&self, id: QueueId, now: Timestamp) -> Result<bool, Fault> {
        let (lane, number) = (i16::from(id.lane), stored_number(id)?);
        let mut transaction = self.control.begin().await?;
        let void = sqlx::query(VOID.sql).bind(lane).bind(number).bind(now.as_millis());
        let inserted = void.execute(&mut *transaction).await?.rows_affected() > 0;
        let look_up = sqlx::query_as::<_, (i16, i64, Option<bool>)>(LOOK_UP.sql)
            .bind([lane].into_iter().bind_iter())
            .bind([number].into_iter().bind_iter());
        let found = look_up.fetch_optional(&mut *transaction).await?;
        let accepted = match found {
            Some((_, _, None | Some(false))) => true,
            Some((_, _, Some(true))) if inserted => {
                self.history_exists(&mut transaction, lane, number).await?
            }
            _ => false,
        };
        if accepted {
            transaction.rollback().await?;
        } else {
            // Should the answer to the commit be lost, asking again finds the void row or makes it.
            transaction.commit().await?;
        }
        Ok(accepted)
    }

    async fn history_exists(
        &self,
        connection: &mut sqlx::PgConnection,
        lane: i16,
        number: i64,
    ) -> Result<bool, Fault> {
        let exists = sqlx::query_scalar(HISTORY_EXISTS.sql).bind(lane).bind(number).fetch_one(connection);
        Ok(self.metrics.timed(HISTORY_EXISTS, exists).await?)
    }

    pub(super) async fn park_fresh(
        &self,
        grant: LaneGrant,
        keys: &[RecipientKey],
        at: Timestamp,
    ) -> Result<u64, Fault> {
        let numbers: Vec<i64> = keys.iter().map(|key| stored_number(key.id)).collect::<Result<_, _>>()?;
        let park = sqlx::query(PARK.sql)
            .bind([i16::from(grant.lane)].into_iter().bind_iter())
            .bind([grant.epoch].into_iter().bind_iter())
            .bind(numbers)
            .bind(keys.iter().map(|key| i32::from(key.number)).bind_iter())
            .bind(at.as_millis())
            .execute(&self.control);
        let parked = self.metrics.timed(PARK, park).await;
        Ok(parked.map_err(|error| Fault::new(&error, Stage::Committing))?.rows_affected())
    }

    pub(super) async fn make_due(&self, hurry: &Hurry<'_>) -> Result<Vec<String>, Fault> {
        let hasten = sqlx::query_scalar(HASTEN.sql)
            .bind(hurry.lanes.iter().map(|lane| i16::from(*lane)).bind_iter())
            .bind(hurry.now.as_millis())
            .bind(hurry.end)
            .bind(hurry.other_end)
            .bind(i64::from(hurry.limit))
            .fetch_all(&self.control);
        let hastened = self.metrics.timed(HASTEN, hasten).await;
        hastened.map_err(|error| Fault::new(&error, Stage::Committing))
    }

    pub(super) async fn delete_old(&self, lane: u8, before: Retention) -> Result<u64, Fault> {
        let history = sqlx::query(SWEEP_HISTORY.sql)
            .bind(i16::from(lane))
            .bind(before.history)
            .bind(i64::from(before.limit))
            .execute(&self.control);
        let history = self.metrics.timed(SWEEP_HISTORY, history).await?.rows_affected();
        for statement in [SWEEP_MESSAGES, SWEEP_PARTS] {
            let sweep = sqlx::query(statement.sql).bind(i16::from(lane)).bind(before.orphans);
            self.metrics.timed(statement, sweep.execute(&self.control)).await?;
        }
        Ok(history)
    }
}
