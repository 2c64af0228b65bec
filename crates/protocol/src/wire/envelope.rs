//! `envelope.proto`.

use mail::{
    Action, BodyType, DeliverBy, DeliverByMode, EnhancedStatus, Envelope, Hold, Notify, Origin,
    OriginalRecipient, Outcome, Priority, Recipient, Ret, Status, Timestamp, TraceContext,
};

use super::{malformed, number, optional, required, text};
use crate::Error;
use crate::generated as wire;

impl From<&Envelope> for wire::Envelope {
    fn from(envelope: &Envelope) -> Self {
        Self {
            reverse_path: envelope.reverse_path.to_string(),
            recipients: envelope.recipients.iter().map(Into::into).collect(),
            body: wire::BodyType::from(envelope.body).into(),
            smtputf8: envelope.smtputf8,
            ret: envelope.ret.map(|ret| wire::Ret::from(ret).into()),
            envid: envelope.envid.clone(),
            origin: Some((&envelope.origin).into()),
            deliver_by: envelope.deliver_by.map(Into::into),
            hold: envelope.hold.map(Into::into),
            priority: envelope.priority.get().into(),
            require_tls: envelope.require_tls,
        }
    }
}

impl TryFrom<wire::Envelope> for Envelope {
    type Error = Error;
    fn try_from(envelope: wire::Envelope) -> Result<Self, Error> {
        Ok(Self {
            body: envelope.body().try_into()?,
            ret: envelope.ret.is_some().then(|| envelope.ret().try_into()).transpose()?,
            reverse_path: text("reverse-path", &envelope.reverse_path)?,
            recipients: envelope.recipients.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            smtputf8: envelope.smtputf8,
            envid: envelope.envid,
            deliver_by: envelope.deliver_by.map(TryInto::try_into).transpose()?,
            hold: envelope.hold.map(Into::into),
            priority: priority(envelope.priority)?,
            require_tls: envelope.require_tls,
            origin: required("origin", envelope.origin)?.try_into()?,
        })
    }
}

fn priority(value: i32) -> Result<Priority, Error> {
    let priority = i8::try_from(value).ok().and_then(Priority::new);
    priority.ok_or_else(|| malformed("priority", "out of range"))
}

impl From<DeliverBy> for wire::DeliverBy {
    fn from(deliver_by: DeliverBy) -> Self {
        let mode = match deliver_by.mode {
            DeliverByMode::Return => wire::DeliverByMode::Return,
            DeliverByMode::Notify => wire::DeliverByMode::Notify,
        };
        Self { seconds: deliver_by.seconds, mode: mode.into(), trace: deliver_by.trace }
    }
}

impl TryFrom<wire::DeliverBy> for DeliverBy {
    type Error = Error;
    fn try_from(deliver_by: wire::DeliverBy) -> Result<Self, Error> {
        let mode = match deliver_by.mode() {
            wire::DeliverByMode::Unspecified => return Err(malformed("by-mode", "missing or unknown")),
            wire::DeliverByMode::Return => DeliverByMode::Return,
            wire::DeliverByMode::Notify => DeliverByMode::Notify,
        };
        Ok(Self { seconds: deliver_by.seconds, mode, trace: deliver_by.trace })
    }
}

impl From<Hold> for wire::envelope::Hold {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::For(seconds) => Self::HoldFor(seconds),
            Hold::Until(time) => Self::HoldUntil(time.as_millis()),
        }
    }
}

impl From<wire::envelope::Hold> for Hold {
    fn from(hold: wire::envelope::Hold) -> Self {
        match hold {
            wire::envelope::Hold::HoldFor(seconds) => Self::For(seconds),
            wire::envelope::Hold::HoldUntil(time) => Self::Until(Timestamp::from_millis(time)),
        }
    }
}

impl From<&Recipient> for wire::Recipient {
    fn from(recipient: &Recipient) -> Self {
        let Notify { success, failure, delay, explicit } = recipient.notify;
        Self {
            forward_path: recipient.forward_path.to_string(),
            notify: explicit.then_some(wire::Notify { success, failure, delay }),
            original: recipient.original.as_ref().map(|original| wire::OriginalRecipient {
                address_type: original.address_type.clone(),
                address: original.address.clone(),
            }),
        }
    }
}

impl TryFrom<wire::Recipient> for Recipient {
    type Error = Error;
    fn try_from(recipient: wire::Recipient) -> Result<Self, Error> {
        Ok(Self {
            forward_path: text("forward-path", &recipient.forward_path)?,
            notify: recipient.notify.map_or_else(Notify::default, |notify| Notify {
                success: notify.success,
                failure: notify.failure,
                delay: notify.delay,
                explicit: true,
            }),
            original: recipient.original.map(|original| OriginalRecipient {
                address_type: original.address_type,
                address: original.address,
            }),
        })
    }
}

impl From<BodyType> for wire::BodyType {
    fn from(body: BodyType) -> Self {
        match body {
            BodyType::SevenBit => Self::SevenBit,
            BodyType::EightBitMime => Self::EightBitMime,
            BodyType::BinaryMime => Self::BinaryMime,
        }
    }
}

