//! Several replicas, some of them dead, absent or late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::client::{DirectoryAdminClient, DirectoryClient, Peers, RelayClient};
use protocol::server::{self, Builder};
use protocol::{Directory, DirectoryAdmin, ErrorKind, Relay};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::agents::{Mda, Mta, Queue, Script};
use crate::support::proxy::Proxy;
use crate::support::{peers, serve, settings, soon, submission};

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_dead_replica_costs_no_call() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let server = serve(|builder| builder.relay(mta)).await;
    let relay = RelayClient::new(peers(&[nobody().await, server.address]));
    for _ in 0..20 {
        soon(relay.enqueue(submission("x"))).await.unwrap();
    }
    assert_eq!(queue.taken.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn calls_are_spread_over_all_replicas() {
    let mdas = [Arc::new(Mda::default()), Arc::new(Mda::default())];
    let mut servers = Vec::new();
    for mda in &mdas {
        servers.push(serve(|builder| builder.directory_admin(mda.clone())).await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let admin = DirectoryAdminClient::new(peers(&addresses));
    for _ in 0..10 {
        soon(admin.add_domain(&"a.test".parse().unwrap())).await.unwrap();
    }
    let counts = mdas.map(|mda| mda.told.lock().unwrap().len());
    assert_eq!(counts, [5, 5]);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_with_the_reason() {
    let relay = RelayClient::new(peers(&[nobody().await]));
    let error = soon(relay.enqueue(submission("x"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_unknown_name_is_said_with_the_reason() {
    let mut settings = settings(&[]);
    settings.insecure = true;
    settings.connect_timeout_ms = 300;
    settings.endpoints.push("http://mta.invalid:7025".to_owned());
    let relay = RelayClient::new(Peers::new(settings, None).unwrap());
    let error = soon(relay.enqueue(submission("x"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("mta.invalid"), "{error}");
}

#[tokio::test]
async fn agents_may_start_in_any_order() {
    let address = nobody().await;
    let directory = DirectoryClient::new(peers(&[address]));
    assert_eq!(
        soon(directory.authenticate(&mail::Credentials::password("a", "b"))).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    let listener = TcpListener::bind(address).await.unwrap();
    let stop = CancellationToken::new();
    let builder =
        Builder::new(server::Settings::default(), None).directory(Arc::new(Mda::default())).unwrap();
    tokio::spawn(builder.serve(listener, stop.clone()));
    soon(until_answered(&directory)).await;
    stop.cancel();
}

#[tokio::test]
async fn a_replica_that_was_cut_off_is_found_again_elsewhere() {
    let server = serve(|builder| builder.directory(Arc::new(Mda::default()))).await;
    let proxies = [Proxy::start(server.address).await, Proxy::start(server.address).await];
    let directory = DirectoryClient::new(peers(&proxies.each_ref().map(|proxy| proxy.address)));
    for _ in 0..4 {
        soon(directory.authenticate(&mail::Credentials::password("a", "b"))).await.unwrap();
    }
    proxies[0].cut();
    for _ in 0..10 {
        soon(directory.authenticate(&mail::Credentials::password("a", "b"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_that_comes_back_is_used_again() {
    let steady = serve(|builder| builder.directory_admin(Arc::new(Mda::default()))).await;
    let late = nobody().await;
    let admin = DirectoryAdminClient::new(peers(&[late, steady.address]));
    let domain = "a.test".parse().unwrap();
    soon(admin.add_domain(&domain)).await.unwrap();
    let back = Arc::new(Mda::default());
    let builder = Builder::new(server::Settings::default(), None).directory_admin(back.clone()).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(builder.serve(TcpListener::bind(late).await.unwrap(), stop.clone()));
    soon(async {
        while back.told.lock().unwrap().is_empty() {
            admin.add_domain(&domain).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stop.cancel();
}

#[tokio::test]
async fn a_name_is_tried_at_each_of_its_addresses() {
    let server = serve(|builder| builder.directory(Arc::new(Mda::default()))).await;
    let mut settings = settings(&[]);
    // Where localhost is ::1 too, nobody listens there.
    settings.endpoints.push(format!("http://localhost:{}", server.address.port()));
    let directory = DirectoryClient::new(Peers::new(settings, None).unwrap());
    soon(directory.authenticate(&mail::Credentials::password("a", "b"))).await.unwrap();
}

async fn until_answered(directory: &DirectoryClient) {
    while directory.authenticate(&mail::Credentials::password("a", "b")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
