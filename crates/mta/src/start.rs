//! Wires the mta: the queue and the other agents first, then what stands on them, then who listens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mail::{Domain, Timestamp};
use protocol::client::{DeliveryClient, DirectoryClient, Peers};
use protocol::{Delivery, Directory, Relay};
use queue::{OpenError, Queue, Views};
use service::config::{ConfigError, Tls};
use service::exit::{Code, Stop};
use service::{Context, net};
use smtp::policy::Policy;
use smtp::server::{self, Budget, TlsMode};
use smtp::tls::CertificateFiles;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempts;
use crate::config::{Config, Settings};
use crate::dispatcher::Dispatcher;
use crate::inbound::Inbound;
use crate::intake::Intake;
use crate::local::Local;
use crate::memory::ContentMemory;
use crate::metrics::{self, Metrics};
use crate::outbound::Outbound;
use crate::outbound::resolve::Resolver;
use crate::queue_admin::QueueAdmin;
use crate::queue_summary::QueueSummary;
use crate::recipients::Recipients;
use crate::report::Schedule;
use crate::route::Routes;
use crate::scheduler::{Limits, Scheduler};
use crate::times::Times;

/// The other agents that the mta calls.
#[derive(Clone)]
pub struct Parts {
    /// Who is ours.
    pub directory: Arc<dyn Directory>,
    /// The way into mailboxes.
    pub delivery: Arc<dyn Delivery>,
}

/// An mta at work.
pub struct Mta {
    intake: Intake,
    admin: QueueAdmin,
    summary: Arc<QueueSummary>,
}

impl Mta {
    /// Opens the queue, starts the scheduler and listens on port 25 where configured. Ends when `context` says so, once nobody
    /// hands in mail any more.
    ///
    /// # Errors
    /// When the configuration cannot be meant, the queue cannot be opened, or an address cannot be listened on.
    pub async fn open(config: &Config, parts: Parts, context: &Context) -> anyhow::Result<Self> {
        let settings = &config.mta;
        let host = Domain::parse(&config.service.hostname()).context("service.hostname is no domain name")?;
        let clock = Arc::clone(&context.clock);
        let now: queue::Now = Arc::new(move || Timestamp::from(clock.now()));
        let queue = open_queue(&config.queue, now, context).await?;
        let admin = QueueAdmin(Views::open(&config.queue.url).await.map_err(stop)?);
        let recipients = Recipients {
            directory: Arc::clone(&parts.directory),
            routes: Arc::new(Routes::new(
                &settings.routes,
                settings.smart_host.as_ref(),
                config.service.sandbox,
            )),
            times: Times {
                expire: settings.retry.expire.get(),
                delay_notice: settings.retry.delay_notice.get(),
            },
            expansion: settings.intake.expansion,
        };
        let dispatcher = Arc::new(Dispatcher::new(
            Scheduler::new(limits(settings)),
            queue.clone(),
            ContentMemory::new(settings.outbound.content_memory.as_usize()),
            Arc::clone(&context.clock),
            settings.retry.expire.get(),
        ));
        let metrics = Metrics::default();
        let attempts = Attempts {
            queue: queue.clone(),
            local: Local(parts.delivery),
            outbound: outbound(settings, host.as_str())?,
            recipients: recipients.clone(),
            schedule: Schedule::new(&settings.retry),
            returned_size: settings.retry.returned_size.as_usize(),
            host: host.clone(),
            clock: Arc::clone(&context.clock),
            metrics: metrics.clone(),
        };
        let closing = CancellationToken::new();
        let intake = Intake {
            queue: queue.clone(),
            recipients,
            admin: admin.clone(),
            dispatcher: Arc::clone(&dispatcher),
            hops: settings.intake.hops,
            clock: Arc::clone(&context.clock),
            metrics,
            open: Arc::new(closing.clone().drop_guard()),
        };
        let summary = Arc::new(QueueSummary {
            views: admin.0.clone(),
            dispatcher: Arc::clone(&dispatcher),
            clock: Arc::clone(&context.clock),
        });
        run_queue(queue, closing, context);
        run_dispatcher(dispatcher, Arc::new(attempts), &intake, context);
        let inbound = Inbound {
            intake: intake.clone(),
            directory: parts.directory,
            summary: Arc::<QueueSummary>::clone(&summary),
            host,
        };
        listen_mx(config, inbound, context)?;
        Ok(Self { intake, admin, summary })
    }

