//! A server's certificate and key in files, and their renewal while sessions go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::{ServerTls, TlsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(60);

/// A certificate with its key, and the files that they come from.
#[derive(Debug)]
pub struct CertificateFiles {
    tls: Arc<ServerTls>,
    certificate: PathBuf,
    key: PathBuf,
    client_authority: Option<PathBuf>,
    read_at: Stamp,
}

/// When the files were changed last; none where that cannot be told.
type Stamp = [Option<SystemTime>; 3];

impl CertificateFiles {
    /// Reads the files, which are PEM and may be the same file.
    ///
    /// # Errors
    /// As [`ServerTls::from_pem_files`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::asking_clients(certificate, key, None)
    }

    /// The same, and the authorities of clients' certificates.
    ///
    /// # Errors
    /// As [`ServerTls::asking_clients`].
    pub fn asking_clients(
        certificate: &Path,
        key: &Path,
        client_authority: Option<&Path>,
    ) -> Result<Self, TlsError> {
        // Before reading: a change in between is then noticed later.
        let read_at = stamp(certificate, key, client_authority);
        let tls = Arc::new(ServerTls::asking_clients(certificate, key, client_authority)?);
        let client_authority = client_authority.map(Path::to_owned);
        Ok(Self { tls, certificate: certificate.to_owned(), key: key.to_owned(), client_authority, read_at })
    }

    /// What listeners use.
    #[must_use]
    pub fn tls(&self) -> &Arc<ServerTls> {
        &self.tls
    }

    /// Reads the files again whenever they change, until `end`. Files that cannot be used change nothing, and are tried
    /// again: certificate and key may be exchanged one after the other.
    pub async fn keep_current(mut self, end: CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            // Two small files, and rarely: not worth a thread.
            self.look();
        }
    }

    /// Reads the files again if they have changed; says whether a new certificate is in use.
    fn look(&mut self) -> bool {
        let stamp = stamp(&self.certificate, &self.key, self.client_authority.as_deref());
        if stamp == self.read_at {
            return false;
        }
        let file = self.certificate.display();
        match self.tls.reload(&self.certificate, &self.key) {
            Ok(()) => {
                tracing::info!(%file, "the certificate changed; new sessions use it");
                self.read_at = stamp;
                true
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the changed certificate cannot be used; the old one stays");
                false
            }
        }
    }
}

fn stamp(certificate: &Path, key: &Path, client_authority: Option<&Path>) -> Stamp {
    [changed_at(certificate), changed_at(key), client_authority.and_then(changed_at)]
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_again_when_its_files_change_and_kept_when_they_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tls.pem");
        let write = |text: &str, age: u64| {
            std::fs::write(&file, text).unwrap();
            let changed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
            std::fs::File::options().append(true).open(&file).unwrap().set_modified(changed_at).unwrap();
        };
        let fresh = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            made.cert.pem() + &made.signing_key.serialize_pem()
        };
        assert!(matches!(CertificateFiles::load(&file, &file), Err(TlsError::Pem { .. })));
        write(&fresh(), 1);
        let mut certificate = CertificateFiles::load(&file, &file).unwrap();
        assert!(!certificate.look());
        write("nothing", 2);
        assert!(!certificate.look());
        write(&fresh(), 3);
        assert!(certificate.look());
        assert!(!certificate.look());
    }
}
