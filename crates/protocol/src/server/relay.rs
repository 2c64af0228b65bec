//! Serves the relay. Until a client has sent the end nothing is taken, whatever happens; behind the end the message is taken
//! even if the client is gone by then, and the client asks by the id that it was told.

use std::sync::Arc;

use mail::QueueId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, Span};

use super::content::{Assembly, Transfers};
use super::respond;
use crate::generated as wire;
use crate::generated::enqueue_request::Step;
use crate::generated::enqueue_response::Step as Answer;
use crate::wire::{Begun, required, text};
use crate::{Error, ErrorKind, Intake, Submission, Submitted, trace};

type Answers = mpsc::Sender<Result<wire::EnqueueResponse, Status>>;

pub(super) struct Service {
    intake: Arc<dyn Intake>,
    transfers: Transfers,
}

impl Service {
    pub(super) fn new(intake: Arc<dyn Intake>, transfers: Transfers) -> Self {
        Self { intake, transfers }
    }
}

#[tonic::async_trait]
impl wire::relay_server::Relay for Service {
    type EnqueueStream = ReceiverStream<Result<wire::EnqueueResponse, Status>>;

    async fn enqueue(
        &self,
        request: Request<Streaming<wire::EnqueueRequest>>,
    ) -> Result<Response<Self::EnqueueStream>, Status> {
        let span =
            tracing::info_span!("relay.enqueue", queue_id = tracing::field::Empty, otel.kind = "server");
        trace::follow(&span, request.metadata());
        // Room for both answers: the call never waits for its reader.
        let (answers, answered) = mpsc::channel(2);
        let (intake, transfers) = (Arc::clone(&self.intake), self.transfers.clone());
        let take = async move {
            match take(&*intake, &transfers, request.into_inner(), &answers).await {
                Ok(submitted) => send(&answers, Answer::Taken((&submitted).into())).await,
                Err(error) => drop(answers.send(Err(error.into())).await),
            }
        };
        self.transfers.tasks.spawn(take.instrument(span));
        Ok(Response::new(ReceiverStream::new(answered)))
    }

    async fn resolve(
        &self,
        request: Request<wire::ResolveMessageRequest>,
    ) -> Result<Response<wire::ResolveMessageResponse>, Status> {
        let span =
            tracing::info_span!("relay.resolve", queue_id = request.get_ref().queue_id, otel.kind = "server");
        respond(span, request, async |request| {
            let id = text("queue id", &request.queue_id)?;
            Ok(wire::ResolveMessageResponse { taken: self.intake.resolve(id).await? })
        })
        .await
    }

    async fn recall(
        &self,
        request: Request<wire::RecallRequest>,
    ) -> Result<Response<wire::RecallResponse>, Status> {
        let span = tracing::info_span!("relay.recall", otel.kind = "server");
        respond(span, request, async |request| {
            let key = required("idempotency key", request.key)?.try_into()?;
            let taken = self.intake.recall(&key).await?;
            Ok(wire::RecallResponse { taken: taken.as_ref().map(Into::into) })
        })
        .await
    }

    async fn show_own(
        &self,
        request: Request<wire::ShowOwnMessageRequest>,
    ) -> Result<Response<wire::MessageView>, Status> {
        let span =
            tracing::info_span!("relay.show", queue_id = request.get_ref().queue_id, otel.kind = "server");
        respond(span, request, async |request| {
            let (account, id) = (text("account", &request.account)?, text("queue id", &request.queue_id)?);
            Ok((&self.intake.show(&account, id).await?).into())
        })
        .await
    }
}

async fn take(
    intake: &dyn Intake,
    transfers: &Transfers,
    mut steps: Streaming<wire::EnqueueRequest>,
    answers: &Answers,
) -> Result<Submitted, Error> {
    let receive = receive(intake, transfers, &mut steps, answers);
    let Ok(received) = timeout(transfers.deadline, receive).await else {
        return Err(Error::new(ErrorKind::Unavailable, "the message did not come in time"));
    };
    let (id, submission, _memory) = received?;
    intake.enqueue_as(id, submission).await
}

/// Everything up to the end.
async fn receive(
    intake: &dyn Intake,
    transfers: &Transfers,
    steps: &mut Streaming<wire::EnqueueRequest>,
    answers: &Answers,
) -> Result<(QueueId, Submission, Assembly), Error> {
    let Step::Begin(mut begin) = next(steps).await? else { return Err(out_of_order()) };
    let (size, inline) = (begin.size, begin.content.take());
    let begun = Begun::try_from(begin)?;
    let mut assembly = transfers.begin(size, inline).await?;
    let id = intake.allocate().await?;
    Span::current().record("queue_id", tracing::field::display(id));
    send(answers, Answer::Began(wire::EnqueueBegan { queue_id: id.to_string() })).await;
    loop {
        match next(steps).await? {
            Step::Begin(_) => return Err(out_of_order()),
            Step::Chunk(chunk) => assembly.push(chunk)?,
            Step::End(_) => return Ok((id, begun.with(assembly.content()?), assembly)),
        }
    }
}

async fn next(steps: &mut Streaming<wire::EnqueueRequest>) -> Result<Step, Error> {
    match steps.message().await {
        Ok(Some(wire::EnqueueRequest { step: Some(step) })) => Ok(step),
        Ok(Some(_)) => Err(out_of_order()),
        Ok(None) => Err(Error::new(ErrorKind::Unavailable, "the call ended before the message did")),
        Err(status) => Err(Error::new(ErrorKind::Unavailable, status.message())),
    }
}

fn out_of_order() -> Error {
    Error::new(ErrorKind::Rejected, "a step out of order")
}

/// A client that is gone hears nothing; it will ask.
async fn send(answers: &Answers, step: Answer) {
    let _ = answers.send(Ok(wire::EnqueueResponse { step: Some(step) })).await;
}
