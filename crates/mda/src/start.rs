//! Puts the agent together: directory and mail folder, then what serves them, then gRPC.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directory::Directory;
use service::clock::Clock;
use service::config::ConfigError;
use service::exit::{Code, Stop};
use service::health::Condition;
use service::{Context, Task};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, Settings};
use crate::delivery::MailboxDelivery;
use crate::directory_service::DirectoryService;
use crate::mailboxes::MailboxReader;
use crate::maildir::{Store, sweep};
use crate::metrics::Metrics;
use crate::oauth::Tokens;

/// How often the directory is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often unfinished deliveries are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// How old an unfinished delivery is before it is taken for dead; the age that Maildir's inventor named.
const UNFINISHED_AGE: Duration = Duration::from_secs(36 * 3600);
/// How long to wait for a directory that is not there at the start: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// `mda migrate`: brings the directory's schema up to date.
pub const MIGRATE: Task<Config> = Task {
    name: "migrate",
    about: "Bring the directory's tables up to date, making them where there are none, and end",
    work: |config| Box::pin(migrate(config)),
};

/// The agent's parts, for whoever lives in the same process.
pub struct Mda {
    /// Who has mail here.
    pub directory: Arc<dyn protocol::Directory>,
    /// Counts what accounts submit.
    pub quotas: Arc<dyn protocol::Quotas>,
    /// Changes the directory.
    pub admin: Arc<dyn protocol::DirectoryAdmin>,
    /// Puts mail into mailboxes.
    pub delivery: Arc<dyn protocol::Delivery>,
    /// Shows what lies in them.
    pub mailboxes: Arc<dyn protocol::Mailboxes>,
    upkeep: Upkeep,
}

/// The whole life of the agent as a program of its own.
///
/// # Errors
/// When the configuration cannot be used, with what to change.
pub async fn run(config: Config, context: Context) -> anyhow::Result<()> {
    let Some(address) = config.mda.listen.grpc else {
        let problem = "say where the other agents reach the mda, as in \"127.0.0.1:7026\"";
        return Err(ConfigError::invalid("mda.listen.grpc", problem).into());
    };
    let mda = Mda::open(&config, &context).await?;
    mda.serve(&config, address, &context)?;
    mda.attend(&context);
    Ok(())
}

impl Mda {
    /// Opens directory and mail folder. Waits for a database that is not there yet; its schema has to be
    /// ([`Directory::migrate`]).
    ///
    /// # Errors
    /// When the configuration cannot be used, with what to change, or the process ends meanwhile.
    pub async fn open(config: &Config, context: &Context) -> anyhow::Result<Self> {
        prepare_folder(&config.mda)?;
        let condition = context.readiness.condition("mda.directory");
        let directory = open_directory(config, context, &condition).await?;
        condition.ready();
        let store = Store::new(config.mda.mail.clone());
        let metrics = Metrics::new();
        let clock = Arc::clone(&context.clock);
        let tokens = Tokens::new(&config.mda.oauth, Arc::clone(&clock))?;
        let service = DirectoryService::new(directory.clone(), tokens, Arc::clone(&clock), metrics.clone());
        let service = Arc::new(service);
        let writers = config.mda.concurrent_deliveries;
        let sandbox = config.service.sandbox;
        let delivery = MailboxDelivery::new(directory.clone(), store.clone(), writers, sandbox, metrics);
        Ok(Self {
            directory: service.clone(),
            quotas: service.clone(),
            admin: service,
            delivery: Arc::new(delivery),
            mailboxes: Arc::new(MailboxReader::new(directory.clone(), store.clone())),
            upkeep: Upkeep { directory, store, clock, condition },
        })
    }

    /// Leaves the agent's upkeep with the process: whether it is ready, and what dead deliveries left behind.
    pub fn attend(&self, context: &Context) {
        let upkeep = self.upkeep.clone();
        let stop = context.shutdown.token();
        context.shutdown.spawn("the mda's upkeep", async move {
            stop.run_until_cancelled(upkeep.go_on()).await;
            Ok(())
        });
    }

