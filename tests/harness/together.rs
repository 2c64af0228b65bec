//! `postrider up`: everything in one process, on a data folder of the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::agent::{Agent, Listen};
use crate::collector::Collector;
use crate::maildir::Maildir;
use crate::program;
use crate::wait::soon;

const LISTENS: &[Listen] = &[
    Listen { key: "msa.listen.submission", name: "submission" },
    Listen { key: "msa.listen.submission_alt", name: "submission_alt" },
    Listen { key: "msa.listen.submissions", name: "submissions" },
    Listen { key: "msa.listen.http", name: "http" },
    Listen { key: "mta.listen.mx", name: "mx" },
    Listen { key: "service.listen.health", name: "health" },
];

/// How it is to be started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    below: Option<PathBuf>,
}

impl Setup {
    /// `--domain`.
    #[must_use]
    pub fn domain(self, domain: &str) -> Self {
        self.arguments(&["--domain", domain])
    }

    /// `--account`.
    #[must_use]
    pub fn account(self, address: &str, password: &str) -> Self {
        self.arguments(&["--account", &format!("{address}:{password}")])
    }

    /// `--set`.
    #[must_use]
    pub fn set(self, setting: &str) -> Self {
        self.arguments(&["--set", setting])
    }

    /// Any arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Makes its data folder in this folder, as on another disk.
    #[must_use]
    pub fn below(mut self, folder: &Path) -> Self {
        self.below = Some(folder.to_owned());
        self
    }

    /// Reports to a collector, soon.
    #[must_use]
    pub fn collector(mut self, collector: &Collector) -> Self {
        self.environment.push(("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned()));
        self.set(&format!("telemetry.endpoint=\"{}\"", collector.endpoint()))
    }

    /// Starts it on an empty data folder and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(self) -> Together {
        let parent = self.below.unwrap_or_else(std::env::temp_dir);
        let data = tempfile::tempdir_in(parent).expect("a temporary folder");
        let mut arguments = vec!["up".to_owned(), "--data".to_owned(), data.path().display().to_string()];
        arguments.extend(self.arguments);
        let mut agent = Agent::new("postrider", "postrider", arguments, LISTENS);
        for (variable, value) in &self.environment {
            agent = agent.with_environment(variable, value);
        }
        agent.start().await;
        Together { agent, data }
    }
}

/// A running `postrider up`.
pub struct Together {
    /// The process.
    pub agent: Agent,
    data: TempDir,
}

impl Together {
    /// How to start one.
    #[must_use]
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Submission with STARTTLS.
    #[must_use]
    pub fn submission(&self) -> SocketAddr {
        self.agent.address("submission")
    }

    /// Submission with TLS from the first octet.
    #[must_use]
    pub fn submissions(&self) -> SocketAddr {
        self.agent.address("submissions")
    }

    /// Submission by HTTP requests.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.agent.address("http")
    }

    /// SMTP from other servers.
    #[must_use]
    pub fn mx(&self) -> SocketAddr {
        self.agent.address("mx")
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn health(&self) -> SocketAddr {
        self.agent.address("health")
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The mailbox of an address.
    #[must_use]
    pub fn maildir(&self, address: &str) -> Maildir {
        Maildir::of(&self.mail(), address)
    }

    /// What `/metrics` answers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn metrics(&self) -> String {
        let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        soon("an answer", async {
            let mut stream = TcpStream::connect(self.health()).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        })
        .await
    }

    fn mail(&self) -> PathBuf {
        self.data.path().join("mail")
    }

    /// Runs `postrider --data … ARGUMENTS` beside it and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub async fn postrider(&self, arguments: &[&str]) -> String {
        let data = self.data.path().display().to_string();
        let mut all = vec!["--data", &data];
        all.extend(arguments);
        program::postrider(&all).await
    }
}
