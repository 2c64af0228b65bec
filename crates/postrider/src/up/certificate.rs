//! The self-signed certificate that a data folder gets at its first start.

use std::path::Path;

use service::config::Tls;

use crate::certificates::{self_signed, write_pair};
use crate::settings::own_certificate;

/// Makes it, where the configuration names no other and it is not there yet. Answers whether it is the one in use.
pub(super) fn ensure(folder: &Path, tls: &Tls, hostname: &str) -> anyhow::Result<bool> {
    let pair = own_certificate(folder);
    let [certificate, key] = &pair;
    if tls.certificate_file.as_ref() != Some(certificate) || tls.key_file.as_ref() != Some(key) {
        return Ok(false);
    }
    if !certificate.exists() || !key.exists() {
        write_pair(&pair, &self_signed(hostname)?)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_left_alone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = own_certificate(folder.path());
        let tls = Tls {
            certificate_file: Some(certificate.clone()),
            key_file: Some(key.clone()),
            ..Tls::default()
        };
        assert!(ensure(folder.path(), &tls, "mx.example.test").unwrap());
        let first = std::fs::read(&certificate).unwrap();
        smtp::tls::ServerTls::from_pem_files(&certificate, &key).unwrap();
        assert!(ensure(folder.path(), &tls, "other.example.test").unwrap());
        assert_eq!(std::fs::read(&certificate).unwrap(), first);
    }

    #[test]
    fn a_configured_one_is_nobody_elses_business() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!ensure(folder.path(), &Tls::default(), "localhost").unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
