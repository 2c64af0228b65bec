//! `postrider mail`: looks into mailboxes.

use anyhow::Context;
use clap::Subcommand;
use mail::{Mailbox, Timestamp};
use protocol::MailboxMessage;
use serde::Serialize;

use super::List;
use crate::access;
use crate::output::{Output, Show, Style, clean, size, table};
use crate::settings::Place;

/// What can be done with mailboxes.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the messages of a mailbox, newest first
    List {
        /// The mailbox
        address: Mailbox,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print a message
    Show {
        /// The mailbox
        address: Mailbox,
        /// The message's name, from `mail list`, or `latest`
        #[arg(default_value = LATEST)]
        name: String,
    },
}

/// In place of a name.
const LATEST: &str = "latest";

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    delivered_at: Timestamp,
    size: u64,
    seen: bool,
    from: String,
    subject: String,
}

impl From<MailboxMessage> for Entry {
    fn from(message: MailboxMessage) -> Self {
        let MailboxMessage { name, delivered_at, size, seen, from, subject } = message;
        Self { name, delivered_at, size, seen, from, subject }
    }
}

#[derive(Debug, Serialize)]
struct Message {
    name: String,
    /// Octets that are not UTF-8 are replaced; without `--json` they are printed as they are.
    content: String,
}

impl Show for Message {
    fn text(&self, _: Style) -> String {
        self.content.clone()
    }
}

impl Show for List<Entry> {
    fn text(&self, style: Style) -> String {
        let row = |entry: &Entry| {
            [
                clock(entry.delivered_at),
                clean(&entry.from, 36),
                clean(&entry.subject, 48),
                size(entry.size),
                entry.name.clone(),
            ]
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        table(style, ["DELIVERED (UTC)", "FROM", "SUBJECT", "SIZE", "NAME"], &rows, "No mail.")
    }
}

/// Does it.
pub(crate) async fn run(verb: Verb, place: &Place, output: Output) -> anyhow::Result<()> {
    let mailboxes = access::mailboxes(place).await?;
    match verb {
        Verb::List { address, limit } => {
            let messages = mailboxes.messages(&address, limit).await?;
            output.show(&List(messages.into_iter().map(Entry::from).collect()))
        }
        Verb::Show { address, name } => {
            let name = if name == LATEST {
                let newest = mailboxes.messages(&address, 1).await?.into_iter().next();
                newest.with_context(|| format!("there is no mail for {address}"))?.name
            } else {
                name
            };
            let content = mailboxes.message(&address, &name).await?;
            if output.is_json() {
                let content = String::from_utf8_lossy(&content.to_bytes()).into_owned();
                return output.show(&Message { name, content });
            }
            output.raw(&content.to_bytes())
        }
    }
}

/// A point in time to the second, UTC.
pub(crate) fn clock(time: Timestamp) -> String {
    time.to_string().chars().take(19).collect::<String>().replace('T', " ")
}
