//! From what callers hand in to what both storages bind: numbers, texts and octets, made once, outside the writers.

use std::sync::Arc;

use mail::{
    Action, Content, IdempotencyKey, Notify, Outcome, Priority, QueueId, Recipient, Timestamp, TraceContext,
};

use crate::fault::Fault;
use crate::model::{Delivery, Kept, LaneGrant, MailTransaction, RecipientKey, Report};

/// The longest status or host that is kept, in octets.
const STATUS_LIMIT: usize = 512;

/// A message as it is bound.
#[derive(Debug)]
pub(crate) struct PreparedMessage {
    pub(crate) grant: LaneGrant,
    pub(crate) number: i64,
    pub(crate) accepted_at: i64,
    pub(crate) reverse_path: String,
    pub(crate) account: Option<String>,
    pub(crate) tick: Option<String>,
    pub(crate) envelope: Vec<u8>,
    pub(crate) trace: TraceContext,
    pub(crate) content: Content,
    pub(crate) size: usize,
    /// Its parts were stored ahead of it.
    pub(crate) spooled: bool,
    pub(crate) deliveries: Vec<PreparedDelivery>,
    /// Accepted only if nothing was under this key before.
    pub(crate) key: Option<PreparedKey>,
}

/// An idempotency key as it is bound.
#[derive(Debug)]
pub(crate) struct PreparedKey {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) note: Vec<u8>,
    pub(crate) expires_at: i64,
}

impl PreparedKey {
    pub(crate) fn new(key: &IdempotencyKey, expires_at: Timestamp) -> Self {
        Self {
            account: storable(key.account.to_string()),
            key: storable(key.key.clone()),
            fingerprint: key.fingerprint,
            note: key.note.to_vec(),
            expires_at: expires_at.as_millis(),
        }
    }
}

/// What was kept of a key: lane, number, fingerprint, note.
pub(crate) fn kept(lane: u8, number: i64, fingerprint: &[u8], note: Vec<u8>) -> Result<Kept, Fault> {
    let fingerprint =
        fingerprint.try_into().map_err(|_| Fault::corrupt("a fingerprint of another length"))?;
    Ok(Kept { id: queue_id(lane, number)?, fingerprint, note: note.into() })
}

/// A recipient as it is bound.
#[derive(Debug)]
pub(crate) struct PreparedDelivery {
    pub(crate) number: u16,
    pub(crate) destination: Arc<str>,
    pub(crate) forward_path: String,
    pub(crate) notify: i16,
    pub(crate) original: Option<String>,
    pub(crate) priority: i16,
    pub(crate) held_until: Option<i64>,
    pub(crate) expires_at: i64,
    pub(crate) delay_notice_at: Option<i64>,
}

impl PreparedMessage {
    /// # Errors
    /// When the message can never be stored, with the reason.
    pub(crate) fn new(transaction: MailTransaction, epoch: i64) -> Result<Self, Fault> {
        let MailTransaction { id, accepted_at, mut envelope, trace, content, deliveries } = transaction;
        if deliveries.is_empty() {
            return Err(Fault::Data("a message without recipients".into()));
        }
        envelope.recipients.clear();
        let deliveries = deliveries
            .into_iter()
            .enumerate()
            .map(|(number, delivery)| {
                let number =
                    u16::try_from(number).map_err(|_| Fault::Data("more than 65,536 recipients".into()))?;
                Ok(PreparedDelivery {
                    number,
                    destination: delivery.destination,
                    forward_path: storable(delivery.recipient.forward_path.to_string()),
                    notify: notify_to_bits(delivery.recipient.notify),
                    original: delivery.recipient.original.map(|original| storable(original.to_string())),
                    priority: envelope.priority.get().into(),
                    held_until: delivery.held_until.map(Timestamp::as_millis),
                    expires_at: delivery.expires_at.as_millis(),
                    delay_notice_at: delivery.delay_notice_at.map(Timestamp::as_millis),
                })
            })
            .collect::<Result<_, Fault>>()?;
        Ok(Self {
            grant: LaneGrant { lane: id.lane, epoch },
            number: stored_number(id)?,
            accepted_at: accepted_at.as_millis(),
            reverse_path: storable(envelope.reverse_path.to_string()),
            account: envelope.origin.account.as_ref().map(|account| storable(account.to_string())),
            tick: envelope.origin.tick.clone().map(storable),
            envelope: serde_json::to_vec(&envelope).map_err(|error| Fault::Data(error.to_string().into()))?,
            trace: TraceContext {
                traceparent: storable(trace.traceparent),
                tracestate: storable(trace.tracestate),
            },
            size: content.len(),
            content,
            spooled: false,
            deliveries,
            key: None,
        })
    }

    pub(crate) fn key(&self) -> (u8, i64) {
        (self.grant.lane, self.number)
    }

    /// Octets of content that travel with the group commit.
    pub(crate) fn octets_to_commit(&self) -> usize {
        if self.spooled { 0 } else { self.size }
    }
}

