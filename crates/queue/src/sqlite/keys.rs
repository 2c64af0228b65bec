//! Idempotency keys on SQLite: claimed in the transaction that accepts their messages.

use mail::Timestamp;
use sqlx::SqliteConnection;

use super::statements::{KEY_CLAIM, KEY_FORGET, KEY_RECALL, KEY_RELEASE};
use super::{SqliteStore, connection};
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::model::Kept;
use crate::prepare::{PreparedKey, PreparedMessage, kept, lane_number};

type KeyRow = (i64, i64, Vec<u8>, Vec<u8>);

/// Claims the key of a message; answers what is kept there where it is another's.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    message: &PreparedMessage,
    key: &PreparedKey,
    metrics: &Metrics,
) -> Result<Option<Kept>, Fault> {
    let claim = sqlx::query(KEY_CLAIM.sql)
        .bind(key.account.as_str())
        .bind(key.key.as_str())
        .bind(i64::from(message.grant.lane))
        .bind(message.number)
        .bind(key.fingerprint.as_slice())
        .bind(key.note.as_slice())
        .bind(key.expires_at)
        .execute(&mut *connection);
    if metrics.timed(KEY_CLAIM, claim).await?.rows_affected() > 0 {
        return Ok(None);
    }
    let recall = sqlx::query_as::<_, KeyRow>(KEY_RECALL.sql)
        .bind(key.account.as_str())
        .bind(key.key.as_str())
        .fetch_optional(connection);
    let found = metrics.timed(KEY_RECALL, recall).await?.map(read).transpose()?;
    let own = (message.grant.lane, message.number);
    Ok(found.filter(|kept| (kept.id.lane, i64::try_from(kept.id.number).unwrap_or(-1)) != own))
}

/// Gives the key of a message back that was not accepted.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    key: &PreparedKey,
    metrics: &Metrics,
) -> Result<(), Fault> {
    let release =
        sqlx::query(KEY_RELEASE.sql).bind(key.account.as_str()).bind(key.key.as_str()).execute(connection);
    metrics.timed(KEY_RELEASE, release).await?;
    Ok(())
}

fn read((lane, number, fingerprint, note): KeyRow) -> Result<Kept, Fault> {
    kept(lane_number(lane)?, number, &fingerprint, note)
}

impl SqliteStore {
    pub(super) async fn load_key(&self, account: &str, key: &str) -> Result<Option<Kept>, Fault> {
        let recall =
            sqlx::query_as::<_, KeyRow>(KEY_RECALL.sql).bind(account).bind(key).fetch_optional(&self.readers);
        self.metrics.timed(KEY_RECALL, recall).await?.map(read).transpose()
    }

    pub(super) async fn delete_keys(&self, now: Timestamp, limit: u32) -> Result<u64, Fault> {
        let mut guard = self.writer.lock().await?;
        let forget = sqlx::query(KEY_FORGET.sql)
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .execute(connection(&mut guard)?);
        Ok(self.metrics.timed(KEY_FORGET, forget).await?.rows_affected())
    }
}
