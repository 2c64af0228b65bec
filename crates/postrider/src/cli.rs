//! The command line: which verbs there are, and who does each.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use protocol::ErrorKind;
use queue::OpenError;
use service::exit::{self, Code, Stop};

use crate::certificates::{self, Certificates};
use crate::output::Output;
use crate::send::{self, Send};
use crate::settings::{COMMON, Place};
use crate::up::{self, Up};
use crate::verbs::{Done, account, alias, config, domain, mail, migrate, queue as queue_verb};

/// A mail system: takes mail, queues it durably, and brings it to mailboxes here or to the next server.
///
/// Start with `postrider up`: it runs everything on this machine and says what to do next.
/// All other commands work on the same data folder, while it runs and while it does not,
/// or on agents elsewhere that a configuration names in the table [admin].
#[derive(Debug, Parser)]
#[command(name = "postrider", version, arg_required_else_help = true, verbatim_doc_comment)]
struct CommandLine {
    #[command(flatten)]
    place: Place,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run everything in one process: submission, transfer, delivery, queue, mailboxes
    Up(Up),
    /// Who has a mailbox here, what it may send as and how much: add, list, show, grant, limit…
    #[command(subcommand)]
    Account(account::Verb),
    /// The domains whose mail is ours: add, list, remove
    #[command(subcommand)]
    Domain(domain::Verb),
    /// Addresses that stand for others: add, list, remove
    #[command(subcommand)]
    Alias(alias::Verb),
    /// Look into mailboxes: list, show
    #[command(subcommand)]
    Mail(mail::Verb),
    /// The messages that wait, and what happened to one: list, show
    #[command(subcommand)]
    Queue(queue_verb::Verb),
    /// Send a message to any SMTP server, for trying things
    Send(Send),
    /// Print the configuration in force
    Config(config::Config),
    /// Bring the databases up to date
    Migrate(migrate::Migrate),
    /// Make certificates for agents that run apart
    Certificates(Certificates),
    /// Ask a running process whether it is ready (exit code 0 if it is)
    Healthcheck {
        /// Where its health is served; service.listen.health by default
        address: Option<SocketAddr>,
    },
}

/// Reads the command line and obeys it.
pub(crate) fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help and version come this way too. If they cannot be printed there is nowhere to say so.
            let _ = error.print();
            return if error.use_stderr() { Code::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match obey(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report("postrider", &with_code(error)),
    }
}

fn obey(CommandLine { place, json, verb }: CommandLine) -> anyhow::Result<()> {
    let output = Output::new(json);
    match verb {
        Verb::Up(arguments) => up::run(arguments, &place, output),
        Verb::Account(verb) => service::block_on(account::run(verb, &place, output))?,
        Verb::Domain(verb) => service::block_on(domain::run(verb, &place, output))?,
        Verb::Alias(verb) => service::block_on(alias::run(verb, &place, output))?,
        Verb::Mail(verb) => service::block_on(mail::run(verb, &place, output))?,
        Verb::Queue(verb) => service::block_on(queue_verb::run(verb, &place, output))?,
        Verb::Send(arguments) => service::block_on(send::run(&arguments, output))?,
        Verb::Config(arguments) => config::run(&arguments, &place, output),
        Verb::Migrate(arguments) => service::block_on(migrate::run(&arguments, &place, output))?,
        Verb::Certificates(arguments) => certificates::run(&arguments, output),
        Verb::Healthcheck { address } => service::block_on(healthcheck(address, &place, output))?,
    }
}

async fn healthcheck(address: Option<SocketAddr>, place: &Place, output: Output) -> anyhow::Result<()> {
    let address = match address {
        Some(address) => address,
        None => place.read()?.service.listen.health.context("service.listen.health is not given")?,
    };
    service::health::healthcheck(address).await?;
    output.show(&Done::new(format!("{address} is ready.")))
}

/// Gives the errors of agents and stores the exit codes that they stand for.
fn with_code(error: anyhow::Error) -> anyhow::Error {
    let code = match error.downcast_ref::<protocol::Error>().map(|error| error.kind) {
        Some(ErrorKind::Unavailable | ErrorKind::Overloaded) => Code::Temporary,
        Some(ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Rejected) => Code::Data,
        Some(ErrorKind::Unknown | ErrorKind::Internal) => return error,
        None => match error.downcast_ref::<OpenError>() {
            Some(error) => mta::exit_code(error),
            None => return error,
        },
    };
    anyhow::Error::from(Stop::new(code, error))
}
