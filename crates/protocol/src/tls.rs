//! Mutual TLS between agents: each shows a certificate that one authority has signed, as server and as client. Reads the
//! files; who may call what is the server's business.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::SetupError;

/// The files of an agent, PEM; all of them, or none for plaintext.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// The chain that this agent shows to the others, as server and as client, its own certificate first.
    pub certificate_file: Option<PathBuf>,
    /// The key of its first certificate.
    pub key_file: Option<PathBuf>,
    /// The authority that signed all agents' certificates.
    pub authority_file: Option<PathBuf>,
}

impl Files {
    /// Reads the files; `None` when no file is given.
    ///
    /// # Errors
    /// When some but not all are given, or one cannot be read.
    pub fn load(&self) -> Result<Option<Credentials>, SetupError> {
        let files = [
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
            ("authority_file", &self.authority_file),
        ];
        if files.iter().all(|(_, file)| file.is_none()) {
            return Ok(None);
        }
        let [certificate, key, authority] = files.map(|(missing, file)| match file {
            Some(file) => read(file),
            None => Err(SetupError::Incomplete { missing }),
        });
        Ok(Some(Credentials { certificate: certificate?, key: key?, authority: authority? }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::Unreadable { path: path.to_owned(), source })
}

/// What an agent proves itself with, PEM.
#[derive(Clone)]
pub struct Credentials {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

impl Credentials {
    /// From PEM texts: our chain, its key, and the authority that signed everybody's.
    #[must_use]
    pub fn from_pem(certificate: &str, key: &str, authority: &str) -> Self {
        Self { certificate: certificate.into(), key: key.into(), authority: authority.into() }
    }

    pub(crate) fn client(&self, server_name: &str) -> ClientTlsConfig {
        choose_provider();
        ClientTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .ca_certificate(Certificate::from_pem(&self.authority))
            .domain_name(server_name)
    }

    pub(crate) fn server(&self) -> ServerTlsConfig {
        choose_provider();
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .client_ca_root(Certificate::from_pem(&self.authority))
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// tonic takes the process's provider; somebody else's choice is left alone.
fn choose_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
