//! The quotas that an mda counts.

use async_trait::async_trait;
use mail::quota::{Charged, Cost, Room};
use mail::{Mailbox, Timestamp};
use tonic::transport::Channel;

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::answer;
use crate::{Error, Quotas};

type Stub = wire::quotas_client::QuotasClient<Channel>;

/// The quotas, from afar.
#[derive(Debug, Clone)]
pub struct QuotasClient {
    peers: Peers,
}

impl QuotasClient {
    /// A client of these mdas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl Quotas for QuotasClient {
    async fn room(&self, account: &Mailbox, cost: Cost) -> Result<Room, Error> {
        let make = |channel, call: Call| {
            let request = call.request(message(account, cost));
            async move { Stub::new(channel).room(request).await }
        };
        answer(self.peers.look_up(make).await?.into_inner().try_into())
    }

    async fn charge(&self, account: &Mailbox, cost: Cost) -> Result<Charged, Error> {
        let make = |channel, call: Call| {
            let request = call.request(message(account, cost));
            async move { Stub::new(channel).charge(request).await }
        };
        answer(self.peers.change(make).await?.into_inner().try_into())
    }

    async fn give_back(&self, account: &Mailbox, cost: Cost, taken_at: Timestamp) -> Result<(), Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::GiveBackRequest {
                account: account.to_string(),
                recipients: cost.recipients,
                octets: cost.octets,
                taken_at: taken_at.as_millis(),
            });
            async move { Stub::new(channel).give_back(request).await }
        };
        self.peers.change(make).await.map(drop)
    }
}

fn message(account: &Mailbox, cost: Cost) -> wire::ChargeRequest {
    wire::ChargeRequest { account: account.to_string(), recipients: cost.recipients, octets: cost.octets }
}
