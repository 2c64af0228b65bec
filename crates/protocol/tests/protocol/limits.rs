//! What is too much.

use std::sync::Arc;

use mail::Content;
use protocol::client::RelayClient;
use protocol::server::Settings;
use protocol::{ErrorKind, Relay};
use tokio::sync::Notify;

use crate::support::agents::{Mta, Queue, Script};
use crate::support::{peers, serve_with, soon, submission};

#[tokio::test]
async fn content_over_the_limit_is_rejected() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let settings = Settings { content_limit_bytes: 100_000, ..Settings::default() };
    let server = serve_with(settings, None, |builder| builder.relay(mta)).await;
    let relay = RelayClient::new(peers(&[server.address]));
    soon(relay.enqueue(submission(vec![b'x'; 100_000]))).await.unwrap();
    let error = soon(relay.enqueue(submission(vec![b'x'; 100_001]))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert_eq!(queue.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_message_waits_for_memory_but_not_for_ever() {
    let queue = Arc::new(Queue::default());
    let reached = Arc::new(Notify::new());
    let mta = Mta::new(&queue, Script::TakeAndHang(Arc::clone(&reached)));
    let settings = Settings { message_memory_bytes: 1024 * 1024, memory_wait_ms: 200, ..Settings::default() };
    let server = serve_with(settings, None, |builder| builder.relay(mta)).await;
    let peers = peers(&[server.address]);
    let relay = RelayClient::new(peers.clone());
    let first = tokio::spawn(async move { relay.enqueue(submission(vec![b'x'; 1024 * 1024])).await });
    soon(reached.notified()).await;
    let relay = RelayClient::new(peers);
    let error = soon(relay.enqueue(submission("x"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    let larger = Content::from(vec![b'x'; 1024 * 1024 + 1]);
    assert_eq!(soon(relay.enqueue(submission(larger))).await.unwrap_err().kind, ErrorKind::Overloaded);
    first.abort();
}

#[tokio::test]
async fn many_large_messages_at_a_time_get_through_little_memory() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let settings = Settings { message_memory_bytes: 3 * 1024 * 1024, ..Settings::default() };
    let server = serve_with(settings, None, |builder| builder.relay(mta)).await;
    let relay = RelayClient::new(peers(&[server.address]));
    let content = Content::from(vec![b'x'; 2 * 1024 * 1024]);
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let (relay, content) = (relay.clone(), content.clone());
            tokio::spawn(async move { relay.enqueue(submission(content)).await })
        })
        .collect();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert_eq!(queue.taken.lock().unwrap().len(), 24);
}

#[tokio::test]
async fn an_envelope_of_thousands_is_taken() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let server = serve_with(Settings::default(), None, |builder| builder.relay(mta)).await;
    let mut submission = submission("x");
    submission.envelope.recipients =
        (0..10_000).map(|n| crate::support::recipient(&format!("<user{n}@example.test>"))).collect();
    soon(RelayClient::new(peers(&[server.address])).enqueue(submission)).await.unwrap();
    assert_eq!(queue.only().1.envelope.recipients.len(), 10_000);
}
