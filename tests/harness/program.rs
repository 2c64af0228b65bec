//! The project's programs as processes. They are found where cargo put them: beside the test's own binary.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use crate::transcript::Transcript;
use crate::wait::eventually;

/// A process that ends with this value at the latest.
pub struct Process {
    name: String,
    child: Child,
    log: Transcript,
}

/// Where the program of this name is.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn path_of(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test has a path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing; build the programs first: cargo build --workspace --bins (./run-tests does so)",
        path.display()
    );
    path
}

/// Runs a program to its end, within a minute, without input.
///
/// # Panics
/// When it does not end.
pub async fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Output {
    let mut command = command(name);
    command.args(arguments);
    let what = format!("{command:?}");
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    // Read beside waiting, or a long output would block the program for ever.
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = eventually(&format!("the end of {what}"), async || child.try_wait().ok().flatten()).await;
    let stdout = stdout.join().expect("read");
    Output { status, stdout, stderr: stderr.join().expect("read") }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.map(|mut stream| stream.read_to_end(&mut all));
        all
    })
}

/// Runs `postrider` to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub async fn postrider<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = run("postrider", arguments).await;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "postrider {said:?}: {}\n{stdout}{complained}", output.status);
    stdout
}

/// Without what the environment of whoever runs the tests would change.
fn command(name: &str) -> Command {
    let mut command = Command::new(path_of(name));
    for (variable, _) in std::env::vars_os() {
        let variable = variable.to_string_lossy();
        if variable.starts_with("POSTRIDER_") || variable.starts_with("OTEL_") {
            command.env_remove(&*variable);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Starts a program; what it prints goes to its log, which is shown when the test fails.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, program: &str, arguments: &[String], environment: &[(String, String)]) -> Self {
        let log = Transcript::new(format!("log of {name}"));
        let mut command = command(program);
        command.args(arguments).envs(environment.iter().map(|(key, value)| (key, value)));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        follow(child.stdout.take(), log.clone());
        follow(child.stderr.take(), log.clone());
        Self { name: name.to_owned(), child, log }
    }

    /// What it printed so far, both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, async || self.child.try_wait().ok().flatten()).await
    }

    /// `kill -9`, at once and without a word to it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.end().await
    }

    /// Sends a signal by its name, as `HUP` or `STOP`.
    ///
    /// # Panics
    /// When there is no such process any more.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{} takes no signal", self.name);
    }

    /// CPU seconds and resident memory are the kernel's to tell.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The threads that follow its output have a moment to read the rest.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn follow(stream: Option<impl Read + Send + 'static>, log: Transcript) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|octets| octets > 0) {
            log.add("", &line);
            line.clear();
        }
    });
}
