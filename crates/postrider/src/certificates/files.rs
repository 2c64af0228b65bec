//! Writing certificates and keys: whole or not at all, keys for their owner alone.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::issue::Pair;

/// Writes key and certificate. The key first: where the certificate is, the key is too.
pub(crate) fn write_pair([certificate, key]: &[PathBuf; 2], pair: &Pair) -> anyhow::Result<()> {
    write(key, &pair.key, 0o600)?;
    write(certificate, &pair.certificate, 0o644)
}

/// Writes one file with these permissions, in a folder that is made where it is missing.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        // One that a broken run left behind may have other permissions.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