    /// Where the msa hands in mail.
    #[must_use]
    pub fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.intake.clone())
    }

    /// Shows the queue.
    #[must_use]
    pub fn queue_admin(&self) -> QueueAdmin {
        self.admin.clone()
    }

    /// Says how much waits.
    #[must_use]
    pub fn queue_summary(&self) -> Arc<dyn protocol::QueueSummary> {
        Arc::<QueueSummary>::clone(&self.summary)
    }

    /// Answers other agents over gRPC where configured.
    ///
    /// # Errors
    /// When the address cannot be listened on or certificates cannot be used.
    pub fn serve(&self, config: &Config, context: &Context) -> anyhow::Result<()> {
        let Some(address) = config.mta.listen.grpc else { return Ok(()) };
        let credentials = agent_files(config).load()?;
        let server = protocol::server::Builder::new(config.mta.grpc.clone(), credentials)
            .relay(Arc::new(self.intake.clone()))?
            .queue_admin(Arc::new(self.admin.clone()))?
            .queue_summary(self.queue_summary())?;
        server.check(address)?;
        let listener = net::bind(address, "mta.listen.grpc")?;
        context.listening.add("grpc", listener.local_addr()?);
        let stop = context.shutdown.token();
        context
            .shutdown
            .spawn("the gRPC server of the mta", async move { Ok(server.serve(listener, stop).await?) });
        Ok(())
    }
}

/// Starts the mta as a process of its own, with the mda across the network.
///
/// # Errors
/// As [`Mta::open`].
pub async fn start(config: Config, context: Context) -> anyhow::Result<()> {
    if config.mta.mda.endpoints.is_empty() {
        let problem = "name the mda, as in mta.mda = \"https://mda:7026\"";
        return Err(ConfigError::invalid("mta.mda", problem).into());
    }
    let unusable = |key: &str, error: protocol::SetupError| ConfigError::invalid(key, error.to_string());
    let credentials = agent_files(&config).load().map_err(|error| unusable("tls.agents", error))?;
    let peers = Peers::new(config.mta.mda.clone(), credentials.as_ref())
        .map_err(|error| unusable("mta.mda", error))?;
    let parts = Parts {
        directory: Arc::new(DirectoryClient::new(peers.clone())),
        delivery: Arc::new(DeliveryClient::new(peers)),
    };
    let mta = Mta::open(&config, parts, &context).await?;
    mta.serve(&config, &context)
}

/// Opens the queue, and waits for a Postgres that is not there yet: what runs in containers starts in any order.
async fn open_queue(settings: &queue::Settings, now: queue::Now, context: &Context) -> anyhow::Result<Queue> {
    const AGAIN: Duration = Duration::from_secs(1);
    let may_come = settings.url.starts_with("postgres");
    let condition = context.readiness.condition("mta.queue.database");
    loop {
        match Queue::open(settings.clone(), Arc::clone(&now)).await {
            Ok(queue) => {
                condition.ready();
                return Ok(queue);
            }
            Err(error @ (OpenError::Connect(_) | OpenError::Register(_)))
                if may_come && !context.shutdown.has_begun() =>
            {
                tracing::warn!(%error, "waiting for the queue's database");
                condition.not_ready(error.to_string());
            }
            Err(error) => return Err(stop(error)),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = context.shutdown.begun() => {}
        }
    }
}

/// With the exit code that the fault of opening the queue stands for.
fn stop(error: OpenError) -> anyhow::Error {
    let code = exit_code(&error);
    anyhow::Error::from(Stop::new(code, error))
}

/// The exit code that a fault of opening the queue stands for.
#[must_use]
pub fn exit_code(error: &OpenError) -> Code {
    match error {
        OpenError::Url(_) | OpenError::InUse(_) | OpenError::Schema { .. } => Code::Config,
        OpenError::Connect(_) | OpenError::Register(_) => Code::Unavailable,
        OpenError::Folder { .. } => Code::System,
        OpenError::Migrate(_) => Code::Software,
    }
}

fn agent_files(config: &Config) -> protocol::tls::Files {
    let agents = config.tls.agents.clone();
    protocol::tls::Files {
        certificate_file: agents.certificate_file,
        key_file: agents.key_file,
        authority_file: agents.authority_file,
    }
}

fn limits(settings: &Settings) -> Limits {
    let outbound = &settings.outbound;
    Limits {
        ready: outbound.ready,
        attempts: outbound.attempts,
        attempts_per_destination: outbound.attempts_per_destination,
        local_deliveries: outbound.local_deliveries,
        recipients_per_transaction: outbound.recipients_per_transaction,
        failures_before_suspension: outbound.failures_before_suspension,
        suspensions: settings.retry.delays.iter().map(|delay| delay.get()).collect(),
    }
}

