//! One trace follows a message from the client's transaction over every attempt to the last delivery or the notice of a
//! failure, across processes and the queue; metrics have the names that are documented; and mail needs no collector.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tests::collector::Span;
use tests::peer::{Act, Script};
use tests::wait::{soon, within};
use tests::{Apart, Client, Collector, Peer, Together, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ALICE: &str = "alice@example.test";
const CAROL: &str = "carol@remote.test";
const CONTENT: &[u8] = b"From: <alice@example.test>\r\nSubject: traced\r\n\r\nhello\r\n";

async fn apart(peer: &Peer, collector: Option<&Collector>) -> Apart {
    let route = format!("mta.routes.\"remote.test\"=\"{}\"", peer.address);
    let retry = "mta.retry.delays=[\"200ms\"]";
    let quota = "directory.quota.messages_per_hour=100";
    let setup =
        Apart::setup().account(ALICE, "secret").set("mta", &route).set("mta", retry).set("mda", quota);
    match collector {
        Some(collector) => setup.collector(collector).start().await,
        None => setup.start().await,
    }
}

/// Returns the queue id.
async fn submit(address: SocketAddr, recipients: &[&str]) -> String {
    let mut client = Client::logged_in(address, ALICE, "secret").await;
    let reply = client.transact(ALICE, recipients, CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    reply.text().split_whitespace().last().unwrap().to_owned()
}

/// Waits until the trace that the message's transaction began satisfies the condition; its spans.
async fn trace(collector: &Collector, id: &str, what: &str, is_whole: impl Fn(&[Span]) -> bool) -> Vec<Span> {
    let root = collector.span("the client's transaction", |span| {
        span.name == "smtp.transaction" && value(span, "queue_id") == id
    });
    let root = root.await;
    assert_eq!(root.parent_id, "", "{root:?}");
    eventually(what, async || {
        let mut spans = collector.spans();
        spans.retain(|span| span.trace_id == root.trace_id);
        is_whole(&spans).then_some(spans)
    })
    .await
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// With all that led there: a span comes in when it ends, so those around it come later.
fn is_delivered(collector: &Collector, spans: &[Span]) -> bool {
    let delivered = named(spans, "mailbox.deliver").into_iter().next();
    let root = delivered.and_then(|span| collector.ancestry(span).pop());
    root.as_deref() == Some("smtp.transaction")
}

fn value<'a>(span: &'a Span, attribute: &str) -> &'a str {
    span.attributes.get(attribute).map_or("", String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_client_over_each_attempt_to_the_next_server() {
    let peer = Peer::start(Script::default().next("RCPT", [Act::say("450 4.2.1 busy")])).await;
    let collector = Collector::start().await;
    let apart = apart(&peer, Some(&collector)).await;
    let id = submit(apart.submission(), &[CAROL]).await;
    peer.accepts(1).await;
    let spans =
        trace(&collector, &id, "two attempts", |spans| named(spans, "delivery.attempt").len() == 2).await;

    let root = named(&spans, "smtp.transaction")[0];
    assert_eq!((root.service.as_str(), root.kind.as_str(), value(root, "code")), ("msa", "server", "250"));
    let enqueue = named(&spans, "relay.enqueue")[0];
    assert_eq!((enqueue.service.as_str(), &enqueue.parent_id), ("mta", &root.span_id));
    let commit = named(&spans, "queue.commit")[0];
    assert_eq!((commit.service.as_str(), &commit.parent_id), ("mta", &enqueue.span_id));
    let mut attempts = named(&spans, "delivery.attempt");
    attempts.sort_by_key(|attempt| value(attempt, "attempt"));
    for (attempt, number, outcome) in [(attempts[0], "1", "delayed"), (attempts[1], "2", "relayed")] {
        assert_eq!((value(attempt, "attempt"), value(attempt, "outcome")), (number, outcome));
        // The second one follows what the queue kept of the trace.
        assert_eq!((&attempt.parent_id, attempt.kind.as_str()), (&enqueue.span_id, "client"));
        assert!(value(attempt, "remote").contains(&format!("[{}]", peer.address.ip())), "{attempt:?}");
    }
    for span in [root, enqueue, commit, attempts[0], attempts[1]] {
        assert_eq!(value(span, "queue_id"), id, "{span:?}");
    }

    let shown = apart.postrider(&["queue", "show", &id, "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["trace_id"], root.trace_id.as_str());
    for sentence in ["message accepted", "delivery delayed", "message relayed"] {
        eventually(sentence, async || {
            let records = collector.records();
            records.iter().any(|r| r.body == sentence && r.trace_id == root.trace_id).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn and_the_notice_of_a_failure_back_to_the_sender() {
    let peer = Peer::start(Script::default().always("RCPT", Act::say("550 5.1.1 no such user"))).await;
    let collector = Collector::start().await;
    let apart = apart(&peer, Some(&collector)).await;
    let id = submit(apart.submission(), &[CAROL]).await;
    apart.maildir(ALICE).holds(1).await;
    let spans =
        trace(&collector, &id, "the delivery of the notice", |spans| is_delivered(&collector, spans)).await;
    let delivered = named(&spans, "mailbox.deliver")[0];
    assert_eq!((delivered.service.as_str(), value(delivered, "outcome")), ("mda", "delivered"));
    assert_ne!(value(delivered, "queue_id"), id, "the notice is a message of its own");
    let ancestry = collector.ancestry(delivered);
    let expected = [
        "mailbox.deliver",
        "delivery.deliver",
        "delivery.attempt",
        "delivery.attempt",
        "relay.enqueue",
        "smtp.transaction",
    ];
    assert_eq!(ancestry, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn also_where_no_attempt_was_made_at_the_end() {
    let collector = Collector::start().await;
    let gone = Peer::start(Script::default()).await;
    let route = format!("mta.routes.\"remote.test\"=\"{}\"", gone.address);
    drop(gone);
    // The first attempt suspends the destination for longer than the message is tried.
    let together = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set(&route)
        .set("mta.retry.delays=[\"1h\"]")
        .set("mta.retry.expire=\"1s\"")
        .set("mta.outbound.failures_before_suspension=1")
        .collector(&collector)
        .start()
        .await;
    let id = submit(together.submission(), &[CAROL]).await;
    together.maildir(ALICE).holds(1).await;
    let spans =
        trace(&collector, &id, "the delivery of the notice", |spans| is_delivered(&collector, spans)).await;
    let ancestry = collector.ancestry(named(&spans, "mailbox.deliver")[0]);
    let expected =
        ["mailbox.deliver", "delivery.attempt", "delivery.expire", "relay.enqueue", "smtp.transaction"];
    assert_eq!(ancestry, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_their_documented_names() {
    let peer = Peer::start(Script::default()).await;
    let apart = apart(&peer, None).await;
    submit(apart.submission(), &[ALICE, CAROL]).await;
    apart.maildir(ALICE).holds(1).await;
    peer.accepts(1).await;
    let request = format!("https://{}/v1/messages/0", apart.msa.address("http"));
    assert!(Command::new("curl").args(["--silent", "--insecure", &request]).status().unwrap().success());
    let agents = [
        (apart.msa.address("health"), &["msa_"][..]),
        (apart.mtas[0].address("health"), &["mta_", "queue_"]),
        (apart.mda.address("health"), &["mailbox_", "directory_"]),
    ];
    for (address, prefixes) in agents {
        let expected: BTreeSet<String> = documented()
            .into_iter()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        assert!(expected.len() >= 3, "{expected:?}");
        // An outcome is counted after the mail is where it goes.
        within(Duration::from_secs(20), &format!("{expected:?} on {address}"), async || {
            let served = metrics(address).await;
            (served == expected).then_some(()).or_else(|| {
                assert!(served.is_subset(&expected), "{served:?} has more than {expected:?}");
                None
            })
        })
        .await;
    }
}

/// The second column of the table in docs/telemetry.md.
fn documented() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/telemetry.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once("\n## Metrics\n").unwrap();
    let rows =
        section.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(3).unwrap().to_owned()).collect()
}

/// The names that `/metrics` serves, but those of the exporter itself.
async fn metrics(address: SocketAddr) -> BTreeSet<String> {
    let answer = soon("an answer", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    let answer = answer.await;
    let types = answer.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.map(|line| line.split(' ').next().unwrap().to_owned());
    names.filter(|name| name != "target_info" && name != "otel_scope_info").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_silent_or_away_costs_no_mail() {
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for address in [silent.local_addr().unwrap(), away] {
        let mut together = Together::setup()
            .domain("example.test")
            .account(ALICE, "secret")
            .set(&format!("telemetry.endpoint=\"http://{address}\""))
            .start()
            .await;
        let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
        for _ in 0..100 {
            assert_eq!(client.transact(ALICE, &[ALICE], CONTENT).await.code, 250);
        }
        together.maildir(ALICE).holds(100).await;
        drop(client);
        let stopped = tokio::time::Instant::now();
        assert!(together.agent.stop().await.success());
        assert!(stopped.elapsed() < Duration::from_secs(20), "it stopped after {:?}", stopped.elapsed());
    }
}
