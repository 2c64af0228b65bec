//! `postrider up`: all agents in one process, wired to each other directly, over one data folder. Nothing needs to be
//! installed or made before: databases, mailboxes and a certificate come into being at the first start.

mod accounts;
mod certificate;
mod welcome;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use mail::Domain;
use service::Context;
use service::host::{self, Host};

use crate::output::Output;
use crate::settings::{Place, Settings};
use crate::verbs::{config, migrate};
use accounts::{NewAccount, Wanted};
use welcome::{Welcome, quote};

/// The arguments of `postrider up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without options it is a sandbox on loopback: it takes mail for every domain and keeps it in local
mailboxes. With --relay, with a configuration file, or with mta.dns.servers or mta.smart_host set, it
sends mail for other domains out. Where service.sandbox is set, that decides.")]
pub(crate) struct Up {
    /// Send mail for other domains out, to the servers that DNS names
    #[arg(long)]
    relay: bool,
    /// Take mail for this domain (repeatable)
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<Domain>,
    /// Make this account, and its domain, where it is missing (repeatable)
    #[arg(long, value_name = "ADDRESS:PASSWORD")]
    account: Vec<NewAccount>,
    /// Write the bound addresses there, as JSON, once everything serves
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Print the configuration that would be in force, and end
    #[arg(long)]
    check: bool,
}

/// Runs until it is told to stop.
pub(crate) fn run(arguments: Up, place: &Place, output: Output) -> anyhow::Result<()> {
    let settings = read(&arguments, place)?;
    if arguments.check {
        return config::show(settings, output);
    }
    make_private(place.folder())?;
    let self_signed = certificate::ensure(place.folder(), &settings.tls, &settings.service.hostname())?;
    let host = Host {
        program: "postrider",
        service: settings.service.clone(),
        telemetry: settings.telemetry.clone(),
        ready_file: arguments.ready_file.clone(),
    };
    let wanted =
        Wanted { domains: arguments.domain, accounts: arguments.account, demo: place.config().is_none() };
    let welcome = Welcome {
        data: place.folder().to_owned(),
        sandbox: settings.service.sandbox,
        listening: std::collections::BTreeMap::new(),
        accounts: Vec::new(),
        http_insecure: settings.msa.http.insecure,
        self_signed,
        command: command(place),
    };
    let start = |context| Box::pin(start(settings, wanted, welcome, output, context));
    service::block_on(host::run(host, start))?
}

/// A folder that is made here is its owner's alone: it holds everybody's mail.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("--data: cannot make the folder {}", folder.display()))
}

/// A sandbox, unless somebody has said where mail is to go.
fn read(arguments: &Up, place: &Place) -> anyhow::Result<Settings> {
    let settings = place.read_with(true)?;
    let sends = arguments.relay
        || place.config().is_some()
        || !settings.mta.dns.servers.is_empty()
        || settings.mta.smart_host.is_some();
    if sends { Ok(place.read_with(false)?) } else { Ok(settings) }
}

/// Who is called comes before who calls; who listens to strangers comes last.
async fn start(
    settings: Settings,
    wanted: Wanted,
    welcome: Welcome,
    output: Output,
    context: Context,
) -> anyhow::Result<()> {
    migrate::migrate(&settings, migrate::PATIENCE).await?;
    let mda_config = settings.mda();
    let mda = mda::Mda::open(&mda_config, &context).await?;
    let mta_config = settings.mta();
    let parts = mta::Parts { directory: Arc::clone(&mda.directory), delivery: Arc::clone(&mda.delivery) };
    let mta = mta::Mta::open(&mta_config, parts, &context).await?;
    let others = msa::Others {
        relay: mta.relay(),
        directory: Arc::clone(&mda.directory),
        queue: mta.queue_summary(),
        quotas: Arc::clone(&mda.quotas),
    };
    msa::serve(&settings.msa(), others, &context).await?;
    if let Some(address) = mda_config.mda.listen.grpc {
        mda.serve(&mda_config, address, &context)?;
    }
    mda.attend(&context);
    mta.serve(&mta_config, &context)?;
    // Only now: a password that is shown once must not get lost by a port that is in use.
    let accounts = accounts::prepare(&*mda.admin, wanted).await?;
    tokio::spawn(greet(Welcome { accounts, ..welcome }, output, context));
    Ok(())
}

/// Says hello once everything serves.
async fn greet(mut welcome: Welcome, output: Output, context: Context) {
    tokio::select! {
        () = context.readiness.ready() => {}
        () = context.shutdown.begun() => return,
    }
    welcome.listening = context.listening.all();
    if let Err(error) = output.show(&welcome) {
        tracing::warn!(error = service::exit::sentence(&error), "what to do next could not be printed");
    }
}

/// How the user calls this program, with what leads to the same data.
fn command(place: &Place) -> String {
    let name = std::env::args().next().unwrap_or_else(|| "postrider".to_owned());
    let words: Vec<String> = std::iter::once(name).chain(place.options()).map(|word| quote(&word)).collect();
    words.join(" ")
}
