//! Idempotency keys on Postgres: claimed in the transaction that accepts their messages. Who claims a key that another
//! transaction has claimed waits for that one's end, for a moment.

use std::collections::{BTreeMap, BTreeSet};

use mail::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgBindIterExt;

use super::PostgresStore;
use super::statements::{KEY_CLAIM, KEY_FORGET, KEY_LOOK_UP, KEY_PATIENCE, KEY_RECALL, KEY_RELEASE};
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::model::Kept;
use crate::prepare::{PreparedKey, PreparedMessage, kept, lane_number};
use crate::store::Stored;

/// Claims the keys of messages; answers, for each message whose key is another's, what is kept there.
pub(super) async fn claim(
    connection: &mut PgConnection,
    messages: &[&PreparedMessage],
    metrics: &Metrics,
) -> sqlx::Result<BTreeMap<(u8, i64), Kept>> {
    let keyed: Vec<(&PreparedMessage, &PreparedKey)> =
        messages.iter().filter_map(|message| Some((*message, message.key.as_ref()?))).collect();
    if keyed.is_empty() {
        return Ok(BTreeMap::new());
    }
    metrics.timed(KEY_PATIENCE, sqlx::query(KEY_PATIENCE.sql).execute(&mut *connection)).await?;
    let claim = sqlx::query(KEY_CLAIM.sql)
        .bind(keyed.iter().map(|(_, key)| key.account.as_str()).bind_iter())
        .bind(keyed.iter().map(|(_, key)| key.key.as_str()).bind_iter())
        .bind(keyed.iter().map(|(message, _)| i16::from(message.grant.lane)).bind_iter())
        .bind(keyed.iter().map(|(message, _)| message.number).bind_iter())
        .bind(keyed.iter().map(|(_, key)| key.fingerprint.as_slice()).bind_iter())
        .bind(keyed.iter().map(|(_, key)| key.note.as_slice()).bind_iter())
        .bind(keyed.iter().map(|(_, key)| key.expires_at).bind_iter())
        .execute(&mut *connection);
    metrics.timed(KEY_CLAIM, claim).await?;
    let look_up = sqlx::query_as::<_, (i64, i16, i64, Vec<u8>, Vec<u8>)>(KEY_LOOK_UP.sql)
        .bind(keyed.iter().map(|(_, key)| key.account.as_str()).bind_iter())
        .bind(keyed.iter().map(|(_, key)| key.key.as_str()).bind_iter())
        .fetch_all(connection);
    let rows = metrics.timed(KEY_LOOK_UP, look_up).await?;
    // One that was swept away in between is nobody's now: the message must not be stored without it. Once more, and it is ours.
    if rows.len() < keyed.len() {
        return Err(sqlx::Error::Protocol(
            "an idempotency key was forgotten while it was claimed".to_owned(),
        ));
    }
    let mut of_others = BTreeMap::new();
    for (place, lane, number, fingerprint, note) in rows {
        let place = usize::try_from(place).unwrap_or(0).checked_sub(1);
        let Some((message, _)) = place.and_then(|place| keyed.get(place)) else { continue };
        // What cannot be read must not pass for nothing: the message would be stored twice.
        let read = lane_number(lane).and_then(|lane| kept(lane, number, &fingerprint, note));
        let kept = read.map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?;
        if (kept.id.lane, number) != message.key() {
            of_others.insert(message.key(), kept);
        }
    }
    Ok(of_others)
}

/// The answers of all messages: those whose key is another's among those that were accepted or not. Gives the keys back of
/// those that were not.
pub(super) async fn settle(
    connection: &mut PgConnection,
    messages: &[&PreparedMessage],
    stored: &[Stored],
    mut of_others: BTreeMap<(u8, i64), Kept>,
    metrics: &Metrics,
) -> sqlx::Result<Vec<Stored>> {
    let mut rest = stored.iter();
    let mut answers: Vec<Stored> = Vec::with_capacity(messages.len());
    let mut without = BTreeSet::new();
    for message in messages {
        let answer = match of_others.remove(&message.key()) {
            Some(kept) => Stored::Before(kept),
            None => rest.next().cloned().unwrap_or(Stored::Fenced),
        };
        if message.key.is_some() && !matches!(answer, Stored::Yes | Stored::Before(_)) {
            without.insert(message.key());
        }
        answers.push(answer);
    }
    if without.is_empty() {
        return Ok(answers);
    }
    let release = sqlx::query(KEY_RELEASE.sql)
        .bind(
            messages.iter().filter_map(|m| released(m, &without)).map(|key| key.account.as_str()).bind_iter(),
        )
        .bind(messages.iter().filter_map(|m| released(m, &without)).map(|key| key.key.as_str()).bind_iter())
        .execute(connection);
    metrics.timed(KEY_RELEASE, release).await?;
    // Who lost a key to one of those has lost it to nobody.
    for answer in &mut answers {
        let to_nobody = match answer {
            Stored::Before(kept) => {
                i64::try_from(kept.id.number).is_ok_and(|number| without.contains(&(kept.id.lane, number)))
            }
            _ => false,
        };
        if to_nobody {
            *answer = Stored::Fenced;
        }
    }
    Ok(answers)
}

fn released<'a>(message: &'a PreparedMessage, without: &BTreeSet<(u8, i64)>) -> Option<&'a PreparedKey> {
    message.key.as_ref().filter(|_| without.contains(&message.key()))
}

impl PostgresStore {
    pub(super) async fn load_key(&self, account: &str, key: &str) -> Result<Option<Kept>, Fault> {
        let recall = sqlx::query_as::<_, (i16, i64, Vec<u8>, Vec<u8>)>(KEY_RECALL.sql)
            .bind(account)
            .bind(key)
            .fetch_optional(&self.readers);
        let row = self.metrics.timed(KEY_RECALL, recall).await?;
        row.map(|(lane, number, fingerprint, note)| kept(lane_number(lane)?, number, &fingerprint, note))
            .transpose()
    }

    pub(super) async fn delete_keys(&self, now: Timestamp, limit: u32) -> Result<u64, Fault> {
        let forget =
            sqlx::query(KEY_FORGET.sql).bind(now.as_millis()).bind(i64::from(limit)).execute(&self.control);
        Ok(self.metrics.timed(KEY_FORGET, forget).await?.rows_affected())
    }
}
