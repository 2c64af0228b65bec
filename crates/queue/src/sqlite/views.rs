//! What people are shown of the queue, read from SQLite beside the process that owns it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use mail::Timestamp;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use super::{SCHEMA, check_schema, options};
use crate::error::OpenError;
use crate::fault::Fault;
use crate::views::{
    Ask, HistoryRow, MessageRow, PendingRow, SummaryColumns, SummaryRow, ViewStore, history_row, message_row,
    pending_row,
};

/// Newest first; ?1 and ?2 are sought in sender and recipients, ?3 and ?4 are the id to go on behind.
const LIST: &str = "
    SELECT m.lane_id, m.queue_id, m.accepted_at, m.octets, m.reverse_path, m.account, m.traceparent, m.tick
    FROM message m
    WHERE NOT m.void
      AND (?1 = '' OR instr(lower(m.reverse_path), lower(?1)) > 0)
      AND (?2 = '' OR EXISTS (
            SELECT 1 FROM delivery q WHERE q.lane_id = m.lane_id AND q.queue_id = m.queue_id
            AND instr(lower(q.forward_path), lower(?2)) > 0))
      AND (m.queue_id, m.lane_id) < (?3, ?4)
    ORDER BY m.queue_id DESC, m.lane_id DESC LIMIT ?5";

const PENDING: &str = "
    SELECT q.lane_id, q.queue_id, q.rcpt_no, q.forward_path, q.destination, q.state, q.attempts, q.next_attempt_at,
           q.expires_at, q.last_status
    FROM delivery q WHERE (q.lane_id, q.queue_id) IN (SELECT value->>0, value->>1 FROM json_each(?1))
    ORDER BY q.lane_id, q.queue_id, q.rcpt_no";

const MESSAGE: &str = "
    SELECT lane_id, queue_id, accepted_at, octets, reverse_path, account, traceparent, tick FROM message
    WHERE lane_id = ?1 AND queue_id = ?2 AND NOT void";

const HISTORY: &str = "
    SELECT at, rcpt_no, attempt, action, forward_path, status, remote, accepted_at, octets, reverse_path, account,
           traceparent, tick
    FROM history WHERE lane_id = ?1 AND queue_id = ?2 ORDER BY at, attempt, rcpt_no";

/// What stands behind the last @ of a forward-path, by how many wait for it; ?1 is how the paths end that are asked for.
/// Who was never tried and is not due is held (RFC 4865).
const SUMMARY: &str = "
    SELECT domain,
           count(*) FILTER (WHERE state = 0 OR (state = 1 AND attempts = 0 AND next_attempt_at <= ?2)) AS queued,
           count(*) FILTER (WHERE state = 1 AND attempts > 0) AS retry,
           count(*) FILTER (WHERE state > 1 OR (state = 1 AND attempts = 0 AND next_attempt_at > ?2)) AS held,
           min(queue_id) AS first, count(*) OVER () AS domains
    FROM (SELECT trim(substr(forward_path, length(rtrim(forward_path, replace(forward_path, '@', ''))) + 1), '<>') AS domain,
                 state, attempts, next_attempt_at, queue_id
          FROM delivery
          WHERE ?1 = '' OR substr(forward_path, -length(?1)) = ?1) q
    GROUP BY domain ORDER BY count(*) DESC, domain LIMIT ?3";

pub(crate) struct SqliteViews {
    pool: SqlitePool,
}

impl SqliteViews {
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Schema { found: 0, needed: SCHEMA });
        }
        // Not opened read-only: the first reader of a file that nobody owns has to make the index of its log.
        let options = options(path).create_if_missing(false).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options);
        check_schema(&pool).await?;
        Ok(Self { pool })
    }
}

#[async_trait]
impl ViewStore for SqliteViews {
    async fn list(&self, ask: &Ask<'_>) -> Result<Vec<MessageRow>, Fault> {
        let rows = sqlx::query_as(LIST)
            .bind(ask.sender)
            .bind(ask.recipient)
            .bind(ask.before.0)
            .bind(ask.before.1)
            .bind(i64::from(ask.limit))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(message_row::<i64>).collect()
    }

    async fn pending(&self, keys: &[(u8, i64)]) -> Result<Vec<PendingRow>, Fault> {
        let keys = serde_json::to_string(keys).map_err(Fault::corrupt)?;
        let rows = sqlx::query_as(PENDING).bind(keys).fetch_all(&self.pool).await?;
        rows.into_iter().map(pending_row::<i64>).collect()
    }

    async fn message(&self, (lane, number): (u8, i64)) -> Result<Option<MessageRow>, Fault> {
        let row = sqlx::query_as(MESSAGE).bind(i64::from(lane)).bind(number).fetch_optional(&self.pool).await;
        row?.map(message_row::<i64>).transpose()
    }

    async fn history(&self, key: (u8, i64)) -> Result<Vec<HistoryRow>, Fault> {
        let rows = sqlx::query_as(HISTORY).bind(i64::from(key.0)).bind(key.1).fetch_all(&self.pool).await;
        Ok(rows?.into_iter().map(|columns| history_row(key, columns)).collect())
    }

    async fn summary(&self, end: &str, now: Timestamp, limit: u32) -> Result<Vec<SummaryRow>, Fault> {
        let rows = sqlx::query_as::<_, SummaryColumns>(SUMMARY)
            .bind(end)
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(SummaryRow::from).collect())
    }
}
