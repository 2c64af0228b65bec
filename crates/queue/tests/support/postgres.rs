//! A Postgres for tests: the installed server under a folder of its own, on a Unix socket, gone with the value or, where that is
//! a static, with the process. Needs nothing but std, so that other packages include this file.

// Who includes this file need not use all of it, and a test fails by panicking, its helpers too.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a condition is waited for, never the time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the server given as arguments and ends it when told so, or when whoever holds the other end of the pipe is gone,
/// however it went; then its files go too.
const GUARDIAN: &str = r#"folder=$1; shift; "$@" & server=$!
read -r word || word=gone
kill -QUIT $server; wait $server
[ "$word" = gone ] && cd / && rm -rf "$folder""#;

/// A running server.
pub struct Postgres {
    binaries: PathBuf,
    folder: PathBuf,
    /// Owner of the server's files where the tests run as root, which Postgres refuses.
    user: Option<(u32, u32)>,
    guardian: Option<Child>,
}

impl Postgres {
    /// Makes a cluster and starts it. Blocks for about a second.
    pub fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let binaries = binaries();
        let user = is_root().then(unprivileged_user);
        // A Unix socket's path has at most 107 octets: keep it short, wherever TMPDIR points.
        let started = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/pg-{}-{started}", std::process::id()));
        fs::create_dir_all(folder.join("socket")).expect("the folder for Postgres is made");
        if let Some((uid, gid)) = user {
            for path in [folder.clone(), folder.join("socket")] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("the folder is given away");
            }
        }
        let mut postgres = Self { binaries, folder, user, guardian: None };
        let made = postgres
            .command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(postgres.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        postgres.restart();
        postgres
    }

    /// The URL of the database `postgres`, over the socket.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.socket().display())
    }

    /// The folder of the socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Stops it as a crash would: no checkpoint, no farewell to clients.
    pub fn stop_immediate(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            if let Some(mut pipe) = guardian.stdin.take() {
                let _ = pipe.write_all(b"stop\n");
            }
            let _ = guardian.wait();
        }
    }

    /// Starts it, again after a stop.
    pub fn restart(&mut self) {
        self.stop_immediate();
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let guardian = self
            .command("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&self.folder)
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.socket())
            // The kernel survives the tests: what is written to it is as good as synced, and much faster.
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        self.guardian = Some(guardian);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Postgres does not come up: {}", log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn is_ready(&self) -> bool {
        let mut ask = self.command("pg_isready");
        ask.args(["-q", "-U", "postgres", "-d", "postgres", "-h"]).arg(self.socket());
        ask.status().expect("pg_isready runs").success()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of the server's programs, or another where it has none of that name.
    fn command(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = Command::new(if program.exists() { program } else { name.into() });
        // Another user may not even look at the folder that the tests run in.
        command.current_dir(&self.folder).env_remove("PGHOST").env_remove("PGDATABASE").stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            drop(guardian.stdin.take());
            let _ = guardian.wait();
        }
    }
}

/// Where the server's programs are.
fn binaries() -> PathBuf {
    let mut places: Vec<PathBuf> = Vec::new();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    // The newest first: 17 before 15.
    places.sort();
    places.reverse();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&paths));
    let found =
        places.into_iter().find(|place| place.join("initdb").exists() && place.join("postgres").exists());
    found.expect(
        "these tests need the Postgres server's programs (initdb, postgres): install them with \
         `apt-get install postgresql`, or put their folder on PATH",
    )
}

fn unprivileged_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd is read");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("there is a user postgres or nobody")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}
