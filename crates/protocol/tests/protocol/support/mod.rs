//! What the tests share: scripted agents, a server on any port, certificates, and a connection that can be cut.

pub(crate) mod agents;
pub(crate) mod certificates;
pub(crate) mod proxy;

use std::net::SocketAddr;
use std::time::Duration;

use mail::{Content, Domain, Envelope, IdempotencyKey, Origin, QueueId, Recipient, ReversePath};
use protocol::client::{self, Peers};
use protocol::server::{self, Builder};
use protocol::tls::Credentials;
use protocol::{SetupError, Submission};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves in plaintext with these settings.
pub(crate) async fn serve_with(
    settings: server::Settings,
    credentials: Option<Credentials>,
    add: impl FnOnce(Builder) -> Result<Builder, SetupError>,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let builder = add(Builder::new(settings, credentials)).unwrap();
    tokio::spawn(builder.serve(listener, stop.clone()));
    Server { address, stop }
}

/// As [`serve_with`], with default settings.
pub(crate) async fn serve(add: impl FnOnce(Builder) -> Result<Builder, SetupError>) -> Server {
    serve_with(server::Settings::default(), None, add).await
}

/// Settings for clients of these addresses, with deadlines fit for tests.
pub(crate) fn settings(addresses: &[SocketAddr]) -> client::Settings {
    client::Settings {
        endpoints: addresses.iter().map(|address| format!("http://{address}")).collect(),
        settle_deadline_ms: 5_000,
        ..client::Settings::default()
    }
}

/// All of these as one peer, in plaintext.
pub(crate) fn peers(addresses: &[SocketAddr]) -> Peers {
    Peers::new(settings(addresses), None).unwrap()
}

pub(crate) fn submission(content: impl Into<Content>) -> Submission {
    let origin = Origin {
        address: Some("2001:db8::7".parse().unwrap()),
        helo: "client.example".to_owned(),
        account: Some("alice@example.test".parse().unwrap()),
        protocol: "ESMTPSA".to_owned(),
        tick: Some("order-17".to_owned()),
    };
    let mut envelope = Envelope::new("<alice@example.test>".parse().unwrap(), origin);
    envelope.recipients.push(recipient("<bob@example.test>"));
    Submission {
        envelope,
        content: content.into(),
        tls: Some("TLSv1.3".to_owned()),
        by: Domain::parse("msa.example.test").unwrap(),
        key: None,
    }
}

/// The key of a submission, with this fingerprint.
pub(crate) fn key(fingerprint: u8) -> IdempotencyKey {
    let key = IdempotencyKey::new("alice@example.test".parse().unwrap(), "k-1", [fingerprint; 32]).unwrap();
    IdempotencyKey { note: "a note".into(), ..key }
}

pub(crate) fn recipient(path: &str) -> Recipient {
    path.parse::<mail::ForwardPath>().unwrap().into()
}

pub(crate) fn id(number: u64) -> QueueId {
    QueueId { shard: 0, lane: 7, number }
}

pub(crate) fn null() -> ReversePath {
    ReversePath::Null
}

/// Awaits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("took too long")
}
