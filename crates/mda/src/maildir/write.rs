//! Puts a message into a mailbox: once, whole, and durable before the answer.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mail::Content;

use super::{Maildir, name};

/// By how much the clocks of two machines, or of a machine and its file server, may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(3600);

/// What a delivery found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deposit {
    /// The message was written.
    New,
    /// It lay there already.
    Repeated,
}

impl Maildir {
    /// Puts a message into `new` under a name, unless the mailbox has it already, and makes that durable. The mailbox is
    /// made where there is none. `accepted_at` is a time before which the message cannot have been delivered.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left behind then, and it can be tried again.
    pub fn deposit(
        &self,
        name: &str,
        head: &[u8],
        content: &Content,
        accepted_at: SystemTime,
    ) -> io::Result<Deposit> {
        let target = self.folder.join("new").join(name);
        if target.try_exists()? {
            // Whoever wrote it may have died before it was synced.
            sync(&self.folder.join("new"))?;
            return Ok(Deposit::Repeated);
        }
        if self.was_seen(name, accepted_at)? {
            return Ok(Deposit::Repeated);
        }
        let (path, file) = self.create(name)?;
        let placed = fill(file, head, content).and_then(|()| fs::rename(&path, &target));
        if let Err(error) = placed {
            // Best effort: the sweep removes what stays.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        sync(&self.folder.join("new"))?;
        Ok(Deposit::New)
    }

    /// Makes the folders of the mailbox where they are missing, readable by their owner alone.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(&self) -> io::Result<()> {
        make_folder(&self.root, &self.folder)?;
        // `tmp` is the last: where it is, another delivery takes the others for made.
        for name in ["new", "cur", "tmp"] {
            make_folder(&self.root, &self.folder.join(name))?;
        }
        Ok(())
    }

    /// Whether a reader has moved the message to `cur`. That folder may be large, so it is only read when something was
    /// moved there since the message was accepted.
    fn was_seen(&self, name: &str, accepted_at: SystemTime) -> io::Result<bool> {
        let cur = self.folder.join("cur");
        let changed = match fs::metadata(&cur).and_then(|metadata| metadata.modified()) {
            Ok(changed) => changed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if changed + CLOCK_DIFFERENCE < accepted_at {
            return Ok(false);
        }
        for entry in fs::read_dir(&cur)? {
            if entry?.file_name().to_str().is_some_and(|file_name| name::is(file_name, name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A new file in `tmp`, under a name that no other delivery uses, not even one of the same message.
    fn create(&self, name: &str) -> io::Result<(PathBuf, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("tmp").join(format!("{name}.{}-{count}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                Ok((path.clone(), options.open(path)?))
            }
            opened => Ok((path, opened?)),
        }
    }
}

fn fill(file: File, head: &[u8], content: &Content) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(64 * 1024, file);
    writer.write_all(head)?;
    for segment in content.segments() {
        writer.write_all(segment)?;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Makes what a folder's entries say durable.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder below `root`, and those above it, each durable in the one that holds it.
fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder != root => {
            if let Some(parent) = folder.parent() {
                make_folder(root, parent)?;
            }
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    folder.parent().map_or(Ok(()), sync)
}
