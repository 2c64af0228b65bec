//! Octets set aside on the disk for results: a full disk must not keep what was delivered from being recorded, or it would be
//! delivered again. Results may use them up; while they are used up, no message is accepted.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// How often setting aside is tried while the disk is full.
const TRY_EVERY: Duration = Duration::from_secs(1);
static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has looked yet.
    Unknown,
    Kept,
    Spent,
}

/// See the module.
pub(super) struct Reserve {
    path: PathBuf,
    octets: u64,
    state: State,
    next_try: Instant,
}

impl Reserve {
    pub(super) fn new(path: PathBuf, octets: u64) -> Self {
        Self { path, octets, state: State::Unknown, next_try: Instant::now() }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.state == State::Kept
    }

    /// Whether it was used up, so that room for it has to be made.
    pub(super) fn was_spent(&self) -> bool {
        self.state == State::Spent
    }

    /// Whether it is time to set it aside.
    pub(super) fn is_due(&self) -> bool {
        !self.is_kept() && self.next_try <= Instant::now()
    }

    pub(super) async fn set_aside(&mut self) {
        self.next_try = Instant::now() + TRY_EVERY;
        let (path, octets) = (self.path.clone(), self.octets);
        let made = tokio::task::spawn_blocking(move || make(&path, octets)).await.map_err(io::Error::other);
        match made.and_then(|made| made) {
            Ok(()) => {
                if self.was_spent() {
                    tracing::info!("there is room on the queue's disk again; messages are accepted");
                }
                self.state = State::Kept;
            }
            Err(error) => {
                if !self.was_spent() {
                    tracing::error!(%error, path = %self.path.display(),
                        "no room on the queue's disk for the reserve; no message is accepted until there is");
                }
                self.state = State::Spent;
            }
        }
    }

    /// Gives the octets to whoever needs them now; false where there are none.
    pub(super) fn spend(&mut self) -> bool {
        if self.state == State::Kept {
            tracing::error!("the queue's disk is full; results use the reserve and no message is accepted");
        }
        self.state = State::Spent;
        self.next_try = Instant::now() + TRY_EVERY;
        std::fs::remove_file(&self.path).is_ok()
    }
}

fn make(path: &Path, octets: u64) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| found.len() == octets) {
        return Ok(());
    }
    let fill = |mut file: File| -> io::Result<()> {
        let mut left = octets;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
            file.write_all(&BLOCK[..length])?;
            left -= u64::try_from(length).unwrap_or(left);
        }
        // Some file systems find out about the room only now.
        file.sync_all()
    };
    File::create(path).and_then(fill).inspect_err(|_| {
        // Half a reserve keeps others from the room and helps nobody.
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reserve_is_set_aside_spent_and_set_aside_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let mut reserve = Reserve::new(path.clone(), 100_000);
        assert!(reserve.is_due() && !reserve.is_kept());
        reserve.set_aside().await;
        assert!(reserve.is_kept() && !reserve.is_due());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100_000);
        assert!(reserve.spend() && !path.exists());
        assert!(!reserve.spend() && reserve.was_spent());
        reserve.set_aside().await;
        assert!(reserve.is_kept() && path.exists());
    }
}
