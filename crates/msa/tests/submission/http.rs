//! HTTP submission over real sockets.

use std::time::Duration;

use mail::{Hold, ReversePath};
use protocol::ErrorKind;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Fixture, PASSWORD};

const ALICE: &str = "alice@example.test";

/// Asks an msa on its HTTP port.
pub(crate) struct Asking {
    client: Client,
    base: String,
}

impl Asking {
    pub(crate) fn of(fixture: &Fixture) -> Self {
        Self { client: Client::new(), base: format!("http://{}", fixture.address("http")) }
    }

    pub(crate) fn post(
        &self,
        content_type: &str,
        query: &str,
        content: impl Into<Vec<u8>>,
    ) -> RequestBuilder {
        self.client
            .post(format!("{}/v1/messages{query}", self.base))
            .basic_auth(ALICE, Some(PASSWORD))
            .header(CONTENT_TYPE, content_type)
            .body(content.into())
    }

    fn json(&self, message: &Value) -> RequestBuilder {
        self.post("application/json", "", message.to_string())
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).basic_auth(ALICE, Some(PASSWORD))
    }
}

/// Status and content of an answer.
pub(crate) async fn heard(request: RequestBuilder) -> (u16, Value) {
    read(request.send().await.unwrap()).await
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    assert_eq!(kind, if status < 300 { "application/json" } else { "application/problem+json" });
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

fn hello() -> Value {
    json!({"from": ALICE, "to": ["bob@elsewhere.test"], "subject": "Hello", "text": "It works."})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_described_message_goes_to_the_mta_as_one_from_smtp_would() {
    let fixture = Fixture::start().await;
    let message = json!({
        "from": "Alice <alice@example.test>", "to": ["bob@elsewhere.test"], "bcc": ["carol@elsewhere.test"],
        "text": "It works.", "hold_for": 60, "notify": ["success"], "envid": "7",
    });
    let response = Asking::of(&fixture).json(&message).send().await.unwrap();
    let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
    let (status, answer) = read(response).await;
    let (submitted, id) = fixture.relay.taken().pop().unwrap();
    assert_eq!((status, &answer["id"]), (202, &json!(id.to_string())));
    assert_eq!(location, format!("/v1/messages/{id}"));
    assert_eq!(answer["recipients"][1]["id"], json!(format!("{id}-1")));
    let envelope = submitted.envelope;
    assert_eq!(envelope.reverse_path, "<alice@example.test>".parse::<ReversePath>().unwrap());
    assert_eq!((envelope.hold, envelope.envid.as_deref()), (Some(Hold::For(60)), Some("7")));
    assert_eq!(envelope.origin.account.unwrap().to_string(), ALICE);
    assert_eq!((envelope.origin.protocol.as_str(), submitted.tls), ("HTTP", None));
    let recipients: Vec<_> = envelope.recipients.iter().map(|r| r.forward_path.to_string()).collect();
    assert_eq!(recipients, ["<bob@elsewhere.test>", "<carol@elsewhere.test>"]);
    assert!(envelope.recipients.iter().all(|r| r.notify.parameter().as_deref() == Some("SUCCESS")));
    let content = String::from_utf8(submitted.content.to_bytes().to_vec()).unwrap();
    assert!(content.contains("Date: Mon, 23 Nov 2026 17:44:00 +0000\r\n"), "{content}");
    assert!(content.contains("@msa.example.test>\r\n") && !content.contains("carol"), "{content}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_message_goes_as_it_is() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    let message =
        "From: alice@example.test\nTo: bob@elsewhere.test\nBcc: carol@elsewhere.test\n\n\u{fc}\n.\n";
    assert_eq!(heard(asking.post("message/rfc822", "", message)).await.0, 202);
    let query = "?to=dave%40elsewhere.test&from=sales%40example.test&priority=-1";
    assert_eq!(heard(asking.post("message/rfc822", query, message)).await.0, 202);
    let taken = fixture.relay.taken();
    let recipients = |at: usize| {
        let recipients = &taken[at].0.envelope.recipients;
        recipients.iter().map(|r| r.forward_path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(recipients(0), ["<bob@elsewhere.test>", "<carol@elsewhere.test>"]);
    assert_eq!(recipients(1), ["<dave@elsewhere.test>"]);
    assert_eq!(taken[1].0.envelope.reverse_path.to_string(), "<sales@example.test>");
    assert_eq!(taken[1].0.envelope.priority.get(), -1);
    let content = String::from_utf8(taken[0].0.content.to_bytes().to_vec()).unwrap();
    assert!(content.ends_with("\r\n\r\n\u{fc}\r\n.\r\n") && !content.contains("carol"), "{content}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_account_is_served_and_only_as_itself() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    let nobody = Client::new().post(format!("http://{}/v1/messages", fixture.address("http")));
    let response = nobody.body("{}").send().await.unwrap();
    assert!(response.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm="));
    assert_eq!(read(response).await.0, 401);
    let wrong = || asking.client.get(format!("{}/v1/messages/x", asking.base));
    assert_eq!(heard(wrong().basic_auth(ALICE, Some("wrong"))).await.0, 401);
    assert_eq!(heard(wrong().bearer_auth("a.b.c")).await.0, 401);
    let foreign = json!({"from": "mallory@elsewhere.test", "to": ["bob@elsewhere.test"]});
    assert_eq!(heard(asking.json(&foreign)).await.0, 403);
    let author = "From: mallory@elsewhere.test\nTo: bob@elsewhere.test\n\nHi\n";
    let (status, problem) = heard(asking.post("message/rfc822", "?from=alice%40example.test", author)).await;
    assert_eq!((status, &problem["enhanced"]), (403, &json!("5.7.1")), "{problem}");
    fixture.directory.fail(true);
    let response = asking.json(&hello()).send().await.unwrap();
    assert_eq!(response.headers()[RETRY_AFTER], "10");
    assert_eq!(read(response).await.0, 503);
    assert_eq!(fixture.relay.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    let text = "Subject: x\n\nHi\n";
    for (request, status, words) in [
        (asking.post("application/json", "", "{"), 400, "describes no message"),
        (asking.post("application/json", "", "{\"from\": 1}"), 400, "describes no message"),
        (asking.post("application/json", "?to=a@b.test", hello().to_string()), 400, "Parameters"),
        (asking.post("text/plain", "", text), 415, "Content-Type"),
        (asking.post("message/rfc822", "?size=1", text), 400, "no parameter size"),
        (asking.post("message/rfc822", "", text), 422, "names no sender"),
        (asking.json(&json!({"from": ALICE, "to": []})), 422, "for nobody"),
        (asking.json(&json!({"from": ALICE, "to": ["bob"]})), 422, "to holds what is no address"),
        (asking.json(&json!({"from": ALICE, "to": ["b@b.test"], "deliver_by": 1})), 422, "60 seconds"),
        (asking.json(&hello()).header("Idempotency-Key", "a b"), 400, "Idempotency-Key"),
        (
            asking.json(&json!({"from": ALICE, "to": ["b@b.test"], "text": "x".repeat(1024 * 1024)})),
            413,
            "large",
        ),
        (asking.get("/v1/messages"), 405, "method"),
        (asking.get("/"), 404, "nothing here"),
        (asking.get("/v1/messages/000g2p4c8n5rj000"), 404, "no message"),
        (asking.get("/v1/messages/x"), 404, "no message"),
    ] {
        let (heard, problem) = heard(request).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(heard, status, "{problem}");
        assert!(detail.contains(words), "{detail} has no {words:?}");
    }
    assert_eq!(fixture.relay.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_a_message_cannot_be_queued_the_client_is_told_when_to_try_again() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    for (kind, status, again) in [
        (ErrorKind::Unavailable, 503, true),
        (ErrorKind::Unknown, 503, true),
        (ErrorKind::Overloaded, 503, true),
        (ErrorKind::Rejected, 422, false),
    ] {
        fixture.relay.fail(Some(kind));
        let response = asking.json(&hello()).send().await.unwrap();
        assert_eq!(response.headers().contains_key(RETRY_AFTER), again, "{kind:?}");
        assert_eq!(read(response).await.0, status, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_one_key_one_message_is_sent() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    let message = json!({"from": ALICE, "to": ["bob@elsewhere.test", "nobody@example.test"], "text": "Hi"});
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        requests.spawn(heard(asking.json(&message).header("Idempotency-Key", "\"one\"")));
    }
    let answers = requests.join_all().await;
    assert_eq!(fixture.relay.taken().len(), 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!((answers[0].0, &answers[0].1["recipients"][1]["status"]), (202, &json!("refused")));
    // Without quotes it is the same key; another request under it is a mistake; another key is another message.
    let again = asking.json(&message).header("Idempotency-Key", "one");
    assert_eq!(heard(again).await, answers[0]);
    let (status, problem) = heard(asking.json(&hello()).header("Idempotency-Key", "one")).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(heard(asking.json(&message).header("Idempotency-Key", "two")).await.0, 202);
    assert_eq!(fixture.relay.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_message_is_told_to_its_account() {
    let fixture = Fixture::start().await;
    let asking = Asking::of(&fixture);
    let message = json!({"from": ALICE, "to": ["bob@elsewhere.test", "carol@elsewhere.test"], "text": "Hi"});
    let (_, accepted) = heard(asking.json(&message)).await;
    let path = format!("/v1/messages/{}", accepted["id"].as_str().unwrap());
    let (status, told) = heard(asking.get(&path)).await;
    assert_eq!((status, told["recipients"].as_array().unwrap().len()), (200, 2));
    let (status, told) = heard(asking.get(&format!("{path}-1"))).await;
    let recipient = &told["recipients"][0];
    assert_eq!((status, &recipient["address"]), (200, &json!("carol@elsewhere.test")));
    assert_eq!((&recipient["status"], &recipient["enhanced"]), (&json!("delayed"), &json!("4.2.0")));
    assert_eq!(recipient["id"], accepted["recipients"][1]["id"]);
    assert_eq!(heard(asking.get(&format!("{path}-2"))).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_limits() {
    let fixture = Fixture::start_with(|settings| {
        settings.http.insecure = true;
        settings.http.requests = 1;
        settings.http.requests_per_connection = 2;
        settings.http.body_timeout = service::config::Duration::from_millis(300);
        settings.http.header_timeout = service::config::Duration::from_millis(300);
    })
    .await;
    let asking = Asking::of(&fixture);
    assert!(!ends(&asking).await);
    assert!(ends(&asking).await, "the second request is the last of its connection");

    fixture.relay.hold(true);
    let first = tokio::spawn(heard(asking.json(&hello())));
    fixture.relay.holds_one().await;
    assert_eq!(heard(asking.json(&hello())).await.0, 503);
    fixture.relay.hold(false);
    assert_eq!(first.await.unwrap().0, 202);

    let slow = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\n",
        "YWxpY2VAZXhhbXBsZS50ZXN0OmNvcnJlY3QgaG9yc2U="
    );
    assert_eq!(rest(&fixture, &slow).await, "", "the header never ends");
    let begun = rest(&fixture, &format!("{slow}Content-Length: 10\r\n\r\n{{")).await;
    assert!(begun.starts_with("HTTP/1.1 408 "), "{begun}");
    let large = rest(&fixture, &format!("{slow}Content-Length: 9999999999\r\n\r\n")).await;
    assert!(large.starts_with("HTTP/1.1 413 "), "{large}");
    let endless = "x".repeat(2 * 1024 * 1024);
    let large = rest(&fixture, &format!("{slow}Transfer-Encoding: chunked\r\n\r\n200000\r\n{endless}")).await;
    assert!(large.starts_with("HTTP/1.1 413 ") || large.is_empty(), "{large}");
    assert_eq!(fixture.relay.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_smtp_sessions_hold_here() {
    let fixture = Fixture::start_whole(|config| {
        config.msa.http.insecure = true;
        config.limits.exempt = service::config::Networks::default();
        config.limits.auth_failures_per_address = 2;
        config.limits.auth_failures_per_account = 2;
        config.limits.messages_per_address = 1;
    })
    .await;
    let asking = Asking::of(&fixture);
    assert_eq!(heard(asking.json(&hello())).await.0, 202);
    assert_eq!(heard(asking.json(&hello())).await.0, 429, "the second message within a minute");
    let guess =
        || asking.client.get(format!("{}/v1/messages/x", asking.base)).basic_auth(ALICE, Some("guess"));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(heard(guess()).await.0);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
}

/// Whether the answer says that the connection ends.
async fn ends(asking: &Asking) -> bool {
    let response = asking.get("/v1/messages/x").send().await.unwrap();
    let ends = response.headers().get("connection").is_some_and(|value| value == "close");
    response.bytes().await.unwrap();
    ends
}

/// What is heard until the other side closes.
async fn rest(fixture: &Fixture, sent: &str) -> String {
    let mut stream = TcpStream::connect(fixture.address("http")).await.unwrap();
    // Who is refused early need not read to the end.
    let _ = stream.write_all(sent.as_bytes()).await;
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_message_is_marked_so() {
    let fixture = Fixture::start_with(|_| {}).await;
    let client = Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    let base = format!("https://{}", fixture.address("http"));
    let asking = Asking { client, base };
    assert_eq!(heard(asking.json(&hello())).await.0, 202);
    let (submitted, _) = fixture.relay.taken().pop().unwrap();
    assert_eq!(submitted.envelope.origin.protocol, "HTTPS");
    assert!(submitted.tls.unwrap().starts_with("TLSv1."));
    let clear = rest(&fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!clear.starts_with("HTTP"), "{clear}");
}
