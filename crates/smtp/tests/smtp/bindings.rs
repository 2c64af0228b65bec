//! Logins that depend on TLS, over real handshakes: SCRAM bound to the session, and clients' certificates. The client is
//! rustls itself, so that a version can be chosen.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use smtp::TlsInfo;
use smtp::sasl::{Mechanism, choose};
use smtp::server::{Settings, TlsMode};
use smtp::tls::ServerTls;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::loopback::Server;

const DEADLINE: Duration = Duration::from_secs(20);

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// An authority, a server whose certificate it has signed, and clients.
struct World {
    tls: Arc<ServerTls>,
    certificate: CertificateDer<'static>,
    roots: RootCertStore,
    authority: Issuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        let (authority, root) = authority();
        let folder = tempfile::tempdir().unwrap();
        let [chain, key, roots] = ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.path().join(name));
        let pair = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&pair, &authority).unwrap();
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        std::fs::write(&roots, root.pem()).unwrap();
        let tls = Arc::new(ServerTls::asking_clients(&chain, &key, Some(&roots)).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        Self { tls, certificate: certificate.der().clone(), roots, authority }
    }

    fn serve(&self) -> Server {
        let settings = Settings { mechanisms: Mechanism::ALL.into(), ..Settings::default() };
        Server::start(settings, TlsMode::Implicit(Arc::clone(&self.tls)))
    }

    async fn client(
        &self,
        server: &Server,
        version: &'static SupportedProtocolVersion,
        identity: Option<Identity>,
    ) -> Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let config = match identity {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, server.raw().await).await.unwrap();
        let mut client = Client(BufStream::new(stream));
        assert!(client.reply().await.starts_with("220 "));
        client
    }
}

fn authority() -> (Issuer<'static, KeyPair>, rcgen::Certificate) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = parameters.self_signed(&key).unwrap();
    (Issuer::new(parameters, key), root)
}

/// A client's certificate for this address.
fn identity(address: &str, authority: &Issuer<'static, KeyPair>) -> Identity {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap().der().clone();
    (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

struct Client(BufStream<TlsStream<TcpStream>>);

impl Client {
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        let reading = async {
            while reply.lines().last().is_none_or(|line| line.as_bytes().get(3) == Some(&b'-')) {
                assert_ne!(self.0.read_line(&mut reply).await.unwrap(), 0, "closed after {reply:?}");
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("a reply");
        reply.trim_end().to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.reply().await
    }

    fn exporter(&self) -> [u8; 32] {
        let (_, connection) = self.0.get_ref().get_ref();
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap()
    }

    /// SCRAM-SHA-256-PLUS, bound to what this says; the last reply.
    async fn log_in(&mut self, info: &TlsInfo) -> String {
        let offered = [Mechanism::ScramSha256Plus.name().to_owned()];
        let mut exchange = choose(&offered, "demo@a.example", "secret", Some(info), "abcdefgh").unwrap();
        let mut reply = self.ask(&format!("AUTH SCRAM-SHA-256-PLUS {}", exchange.initial().unwrap())).await;
        while let Some(challenge) = reply.strip_prefix("334 ") {
            let response = exchange.respond(challenge).unwrap_or_default();
            reply = self.ask(&response).await;
        }
        assert_eq!(exchange.finish().is_ok(), reply.starts_with("235 "), "{reply}");
        reply
    }
}

fn exporter(octets: [u8; 32]) -> TlsInfo {
    TlsInfo { exporter: Some(octets), ..TlsInfo::default() }
}

fn end_point(certificate: &[u8]) -> TlsInfo {
    let hash = digest::digest(&digest::SHA256, certificate);
    TlsInfo { end_point: Some(hash.as_ref().into()), ..TlsInfo::default() }
}

#[tokio::test]
async fn scram_is_bound_to_the_session_and_to_the_certificate() {
    let world = World::new();
    let server = world.serve();
    for version in [&TLS12, &TLS13] {
        let mut client = world.client(&server, version, None).await;
        let offered = client.ask("EHLO client.example").await;
        assert!(offered.contains(" SCRAM-SHA-256-PLUS") && !offered.contains("EXTERNAL"), "{offered}");
        // What somebody in between would be bound to.
        let refused = client.log_in(&end_point(b"another certificate")).await;
        assert!(refused.starts_with("535 5.7.8 Authentication"), "{refused}");
        let refused = client.log_in(&exporter([1; 32])).await;
        assert!(refused.starts_with("535 5.7.8 "), "{refused}");
        let accepted = client.log_in(&end_point(&world.certificate)).await;
        assert!(accepted.starts_with("235 2.7.0 "), "{version:?}: {accepted}");
    }
    let mut client = world.client(&server, &TLS13, None).await;
    client.ask("EHLO client.example").await;
    // The session of the connection before this one.
    let other = world.client(&server, &TLS13, None).await.exporter();
    assert!(client.log_in(&exporter(other)).await.starts_with("535 5.7.8 "));
    let bound = exporter(client.exporter());
    assert!(client.log_in(&bound).await.starts_with("235 2.7.0 "));
    // Not with TLS 1.2, where it may not be of this session alone.
    let mut client = world.client(&server, &TLS12, None).await;
    client.ask("EHLO client.example").await;
    let bound = exporter(client.exporter());
    let refused = client.log_in(&bound).await;
    assert!(refused.starts_with("535 5.7.8 This kind of channel binding"), "{refused}");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_good_for_its_address_and_a_bad_one_is_none() {
    let world = World::new();
    let server = world.serve();
    let (stranger, _) = authority();
    for version in [&TLS12, &TLS13] {
        let mut own =
            world.client(&server, version, Some(identity("demo@a.example", &world.authority))).await;
        assert!(own.ask("EHLO client.example").await.contains(" EXTERNAL"));
        let accepted = own.ask("AUTH EXTERNAL =").await;
        assert!(accepted.starts_with("235 2.7.0 "), "{version:?}: {accepted}");

        let other = Some(identity("other@a.example", &world.authority));
        let mut other = world.client(&server, version, other).await;
        assert!(other.ask("EHLO client.example").await.contains(" EXTERNAL"));
        let refused = other.ask("AUTH EXTERNAL =").await;
        assert!(refused.starts_with("535 5.7.8 "), "{refused}");

        // Nobody's authority: the handshake goes on, passwords count, the certificate does not.
        let forged = Some(identity("demo@a.example", &stranger));
        let mut forged = world.client(&server, version, forged).await;
        let offered = forged.ask("EHLO client.example").await;
        assert!(offered.contains(" PLAIN") && !offered.contains("EXTERNAL"), "{offered}");
        assert!(forged.ask("AUTH EXTERNAL =").await.starts_with("504 5.5.4 "));
        assert!(forged.log_in(&end_point(&world.certificate)).await.starts_with("235 2.7.0 "));
    }
    server.stop().await;
}
