//! A Postgres for the test binary, with databases of each test's own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "../../crates/queue/tests/support/postgres.rs"]
mod server;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A server that the test may stop and start as it likes.
pub struct Postgres(server::Postgres);

impl Postgres {
    /// Makes and starts a server of the test's own; takes about a second.
    ///
    /// # Panics
    /// When Postgres is not installed.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(server::Postgres::start).await;
        Self(started.expect("a server"))
    }

    /// A new, empty database; its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = self.0.url();
        let made =
            Command::new(program("psql")).args([&url, "-qc", &format!("create database {name}")]).output();
        let made = made.expect("psql");
        assert!(made.status.success(), "psql: {}", String::from_utf8_lossy(&made.stderr));
        url.replacen("/postgres?", &format!("/{name}?"), 1)
    }

    /// Runs a statement and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn query(&self, database: &str, statement: &str) -> String {
        let output =
            Command::new(program("psql")).args([database, "-qAtc", statement]).output().expect("psql");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// As a crash would.
    pub fn stop(&mut self) {
        self.0.stop_immediate();
    }

    /// On the same data.
    pub fn restart(&mut self) {
        self.0.restart();
    }
}

/// A client program of Postgres, on the path or beside the server's.
fn program(name: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = installed.map(|version| version.path().join("bin"));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| name.into())
}
