//! The requests there are. Each is counted, let in where there is room and the credentials are right, and worked at within
//! a span of its own.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mail::{Account, QueueId, TraceContext};
use protocol::ErrorKind;
use smtp::Reply;
use tracing::{Instrument as _, Span, field};

use super::Api;
use super::answer::{Accepted, MessageStatus, json};
use super::authentication;
use super::body::discard;
use super::problem::{Details, Problem};
use super::request::MessageRequest;
use super::server::Peer;

/// Longest value of a field of trace context that is looked at.
const TRACE_LIMIT: usize = 512;

/// Hands a message in.
///
/// The answer comes when the message is durably queued. With an `Idempotency-Key` a request may be repeated until it is
/// answered: the message is sent once.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "submitMessage",
    tag = "messages",
    security(("basic" = []), ("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "A name for this request, of 1 to 255 visible characters, that no other request has; a UUID does. \
                           It is remembered for a day or longer."),
        ("to" = Option<Vec<String>>, Query,
            description = "message/rfc822: a recipient, in place of those in To, Cc and Bcc; may be repeated."),
        ("from" = Option<String>, Query,
            description = "message/rfc822: where failures are reported to, in place of the Sender or From field."),
        ("priority" = Option<i8>, Query, description = "message/rfc822: as in the JSON."),
        ("send_at" = Option<String>, Query, description = "message/rfc822: as in the JSON."),
        ("hold_for" = Option<u32>, Query, description = "message/rfc822: as in the JSON."),
        ("deliver_by" = Option<i64>, Query, description = "message/rfc822: as in the JSON."),
        ("deliver_by_mode" = Option<String>, Query, description = "message/rfc822: as in the JSON."),
        ("notify" = Option<String>, Query, description = "message/rfc822: as in the JSON, with commas between."),
        ("ret" = Option<String>, Query, description = "message/rfc822: as in the JSON."),
        ("envid" = Option<String>, Query, description = "message/rfc822: as in the JSON."),
        ("require_tls" = Option<bool>, Query, description = "message/rfc822: as in the JSON."),
    ),
    request_body(
        description = "A message, described or whole.",
        content(
            (MessageRequest = "application/json", examples(
                ("text" = (summary = "A short text", value = json!({
                    "from": "alice@example.test", "to": ["bob@elsewhere.test"], "subject": "Hello", "text": "It works."
                }))),
                ("all" = (summary = "With everything", value = json!({
                    "from": {"address": "alice@example.test", "name": "Alice"},
                    "to": ["Bob <bob@elsewhere.test>"], "cc": [], "bcc": ["archive@elsewhere.test"],
                    "reply_to": ["sales@example.test"], "subject": "Your order", "text": "Thank you.",
                    "html": "<p>Thank you. <img src=\"cid:logo\"></p>", "headers": {"X-Order": "4711"},
                    "attachments": [
                        {"filename": "logo.png", "content_type": "image/png", "content": "iVBORw0KGgo=", "content_id": "logo"},
                        {"filename": "order.csv", "content_type": "text/csv; charset=utf-8", "content": "MSxib29rDQo="}
                    ],
                    "priority": -1, "hold_for": 60, "deliver_by": 86400, "deliver_by_mode": "notify",
                    "notify": ["failure", "delay"], "ret": "headers", "envid": "order-4711"
                }))),
                ("partly" = (summary = "One of the recipients does not exist", value = json!({
                    "from": "alice@example.test", "to": ["bob@elsewhere.test", "nobody@example.test"], "text": "Hi"
                }))),
                ("nobody" = (summary = "No recipient exists", value = json!({
                    "from": "alice@example.test", "to": ["nobody@example.test"], "text": "Hi"
                }))),
                ("foreign" = (summary = "From somebody else", value = json!({
                    "from": "mallory@elsewhere.test", "to": ["bob@elsewhere.test"], "text": "Hi"
                }))),
                ("unreadable" = (summary = "No message", value = json!({"to": "bob@elsewhere.test"}))),
            )),
            (String = "message/rfc822", examples(
                ("whole" = (summary = "A message as it stands", value = json!(
                    "From: alice@example.test\nTo: bob@elsewhere.test\nSubject: Hello\n\nIt works.\n"
                ))),
            )),
        ),
    ),
    responses(
        (status = 202, description = "The message is durably queued for the recipients that say so.", body = Accepted,
            headers(("Location" = String, description = "Where its status can be asked for")),
            examples(
                ("text" = (value = json!({"id": "003g000000000000", "recipients": [
                    {"address": "bob@elsewhere.test", "id": "003g000000000000-0", "status": "queued", "code": 250,
                     "enhanced": "2.1.5", "text": "Recipient OK"}]}))),
                ("all" = (value = json!({"id": "003g000000000000", "recipients": [
                    {"address": "bob@elsewhere.test", "id": "003g000000000000-0", "status": "queued", "code": 250,
                     "enhanced": "2.1.5", "text": "Recipient OK"},
                    {"address": "archive@elsewhere.test", "id": "003g000000000000-1", "status": "queued", "code": 250,
                     "enhanced": "2.1.5", "text": "Recipient OK"}]}))),
                ("partly" = (value = json!({"id": "003g000000000000", "recipients": [
                    {"address": "bob@elsewhere.test", "id": "003g000000000000-0", "status": "queued", "code": 250,
                     "enhanced": "2.1.5", "text": "Recipient OK"},
                    {"address": "nobody@example.test", "status": "refused", "code": 550, "enhanced": "5.1.1",
                     "text": "No such user here"}]}))),
                ("whole" = (value = json!({"id": "003g000000000000", "recipients": [
                    {"address": "bob@elsewhere.test", "id": "003g000000000000-0", "status": "queued", "code": 250,
                     "enhanced": "2.1.5", "text": "Recipient OK"}]}))),
            )),
        (status = 400, description = "The request cannot be read.", body = Details, content_type = "application/problem+json",
            examples(("unreadable" = (value = json!({"type": "about:blank", "title": "Bad Request", "status": 400,
                "detail": "The JSON describes no message: invalid type: string \"…\", expected a sequence at line 1 column 26"}))))),
        (status = 401, description = "The credentials are missing or wrong.", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account may not send as this sender.", body = Details,
            content_type = "application/problem+json",
            examples(("foreign" = (value = json!({"type": "about:blank", "title": "Forbidden", "status": 403,
                "detail": "The sender's address does not belong to the authenticated account", "code": 550, "enhanced": "5.7.1"}))))),
        (status = 408, description = "The content came too slowly.", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "The message is too large.", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "The content is neither JSON nor a message.", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "There can be no such message, no recipient takes it, or the key belongs to another request.",
            body = Details, content_type = "application/problem+json",
            examples(("nobody" = (value = json!({"type": "about:blank", "title": "Unprocessable Entity", "status": 422,
                "detail": "No recipient takes the message; see recipients", "recipients": [
                    {"address": "nobody@example.test", "status": "refused", "code": 550, "enhanced": "5.1.1",
                     "text": "No such user here"}]}))))),
        (status = 429, description = "A limit of the account is reached; Retry-After says when to come back.", body = Details,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 503, description = "Not now. Nothing was queued, or the detail says that nobody can tell: then repeat it with its Idempotency-Key. Retry-After says when to try again.", body = Details,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
    ),
)]
pub(crate) async fn submit_message(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (head, mut body) = request.into_parts();
    let work = async |account: &Account| api.submit(&peer, account, &head, &mut body).await;
    let response = api.answer("/v1/messages", &peer, &head, work).await;
    discard(&head.headers, &mut body).await;
    response
}

