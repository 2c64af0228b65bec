//! A Postgres server of a test binary's own, from the programs that the system has installed. Included by `#[path]` in
//! several packages, so it stands on the standard library alone. Its data lies under a temporary folder and it listens on
//! a socket in there, on no port.
//!
//! The server ends with the test binary, however that ends: a small shell waits for the end of its input and then stops
//! the server and removes the data.

#![allow(dead_code)] // each package uses a part of it

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    watch: Child,
}

impl Postgres {
    /// Makes and starts a server; blocks for about a second.
    pub(crate) fn start() -> Self {
        let programs = programs();
        let owner = owner();
        let folder = new_folder();
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let mut initdb = command(&programs, "initdb", &folder, owner);
        run(initdb.args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]));
        let mut watch = Command::new("/bin/sh");
        watch.args([
            "-c",
            r#"cat >/dev/null; "$0" -D "$1/data" -m immediate stop >/dev/null 2>&1; rm -rf "$1""#,
        ]);
        watch.arg(programs.join("pg_ctl")).arg(&folder).stdin(Stdio::piped());
        as_owner(&mut watch, &folder, owner);
        let server = Self { watch: watch.spawn().unwrap(), programs, folder, owner };
        server.restart();
        server
    }

    /// The URL of the server's first database, from which a test makes one of its own.
    pub(crate) fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=postgres", self.folder.display())
    }

    /// Stops the server as a crash would: what was not synced is recovered from the log at the next start.
    pub(crate) fn stop_immediate(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again on the same data.
    pub(crate) fn restart(&self) {
        let folder = self.folder.display();
        // Syncing is off: only the machine's own crash could lose anything, and tests come to no harm by that.
        let options = format!("-c listen_addresses= -c fsync=off -c max_connections=400 -k {folder}");
        self.control(&["-w", "-l", "server.log", "-o", &options, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        run(command(&self.programs, "pg_ctl", &self.folder, self.owner).args(["-D", "data"]).args(arguments));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// The folder of `initdb` and the rest, the newest version where there are several.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.into_iter().find(|folder| folder.join("initdb").is_file()).unwrap_or_else(|| {
        panic!(
            "these tests need PostgreSQL's server programs; install them, as in `apt-get install postgresql`"
        )
    })
}

/// Who runs the server where the tests run as root, whom Postgres refuses.
fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    if me != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

/// Short, because the path of a socket may have no more than 107 octets.
fn new_folder() -> PathBuf {
    let id = std::process::id();
    let path = (0..).map(|number| std::env::temp_dir().join(format!("pg-{id}-{number}")));
    let made = path.take(100).find(|path| std::fs::create_dir(path).is_ok());
    made.unwrap_or_else(|| panic!("no folder can be made in {}", std::env::temp_dir().display()))
}

fn command(programs: &Path, name: &str, folder: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(programs.join(name));
    as_owner(&mut command, folder, owner);
    command
}

/// In the server's folder, because its user may not be able to enter ours.
fn as_owner(command: &mut Command, folder: &Path, owner: Option<(u32, u32)>) {
    command.current_dir(folder);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
}

/// Output goes to files: a server that inherits a pipe would keep whoever reads it waiting.
fn run(command: &mut Command) {
    let folder = command.get_current_dir().unwrap().join("command.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&folder).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = std::fs::read_to_string(&folder).unwrap_or_default();
    assert!(status.success(), "{command:?} ended with {status}:\n{said}");
}
