//! The life of a process: telemetry, health, start, ready, stop, drain, flush. The same for one agent and for all of them
//! in one process.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{Service, Telemetry};
use crate::health::{self, Condition, Readiness};
use crate::listening::Listening;
use crate::net;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Metrics};

/// How long the last traces, metrics and logs may take to leave.
const FLUSH: Duration = Duration::from_secs(5);

/// What a process gives to the agents in it. Agents in one process share it; clones are the same.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where an agent says whether it can do its work.
    pub readiness: Readiness,
    /// The end of the process, and the tasks that it waits for.
    pub shutdown: Shutdown,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where an agent says what it listens on.
    pub listening: Listening,
}

impl Default for Context {
    fn default() -> Context {
        Context {
            readiness: Readiness::default(),
            shutdown: Shutdown::default(),
            clock: Arc::new(SystemClock),
            listening: Listening::default(),
        }
    }
}

/// What the life of a process depends on.
#[derive(Debug, Clone)]
pub struct Host {
    /// The program's name, for telemetry.
    pub program: &'static str,
    /// The table `[service]`.
    pub service: Service,
    /// The table `[telemetry]`.
    pub telemetry: Telemetry,
    /// Where to write the bound addresses once everything serves (`--ready-file`).
    pub ready_file: Option<PathBuf>,
}

/// Runs a process to its end.
///
/// `start` makes the agents and returns once they are at work: it binds what they listen on, enters their conditions of
/// readiness, and leaves their loops in [`Context::shutdown`] as tasks. The process is ready when all conditions hold; it
/// ends by a signal, by the failure of such a task, or by an error of `start`.
pub async fn run<F, S>(host: Host, start: F) -> anyhow::Result<()>
where
    F: FnOnce(Context) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    let telemetry = telemetry::install(&host.telemetry, host.program)?;
    let context = Context::default();
    // Health is served to the very end, longer than all else.
    let end = CancellationToken::new();
    let lived = live(&host, &context, telemetry.metrics(), end.clone(), start).await;
    context.shutdown.begin();
    context.shutdown.drain(host.service.shutdown_grace.get()).await;
    end.cancel();
    telemetry.shutdown(FLUSH).await;
    lived
}

/// From the start until the end begins.
async fn live<F, S>(
    host: &Host,
    context: &Context,
    metrics: Metrics,
    end: CancellationToken,
    start: F,
) -> anyhow::Result<()>
where
    F: FnOnce(Context) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    context.shutdown.on_signals().context("cannot wait for signals")?;
    if let Some(path) = &host.ready_file {
        remove_stale(path)?;
    }
    let started = context.readiness.condition("service");
    serve_health(host, context, metrics, end)?;
    tokio::select! {
        result = start(context.clone()) => result?,
        () = context.shutdown.begun() => {}
    }
    if !context.shutdown.has_begun() {
        started.ready();
        serve(host, context, &started).await?;
    }
    context.shutdown.take_failure().map_or(Ok(()), Err)
}

/// Says when the process is ready, and waits for its end.
async fn serve(host: &Host, context: &Context, started: &Condition) -> anyhow::Result<()> {
    tokio::select! {
        () = context.readiness.ready() => announce(host, context)?,
        () = context.shutdown.begun() => {}
    }
    context.shutdown.begun().await;
    started.not_ready("stopping");
    Ok(())
}

fn announce(host: &Host, context: &Context) -> anyhow::Result<()> {
    let addresses: Vec<String> =
        context.listening.all().iter().map(|(name, address)| format!("{name} {address}")).collect();
    tracing::info!(program = host.program, listening = addresses.join(", "), "ready");
    if let Some(path) = &host.ready_file {
        context
            .listening
            .write(path)
            .with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }
    Ok(())
}

/// A file that an earlier process left would say "ready" too early.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old ready file {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn serve_health(
    host: &Host,
    context: &Context,
    metrics: Metrics,
    end: CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = host.service.listen.health else { return Ok(()) };
    let listener = net::bind(address, "service.listen.health")?;
    context.listening.add("health", listener.local_addr()?);
    let shutdown = context.shutdown.clone();
    let serving = health::serve(listener, context.readiness.clone(), metrics, end);
    // Not one of the tasks that the end waits for: it is served until they have ended.
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            shutdown.fail(error.context("health is no longer served"));
        }
    });
    Ok(())
}