fn outbound(settings: &Settings, hostname: &str) -> anyhow::Result<Outbound> {
    let resolver = Resolver::new(&settings.dns, hostname, settings.outbound.hosts)
        .context("DNS cannot be set up; name servers in mta.dns.servers or repair /etc/resolv.conf")?;
    Ok(Outbound::new(resolver, &settings.outbound, hostname)?)
}

/// The queue closes when the last of those who hand in mail is gone, so that nothing accepted is cut off.
fn run_queue(queue: Queue, closing: CancellationToken, context: &Context) {
    let condition = context.readiness.condition("mta.queue");
    let mut lanes = queue.lanes();
    tokio::spawn(async move {
        loop {
            if lanes.borrow_and_update().is_empty() {
                condition.not_ready(
                    "no lane of the queue is owned: its database does not answer, or others own all",
                );
            } else {
                condition.ready();
            }
            if lanes.changed().await.is_err() {
                return;
            }
        }
    });
    context.shutdown.spawn("the queue", async move {
        queue.run(closing).await;
        Ok(())
    });
}

fn run_dispatcher(dispatcher: Arc<Dispatcher>, attempts: Arc<Attempts>, intake: &Intake, context: &Context) {
    let (stop, open) = (context.shutdown.token(), Arc::clone(&intake.open));
    let reaper = attempts.outbound.clone();
    let gauges = metrics::gauges(&dispatcher);
    context.shutdown.spawn("the scheduler", async move {
        tokio::select! {
            () = dispatcher.run(attempts, stop) => {}
            () = reaper.reap() => {}
        }
        drop((open, gauges));
        Ok(())
    });
}

fn listen_mx(config: &Config, agent: Inbound, context: &Context) -> anyhow::Result<()> {
    let Some(address) = config.mta.listen.mx else { return Ok(()) };
    let inbound = &config.mta.inbound;
    let tls = starttls(&config.tls, context)?;
    let settings = config.limits.apply(server::Settings {
        hostname: agent.host.to_string(),
        max_size: inbound.message_size.as_usize(),
        max_recipients: inbound.recipients,
        max_errors: u32::try_from(inbound.errors).unwrap_or(u32::MAX),
        max_sessions: inbound.sessions,
        greeting_delay: inbound.greeting_delay.get(),
        proxy_from: config.mta.proxy_from.to_vec(),
        policy: Policy {
            min_deliver_by: u32::try_from(inbound.deliver_by.as_secs()).unwrap_or(u32::MAX),
            verify_from: config.mta.verify_from.to_vec(),
            etrn_from: config.mta.etrn_from.to_vec(),
            xclient_from: config.mta.xclient_from.to_vec(),
            verbs_from: config.mta.verbs_from.to_vec(),
            ..Policy::default()
        },
        timeouts: server::Timeouts { command: inbound.idle.get(), ..server::Timeouts::default() },
        message_memory: Budget::new(inbound.message_memory.as_usize()),
        memory_wait: inbound.memory_wait.get(),
        ..server::Settings::default()
    });
    let listener = net::bind(address, "mta.listen.mx")?;
    context.listening.add("mx", listener.local_addr()?);
    let stop = context.shutdown.token();
    context.shutdown.spawn("the SMTP server of the mta", async move {
        server::serve(listener, Arc::new(settings), Arc::new(agent), tls, stop).await;
        Ok(())
    });
    Ok(())
}

/// STARTTLS where there is a certificate, which is read again whenever it changes.
fn starttls(files: &Tls, context: &Context) -> Result<TlsMode, ConfigError> {
    let (certificate, key) = match (&files.certificate_file, &files.key_file) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(TlsMode::None),
        (Some(_), None) => {
            return Err(ConfigError::invalid("tls.key_file", "not given, but tls.certificate_file is"));
        }
        (None, Some(_)) => {
            return Err(ConfigError::invalid("tls.certificate_file", "not given, but tls.key_file is"));
        }
    };
    let files = CertificateFiles::load(certificate, key)
        .map_err(|error| ConfigError::invalid("tls.certificate_file", error.to_string()))?;
    let mode = TlsMode::StartTls(Arc::clone(files.tls()));
    let stop = context.shutdown.token();
    context.shutdown.spawn("the watch over the certificate", async move {
        files.keep_current(stop).await;
        Ok(())
    });
    Ok(mode)
}
