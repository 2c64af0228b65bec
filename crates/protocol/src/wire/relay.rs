//! `relay.proto`.

use bytes::Bytes;
use mail::{Content, Domain, Envelope, IdempotencyKey, QueueId};

use super::{inline, malformed, number, required, text};
use crate::generated as wire;
use crate::{Error, Submission, Submitted};

impl From<&Submission> for wire::EnqueueBegin {
    fn from(submission: &Submission) -> Self {
        Self {
            envelope: Some((&submission.envelope).into()),
            by: submission.by.to_string(),
            tls: submission.tls.clone(),
            size: submission.content.len() as u64,
            content: inline(&submission.content),
            key: submission.key.as_ref().map(Into::into),
        }
    }
}

/// What begins a submission: all but the content, which may follow.
pub(crate) struct Begun {
    pub(crate) envelope: Envelope,
    pub(crate) by: Domain,
    pub(crate) tls: Option<String>,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Begun {
    pub(crate) fn with(self, content: Content) -> Submission {
        Submission { envelope: self.envelope, content, tls: self.tls, by: self.by, key: self.key }
    }
}

impl TryFrom<wire::EnqueueBegin> for Begun {
    type Error = Error;
    fn try_from(begin: wire::EnqueueBegin) -> Result<Self, Error> {
        Ok(Self {
            envelope: required("envelope", begin.envelope)?.try_into()?,
            by: text("host name", &begin.by)?,
            tls: begin.tls,
            key: begin.key.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&IdempotencyKey> for wire::IdempotencyKey {
    fn from(key: &IdempotencyKey) -> Self {
        Self {
            account: key.account.to_string(),
            key: key.key.clone(),
            fingerprint: Bytes::copy_from_slice(&key.fingerprint),
            note: key.note.clone(),
        }
    }
}

impl TryFrom<wire::IdempotencyKey> for IdempotencyKey {
    type Error = Error;
    fn try_from(key: wire::IdempotencyKey) -> Result<Self, Error> {
        let fingerprint = key.fingerprint.as_ref().try_into();
        let fingerprint = fingerprint.map_err(|_| malformed("fingerprint", "not of 32 octets"))?;
        let read = Self::new(text("account", &key.account)?, &key.key, fingerprint);
        let read = read.map_err(|error| malformed("idempotency key", error))?;
        Ok(Self { note: key.note, ..read })
    }
}

impl From<&Submitted> for wire::EnqueueTaken {
    fn from(submitted: &Submitted) -> Self {
        Self {
            queue_id: submitted.id.to_string(),
            numbers: submitted.numbers.iter().map(|number| u32::from(*number)).collect(),
            repeated: submitted.repeated.clone(),
        }
    }
}

/// What was taken, under the id that began named or another.
pub(crate) fn taken(began: Option<QueueId>, taken: wire::EnqueueTaken) -> Result<Submitted, Error> {
    let id = match (began, taken.queue_id.as_str()) {
        (Some(id), "") => id,
        (_, id) => text("queue id", id)?,
    };
    let numbers = taken.numbers.into_iter().map(|n| number("number of a delivery", n));
    Ok(Submitted { id, numbers: numbers.collect::<Result<_, _>>()?, repeated: taken.repeated })
}
