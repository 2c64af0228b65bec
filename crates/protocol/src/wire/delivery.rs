//! `delivery.proto`.

use mail::Content;

use super::{inline, text};
use crate::generated as wire;
use crate::{DeliveryRequest, Error};

impl From<&DeliveryRequest> for wire::DeliverBegin {
    fn from(request: &DeliveryRequest) -> Self {
        Self {
            queue_id: request.id.to_string(),
            reverse_path: request.reverse_path.to_string(),
            recipients: request.recipients.iter().map(Into::into).collect(),
            trace: (!request.trace.is_empty()).then(|| (&request.trace).into()),
            size: request.content.len() as u64,
            content: inline(&request.content),
        }
    }
}

/// Without its content, which may follow.
impl TryFrom<wire::DeliverBegin> for DeliveryRequest {
    type Error = Error;
    fn try_from(begin: wire::DeliverBegin) -> Result<Self, Error> {
        Ok(Self {
            id: text("queue id", &begin.queue_id)?,
            reverse_path: text("reverse-path", &begin.reverse_path)?,
            recipients: begin.recipients.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            content: Content::default(),
            trace: begin.trace.map(Into::into).unwrap_or_default(),
        })
    }
}
