//! Delivery into mailboxes of an mda.

use async_trait::async_trait;
use mail::Outcome;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use super::content::{frames, held_back};
use super::peers::{Call, Peers, Repeat};
use crate::generated as wire;
use crate::generated::deliver_request::Step;
use crate::generated::deliver_response::Step as Answer;
use crate::wire::answer;
use crate::{Delivery, DeliveryRequest, Error};

type Stub = wire::delivery_client::DeliveryClient<Channel>;

/// The mda, from afar.
#[derive(Debug, Clone)]
pub struct DeliveryClient {
    peers: Peers,
}

impl DeliveryClient {
    /// A client of these mdas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl Delivery for DeliveryClient {
    async fn deliver(&self, request: DeliveryRequest) -> Result<Vec<Outcome>, Error> {
        let until = Instant::now() + self.peers.settings().transfer_deadline();
        let begin = wire::DeliverBegin::from(&request);
        let chunks = if begin.content.is_some() { Vec::new() } else { crate::wire::chunks(&request.content) };
        let frame = |step| wire::DeliverRequest { step: Some(step) };
        let make = |channel, call| {
            let rest = frames(chunks.clone(), |chunk| frame(Step::Chunk(chunk)));
            transfer(channel, call, frame(Step::Begin(begin.clone())), rest)
        };
        // The queue id makes a repeated delivery harmless.
        let outcomes = self.peers.call(Repeat::Harmless, until, make).await?;
        answer(crate::wire::outcomes(outcomes, request.recipients.len()))
    }
}

async fn transfer(
    channel: Channel,
    call: Call,
    begin: wire::DeliverRequest,
    rest: Vec<wire::DeliverRequest>,
) -> Result<wire::DeliverOutcomes, Status> {
    let (go, outgoing) = held_back(begin, rest);
    let mut go = Some(go);
    let mut answers = Stub::new(channel).deliver(call.request(outgoing)).await?.into_inner();
    loop {
        match answers.message().await?.and_then(|answer| answer.step) {
            Some(Answer::Outcomes(outcomes)) => return Ok(outcomes),
            Some(Answer::Ready(_)) => match go.take() {
                Some(go) => go.send(()).map_err(|()| Status::unknown("the connection closed"))?,
                None => return Err(Status::unknown("an answer out of order")),
            },
            None => return Err(Status::unknown("the mda ended the call without an answer")),
        }
    }
}
