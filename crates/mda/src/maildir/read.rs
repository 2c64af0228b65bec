//! Shows what lies in a mailbox.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Maildir, name};

/// How much of a message is read to find its header fields.
const HEADER_LIMIT: u64 = 256 * 1024;

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which stays the same while a reader moves it and changes its flags.
    pub name: String,
    /// When it was delivered.
    pub delivered_at: SystemTime,
    /// Its size in octets.
    pub size: u64,
    /// Whether somebody has seen it.
    pub seen: bool,
    path: PathBuf,
}

impl Maildir {
    /// The messages, newest first; `None` where there is no mailbox.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entries(&self) -> io::Result<Option<Vec<Entry>>> {
        if !self.folder.try_exists()? {
            return Ok(None);
        }
        let mut entries = Vec::new();
        for folder in ["new", "cur"] {
            self.collect(folder, &mut entries)?;
        }
        entries.sort_by(|a, b| (b.delivered_at, &b.name).cmp(&(a.delivered_at, &a.name)));
        // A message that was moved to `cur` in between was met twice.
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(Some(entries))
    }

    /// The content of one message; `None` where there is no such message.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // Twice: a reader may have moved it between a look at the folders and one at the file.
        for _ in 0..2 {
            let Some(entry) =
                self.entries()?.unwrap_or_default().into_iter().find(|entry| entry.name == name)
            else {
                return Ok(None);
            };
            match fs::read(&entry.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                content => return content.map(Some),
            }
        }
        Ok(None)
    }

    fn collect(&self, folder: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
        let files = match fs::read_dir(self.folder.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for file in files {
            let file = file?;
            let file_name = file.file_name();
            let Some(file_name) = file_name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let metadata = match file.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if !metadata.is_file() {
                continue;
            }
            let (name, flags) = name::split(file_name);
            entries.push(Entry {
                name: name.to_owned(),
                delivered_at: metadata.modified()?,
                size: metadata.len(),
                seen: flags.contains('S'),
                path: file.path(),
            });
        }
        Ok(())
    }
}

impl Entry {
    /// The front of the message, where its header section is; empty when it is gone by now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn front(&self) -> io::Result<Vec<u8>> {
        let mut front = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(HEADER_LIMIT).read_to_end(&mut front).map(|_| front),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(front),
            Err(error) => Err(error),
        }
    }
}
