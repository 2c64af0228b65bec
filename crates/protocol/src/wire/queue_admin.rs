//! `queue_admin.proto`.

use mail::timeline::{MessageView, PendingState, PendingView, TimelineEntry};
use mail::{DomainSummary, Summary, Timestamp};

use super::{malformed, number, optional, required, text};
use crate::generated as wire;
use crate::{Error, MessageFilter};

impl From<&MessageFilter> for wire::ListMessagesRequest {
    fn from(filter: &MessageFilter) -> Self {
        Self {
            sender: filter.sender.clone(),
            recipient: filter.recipient.clone(),
            limit: filter.limit,
            before: filter.before.map(|id| id.to_string()),
        }
    }
}

impl TryFrom<wire::ListMessagesRequest> for MessageFilter {
    type Error = Error;
    fn try_from(request: wire::ListMessagesRequest) -> Result<Self, Error> {
        Ok(Self {
            before: optional("queue id", request.before.as_ref())?,
            sender: request.sender,
            recipient: request.recipient,
            limit: request.limit,
        })
    }
}

impl From<&MessageView> for wire::MessageView {
    fn from(view: &MessageView) -> Self {
        Self {
            queue_id: view.id.to_string(),
            reverse_path: view.reverse_path.as_ref().map(ToString::to_string),
            account: view.account.as_ref().map(ToString::to_string),
            size: view.size,
            accepted_at: view.accepted_at.as_millis(),
            trace_id: view.trace_id.clone(),
            tick: view.tick.clone(),
            pending: view.pending.iter().map(Into::into).collect(),
            timeline: view.timeline.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::MessageView> for MessageView {
    type Error = Error;
    fn try_from(view: wire::MessageView) -> Result<Self, Error> {
        Ok(Self {
            id: text("queue id", &view.queue_id)?,
            reverse_path: optional("reverse-path", view.reverse_path.as_ref())?,
            account: optional("account", view.account.as_ref())?,
            size: view.size,
            accepted_at: Timestamp::from_millis(view.accepted_at),
            trace_id: view.trace_id,
            tick: view.tick,
            pending: view.pending.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            timeline: view.timeline.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&PendingView> for wire::PendingView {
    fn from(pending: &PendingView) -> Self {
        let state = match pending.state {
            PendingState::Fresh => wire::PendingState::Fresh,
            PendingState::Deferred => wire::PendingState::Deferred,
            PendingState::Held => wire::PendingState::Held,
        };
        Self {
            number: pending.number.into(),
            forward_path: pending.forward_path.to_string(),
            destination: pending.destination.clone(),
            state: state.into(),
            attempts: pending.attempts.into(),
            next_attempt_at: pending.next_attempt_at.map(Timestamp::as_millis),
            expires_at: pending.expires_at.as_millis(),
            last_status: pending.last_status.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::PendingView> for PendingView {
    type Error = Error;
    fn try_from(pending: wire::PendingView) -> Result<Self, Error> {
        let state = match pending.state() {
            wire::PendingState::Unspecified => return Err(malformed("state", "missing or unknown")),
            wire::PendingState::Fresh => PendingState::Fresh,
            wire::PendingState::Deferred => PendingState::Deferred,
            wire::PendingState::Held => PendingState::Held,
        };
        Ok(Self {
            number: number("number of a recipient", pending.number)?,
            forward_path: text("forward-path", &pending.forward_path)?,
            destination: pending.destination,
            state,
            attempts: number("number of attempts", pending.attempts)?,
            next_attempt_at: pending.next_attempt_at.map(Timestamp::from_millis),
            expires_at: Timestamp::from_millis(pending.expires_at),
            last_status: pending.last_status.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&TimelineEntry> for wire::TimelineEntry {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            at: entry.at.as_millis(),
            number: entry.number.into(),
            forward_path: entry.forward_path.to_string(),
            attempt: entry.attempt.into(),
            action: wire::Action::from(entry.action).into(),
            status: Some((&entry.status).into()),
            remote: entry.remote.clone(),
        }
    }
}

impl TryFrom<wire::TimelineEntry> for TimelineEntry {
    type Error = Error;
    fn try_from(entry: wire::TimelineEntry) -> Result<Self, Error> {
        Ok(Self {
            at: Timestamp::from_millis(entry.at),
            number: number("number of a recipient", entry.number)?,
            forward_path: text("forward-path", &entry.forward_path)?,
            attempt: number("attempt", entry.attempt)?,
            action: entry.action().try_into()?,
            status: required("status", entry.status)?.try_into()?,
            remote: entry.remote,
        })
    }
}

impl From<&Summary> for wire::Summary {
    fn from(summary: &Summary) -> Self {
        let domain = |domain: &DomainSummary| wire::DomainSummary {
            domain: domain.domain.clone(),
            active: domain.active,
            queued: domain.queued,
            retry: domain.retry,
            held: domain.held,
            oldest: domain.oldest.as_millis(),
        };
        Self { domains: summary.domains.iter().map(domain).collect(), more: summary.more }
    }
}

impl From<wire::Summary> for Summary {
    fn from(summary: wire::Summary) -> Self {
        let domain = |domain: wire::DomainSummary| DomainSummary {
            domain: domain.domain,
            active: domain.active,
            queued: domain.queued,
            retry: domain.retry,
            held: domain.held,
            oldest: Timestamp::from_millis(domain.oldest),
        };
        Self { domains: summary.domains.into_iter().map(domain).collect(), more: summary.more }
    }
}