impl TryFrom<wire::BodyType> for BodyType {
    type Error = Error;
    fn try_from(body: wire::BodyType) -> Result<Self, Error> {
        match body {
            wire::BodyType::Unspecified => Err(malformed("body type", "missing or unknown")),
            wire::BodyType::SevenBit => Ok(Self::SevenBit),
            wire::BodyType::EightBitMime => Ok(Self::EightBitMime),
            wire::BodyType::BinaryMime => Ok(Self::BinaryMime),
        }
    }
}

impl From<Ret> for wire::Ret {
    fn from(ret: Ret) -> Self {
        match ret {
            Ret::Full => Self::Full,
            Ret::Headers => Self::Headers,
        }
    }
}

impl TryFrom<wire::Ret> for Ret {
    type Error = Error;
    fn try_from(ret: wire::Ret) -> Result<Self, Error> {
        match ret {
            wire::Ret::Unspecified => Err(malformed("RET", "missing or unknown")),
            wire::Ret::Full => Ok(Self::Full),
            wire::Ret::Headers => Ok(Self::Headers),
        }
    }
}

impl From<&Origin> for wire::Origin {
    fn from(origin: &Origin) -> Self {
        Self {
            address: origin.address.map(|address| address.to_string()),
            helo: origin.helo.clone(),
            account: origin.account.as_ref().map(ToString::to_string),
            protocol: origin.protocol.clone(),
            tick: origin.tick.clone(),
        }
    }
}

impl TryFrom<wire::Origin> for Origin {
    type Error = Error;
    fn try_from(origin: wire::Origin) -> Result<Self, Error> {
        Ok(Self {
            address: optional("address of origin", origin.address.as_ref())?,
            helo: origin.helo,
            account: optional("account", origin.account.as_ref())?,
            protocol: origin.protocol,
            tick: origin.tick,
        })
    }
}

impl From<&Status> for wire::Status {
    fn from(status: &Status) -> Self {
        Self { code: status.code.into(), enhanced: status.enhanced.to_string(), text: status.text.clone() }
    }
}

impl TryFrom<wire::Status> for Status {
    type Error = Error;
    fn try_from(status: wire::Status) -> Result<Self, Error> {
        let code: u16 = number("reply code", status.code)?;
        if !(200..600).contains(&code) {
            return Err(malformed("reply code", "out of range"));
        }
        let EnhancedStatus { class, subject, detail } = text("enhanced status code", &status.enhanced)?;
        Ok(Self::new(code, (class, subject, detail), status.text))
    }
}

impl From<Action> for wire::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Delivered => Self::Delivered,
            Action::Relayed => Self::Relayed,
            Action::Delayed => Self::Delayed,
            Action::Failed => Self::Failed,
            Action::Expanded => Self::Expanded,
        }
    }
}

impl TryFrom<wire::Action> for Action {
    type Error = Error;
    fn try_from(action: wire::Action) -> Result<Self, Error> {
        match action {
            wire::Action::Unspecified => Err(malformed("action", "missing or unknown")),
            wire::Action::Delivered => Ok(Self::Delivered),
            wire::Action::Relayed => Ok(Self::Relayed),
            wire::Action::Delayed => Ok(Self::Delayed),
            wire::Action::Failed => Ok(Self::Failed),
            wire::Action::Expanded => Ok(Self::Expanded),
        }
    }
}

impl From<&Outcome> for wire::Outcome {
    fn from(outcome: &Outcome) -> Self {
        Self { action: wire::Action::from(outcome.action()).into(), status: Some(outcome.status().into()) }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = Error;
    fn try_from(outcome: wire::Outcome) -> Result<Self, Error> {
        let action = outcome.action().try_into()?;
        let status = required("status", outcome.status)?.try_into()?;
        match action {
            Action::Delivered => Ok(Self::Delivered(status)),
            Action::Relayed => Ok(Self::Relayed(status)),
            Action::Delayed => Ok(Self::Delayed(status)),
            Action::Failed => Ok(Self::Failed(status)),
            Action::Expanded => Err(malformed("outcome", "expanded is none")),
        }
    }
}

/// The outcomes of a request, which must be as many as it had recipients.
pub(crate) fn outcomes(answer: wire::DeliverOutcomes, recipients: usize) -> Result<Vec<Outcome>, Error> {
    if answer.outcomes.len() != recipients {
        return Err(malformed("outcomes", "not one for each recipient"));
    }
    answer.outcomes.into_iter().map(TryInto::try_into).collect()
}

impl From<&TraceContext> for wire::TraceContext {
    fn from(trace: &TraceContext) -> Self {
        Self { traceparent: trace.traceparent.clone(), tracestate: trace.tracestate.clone() }
    }
}

impl From<wire::TraceContext> for TraceContext {
    fn from(trace: wire::TraceContext) -> Self {
        Self { traceparent: trace.traceparent, tracestate: trace.tracestate }
    }
}
