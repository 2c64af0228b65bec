//! What a client is told of a message that was taken, at once and later.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use mail::timeline::{MessageView, PendingState, PendingView, TimelineEntry};
use mail::{Action, ForwardPath, QueueId, Status, Timestamp};
use serde::{Deserialize, Serialize};
use smtp::Reply;
use utoipa::ToSchema;

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, answer: &impl Serialize) -> Response {
    // Texts and numbers alone, which JSON can always say.
    let text = serde_json::to_vec(answer).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// A message that was taken: it is durably queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Accepted {
    /// The message's id in the queue.
    #[schema(example = "000g2p4c8n5rj000")]
    pub(crate) id: String,
    /// What became of each recipient, in the order of the request.
    pub(crate) recipients: Vec<RecipientAnswer>,
}

/// What became of a recipient of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RecipientAnswer {
    /// The address.
    #[schema(example = "bob@example.org")]
    pub(crate) address: String,
    /// Its id, by which its status can be asked for; none for one that was refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "000g2p4c8n5rj000-0")]
    pub(crate) id: Option<String>,
    /// Whether the message is queued for it.
    pub(crate) status: RecipientStatus,
    /// The reply code that SMTP has for it (RFC 5321 4.2).
    #[schema(example = 250)]
    pub(crate) code: u16,
    /// The enhanced status code (RFC 3463).
    #[schema(example = "2.1.5")]
    pub(crate) enhanced: String,
    /// The same in words.
    #[schema(example = "Recipient OK")]
    pub(crate) text: String,
}

/// Whether a message is queued for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecipientStatus {
    /// It is.
    Queued,
    /// It is not, and will never be.
    Refused,
}

impl RecipientAnswer {
    pub(crate) fn new(address: &ForwardPath, status: RecipientStatus, reply: &Reply) -> Self {
        let Status { code, enhanced, text } = reply.status();
        Self { address: bare(address), id: None, status, code, enhanced: enhanced.to_string(), text }
    }
}

/// The address of a path, without its angle brackets.
pub(crate) fn bare(path: &ForwardPath) -> String {
    path.mailbox().map_or_else(|| "postmaster".to_owned(), ToString::to_string)
}

/// Gives each recipient that is queued its id, by the numbers of their deliveries; without them that of the message.
pub(crate) fn with_ids(
    id: QueueId,
    mut recipients: Vec<RecipientAnswer>,
    numbers: &[u16],
) -> Vec<RecipientAnswer> {
    let mut numbers = numbers.iter();
    for recipient in recipients.iter_mut().filter(|one| one.status == RecipientStatus::Queued) {
        recipient.id = Some(match numbers.next() {
            Some(number) if *number < u16::MAX => format!("{id}-{number}"),
            _ => id.to_string(),
        });
    }
    recipients
}

/// A message and what became of it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MessageStatus {
    /// The message's id in the queue.
    #[schema(example = "000g2p4c8n5rj000")]
    pub(crate) id: String,
    /// Where failures are reported to; empty for nobody.
    #[schema(example = "alice@example.org")]
    pub(crate) reverse_path: String,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) accepted_at: Timestamp,
    /// Its size in octets.
    pub(crate) size: u64,
    /// The trace that follows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) trace_id: Option<String>,
    /// Its recipients; the members of an alias each by itself.
    pub(crate) recipients: Vec<DeliveryStatus>,
}

/// What became of one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeliveryStatus {
    /// Its id.
    #[schema(example = "000g2p4c8n5rj000-0")]
    pub(crate) id: String,
    /// The address.
    #[schema(example = "bob@example.org")]
    pub(crate) address: String,
    /// Where it stands.
    pub(crate) status: DeliveryState,
    /// Attempts so far.
    pub(crate) attempts: u16,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_attempt_at: Option<Timestamp>,
    /// When the last thing happened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
    /// The last reply code that was heard.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) code: Option<u16>,
    /// Its enhanced status code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) enhanced: Option<String>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) text: Option<String>,
    /// The server that said it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) remote: Option<String>,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeliveryState {
    /// The first attempt is under way or due.
    Queued,
    /// It is tried again later.
    Delayed,
    /// It waits until somebody releases it.
    Held,
    /// It lies in the recipient's mailbox.
    Delivered,
    /// The next server has taken it.
    Relayed,
    /// It will never arrive; the sender was told.
    Failed,
}

impl MessageStatus {
    /// Of all recipients, or of the one of this number.
    pub(crate) fn of(view: &MessageView, number: Option<u16>) -> Self {
        let mut recipients: Vec<(u16, DeliveryStatus)> = Vec::new();
        for pending in &view.pending {
            let entry = last(&view.timeline, pending.number);
            recipients.push((pending.number, DeliveryStatus::pending(view.id, pending, entry)));
        }
        for entry in view.timeline.iter().rev() {
            if !recipients.iter().any(|(number, _)| *number == entry.number) {
                recipients.push((entry.number, DeliveryStatus::ended(view.id, entry)));
            }
        }
        recipients.sort_by_key(|(number, _)| *number);
        recipients.retain(|(each, _)| number.is_none_or(|number| number == *each));
        let reverse_path = view.reverse_path.as_ref().and_then(|path| path.mailbox());
        Self {
            id: view.id.to_string(),
            reverse_path: reverse_path.map(ToString::to_string).unwrap_or_default(),
            accepted_at: view.accepted_at,
            size: view.size,
            trace_id: view.trace_id.clone(),
            recipients: recipients.into_iter().map(|(_, status)| status).collect(),
        }
    }
}

fn last(timeline: &[TimelineEntry], number: u16) -> Option<&TimelineEntry> {
    timeline.iter().rev().find(|entry| entry.number == number)
}

impl DeliveryStatus {
    fn pending(id: QueueId, pending: &PendingView, entry: Option<&TimelineEntry>) -> Self {
        let status = match pending.state {
            PendingState::Held => DeliveryState::Held,
            _ if pending.attempts == 0 => DeliveryState::Queued,
            PendingState::Fresh | PendingState::Deferred => DeliveryState::Delayed,
        };
        Self {
            id: format!("{id}-{}", pending.number),
            address: bare(&pending.forward_path),
            status,
            attempts: pending.attempts,
            next_attempt_at: pending.next_attempt_at,
            at: entry.map(|entry| entry.at),
            code: pending.last_status.as_ref().map(|status| status.code),
            enhanced: pending.last_status.as_ref().map(|status| status.enhanced.to_string()),
            text: pending.last_status.as_ref().map(|status| status.text.clone()),
            remote: entry.and_then(|entry| entry.remote.clone()),
        }
    }

    fn ended(id: QueueId, entry: &TimelineEntry) -> Self {
        let status = match entry.action {
            Action::Delivered | Action::Expanded => DeliveryState::Delivered,
            Action::Relayed => DeliveryState::Relayed,
            Action::Delayed => DeliveryState::Delayed,
            Action::Failed => DeliveryState::Failed,
        };
        Self {
            id: format!("{id}-{}", entry.number),
            address: bare(&entry.forward_path),
            status,
            attempts: entry.attempt,
            next_attempt_at: None,
            at: Some(entry.at),
            code: Some(entry.status.code),
            enhanced: Some(entry.status.enhanced.to_string()),
            text: Some(entry.status.text.clone()),
            remote: entry.remote.clone(),
        }
    }
}
