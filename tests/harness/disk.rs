//! A small disk of the test's own, to be filled up.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory, unmounted with this value. Keep it longer than what has its data on it.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A disk of this size, where whoever runs the tests may mount one.
    ///
    /// # Errors
    /// What `mount` says against it.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn mount(mib: usize) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "postrider-test"]).arg(folder.path());
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self { folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that there is.
    ///
    /// # Panics
    /// When writing fails for another reason than a full disk.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("ballast");
        // The last octets too: whole pages first, then what is left of one.
        for block in [vec![0; 64 * 1024], vec![0; 4096]] {
            let full = loop {
                if let Err(error) = ballast.write_all(&block) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Gives back what [`Disk::fill`] took.
    ///
    /// # Panics
    /// When it took nothing.
    pub fn relieve(&self) {
        std::fs::remove_file(self.ballast()).expect("a full disk");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, should a process that is being killed still have a file open there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
