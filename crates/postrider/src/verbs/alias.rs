//! `postrider alias`: addresses that stand for others.

use clap::Subcommand;
use mail::{Alias, Domain, Mailbox};

use super::{Done, List};
use crate::access;
use crate::output::{Output, Show, Style, table};
use crate::settings::Place;

/// What can be done with aliases.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make an alias, or give it other targets
    Add {
        /// The address, as in sales@example.org; *@example.org catches what nothing else of the domain takes
        address: String,
        /// Where its mail goes, here or elsewhere
        #[arg(required = true, value_name = "TARGET")]
        targets: Vec<Mailbox>,
    },
    /// List the aliases
    List {
        /// Only those of this domain
        #[arg(long)]
        domain: Option<Domain>,
    },
    /// Remove an alias
    Remove {
        /// The address
        address: String,
    },
}

impl Show for List<Alias> {
    fn text(&self, style: Style) -> String {
        let row = |alias: &Alias| {
            let targets: Vec<String> = alias.targets.iter().map(ToString::to_string).collect();
            [alias.address.clone(), targets.join(", ")]
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        table(style, ["ADDRESS", "GOES TO"], &rows, "No alias yet.")
    }
}

/// Does it.
pub(crate) async fn run(verb: Verb, place: &Place, output: Output) -> anyhow::Result<()> {
    let admin = access::directory(place).await?;
    match verb {
        Verb::Add { address, targets } => {
            let alias = Alias { address, targets };
            admin.set_alias(&alias).await?;
            let targets: Vec<String> = alias.targets.iter().map(ToString::to_string).collect();
            output.show(&Done::new(format!("Mail for {} goes to {}.", alias.address, targets.join(", "))))
        }
        Verb::List { domain } => output.show(&List(admin.aliases(domain.as_ref()).await?)),
        Verb::Remove { address } => {
            admin.remove_alias(&address).await?;
            output.show(&Done::new(format!("{address} is no alias any more.")))
        }
    }
}