/// Tells what became of a message of one's own.
///
/// It is known for as long as the server keeps history, a week by default.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    operation_id = "showMessage",
    tag = "messages",
    security(("basic" = []), ("bearer" = [])),
    params(("id" = String, Path, description = "The id of a message, or of one of its recipients")),
    responses(
        (status = 200, description = "Where each recipient stands.", body = MessageStatus),
        (status = 401, description = "The credentials are missing or wrong.", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "The account has no such message.", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "Not now.", body = Details, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds"))),
    ),
)]
pub(crate) async fn show_message(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Arc<Peer>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    let work = async |account: &Account| api.show(account, &id).await;
    api.answer("/v1/messages/{id}", &peer, &head, work).await
}

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "describe",
    tag = "description",
    responses((status = 200, description = "An OpenAPI document.", body = Object, content_type = "application/json")),
)]
pub(crate) async fn describe(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], Body::from(api.description.clone())).into_response()
}

pub(crate) async fn unknown() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing here; /v1/openapi.json says what there is")
        .into_response()
}

pub(crate) async fn not_allowed() -> Response {
    let detail = "The method does not go with this path; /v1/openapi.json says which does";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

impl Api {
    /// Answers a request from somebody who has to authenticate.
    async fn answer(
        &self,
        route: &'static str,
        peer: &Peer,
        head: &Parts,
        work: impl AsyncFnOnce(&Account) -> Result<Response, Problem>,
    ) -> Response {
        let started = Instant::now();
        // Strangers hold no place: how many of them wait for an answer to their credentials has a limit of its own.
        let admitted = self.admit(peer, &head.headers).await;
        let place = self.requests.try_acquire();
        let admitted = match &place {
            Ok(_) => admitted,
            Err(_) => admitted.and(Err(Problem::unavailable("Too many requests are at work"))),
        };
        let answer = match admitted {
            Ok(account) => {
                let span = span(route, peer, &account, &head.headers);
                let work = async {
                    let answer = work(&account).await;
                    log(peer, &account, &answer);
                    answer
                };
                Box::pin(work.instrument(span)).await
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(problem) = &answer {
            peer.refused(problem.status());
        }
        let wait = self.settings.retry_after.get().as_secs();
        let response = answer.unwrap_or_else(|problem| problem.not_before(wait).into_response());
        self.metrics.request(route, response.status(), started.elapsed());
        response
    }

    /// Whose request it is. Limits of the address and of the login are asked before anybody looks at the credentials.
    async fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Result<Account, Problem> {
        let credentials = authentication::credentials(headers, &self.sessions.mechanisms)?;
        let work = async {
            let checked = self.submissions.check(peer.address.ip(), &credentials).await;
            peer.authenticated(credentials.login(), checked)
        };
        peer.may_authenticate(credentials.login()).map_err(|refusal| Problem::too_many(&refusal))?;
        work.await.map(|login| login.account).map_err(|refusal: Reply| Problem::from(&refusal))
    }

    async fn show(&self, account: &Account, id: &str) -> Result<Response, Problem> {
        let unknown =
            || Problem::new(StatusCode::NOT_FOUND, "The account has no message or recipient of this id");
        let (id, number) = match id.split_once('-') {
            Some((id, number)) => (id, Some(number.parse().map_err(|_| unknown())?)),
            None => (id, None),
        };
        let id: QueueId = id.parse().map_err(|_| unknown())?;
        Span::current().record("queue_id", field::display(id));
        let view =
            self.submissions.relay.show(&account.address, id).await.map_err(|error| match error.kind {
                ErrorKind::NotFound => unknown(),
                _ => {
                    tracing::warn!(%error, "the mta cannot be asked about a message");
                    Problem::unavailable("The queue cannot be asked now")
                }
            })?;
        let status = MessageStatus::of(&view, number);
        if number.is_some() && status.recipients.is_empty() {
            Err(unknown())
        } else {
            Ok(json(StatusCode::OK, &status))
        }
    }
}

/// In the caller's trace: whoever has authenticated may say which one it is.
fn span(route: &'static str, peer: &Peer, account: &Account, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "http.request",
        otel.kind = "server",
        route,
        peer = %peer.address,
        account = %account.address,
        queue_id = field::Empty,
        status = field::Empty,
    );
    let read = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if value.len() <= TRACE_LIMIT { value.to_owned() } else { String::new() }
    };
    let parent = TraceContext { traceparent: read("traceparent"), tracestate: read("tracestate") };
    protocol::trace::span_parent(&span, &parent);
    span
}

fn log(peer: &Peer, account: &Account, answer: &Result<Response, Problem>) {
    let status = match answer {
        Ok(response) => response.status(),
        Err(problem) => problem.status(),
    };
    Span::current().record("status", status.as_u16());
    if let Err(problem) = answer {
        let (peer, account, status) = (peer.address, &account.address, status.as_u16());
        tracing::info!(%peer, %account, status, detail = problem.detail(), "refused a request");
    }
}