/// A report as it is bound.
#[derive(Debug)]
pub(crate) struct PreparedReport {
    pub(crate) lane: u8,
    /// The epoch under which the lane is owned; none when it is not.
    pub(crate) epoch: Option<i64>,
    pub(crate) number: i64,
    pub(crate) recipient: u16,
    pub(crate) attempt: u16,
    pub(crate) at: i64,
    pub(crate) action: i16,
    pub(crate) forward_path: String,
    pub(crate) status: String,
    pub(crate) remote: Option<String>,
    pub(crate) retry: Option<PreparedRetry>,
    pub(crate) notices: Vec<PreparedMessage>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PreparedRetry {
    pub(crate) next_attempt_at: i64,
    pub(crate) delay_notice_at: Option<i64>,
}

impl PreparedReport {
    pub(crate) fn new(
        report: Report,
        epoch: Option<i64>,
        notices: Vec<PreparedMessage>,
    ) -> Result<Self, Fault> {
        if matches!(report.outcome, Outcome::Delayed(_)) != report.retry.is_some() {
            return Err(Fault::Data("a retry belongs to a delayed outcome, and only to it".into()));
        }
        Ok(Self {
            lane: report.key.id.lane,
            epoch,
            number: stored_number(report.key.id)?,
            recipient: report.key.number,
            attempt: report.attempt,
            at: report.at.as_millis(),
            action: action_to_number(report.outcome.action()),
            forward_path: storable(report.forward_path.to_string()),
            status: shortened(storable(report.outcome.status().to_string())),
            remote: report.remote.map(|remote| shortened(storable(remote))),
            retry: report.retry.map(|retry| PreparedRetry {
                next_attempt_at: retry.next_attempt_at.as_millis(),
                delay_notice_at: retry.delay_notice_at.map(Timestamp::as_millis),
            }),
            notices,
        })
    }

    pub(crate) fn key(&self) -> (u8, i64, u16) {
        (self.lane, self.number, self.recipient)
    }

    /// The lane and epoch that a deferral is fenced by; an epoch that never was where the lane is not owned.
    pub(crate) fn fence(&self) -> LaneGrant {
        LaneGrant { lane: self.lane, epoch: self.epoch.unwrap_or(-1) }
    }
}

/// A row of pending recipients as both storages read it.
pub(crate) struct DeliveryRow {
    pub(crate) lane: u8,
    pub(crate) number: i64,
    pub(crate) recipient: i32,
    pub(crate) destination: String,
    pub(crate) attempts: i32,
    pub(crate) next_attempt_at: Option<i64>,
    pub(crate) expires_at: i64,
    pub(crate) delay_notice_at: Option<i64>,
    pub(crate) notify: i16,
    pub(crate) forward_path: String,
    pub(crate) original: Option<String>,
    pub(crate) priority: i16,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = Fault;
    fn try_from(row: DeliveryRow) -> Result<Self, Fault> {
        let forward_path = row.forward_path.parse().map_err(Fault::corrupt)?;
        Ok(Self {
            key: RecipientKey {
                id: queue_id(row.lane, row.number)?,
                number: u16::try_from(row.recipient).map_err(Fault::corrupt)?,
            },
            recipient: Recipient {
                forward_path,
                notify: notify_from_bits(row.notify),
                original: row.original.map(|text| {
                    let (address_type, address) = text.split_once(';').unwrap_or(("rfc822", &text));
                    mail::OriginalRecipient {
                        address_type: address_type.to_owned(),
                        address: address.to_owned(),
                    }
                }),
            },
            destination: row.destination.into(),
            priority: i8::try_from(row.priority).ok().and_then(Priority::new).unwrap_or_default(),
            attempts: u16::try_from(row.attempts).map_err(Fault::corrupt)?,
            next_attempt_at: row.next_attempt_at.map(Timestamp::from_millis),
            expires_at: Timestamp::from_millis(row.expires_at),
            delay_notice_at: row.delay_notice_at.map(Timestamp::from_millis),
        })
    }
}

/// The rows that make sense. One that does not is left where it lies: it must not keep its lane or its destination from the
/// others.
pub(crate) fn readable(rows: impl Iterator<Item = Result<Delivery, Fault>>) -> Vec<Delivery> {
    rows.filter_map(|row| {
        row.inspect_err(
            |fault| tracing::error!(error = %fault, "a queued recipient cannot be read; it stays queued"),
        )
        .ok()
    })
    .collect()
}

/// The number of an id as a signed column holds it.
pub(crate) fn stored_number(id: QueueId) -> Result<i64, Fault> {
    i64::try_from(id.number).map_err(|_| Fault::Data("a queue id whose number is too large".into()))
}

pub(crate) fn queue_id(lane: u8, number: i64) -> Result<QueueId, Fault> {
    Ok(QueueId { shard: 0, lane, number: u64::try_from(number).map_err(Fault::corrupt)? })
}

pub(crate) fn lane_number(lane: impl TryInto<u8>) -> Result<u8, Fault> {
    lane.try_into().map_err(|_| Fault::corrupt("a lane beyond 255"))
}

/// NOTIFY of RFC 3461 4.1 in one number.
fn notify_to_bits(notify: Notify) -> i16 {
    [notify.success, notify.failure, notify.delay, notify.explicit]
        .into_iter()
        .enumerate()
        .map(|(bit, on)| i16::from(on) << bit)
        .sum()
}

fn notify_from_bits(bits: i16) -> Notify {
    Notify { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0, explicit: bits & 8 != 0 }
}

/// The place of an action in [`Action::ALL`].
fn action_to_number(action: Action) -> i16 {
    let place = Action::ALL.iter().position(|other| *other == action).unwrap_or(0);
    i16::try_from(place).unwrap_or(0)
}

pub(crate) fn action_from_number(number: i16) -> Result<Action, Fault> {
    usize::try_from(number)
        .ok()
        .and_then(|place| Action::ALL.get(place).copied())
        .ok_or_else(|| Fault::corrupt(format_args!("action {number}")))
}

/// Postgres has no place for NUL in a text.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', " ") } else { text }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(STATUS_LIMIT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_survives_its_number() {
        for bits in 0..16 {
            assert_eq!(notify_to_bits(notify_from_bits(bits)), bits);
        }
    }

    #[test]
    fn texts_are_made_fit_for_storage() {
        assert_eq!(storable("a\0b".to_owned()), "a b");
        assert_eq!(shortened("é".repeat(400)).len(), 512);
        assert_eq!(shortened(format!("a{}", "é".repeat(400))).len(), 511);
    }
}
