//! The addresses that are really listened on, once port 0 has become a port, and the file that tells them to others.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Names and bound addresses, such as `submission`, `mx`, `health`. Clones are the same register.
#[derive(Debug, Clone, Default)]
pub struct Listening(Arc<Mutex<BTreeMap<String, SocketAddr>>>);

impl Listening {
    /// Enters an address; the same name again replaces it.
    pub fn add(&self, name: impl Into<String>, address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), address);
    }

    /// The address under that name.
    pub fn get(&self, name: &str) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes them as a JSON object, names to addresses. The file is there whole or not at all: who waits for it may read
    /// it as soon as it exists.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.all())?;
        let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
        let temporary = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        let written = std::fs::File::create(&temporary)
            .and_then(|mut file| writeln!(file, "{text}"))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // Best effort: the error that matters is the one that brought us here.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_addresses_and_leaves_nothing_else_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ready.json");
        let listening = Listening::default();
        listening.add("mx", SocketAddr::from(([127, 0, 0, 1], 1025)));
        listening.clone().add("health", SocketAddr::from(([127, 0, 0, 1], 8025)));
        listening.write(&path).unwrap();
        let read: BTreeMap<String, SocketAddr> =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read, listening.all());
        assert_eq!(read["mx"].port(), 1025);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_and_no_panic() {
        assert!(Listening::default().write(Path::new("/nonexistent/ready.json")).is_err());
        assert!(Listening::default().write(Path::new("/")).is_err());
    }
}
