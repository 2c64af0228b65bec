//! The relay: hands a message to an mta and makes sure what became of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mail::timeline::MessageView;
use mail::{IdempotencyKey, Mailbox, QueueId};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::content::{frames, held_back};
use super::peers::{Call, Peers, Repeat};
use crate::generated as wire;
use crate::generated::enqueue_request::Step;
use crate::generated::enqueue_response::Step as Answer;
use crate::status::Failure;
use crate::wire::{ANSWER_LIMIT, answer};
use crate::{Error, ErrorKind, Relay, Submission, Submitted};

type Stub = wire::relay_client::RelayClient<Channel>;

/// How often a message is offered when nothing was taken and somebody else may take it.
const OFFERS: u32 = 3;
/// By how much a call outlasts the transfer in it.
const MARGIN: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The mta, from afar.
#[derive(Debug, Clone)]
pub struct RelayClient {
    peers: Peers,
}

/// Where an offer ended.
enum Offer {
    Taken(Submitted),
    /// For certain.
    NotTaken(Error),
    InDoubt(QueueId, Error),
}

impl RelayClient {
    /// A client of these mtas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }

    async fn offer(&self, submission: &Submission, until: Instant) -> Offer {
        let begin = wire::EnqueueBegin::from(submission);
        let chunks =
            if begin.content.is_some() { Vec::new() } else { crate::wire::chunks(&submission.content) };
        let make = |channel, call| transfer(channel, call, until, begin.clone(), chunks.clone());
        // The call's own deadline knows nothing of doubt, so the transfer's has to come first.
        match self.peers.call(Repeat::Never, until + MARGIN, make).await {
            Ok(offer) => offer,
            // What breaks before the end was sent is no doubt: without it nothing is taken.
            Err(Error { kind: ErrorKind::Unknown, message }) => {
                Offer::NotTaken(Error::new(ErrorKind::Unavailable, message))
            }
            Err(error) => Offer::NotTaken(error),
        }
    }

    /// What the lost answer said: more than the id only where there is a key to ask by.
    async fn recollect(&self, id: QueueId, key: Option<&IdempotencyKey>) -> Submitted {
        let known = match key {
            Some(key) => self.recall(key).await.ok().flatten(),
            None => None,
        };
        match known {
            Some(submitted) if submitted.id == id => Submitted { repeated: None, ..submitted },
            _ => Submitted::known_by(id),
        }
    }

    /// Asks until somebody knows.
    async fn settle(&self, id: QueueId, doubt: &Error) -> Result<bool, Error> {
        tracing::warn!(queue_id = %id, error = %doubt, "the hand-over of a message broke off; asking what became of it");
        let until = Instant::now() + Duration::from_millis(self.peers.settings().settle_deadline_ms);
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout_at(until, self.resolve(id)).await {
                Ok(Ok(taken)) => return Ok(taken),
                Ok(Err(error)) => error,
                Err(_) => Error::new(ErrorKind::Unavailable, "no answer in time"),
            };
            if Instant::now() + pause >= until {
                let message =
                    format!("nobody can say whether message {id} was taken: {doubt}; then: {error}");
                return Err(Error::new(ErrorKind::Unknown, message));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[async_trait]
impl Relay for RelayClient {
    async fn enqueue(&self, submission: Submission) -> Result<Submitted, Error> {
        let until = Instant::now() + self.peers.settings().transfer_deadline();
        let mut offers = 0;
        loop {
            offers += 1;
            let error = match self.offer(&submission, until).await {
                Offer::Taken(submitted) => return Ok(submitted),
                Offer::NotTaken(error) => error,
                Offer::InDoubt(id, doubt) if self.settle(id, &doubt).await? => {
                    tracing::info!(queue_id = %id, "the message had been taken");
                    return Ok(self.recollect(id, submission.key.as_ref()).await);
                }
                Offer::InDoubt(_, doubt) => Error::new(ErrorKind::Unavailable, doubt),
            };
            if error.kind != ErrorKind::Unavailable || offers == OFFERS || Instant::now() >= until {
                return Err(error);
            }
            sleep(FIRST_PAUSE * offers).await;
        }
    }

    async fn resolve(&self, id: QueueId) -> Result<bool, Error> {
        let ask = |channel, call: Call| {
            let request = call.request(wire::ResolveMessageRequest { queue_id: id.to_string() });
            async move { Stub::new(channel).resolve(request).await }
        };
        Ok(self.peers.look_up(ask).await?.into_inner().taken)
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        let ask = |channel, call: Call| {
            let request = call.request(wire::RecallRequest { key: Some(key.into()) });
            async move { Stub::new(channel).recall(request).await }
        };
        let found = self.peers.look_up(ask).await?.into_inner().taken;
        answer(found.map(|taken| crate::wire::taken(None, taken)).transpose())
    }

    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error> {
        let ask = |channel, call: Call| {
            let request = call.request(wire::ShowOwnMessageRequest {
                account: account.to_string(),
                queue_id: id.to_string(),
            });
            async move { Stub::new(channel).max_decoding_message_size(ANSWER_LIMIT).show_own(request).await }
        };
        answer(self.peers.look_up(ask).await?.into_inner().try_into())
    }
}

/// One call. As long as it returns an error nothing was taken; from the moment on that the end may be on its way, it
/// returns an offer.
async fn transfer(
    channel: Channel,
    call: Call,
    until: Instant,
    begin: wire::EnqueueBegin,
    chunks: Vec<Bytes>,
) -> Result<Offer, Status> {
    let frame = |step| wire::EnqueueRequest { step: Some(step) };
    let mut rest = frames(chunks, |chunk| frame(Step::Chunk(chunk)));
    rest.push(frame(Step::End(wire::EnqueueEnd {})));
    let (go, outgoing) = held_back(frame(Step::Begin(begin)), rest);
    let mut answers = Stub::new(channel).enqueue(call.request(outgoing)).await?.into_inner();
    let id = match next(&mut answers).await? {
        Answer::Began(began) => {
            crate::wire::text("queue id", &began.queue_id).map_err(|error| Status::unknown(error.message))?
        }
        Answer::Taken(_) => return Err(Status::unknown("the mta took a message that has not been sent")),
    };
    if go.send(()).is_err() {
        return Err(Status::unknown("the connection closed before the message was sent"));
    }
    Ok(match timeout_at(until, next(&mut answers)).await {
        Ok(Ok(Answer::Taken(taken))) => match crate::wire::taken(Some(id), taken) {
            Ok(submitted) => Offer::Taken(submitted),
            Err(error) => Offer::InDoubt(id, Error::new(ErrorKind::Unknown, error)),
        },
        Ok(Ok(Answer::Began(_))) => {
            Offer::InDoubt(id, Error::new(ErrorKind::Unknown, "an answer out of order"))
        }
        Ok(Err(status)) => ended(id, status),
        Err(_) => Offer::InDoubt(id, Error::new(ErrorKind::Unknown, "no answer in time")),
    })
}

/// Only what the mta itself says is certain, and only where it says so ([`crate::Intake::enqueue_as`]).
fn ended(id: QueueId, status: Status) -> Offer {
    let Failure { error, said } = Failure::from(status);
    match error.kind {
        ErrorKind::Unknown | ErrorKind::Internal => Offer::InDoubt(id, error),
        _ if said => Offer::NotTaken(error),
        _ => Offer::InDoubt(id, error),
    }
}

async fn next(answers: &mut Streaming<wire::EnqueueResponse>) -> Result<Answer, Status> {
    let answer = answers.message().await?.and_then(|answer| answer.step);
    answer.ok_or_else(|| Status::unknown("the mta ended the call without an answer"))
}
