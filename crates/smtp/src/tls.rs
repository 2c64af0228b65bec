//! TLS for both sides, from PEM files to what a handshake agreed on. The only place besides the streams where rustls is
//! named, so that agents need not know it. TLS 1.2 and 1.3 only; the provider is always aws-lc-rs, named at each use.

mod certificate;
mod clients;
mod files;
mod info;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use clients::ClientCertificates;

pub use files::CertificateFiles;
pub use info::TlsInfo;

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or does not hold what it should.
    #[error("{path} cannot be read as PEM: {detail}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Certificate and key do not fit, or the key is of no known kind.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// No certificate authority is known.
    #[error("the system has no root certificates to verify servers with")]
    NoRoots,
}

/// A server's certificate and key, which can be exchanged while sessions go on.
#[derive(Debug)]
pub struct ServerTls {
    current: RwLock<Arc<Secrets>>,
    client_authority: Option<PathBuf>,
}

impl ServerTls {
    /// From a file with the certificate chain and one with its private key, both PEM; they may be the same file.
    ///
    /// # Errors
    /// When a file cannot be read or they do not fit each other.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::asking_clients(certificate, key, None)
    }

    /// The same, asking clients for a certificate by an authority in this PEM file. Who has none, or another's, is served all
    /// the same.
    ///
    /// # Errors
    /// As [`ServerTls::from_pem_files`], and for that file too.
    pub fn asking_clients(
        certificate: &Path,
        key: &Path,
        client_authority: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let secrets = Secrets::read(certificate, key, client_authority)?;
        let client_authority = client_authority.map(Path::to_owned);
        Ok(Self { current: RwLock::new(Arc::new(secrets)), client_authority })
    }

    /// Reads the files again; sessions that begin from now on use them. On an error the old ones stay in use.
    ///
    /// # Errors
    /// As [`ServerTls::asking_clients`].
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let secrets = Secrets::read(certificate, key, self.client_authority.as_deref())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
        Ok(())
    }

    /// Makes a connection a TLS one, for what is spoken beside SMTP; the caller bounds the time.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, TlsInfo)> {
        let secrets = self.current();
        let stream = TlsAcceptor::from(secrets.config()).accept(stream).await?;
        let info = secrets.info(stream.get_ref().1);
        Ok((stream, info))
    }

    pub(crate) fn current(&self) -> Arc<Secrets> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one handshake needs, as it was read from the files at one time.
#[derive(Debug)]
pub(crate) struct Secrets {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
    clients: Option<Arc<ClientCertificates>>,
}

impl Secrets {
    fn read(certificate: &Path, key: &Path, client_authority: Option<&Path>) -> Result<Self, TlsError> {
        let chain = read_certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| TlsError::Pem { path: key.to_owned(), detail: error.to_string() })?;
        let end_point = chain.first().and_then(|own| certificate::end_point(own));
        let clients = client_authority
            .map(|authority| ClientCertificates::from_pem_file(authority, provider()).map(Arc::new))
            .transpose()?;
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::<ClientCertificates>::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(builder.with_single_cert(chain, key)?), end_point, clients })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What a handshake with these agreed on.
    pub(crate) fn info(&self, connection: &ServerConnection) -> TlsInfo {
        let certificates = connection.peer_certificates().unwrap_or_default();
        TlsInfo {
            end_point: self.end_point.clone(),
            client_addresses: self.clients.as_ref().map(|c| c.addresses(certificates)).unwrap_or_default(),
            ..TlsInfo::of_server(connection)
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |detail: String| TlsError::Pem { path: path.to_owned(), detail };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error: rustls::pki_types::pem::Error| fault(error.to_string()))?;
    if certificates.is_empty() { Err(fault("it holds no certificate".to_owned())) } else { Ok(certificates) }
}

/// How a client judges a server's certificate.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Takes any certificate: encryption against listeners, no proof of who is there (RFC 7435).
    ///
    /// # Errors
    /// When the provider cannot be used.
    pub fn opportunistic() -> Result<Self, TlsError> {
        static SHARED: LazyLock<Result<ClientTls, rustls::Error>> = LazyLock::new(|| {
            let provider = provider();
            let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
                .with_no_client_auth();
            Ok(ClientTls { config: Arc::new(config) })
        });
        SHARED.clone().map_err(TlsError::from)
    }

    /// Takes certificates for the server's name by an authority in this PEM file, or by one that the system trusts.
    ///
    /// # Errors
    /// When the file cannot be read or there are no authorities.
    pub fn verified(authority: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let certificates = match authority {
            Some(path) => read_certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Believes every certificate, and still insists that the server holds its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
