//! Connections that break while a message is handed over: the answer is certain all the same.

use std::sync::Arc;
use std::time::Duration;

use protocol::client::{Peers, RelayClient};
use protocol::{ErrorKind, Relay};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::agents::{Mta, Queue, Script, large};
use crate::support::proxy::Proxy;
use crate::support::{key, serve, settings, soon, submission};

/// Hands a message to an mta that does as the script says and is then cut off, with `others` to ask.
async fn cut_off(
    queue: &Arc<Queue>,
    script: impl FnOnce(Arc<Notify>) -> Script,
    others: bool,
    with_key: bool,
) -> Result<protocol::Submitted, protocol::Error> {
    let reached = Arc::new(Notify::new());
    let dying = Mta::new(queue, script(Arc::clone(&reached)));
    let dying = serve(|builder| builder.relay(dying)).await;
    let proxy = Proxy::start(dying.address).await;
    let other = Mta::new(queue, Script::Take);
    let other = serve(|builder| builder.relay(other)).await;
    // The first call goes to the first of them.
    let mut addresses = vec![proxy.address];
    let mut client = settings(&addresses);
    client.settle_deadline_ms = 600;
    if others {
        addresses.push(other.address);
        client = settings(&addresses);
    }
    let relay = RelayClient::new(Peers::new(client, None).unwrap());
    let mut submission = submission(large());
    submission.key = with_key.then(|| key(1));
    let handing_over = tokio::spawn(async move { relay.enqueue(submission).await });
    if timeout(Duration::from_secs(10), reached.notified()).await.is_ok() {
        proxy.cut();
    }
    soon(handing_over).await.unwrap()
}

#[tokio::test]
async fn what_was_taken_is_found_out_from_another_mta() {
    let queue = Arc::new(Queue::default());
    let submitted = cut_off(&queue, Script::TakeAndHang, true, false).await.unwrap();
    assert_eq!(queue.only().0, submitted.id);
    assert!(queue.void.lock().unwrap().is_empty());
}

#[tokio::test]
async fn under_a_key_the_whole_lost_answer_is_found_out() {
    let queue = Arc::new(Queue::default());
    let submitted = cut_off(&queue, Script::TakeAndHang, true, true).await.unwrap();
    assert_eq!((queue.only().0, submitted.numbers, submitted.repeated), (submitted.id, vec![0], None));
    let submitted = cut_off(&Arc::default(), Script::Hang, true, true).await.unwrap();
    assert_eq!((submitted.numbers, submitted.repeated), (vec![0], None));
}

#[tokio::test]
async fn what_was_not_taken_is_voided_and_offered_again() {
    let queue = Arc::new(Queue::default());
    let submitted = cut_off(&queue, Script::Hang, true, false).await.unwrap();
    assert_eq!(queue.only().0, submitted.id);
    assert_eq!(queue.void.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_mta_that_is_silent_for_too_long_is_in_doubt_too() {
    let queue = Arc::new(Queue::default());
    let silent = Mta::new(&queue, Script::TakeAndHang(Arc::default()));
    let silent = serve(|builder| builder.relay(silent)).await;
    for _ in 0..10 {
        let mut client = settings(&[silent.address]);
        client.transfer_deadline_ms = 200;
        let relay = RelayClient::new(Peers::new(client, None).unwrap());
        let submitted = soon(relay.enqueue(submission("x"))).await.unwrap();
        assert!(queue.taken.lock().unwrap().iter().any(|(id, _)| *id == submitted.id));
    }
    assert_eq!(queue.taken.lock().unwrap().len(), 10, "none was offered again");
}

#[tokio::test]
async fn doubt_remains_only_where_nobody_can_be_asked() {
    let queue = Arc::new(Queue::default());
    let error = cut_off(&queue, Script::TakeAndHang, false, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
}

#[tokio::test]
async fn what_the_mta_says_is_believed() {
    for (kind, heard) in [
        (ErrorKind::Rejected, ErrorKind::Rejected),
        (ErrorKind::Overloaded, ErrorKind::Overloaded),
        (ErrorKind::Unavailable, ErrorKind::Unavailable),
        // It could not tell, so that it was asked, and nothing had been taken.
        (ErrorKind::Unknown, ErrorKind::Unavailable),
        (ErrorKind::Internal, ErrorKind::Unavailable),
    ] {
        let queue = Arc::new(Queue::default());
        let mta = Mta::new(&queue, Script::Fail(kind));
        let server = serve(|builder| builder.relay(mta)).await;
        let relay = RelayClient::new(crate::support::peers(&[server.address]));
        let error = soon(relay.enqueue(submission("x"))).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (heard, "as the script says"));
        assert!(queue.is_empty());
    }
}

#[tokio::test]
async fn a_stop_lets_a_call_in_flight_finish() {
    let queue = Arc::new(Queue::default());
    let reached = Arc::new(Notify::new());
    let mta = Mta::new(&queue, Script::TakeAndHang(Arc::clone(&reached)));
    let short = protocol::server::Settings { drain_ms: 300, ..protocol::server::Settings::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let builder = protocol::server::Builder::new(short, None).relay(mta).unwrap();
    let serving = tokio::spawn(builder.serve(listener, stop.clone()));
    let relay = RelayClient::new(crate::support::peers(&[address]));
    let call = tokio::spawn(async move { relay.enqueue(submission("x")).await });
    soon(reached.notified()).await;
    stop.cancel();
    // It hangs for ever, so that the limit ends the wait, not the call.
    let started = tokio::time::Instant::now();
    soon(serving).await.unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    call.abort();
}
