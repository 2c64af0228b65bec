//! Applications hand messages in by HTTP, and may repeat a request under its key until it is answered.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::maildir::{field, fields};
use tests::wait::eventually;
use tests::{Apart, Client, Collector, Together};
use tokio::time::timeout;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const MESSAGES: usize = 40;
const LIMIT: Duration = Duration::from_secs(90);
/// How long a client waits before it repeats its request.
const PAUSE: Duration = Duration::from_millis(50);

/// A request by alice, as it goes over the wire.
fn request(head: &str, more: &str, content: &str) -> String {
    let login = STANDARD.encode(format!("{ALICE}:secret"));
    let length = content.len();
    format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n\
         Connection: close\r\n{more}Content-Length: {length}\r\n\r\n{content}"
    )
}

fn submission(subject: &str, more: &str) -> String {
    let message = json!({"from": ALICE, "to": [BOB], "subject": subject, "text": "It works."});
    request("POST /v1/messages", more, &message.to_string())
}

/// Status and content of an answer.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let answer = str::from_utf8(answer).ok()?;
    let (head, content) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(content).ok()?))
}

/// One try, over TLS, at an msa that may be away.
async fn attempt(address: SocketAddr, request: &str) -> Option<(u16, Value)> {
    let mut client = Client::try_connect(address).await.ok()?.try_into_tls().await.ok()?;
    client.send(request).await.ok()?;
    read(&client.rest().await)
}

/// Repeats a request until it is answered, as the rules of the key allow; the id.
async fn until_taken(address: SocketAddr, key: usize) -> String {
    let request = submission(&format!("message {key}"), &format!("Idempotency-Key: key-{key}\r\n"));
    let repeating = async {
        loop {
            match attempt(address, &request).await {
                Some((202, answer)) => return answer["id"].as_str().unwrap().to_owned(),
                None | Some((503, _)) => tokio::time::sleep(PAUSE).await,
                Some((status, answer)) => panic!("{status} {answer}"),
            }
        }
    };
    timeout(LIMIT, repeating).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_one_key_once_whatever_is_killed() {
    let mut apart = Apart::setup().mtas(2).account(ALICE, "secret").account(BOB, "geheim").start().await;
    let address = apart.msa.address("http");
    // Two clients for each key race.
    let clients: Vec<_> = (0..2 * MESSAGES)
        .map(|number| tokio::spawn(async move { until_taken(address, number / 2).await }))
        .collect();
    for round in 0..3 {
        let done = || clients.iter().filter(|client| client.is_finished()).count();
        eventually("some are answered", async || (done() > round * MESSAGES / 3).then_some(())).await;
        apart.msa.kill();
        apart.mtas[round % 2].kill();
        apart.mtas[round % 2].start().await;
        apart.msa.start().await;
    }
    let mut ids = Vec::new();
    for client in clients {
        ids.push(client.await.unwrap());
    }
    for (key, pair) in ids.chunks(2).enumerate() {
        assert_eq!(pair[0], pair[1], "key {key}");
        assert_eq!(until_taken(address, key).await, pair[0], "key {key} once more");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), MESSAGES);
    apart.maildir(BOB).holds(MESSAGES).await;
    eventually("the queue is empty", async || {
        (apart.postgres.query(&apart.queue, "select count(*) from delivery").trim() == "0").then_some(())
    })
    .await;
    let subjects: Vec<_> =
        apart.maildir(BOB).messages().iter().flat_map(|message| fields(message, "Subject")).collect();
    assert_eq!(subjects.len(), MESSAGES);
    assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), MESSAGES, "{subjects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_sandbox_and_in_the_applications_own_trace() {
    let collector = Collector::start().await;
    let together = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .collector(&collector)
        .start()
        .await;
    let ask = async |request: String| {
        let mut client = Client::connect(together.http()).await;
        client.send(&request).await.unwrap();
        read(&client.rest().await).unwrap()
    };
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let (status, answer) = ask(submission("hello", &parent)).await;
    assert_eq!(status, 202, "{answer}");
    let message = together.maildir(BOB).holds(1).await.remove(0);
    assert_eq!(field(&message, "Subject").as_deref(), Some("hello"));
    assert!(field(&message, "Received").unwrap().contains("with HTTP id "));
    collector.trace(TRACE, &["http.request", "relay.enqueue", "delivery.attempt", "mailbox.deliver"]).await;

    let id = answer["recipients"][0]["id"].as_str().unwrap().to_owned();
    eventually("the account is told of the delivery", async || {
        let (status, told) = ask(request(&format!("GET /v1/messages/{id}"), "", "")).await;
        (status == 200 && told["recipients"][0]["status"] == "delivered").then_some(())
    })
    .await;
    assert!(together.postrider(&["queue", "show", &id]).await.contains(BOB));
    let shown = ask(request("GET /v1/messages/000g2p4c8n5rj000", "", "")).await;
    assert_eq!(shown.0, 404);
}
