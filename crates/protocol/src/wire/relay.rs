//! `relay.proto`.

use mail::{Content, Domain, Envelope};

use super::{inline, required, text};
use crate::generated as wire;
use crate::{Error, Submission};

impl From<&Submission> for wire::EnqueueBegin {
    fn from(submission: &Submission) -> Self {
        Self {
            envelope: Some((&submission.envelope).into()),
            by: submission.by.to_string(),
            tls: submission.tls.clone(),
            size: submission.content.len() as u64,
            content: inline(&submission.content),
        }
    }
}

/// What begins a submission: all but the content, which may follow.
pub(crate) struct Begun {
    pub(crate) envelope: Envelope,
    pub(crate) by: Domain,
    pub(crate) tls: Option<String>,
}

impl Begun {
    pub(crate) fn with(self, content: Content) -> Submission {
        Submission { envelope: self.envelope, content, tls: self.tls, by: self.by }
    }
}

impl TryFrom<wire::EnqueueBegin> for Begun {
    type Error = Error;
    fn try_from(begin: wire::EnqueueBegin) -> Result<Self, Error> {
        Ok(Self {
            envelope: required("envelope", begin.envelope)?.try_into()?,
            by: text("host name", &begin.by)?,
            tls: begin.tls,
        })
    }
}
