//! The queue of an mta, to look at.

use async_trait::async_trait;
use mail::QueueId;
use mail::timeline::MessageView;
use tonic::transport::Channel;

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::{ANSWER_LIMIT, answer};
use crate::{Error, MessageFilter, QueueAdmin};

type Stub = wire::queue_admin_client::QueueAdminClient<Channel>;

/// The queue's administration, from afar.
#[derive(Debug, Clone)]
pub struct QueueAdminClient {
    peers: Peers,
}

impl QueueAdminClient {
    /// A client of these mtas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl QueueAdmin for QueueAdminClient {
    async fn list(&self, filter: &MessageFilter) -> Result<Vec<MessageView>, Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::ListMessagesRequest::from(filter));
            async move { Stub::new(channel).max_decoding_message_size(ANSWER_LIMIT).list(request).await }
        };
        let found = self.peers.look_up(make).await?.into_inner();
        answer(found.messages.into_iter().map(TryInto::try_into).collect())
    }

    async fn show(&self, id: QueueId) -> Result<MessageView, Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::ShowMessageRequest { queue_id: id.to_string() });
            async move { Stub::new(channel).max_decoding_message_size(ANSWER_LIMIT).show(request).await }
        };
        answer(self.peers.look_up(make).await?.into_inner().try_into())
    }
}
