//! `postrider migrate`: brings the databases up to date, once, before agents start.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use service::config::{Duration as Wait, SecretUrl};
use service::exit::{Code, Stop};
use tokio::time::{Instant, sleep};

use crate::output::{Output, Show, Style, aside};
use crate::settings::{Place, Settings};

/// Between two tries to reach a database.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a start waits for its databases.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The arguments of `postrider migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// How long to wait for a database that cannot be reached yet
    #[arg(long, default_value = "60s", value_name = "TIME")]
    wait: Wait,
}

#[derive(Debug, Serialize)]
struct Migrated {
    queue: String,
    directory: String,
}

impl Show for Migrated {
    fn text(&self, _: Style) -> String {
        format!("Up to date: queue {}, directory {}", self.queue, self.directory)
    }
}

/// Migrates queue and directory, and says so.
pub(crate) async fn run(arguments: &Migrate, place: &Place, output: Output) -> anyhow::Result<()> {
    let settings = place.read()?;
    migrate(&settings, arguments.wait.get()).await?;
    let (queue, directory) = (SecretUrl::new(settings.queue.url), settings.directory.url);
    output.show(&Migrated { queue: queue.to_string(), directory: directory.to_string() })
}

/// Migrates queue and directory, waiting for databases that cannot be reached yet.
pub(crate) async fn migrate(settings: &Settings, wait: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + wait;
    let migrate = || queue::Queue::migrate(&settings.queue.url);
    patiently("queue.url", until, migrate, |error| matches!(error, queue::OpenError::Connect(_))).await?;
    let migrate = || directory::Directory::migrate(settings.directory.url.expose());
    patiently("directory.url", until, migrate, |error| matches!(error, directory::Error::Unavailable(_)))
        .await
}

/// Tries until it works, fails for good, or time is up.
async fn patiently<F, E>(
    key: &str,
    until: Instant,
    mut attempt: impl FnMut() -> F,
    may_pass: impl Fn(&E) -> bool,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut told = false;
    loop {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) if may_pass(&error) && Instant::now() + PAUSE < until => {
                if !told {
                    aside(&format!("{key}: waiting for the database: {error}"));
                    told = true;
                }
                sleep(PAUSE).await;
            }
            Err(error) => {
                let code = if may_pass(&error) { Code::Unavailable } else { Code::Config };
                let text = error.to_string();
                let error = Err(Stop::new(code, error).into());
                return if text.starts_with(key) { error } else { error.with_context(|| key.to_owned()) };
            }
        }
    }
}
