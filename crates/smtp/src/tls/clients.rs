//! Certificates that clients show to a server that asks for them. A certificate that cannot be verified is none: such a
//! client is not turned away, it only cannot log in by it. Mail programs send whatever certificate they have, and their
//! users have passwords.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::{TlsError, certificate, read_certificates};

/// Asks for a certificate, and judges it once the handshake is over.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCertificates {
    /// Believes in certificates by an authority in this PEM file.
    pub(super) fn from_pem_file(authority: &Path, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(read_certificates(authority)?);
        let fault = |detail: String| TlsError::Pem { path: authority.to_owned(), detail };
        if ignored > 0 {
            return Err(fault(format!("{ignored} of its certificates cannot be an authority")));
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self { verifier })
    }

    /// The addresses that these certificates, the client's own first, are for; none where they cannot be verified. After a
    /// resumed session they are those of the first one: what has expired since counts no more.
    pub(super) fn addresses(&self, certificates: &[CertificateDer<'_>]) -> Vec<String> {
        let Some((own, intermediates)) = certificates.split_first() else { return Vec::new() };
        match self.verifier.verify_client_cert(own, intermediates, UnixTime::now()) {
            Ok(_) => certificate::addresses(own),
            Err(error) => {
                tracing::debug!(%error, "a client's certificate cannot be verified and counts for nothing");
                Vec::new()
            }
        }
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    /// Lets the handshake go on; what the certificate is worth, [`ClientCertificates::addresses`] says.
    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
