//! Who is let in.

use std::sync::Arc;

use protocol::client::{DirectoryClient, Peers, RelayClient};
use protocol::server::{self, Builder};
use protocol::tls::{Credentials, Files};
use protocol::{Authentication, Directory, ErrorKind, Relay, SetupError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::agents::{Mda, Mta, Queue, Script};
use crate::support::certificates::Authority;
use crate::support::{Server, serve_with, settings, soon, submission};

async fn secure(authority: &Authority) -> (Server, Arc<Queue>) {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let credentials = Some(authority.credentials("mta"));
    let add = |builder: Builder| builder.relay(mta)?.directory(Arc::new(Mda::default()));
    (serve_with(server::Settings::default(), credentials, add).await, queue)
}

fn peers(server: &Server, scheme: &str, credentials: Option<&Credentials>) -> Peers {
    let mut settings = settings(&[]);
    settings.endpoints.push(format!("{scheme}://{}", server.address));
    Peers::new(settings, credentials).unwrap()
}

#[tokio::test]
async fn a_name_is_admitted_to_its_services_only() {
    let authority = Authority::new();
    let (server, queue) = secure(&authority).await;
    // An mta may look up recipients, but hand in mail it may not.
    let mta = peers(&server, "https", Some(&authority.credentials("mta")));
    let answer =
        soon(DirectoryClient::new(mta.clone()).authenticate(&mail::Credentials::password("x", "y"))).await;
    assert_eq!(answer, Ok(Authentication::Refused));
    let error = soon(RelayClient::new(mta).enqueue(submission("x"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("certificate"), "{error}");
    assert!(queue.is_empty());
}

#[tokio::test]
async fn strangers_are_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (server, queue) = secure(&ours).await;
    let stranger = theirs.credentials_trusting("msa", &ours);
    let suspicious = ours.credentials_trusting("msa", &theirs);
    for (what, peers) in [
        ("a client of another authority", peers(&server, "https", Some(&stranger))),
        ("a client that does not trust the server", peers(&server, "https", Some(&suspicious))),
        ("a client without TLS", peers(&server, "http", None)),
    ] {
        let error = soon(RelayClient::new(peers).enqueue(submission("x"))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{what}: {error}");
    }
    assert!(queue.is_empty());
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let authority = Authority::new();
    let (server, _queue) = secure(&authority).await;
    let mut settings = settings(&[]);
    // The certificate is for localhost and 127.0.0.1, not for this name of the same machine.
    settings.endpoints.push(format!("https://127.0.0.2:{}", server.address.port()));
    let peers = Peers::new(settings, Some(&authority.credentials("msa"))).unwrap();
    let error = soon(RelayClient::new(peers).enqueue(submission("x"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn plaintext_stays_on_loopback_unless_somebody_insists() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let stop = CancellationToken::new();
    let builder = Builder::new(server::Settings::default(), None);
    let error = builder.serve(listener, stop.clone()).await.unwrap_err();
    assert!(matches!(error, SetupError::Plaintext { .. }));
    assert!(error.to_string().contains("insecure = true"), "{error}");
    stop.cancel();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let insecure = server::Settings { insecure: true, ..server::Settings::default() };
    soon(Builder::new(insecure, None).serve(listener, stop)).await.unwrap();
}

#[test]
fn files_are_given_all_or_none() {
    assert!(Files::default().load().unwrap().is_none());
    let some = Files { key_file: Some("/nowhere/key.pem".into()), ..Files::default() };
    let error = some.load().unwrap_err().to_string();
    assert!(error.contains("certificate_file"), "{error}");
    let missing = Files {
        certificate_file: Some("/nowhere/certificate.pem".into()),
        key_file: Some("/nowhere/key.pem".into()),
        authority_file: Some("/nowhere/authority.pem".into()),
    };
    let error = missing.load().unwrap_err().to_string();
    assert!(error.contains("/nowhere/certificate.pem"), "{error}");
}

#[tokio::test]
async fn bad_certificates_stop_the_start() {
    let mut settings = settings(&[]);
    settings.endpoints.push("https://mta:7025".to_owned());
    let bad = Credentials::from_pem("nonsense", "nonsense", "nonsense");
    let error = Peers::new(settings.clone(), Some(&bad)).unwrap_err();
    assert!(matches!(error, SetupError::Credentials { .. }), "{error}");
    let error = Peers::new(settings, None).unwrap_err();
    assert!(matches!(error, SetupError::NoCredentials { .. }), "{error}");
}
