//! The agents as processes of their own, over mutual TLS, with queue and directory on Postgres.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::agent::{Agent, Listen};
use crate::certificates::{Authority, Files};
use crate::collector::Collector;
use crate::maildir::Maildir;
use crate::postgres::Postgres;
use crate::program;

const MSA: &[Listen] = &[
    Listen { key: "msa.listen.submission", name: "submission" },
    Listen { key: "msa.listen.submissions", name: "submissions" },
    Listen { key: "msa.listen.http", name: "http" },
    Listen { key: "service.listen.health", name: "health" },
];
const MTA: &[Listen] = &[
    Listen { key: "mta.listen.mx", name: "mx" },
    Listen { key: "mta.listen.grpc", name: "grpc" },
    Listen { key: "service.listen.health", name: "health" },
];
const MDA: &[Listen] = &[
    Listen { key: "mda.listen.grpc", name: "grpc" },
    Listen { key: "service.listen.health", name: "health" },
];

/// How they are to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    msas: usize,
    mtas: usize,
    accounts: Vec<(String, String)>,
    settings: Vec<(&'static str, String)>,
    telemetry: Option<String>,
}

impl Setup {
    /// This many msas before the one mda.
    #[must_use]
    pub fn msas(mut self, msas: usize) -> Self {
        self.msas = msas;
        self
    }

    /// This many mtas on the one queue.
    #[must_use]
    pub fn mtas(mut self, mtas: usize) -> Self {
        self.mtas = mtas;
        self
    }

    /// An account, made before the agents start; its domain too.
    #[must_use]
    pub fn account(mut self, address: &str, password: &str) -> Self {
        self.accounts.push((address.to_owned(), password.to_owned()));
        self
    }

    /// `--set` for one kind of agent: `msa`, `mta` or `mda`.
    #[must_use]
    pub fn set(mut self, program: &'static str, setting: &str) -> Self {
        self.settings.push((program, setting.to_owned()));
        self
    }

    /// All report to a collector, soon.
    #[must_use]
    pub fn collector(mut self, collector: &Collector) -> Self {
        self.telemetry = Some(collector.endpoint());
        self
    }

    /// Makes databases, certificates and accounts, starts everything, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(self) -> Apart {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let postgres = Postgres::start().await;
        let (queue, directory) = (postgres.database(), postgres.database());
        let stores = [format!("queue.url=\"{queue}\""), format!("directory.url=\"{directory}\"")];
        let administer = ["--set", &stores[0], "--set", &stores[1]];
        program::postrider(&[&administer[..], &["migrate"]].concat()).await;
        for (address, password) in &self.accounts {
            let file = folder.path().join("password");
            std::fs::write(&file, password).expect("written");
            let file = file.display().to_string();
            let add = ["account", "add", address, "--password-file", &file];
            program::postrider(&[&administer[..], &add].concat()).await;
        }
        let authority = Authority::default();
        let mail = format!("mda.mail=\"{}\"", folder.path().join("mail").display());
        let mut mda = self.agent(&authority, &folder, "mda", "mda", MDA, &[&mail, &stores[1]]);
        mda.start().await;
        let to_mda = format!("[\"https://{}\"]", local(mda.address("grpc")));
        let mda_for_mta = format!("mta.mda.endpoints={to_mda}");
        let mut mtas = Vec::new();
        for number in 1..=self.mtas {
            let name = format!("mta-{number}");
            let mut mta = self.agent(&authority, &folder, &name, "mta", MTA, &[&mda_for_mta, &stores[0]]);
            mta.start().await;
            mtas.push(mta);
        }
        let to_mtas: Vec<_> =
            mtas.iter().map(|mta| format!("\"https://{}\"", local(mta.address("grpc")))).collect();
        let mta_for_msa = format!("msa.mta=[{}]", to_mtas.join(","));
        let mda_for_msa = format!("msa.mda={to_mda}");
        let mut msa = self.agent(&authority, &folder, "msa", "msa", MSA, &[&mta_for_msa, &mda_for_msa]);
        msa.start().await;
        let mut other_msas = Vec::new();
        for number in 2..=self.msas {
            let name = format!("msa-{number}");
            let mut msa = self.agent(&authority, &folder, &name, "msa", MSA, &[&mta_for_msa, &mda_for_msa]);
            msa.start().await;
            other_msas.push(msa);
        }
        Apart { msa, other_msas, mtas, mda, postgres, queue, directory, folder }
    }

    fn agent(
        &self,
        authority: &Authority,
        folder: &TempDir,
        name: &str,
        program: &'static str,
        listens: &'static [Listen],
        own: &[&String],
    ) -> Agent {
        let agents = authority.write(folder.path(), name, &[program, "localhost"]);
        let smtp = authority.write(folder.path(), &format!("{name}-smtp"), &["localhost", "mail.test"]);
        let mut settings = tls(&agents, &smtp);
        settings.extend(own.iter().map(ToString::to_string));
        settings.push(format!("service.hostname=\"{program}.mail.test\""));
        settings.extend(self.telemetry.iter().map(|endpoint| format!("telemetry.endpoint=\"{endpoint}\"")));
        let chosen = self.settings.iter().filter(|(whose, _)| *whose == program);
        settings.extend(chosen.map(|(_, setting)| setting.clone()));
        let arguments = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect();
        Agent::new(name, program, arguments, listens).with_environment("OTEL_BSP_SCHEDULE_DELAY", "100")
    }
}

fn tls(agents: &Files, smtp: &Files) -> Vec<String> {
    [
        ("tls.agents.certificate_file", &agents.certificate),
        ("tls.agents.key_file", &agents.key),
        ("tls.agents.authority_file", &agents.authority),
        ("tls.certificate_file", &smtp.certificate),
        ("tls.key_file", &smtp.key),
    ]
    .map(|(key, path)| format!("{key}=\"{}\"", path.display()))
    .to_vec()
}

/// By the name that the certificates have.
fn local(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// The running agents.
pub struct Apart {
    /// Takes mail from clients.
    pub msa: Agent,
    /// So do these, where there is more than one.
    pub other_msas: Vec<Agent>,
    /// Queue and carry it.
    pub mtas: Vec<Agent>,
    /// Delivers it.
    pub mda: Agent,
    /// Keeps queue and directory.
    pub postgres: Postgres,
    /// The URL of the queue.
    pub queue: String,
    /// The URL of the directory.
    pub directory: String,
    folder: TempDir,
}

impl Apart {
    /// How to start them.
    #[must_use]
    pub fn setup() -> Setup {
        Setup { msas: 1, mtas: 1, accounts: Vec::new(), settings: Vec::new(), telemetry: None }
    }

    /// Submission with STARTTLS.
    #[must_use]
    pub fn submission(&self) -> SocketAddr {
        self.msa.address("submission")
    }

    /// SMTP from other servers, at the first mta.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn mx(&self) -> SocketAddr {
        self.mtas[0].address("mx")
    }

    /// The mailbox of an address.
    #[must_use]
    pub fn maildir(&self, address: &str) -> Maildir {
        Maildir::of(&self.folder.path().join("mail"), address)
    }

    /// The folder with certificates and mail.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `postrider ARGUMENTS` on the same databases and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub async fn postrider(&self, arguments: &[&str]) -> String {
        let stores =
            [format!("queue.url=\"{}\"", self.queue), format!("directory.url=\"{}\"", self.directory)];
        let mut all = vec!["--set", &stores[0], "--set", &stores[1]];
        all.extend(arguments);
        program::postrider(&all).await
    }
}
