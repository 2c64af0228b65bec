//! How much is in the queue of an mta.

use async_trait::async_trait;
use mail::{Domain, Summary};
use tonic::transport::Channel;

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::ANSWER_LIMIT;
use crate::{Error, QueueSummary};

type Stub = wire::queue_summary_client::QueueSummaryClient<Channel>;

/// The question how much is in the queue, from afar.
#[derive(Debug, Clone)]
pub struct QueueSummaryClient {
    peers: Peers,
}

impl QueueSummaryClient {
    /// A client of these mtas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl QueueSummary for QueueSummaryClient {
    async fn summarize(&self, domain: Option<&Domain>, limit: u32) -> Result<Summary, Error> {
        let make = |channel, call: Call| {
            let request =
                call.request(wire::SummarizeRequest { domain: domain.map(ToString::to_string), limit });
            async move { Stub::new(channel).max_decoding_message_size(ANSWER_LIMIT).summarize(request).await }
        };
        Ok(self.peers.look_up(make).await?.into_inner().into())
    }
}
