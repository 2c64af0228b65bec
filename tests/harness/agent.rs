//! A program that serves: started on ports of its own choice, known by its ready file, and started again on the same ports
//! and data after it was killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use tempfile::TempDir;

use crate::program::Process;
use crate::wait::eventually;

/// An address that an agent listens on: the key that sets it, and its name in the ready file.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// As in `msa.listen.submission`.
    pub key: &'static str,
    /// As in `submission`.
    pub name: &'static str,
}

/// A serving program.
pub struct Agent {
    name: String,
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listens: &'static [Listen],
    addresses: BTreeMap<String, SocketAddr>,
    folder: TempDir,
    process: Option<Process>,
}

impl Agent {
    /// An agent that does not run yet.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn new(
        name: &str,
        program: &'static str,
        arguments: Vec<String>,
        listens: &'static [Listen],
    ) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments,
            environment: Vec::new(),
            listens,
            addresses: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            process: None,
        }
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn with_environment(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it serves: on any ports the first time, on the same ones later.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start(&mut self) {
        let file = self.launch();
        let what = format!("{} is ready", self.name);
        let process = self.process.as_mut().expect("just started");
        let text = eventually(&what, async || {
            if let Some(status) = process.ended() {
                panic!("{} ended with {status} in place of serving", self.name);
            }
            std::fs::read_to_string(&file).ok()
        })
        .await;
        self.addresses = serde_json::from_str(&text).expect("a ready file is a JSON object of addresses");
    }

    /// Starts it without waiting; its ready file comes to be at the path that is returned.
    pub fn launch(&mut self) -> PathBuf {
        let file = self.folder.path().join("ready.json");
        let _ = std::fs::remove_file(&file);
        let mut arguments = self.arguments.clone();
        for listen in self.listens {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let address = self.addresses.get(listen.name).copied().unwrap_or(any);
            arguments.extend(["--set".to_owned(), format!("{}=\"{address}\"", listen.key)]);
        }
        arguments.extend(["--ready-file".to_owned(), file.display().to_string()]);
        self.process = Some(Process::start(&self.name, self.program, &arguments, &self.environment));
        file
    }

    /// One of its addresses, by the name in the ready file.
    ///
    /// # Panics
    /// When it has none of this name.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddr {
        let found = self.addresses.get(name).copied();
        found.unwrap_or_else(|| panic!("{} listens on {:?}, on no {name}", self.name, self.addresses))
    }

    /// The running process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        let status = self.process().terminate().await;
        self.process = None;
        status
    }

    /// What it printed since its last start.
    pub fn log(&mut self) -> String {
        self.process().log()
    }
}
