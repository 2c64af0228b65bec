//! `postrider account`: who has a mailbox here and may submit mail, as whom and how much.

use anyhow::Context;
use clap::Subcommand;
use mail::{Account, Domain, Mailbox, SenderPattern};
use protocol::{DirectoryAdmin, ErrorKind};
use serde::Serialize;

use super::limits::Limits;
use super::{Done, List};
use crate::access;
use crate::output::{Output, Show, Style, table};
use crate::password::{Password, PasswordSource};
use crate::settings::Place;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make an account, and its domain where that is new; without an option the password is asked for
    Add {
        /// The address, which is also the login
        address: Mailbox,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List the accounts
    List {
        /// Only those of this domain
        #[arg(long)]
        domain: Option<Domain>,
    },
    /// Show one account: what it may send as, its limits, and what it has used of them
    Show {
        /// The address
        address: Mailbox,
    },
    /// Let an account send as another address, from its next login on
    Grant {
        /// The address
        address: Mailbox,
        /// An address; '*@example.org' for all of a domain; '*@*' for every address there is
        pattern: SenderPattern,
    },
    /// Take a grant back; sessions that are logged in keep it until they end
    Revoke {
        /// The address
        address: Mailbox,
        /// As it was granted
        pattern: SenderPattern,
    },
    /// Limit how much an account may submit, from its next login on
    Limit {
        /// The address
        address: Mailbox,
        #[command(flatten)]
        limits: Limits,
    },
    /// Remove an account; its mail stays where it lies
    Remove {
        /// The address
        address: Mailbox,
    },
    /// Change an account's password; without an option it is asked for
    Password {
        /// The address
        address: Mailbox,
        #[command(flatten)]
        password: PasswordSource,
    },
}

/// An account with a new password.
#[derive(Debug, Serialize)]
struct Secured {
    address: Mailbox,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip)]
    what: &'static str,
}

impl Secured {
    fn new(address: Mailbox, password: Password, what: &'static str) -> Self {
        Self { address, password: password.generated.then_some(password.text), what }
    }
}

impl Show for Secured {
    fn text(&self, style: Style) -> String {
        match &self.password {
            None => format!("{} {}.", self.address, self.what),
            Some(password) => format!(
                "{} {}.\nPassword: {}  {}",
                self.address,
                self.what,
                style.bold(password),
                style.dim("(shown this once)")
            ),
        }
    }
}

impl Show for List<Account> {
    fn text(&self, style: Style) -> String {
        let row = |account: &Account| {
            let aliases = account.may_send_as.iter().map(ToString::to_string);
            let others: Vec<String> =
                aliases.chain(account.granted.iter().map(ToString::to_string)).collect();
            let date = account.created_at.to_string();
            let date = date.split('T').next().unwrap_or_default().to_owned();
            [account.address.to_string(), date, others.join(", ")]
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        let none = "No account yet. Add one with: postrider account add you@example.org";
        table(style, ["ADDRESS", "SINCE", "MAY ALSO SEND AS"], &rows, none)
    }
}

/// Does it.
pub(crate) async fn run(verb: Verb, place: &Place, output: Output) -> anyhow::Result<()> {
    // Before the password is asked for, so that nobody types one in vain.
    let admin = access::directory(place).await?;
    match verb {
        Verb::Add { address, password } => {
            let password = password.get()?;
            add(&*admin, &address, &password.text).await?;
            output.show(&Secured::new(address, password, "has an account"))
        }
        Verb::List { domain } => output.show(&List(admin.accounts(domain.as_ref()).await?)),
        Verb::Show { address } => output.show(&admin.account(&address).await?),
        Verb::Grant { address, pattern } => {
            admin.grant(&address, &pattern).await?;
            output.show(&Done::new(format!("{address} may send as {pattern}.")))
        }
        Verb::Revoke { address, pattern } => {
            admin.revoke(&address, &pattern).await?;
            output.show(&Done::new(format!("{address} may not send as {pattern} any more.")))
        }
        Verb::Limit { address, limits } => {
            admin.set_limits(&address, &limits.changes()).await?;
            output.show(&admin.account(&address).await?)
        }
        Verb::Remove { address } => {
            admin.remove_account(&address).await?;
            output
                .show(&Done::new(format!("{address} has no account any more; its mail stays where it lies.")))
        }
        Verb::Password { address, password } => {
            let password = password.get()?;
            admin.set_password(&address, &password.text).await?;
            output.show(&Secured::new(address, password, "has a new password"))
        }
    }
}

/// Makes an account, and its domain where that is new.
pub(crate) async fn add(admin: &dyn DirectoryAdmin, address: &Mailbox, password: &str) -> anyhow::Result<()> {
    let domain = address
        .domain()
        .with_context(|| format!("{address} has no domain; an account is called like you@example.org"))?;
    add_domain(admin, domain).await?;
    Ok(admin.add_account(address, password).await?)
}

/// Makes a domain ours, unless it is.
pub(crate) async fn add_domain(admin: &dyn DirectoryAdmin, domain: &Domain) -> anyhow::Result<()> {
    match admin.add_domain(domain).await {
        Err(error) if error.kind != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}
