//! The command line that all agents share, and the way from there to a running process.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Command, FromArgMatches, Subcommand};

use crate::config::{ConfigError, Settings, Source, print};
use crate::exit::{self, Code};
use crate::health::healthcheck;
use crate::host::{Context, Host, run};

/// How long blocking work may go on after everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// The options that every program of the project has.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Set one configuration key, as in mta.listen.mx=127.0.0.1:2500 (repeatable; wins over file and environment)
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// Write the bound addresses there, as JSON, once everything serves
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

impl Options {
    /// Where the configuration comes from.
    pub fn source(&self) -> Source {
        Source::new(self.config.clone(), self.set.clone())
    }
}

/// The command line of an agent.
#[derive(Debug, Args)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// Check the configuration, print what is in force, and end
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ask the running process whether it is ready (exit code 0 if it is)
    Healthcheck {
        /// Where its health is served; service.listen.health by default
        address: Option<SocketAddr>,
    },
}

/// A verb of an agent's own: work that is done once, with the agent's configuration and without the life of a process
/// around it.
pub struct Task<T> {
    /// The verb.
    pub name: &'static str,
    /// What `--help` says of it.
    pub about: &'static str,
    /// The work.
    pub work: fn(T) -> Work,
}

/// Work under way.
pub type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// The whole of an agent's `main`: reads the command line and the configuration into `T`, and runs what `start` makes of it
/// until it ends (see [`crate::host::run`]). Exit codes after `sysexits.h`.
pub fn main<T, F, S>(program: &'static str, about: &'static str, start: F) -> ExitCode
where
    T: Settings,
    F: FnOnce(T, Context) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    main_with(program, about, &[], start)
}

/// As [`main`], for an agent that has verbs of its own.
pub fn main_with<T, F, S>(program: &'static str, about: &'static str, tasks: &[Task<T>], start: F) -> ExitCode
where
    T: Settings,
    F: FnOnce(T, Context) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    // Named afterwards: the derived part brings the description of its struct along.
    let command = CommandLine::augment_args(Command::new(program))
        .about(about)
        .long_about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(tasks.iter().map(|task| Command::new(task.name).about(task.about)));
    let ended = command.try_get_matches().and_then(|matches| {
        match tasks.iter().find(|task| matches.subcommand_name() == Some(task.name)) {
            Some(task) => Options::from_arg_matches(&matches).map(|options| once(&options, task)),
            None => CommandLine::from_arg_matches(&matches).map(|line| obey(program, line, start)),
        }
    });
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => exit::report(program, &error),
        Err(error) => {
            // Help and version come this way too. If they cannot be printed there is nowhere to say so.
            let _ = error.print();
            if error.use_stderr() { Code::Usage.into() } else { ExitCode::SUCCESS }
        }
    }
}

fn once<T: Settings>(options: &Options, task: &Task<T>) -> anyhow::Result<()> {
    block_on((task.work)(T::read(&options.source())?))?
}

fn obey<T, F, S>(program: &'static str, command_line: CommandLine, start: F) -> anyhow::Result<()>
where
    T: Settings,
    F: FnOnce(T, Context) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    let CommandLine { options, check, verb } = command_line;
    if let Some(Verb::Healthcheck { address: Some(address) }) = verb {
        return block_on(healthcheck(address))?;
    }
    let settings = T::read(&options.source())?;
    if let Some(Verb::Healthcheck { address: None }) = verb {
        let address = settings.service().listen.health.ok_or_else(|| {
            ConfigError::invalid("service.listen.health", "not given, so there is no health to ask for")
        })?;
        return block_on(healthcheck(address))?;
    }
    if check {
        return Ok(std::io::stdout().write_all(print(&settings)?.as_bytes())?);
    }
    let host = Host {
        program,
        service: settings.service().clone(),
        telemetry: settings.telemetry().clone(),
        ready_file: options.ready_file,
    };
    block_on(run(host, |context| start(settings, context)))?
}

/// Runs a future on the runtime that programs of the project use, one worker for each processor.
pub fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads to work on")?;
    let output = runtime.block_on(future);
    runtime.shutdown_timeout(LAST_WORK);
    Ok(output)
}
