//! `postrider domain`: the domains whose mail is ours.

use clap::Subcommand;
use mail::Domain;

use super::{Done, List};
use crate::access;
use crate::output::{Output, Show, Style};
use crate::settings::Place;

/// What can be done with domains.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take mail for a domain
    Add {
        /// The domain, as in example.org
        domain: Domain,
    },
    /// List the domains
    List,
    /// Give a domain up; its accounts and aliases must be gone first
    Remove {
        /// The domain
        domain: Domain,
    },
}

impl Show for List<Domain> {
    fn text(&self, _: Style) -> String {
        if self.0.is_empty() {
            return "No domain yet. Add one with: postrider domain add example.org".to_owned();
        }
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Does it.
pub(crate) async fn run(verb: Verb, place: &Place, output: Output) -> anyhow::Result<()> {
    let admin = access::directory(place).await?;
    match verb {
        Verb::Add { domain } => {
            admin.add_domain(&domain).await?;
            output.show(&Done::new(format!("Mail for {domain} is taken from now on.")))
        }
        Verb::List => output.show(&List(admin.domains().await?)),
        Verb::Remove { domain } => {
            admin.remove_domain(&domain).await?;
            output.show(&Done::new(format!("Mail for {domain} is not taken any more.")))
        }
    }
}
