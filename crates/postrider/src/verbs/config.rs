//! `postrider config`: what is in force.

use clap::Args;
use serde::Serialize;

use super::Done;
use crate::output::{Output, Show, Style};
use crate::settings::{Place, Settings};

/// The arguments of `postrider config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Only say whether it can be used (exit code 78 if not)
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct InForce(Settings);

impl Show for InForce {
    fn text(&self, _: Style) -> String {
        service::config::print(&self.0).unwrap_or_default().trim_end().to_owned()
    }
}

/// Reads it, and prints it where that is wanted.
pub(crate) fn run(arguments: &Config, place: &Place, output: Output) -> anyhow::Result<()> {
    let settings = place.read()?;
    if arguments.check {
        return output.show(&Done::new("The configuration can be used.".to_owned()));
    }
    show(settings, output)
}

/// Prints a configuration, secrets redacted.
pub(crate) fn show(settings: Settings, output: Output) -> anyhow::Result<()> {
    output.show(&InForce(settings))
}