    /// Serves the other agents over gRPC.
    ///
    /// # Errors
    /// When it cannot listen there, or certificates cannot be used.
    pub fn serve(
        &self,
        config: &Config,
        address: std::net::SocketAddr,
        context: &Context,
    ) -> anyhow::Result<()> {
        let wrong = |error: protocol::SetupError| Stop::new(Code::Config, error);
        let tls = &config.tls.agents;
        let files = protocol::tls::Files {
            certificate_file: tls.certificate_file.clone(),
            key_file: tls.key_file.clone(),
            authority_file: tls.authority_file.clone(),
        };
        let server = protocol::server::Builder::new(config.mda.grpc.clone(), files.load().map_err(wrong)?)
            .directory(Arc::clone(&self.directory))
            .and_then(|server| server.quotas(Arc::clone(&self.quotas)))
            .and_then(|server| server.directory_admin(Arc::clone(&self.admin)))
            .and_then(|server| server.delivery(Arc::clone(&self.delivery)))
            .and_then(|server| server.mailboxes(Arc::clone(&self.mailboxes)))
            .map_err(wrong)?;
        server.check(address).map_err(wrong)?;
        let listener = service::net::bind(address, "mda.listen.grpc")?;
        context.listening.add("grpc", listener.local_addr()?);
        let stop = context.shutdown.token();
        context
            .shutdown
            .spawn("the mda's gRPC server", async move { Ok(server.serve(listener, stop).await?) });
        Ok(())
    }
}

/// What has to be done now and then.
#[derive(Clone)]
struct Upkeep {
    directory: Directory,
    store: Store,
    clock: Arc<dyn Clock>,
    condition: Condition,
}

impl Upkeep {
    async fn go_on(&self) {
        let (mut ping, mut sweep) = (interval(PING_INTERVAL), interval(SWEEP_INTERVAL));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ping.tick() => match self.directory.ping().await {
                    Ok(()) => self.condition.ready(),
                    Err(error) => self.condition.not_ready(error.to_string()),
                },
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.directory.sweep(self.clock.now().into()).await {
            tracing::warn!(%error, "cannot clear what quotas no longer count");
        }
        let root = self.store.root().to_owned();
        let Some(before) = self.clock.now().checked_sub(UNFINISHED_AGE) else { return };
        let swept = tokio::task::spawn_blocking(move || sweep(&root, before)).await;
        match swept.map_err(io::Error::other).flatten() {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed what deliveries that never ended had left"),
            Err(error) => tracing::warn!(%error, "cannot look for what unfinished deliveries left"),
        }
    }
}

async fn open_directory(
    config: &Config,
    context: &Context,
    condition: &Condition,
) -> anyhow::Result<Directory> {
    let mut wait = FIRST_WAIT;
    loop {
        match Directory::open(config.directory.to_directory()).await {
            Ok(directory) => return Ok(directory),
            Err(error @ directory::Error::Unavailable(_)) => {
                tracing::warn!(%error, retry_in = ?wait, "waiting for the directory");
                condition.not_ready(error.to_string());
            }
            Err(error) => return Err(ConfigError::invalid("directory.url", error.to_string()).into()),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            () = context.shutdown.begun() => anyhow::bail!("stopped while waiting for the directory"),
        }
    }
}

async fn migrate(config: Config) -> anyhow::Result<()> {
    Directory::migrate(config.directory.url.expose()).await.map_err(|error| match error {
        error @ (directory::Error::Unavailable(_) | directory::Error::Migration(_)) => {
            Stop::new(Code::Unavailable, error).into()
        }
        error => ConfigError::invalid("directory.url", error.to_string()).into(),
    })
}

/// Makes the folder of all mailboxes, and sees that mail can be written there before any is taken.
fn prepare_folder(settings: &Settings) -> Result<(), ConfigError> {
    let folder = &settings.mail;
    let prepared =
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| probe(folder));
    prepared.map_err(|error| {
        let folder = folder.display();
        let problem =
            format!("cannot write into {folder} ({error}); choose a folder that the mda's user may write to");
        ConfigError::invalid("mda.mail", problem)
    })
}

fn probe(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(probe)
}
