//! Removes what deliveries that never ended left in `tmp`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes files in the `tmp` of every mailbox below `root` that were last written before a time; says how many. A file
/// or folder that cannot be looked at is left for the next time.
///
/// # Errors
/// When `root` itself cannot be read.
pub fn sweep(root: &Path, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for domain in fs::read_dir(root)?.flatten() {
        for mailbox in children(&domain.path()) {
            for file in children(&mailbox.join("Maildir").join("tmp")) {
                let written = fs::metadata(&file).and_then(|metadata| metadata.modified());
                if written.is_ok_and(|written| written < before) && fs::remove_file(&file).is_ok() {
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
