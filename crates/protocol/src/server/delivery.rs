//! Serves delivery into mailboxes.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::content::{Assembly, Transfers};
use crate::generated as wire;
use crate::generated::deliver_request::Step;
use crate::generated::deliver_response::Step as Answer;
use crate::{Delivery, DeliveryRequest, Error, ErrorKind, trace};

type Answers = mpsc::Sender<Result<wire::DeliverResponse, Status>>;

pub(super) struct Service {
    delivery: Arc<dyn Delivery>,
    transfers: Transfers,
}

impl Service {
    pub(super) fn new(delivery: Arc<dyn Delivery>, transfers: Transfers) -> Self {
        Self { delivery, transfers }
    }
}

#[tonic::async_trait]
impl wire::delivery_server::Delivery for Service {
    type DeliverStream = ReceiverStream<Result<wire::DeliverResponse, Status>>;

    async fn deliver(
        &self,
        request: Request<Streaming<wire::DeliverRequest>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let (metadata, _, steps) = request.into_parts();
        let (answers, answered) = mpsc::channel(2);
        let (delivery, transfers) = (Arc::clone(&self.delivery), self.transfers.clone());
        self.transfers.tasks.spawn(async move {
            let answer = match receive(&transfers, steps, &answers).await {
                Ok((request, _memory)) => {
                    let span =
                        tracing::info_span!("delivery.deliver", queue_id = %request.id, otel.kind = "server");
                    if metadata.contains_key("traceparent") {
                        trace::follow(&span, &metadata);
                    } else {
                        trace::span_parent(&span, &request.trace);
                    }
                    delivery.deliver(request).instrument(span).await
                }
                Err(error) => Err(error),
            };
            let answer = answer.map_err(Status::from).map(|outcomes| {
                let outcomes = outcomes.iter().map(Into::into).collect();
                wire::DeliverResponse { step: Some(Answer::Outcomes(wire::DeliverOutcomes { outcomes })) }
            });
            // A client that is gone asks again, and that is harmless.
            let _ = answers.send(answer).await;
        });
        Ok(Response::new(ReceiverStream::new(answered)))
    }
}

async fn receive(
    transfers: &Transfers,
    steps: Streaming<wire::DeliverRequest>,
    answers: &Answers,
) -> Result<(DeliveryRequest, Assembly), Error> {
    match timeout(transfers.deadline, assemble(transfers, steps, answers)).await {
        Ok(received) => received,
        Err(_) => Err(Error::new(ErrorKind::Unavailable, "the message did not come in time")),
    }
}

async fn assemble(
    transfers: &Transfers,
    mut steps: Streaming<wire::DeliverRequest>,
    answers: &Answers,
) -> Result<(DeliveryRequest, Assembly), Error> {
    let Step::Begin(mut begin) = next(&mut steps).await? else { return Err(out_of_order()) };
    let (size, inline) = (begin.size, begin.content.take());
    let mut request = DeliveryRequest::try_from(begin)?;
    let mut assembly = transfers.begin(size, inline).await?;
    if !assembly.is_complete() {
        let ready = wire::DeliverResponse { step: Some(Answer::Ready(wire::DeliverReady {})) };
        let _ = answers.send(Ok(ready)).await;
    }
    while !assembly.is_complete() {
        match next(&mut steps).await? {
            Step::Begin(_) => return Err(out_of_order()),
            Step::Chunk(chunk) => assembly.push(chunk)?,
        }
    }
    request.content = assembly.content()?;
    Ok((request, assembly))
}

async fn next(steps: &mut Streaming<wire::DeliverRequest>) -> Result<Step, Error> {
    match steps.message().await {
        Ok(Some(wire::DeliverRequest { step: Some(step) })) => Ok(step),
        Ok(Some(_)) => Err(out_of_order()),
        Ok(None) => Err(Error::new(ErrorKind::Unavailable, "the call ended before the message did")),
        Err(status) => Err(Error::new(ErrorKind::Unavailable, status.message())),
    }
}

fn out_of_order() -> Error {
    Error::new(ErrorKind::Rejected, "a step out of order")
}
