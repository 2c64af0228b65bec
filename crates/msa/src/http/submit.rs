//! One message from a request to the queue: the questions and the order of an SMTP session.

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use mail::{Account, Envelope, IdempotencyKey, Origin, Recipient};
use protocol::{ErrorKind, Submitted};
use smtp::reply::{self, Reply};

use super::Api;
use super::answer::{Accepted, RecipientAnswer, RecipientStatus, json, with_ids};
use super::body::{Kind, Received, receive};
use super::draft::Draft;
use super::idempotency::{self, fingerprint};
use super::problem::Problem;
use super::server::Peer;
use crate::submission::Client;

/// A content of more octets is worked at where it keeps no other request waiting.
const LARGE: usize = 256 * 1024;

impl Api {
    pub(super) async fn submit(
        &self,
        peer: &Peer,
        account: &Account,
        head: &Parts,
        body: &mut Body,
    ) -> Result<Response, Problem> {
        let kind = Kind::of(&head.headers)?;
        let Received { octets, mut memory } = receive(self, peer, kind, &head.headers, body).await?;
        let key = idempotency::key(&head.headers, &account.address, || fingerprint(head, &octets))?;
        if let Some(before) = self.recall(key.as_ref()).await? {
            return before;
        }
        peer.message().map_err(|refusal| Problem::from(&refusal))?;
        let draft = read(kind, head.uri.query(), octets).await?;
        memory.shrink(draft.content.len().saturating_mul(2));
        let size = draft.content.len();
        if size > self.sessions.max_size {
            return Err(Problem::from(&reply::too_large(self.sessions.max_size)));
        }
        let mut envelope = draft.envelope(origin(peer, account), &self.sessions.policy)?;
        self.submissions.may_send(account, &envelope).await.map_err(|refusal| Problem::from(&refusal))?;
        let answers = self.choose(peer, account, &mut envelope, &draft).await?;
        if envelope.recipients.is_empty() {
            return Err(Problem::no_recipient(answers));
        }
        let key = key.map(|key| IdempotencyKey { note: note(&answers), ..key });
        let client = Client { account, peer: peer.address.ip(), tls: peer.tls.as_deref() };
        let submitted = self.submissions.submit(&client, envelope, draft.content, key).await;
        let said = submitted.as_ref().map_or_else(Clone::clone, |submitted| reply::queued(submitted.id));
        self.submissions.metrics.message(&said, size);
        match submitted {
            Ok(submitted) if submitted.repeated.is_some() => repeated(&submitted),
            Ok(submitted) => Ok(accepted(&submitted, answers)),
            Err(refusal) => Err(Problem::from(&refusal)),
        }
    }

    /// The answer that was given before to a request of this key.
    async fn recall(
        &self,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Result<Response, Problem>>, Problem> {
        let Some(key) = key else { return Ok(None) };
        match self.submissions.relay.recall(key).await {
            Ok(before) => Ok(before.as_ref().map(repeated)),
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                Err(Problem::from(&crate::refusal::key_of_another()))
            }
            Err(error) => {
                tracing::warn!(%error, "the mta cannot be asked about an idempotency key");
                Err(Problem::from(&crate::refusal::not_queued()))
            }
        }
    }

    /// Asks about each recipient; those that are taken come into the envelope.
    async fn choose(
        &self,
        peer: &Peer,
        account: &Account,
        envelope: &mut Envelope,
        draft: &Draft,
    ) -> Result<Vec<RecipientAnswer>, Problem> {
        let limit = self.sessions.max_recipients;
        if draft.recipients.len() > limit {
            let detail = format!("The message has more than {limit} recipients; send it in several requests");
            return Err(Problem::unprocessable(detail));
        }
        let mut answers = Vec::with_capacity(draft.recipients.len());
        for path in &draft.recipients {
            let recipient = Recipient { notify: draft.notify, ..Recipient::from(path.clone()) };
            match self.may_receive(peer, account, envelope, &recipient).await {
                Ok(()) => {
                    answers.push(RecipientAnswer::new(path, RecipientStatus::Queued, &reply::recipient_ok()));
                    envelope.recipients.push(recipient);
                }
                Err(refusal) if refusal.is_permanent() => {
                    let (peer, account) = (peer.address, &account.address);
                    tracing::info!(%peer, %account, forward_path = %path, reply = %refusal, "refused a recipient");
                    answers.push(RecipientAnswer::new(path, RecipientStatus::Refused, &refusal));
                }
                // For all or for nobody: who comes back would send it twice to the others.
                Err(refusal) => return Err(Problem::from(&refusal)),
            }
        }
        Ok(answers)
    }
}

impl Api {
    async fn may_receive(
        &self,
        peer: &Peer,
        account: &Account,
        envelope: &Envelope,
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        peer.recipient()?;
        self.submissions.may_receive(account, envelope, recipient).await
    }
}

async fn read(kind: Kind, query: Option<&str>, octets: Bytes) -> Result<Draft, Problem> {
    if octets.len() < LARGE {
        return Draft::new(kind, query, octets);
    }
    let query = query.map(str::to_owned);
    let work = tokio::task::spawn_blocking(move || Draft::new(kind, query.as_deref(), octets));
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request could not be worked at");
        Err(Problem::from(&reply::local_trouble()))
    })
}

fn origin(peer: &Peer, account: &Account) -> Origin {
    let protocol = if peer.tls.is_some() { "HTTPS" } else { "HTTP" };
    Origin {
        address: Some(peer.address.ip()),
        account: Some(account.address.clone()),
        protocol: protocol.to_owned(),
        ..Origin::default()
    }
}

/// What is kept with a key: the answers, without the ids that only the queue knows.
fn note(answers: &[RecipientAnswer]) -> Bytes {
    // Texts and numbers alone, which JSON can always say.
    serde_json::to_vec(answers).unwrap_or_default().into()
}

fn repeated(submitted: &Submitted) -> Result<Response, Problem> {
    let kept = submitted.repeated.as_deref().unwrap_or_default();
    let answers: Vec<RecipientAnswer> = serde_json::from_slice(kept).map_err(|error| {
        tracing::error!(%error, queue_id = %submitted.id, "what was answered before cannot be read");
        Problem::from(&reply::local_trouble())
    })?;
    Ok(accepted(submitted, answers))
}

fn accepted(submitted: &Submitted, answers: Vec<RecipientAnswer>) -> Response {
    let id = submitted.id;
    tracing::Span::current().record("queue_id", tracing::field::display(id));
    let answer = Accepted { id: id.to_string(), recipients: with_ids(id, answers, &submitted.numbers) };
    let mut response = json(StatusCode::ACCEPTED, &answer);
    // The characters of a queue id may stand in a field.
    if let Ok(location) = HeaderValue::try_from(format!("/v1/messages/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
