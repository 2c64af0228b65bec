//! Reads Maildirs, as any program of their owner would.

use std::path::{Path, PathBuf};

use crate::wait::eventually;

/// A mailbox on disk.
#[derive(Debug, Clone)]
pub struct Maildir {
    path: PathBuf,
}

impl Maildir {
    /// The Maildir of an address below a mail folder: `FOLDER/DOMAIN/LOCALPART/Maildir`.
    ///
    /// # Panics
    /// When it is no address.
    #[must_use]
    pub fn of(folder: &Path, address: &str) -> Self {
        let (local_part, domain) = address.rsplit_once('@').expect("an address");
        Self { path: folder.join(domain).join(local_part).join("Maildir") }
    }

    /// The messages that are there, in the order of their names; each file is one delivery.
    #[must_use]
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let mut files: Vec<PathBuf> = self.files().collect();
        files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        // One may be moved from new to cur in between; nothing moves them in these tests.
        files.iter().filter_map(|path| std::fs::read(path).ok()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files().count()
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let folders = ["new", "cur"].map(|part| self.path.join(part));
        folders
            .into_iter()
            .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten())
            .flatten()
            .map(|entry| entry.path())
    }

    /// Waits until there are this many messages.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn holds(&self, number: usize) -> Vec<Vec<u8>> {
        let what = format!("{number} messages in {}", self.path.display());
        eventually(&what, async || Some(self.messages()).filter(|messages| messages.len() >= number)).await
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The value of a header field, unfolded; the first where there are several.
#[must_use]
pub fn field(message: &[u8], name: &str) -> Option<String> {
    fields(message, name).into_iter().next()
}

/// The values of all header fields of this name, unfolded, from the top.
#[must_use]
pub fn fields(message: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let unfolded = header.replace("\r\n\t", " ").replace("\r\n ", " ");
    let value = |line: &str| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    unfolded.split("\r\n").filter_map(value).collect()
}

/// What stands behind the header section.
#[must_use]
pub fn body(message: &[u8]) -> &[u8] {
    let start = message.windows(4).position(|window| window == b"\r\n\r\n");
    start.map_or(&[], |start| &message[start + 4..])
}
