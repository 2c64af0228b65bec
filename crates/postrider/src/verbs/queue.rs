//! `postrider queue`: the messages that wait, and what happened to one.

use std::time::SystemTime;

use clap::Subcommand;
use mail::timeline::{MessageView, PendingState, PendingView};
use mail::{QueueId, Timestamp};
use protocol::MessageFilter;
use serde::Serialize;

use super::List;
use super::mail::clock;
use crate::access;
use crate::output::{Output, Show, Style, ago, clean, size, table};
use crate::settings::Place;

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the messages that wait, newest first
    List {
        /// Only with this in the sender's address
        #[arg(long, value_name = "TEXT")]
        from: Option<String>,
        /// Only with this in the address of a recipient who waits
        #[arg(long, value_name = "TEXT")]
        to: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Only messages before this one: the last of the page before
        #[arg(long, value_name = "ID")]
        before: Option<QueueId>,
    },
    /// Show one message, waiting or finished, and what happened to it
    Show {
        /// Its queue id, from the reply to the client or from `queue list`; that of one of its recipients does as well
        #[arg(value_parser = of_message)]
        id: QueueId,
    },
}

/// The message's part of an id: HTTP submission gives each recipient one, behind a hyphen.
fn of_message(text: &str) -> Result<QueueId, String> {
    let (id, number) = text.split_once('-').unwrap_or((text, "0"));
    number.parse::<u16>().map_err(|_| "behind the hyphen stands a recipient's number".to_owned())?;
    id.parse::<QueueId>().map_err(|error| error.to_string())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Detail(MessageView);

/// Does it.
pub(crate) async fn run(verb: Verb, place: &Place, output: Output) -> anyhow::Result<()> {
    let queue = access::queue(place).await?;
    match verb {
        Verb::List { from, to, limit, before } => {
            let filter = MessageFilter { sender: from, recipient: to, limit, before };
            output.show(&List(queue.list(&filter).await?))
        }
        Verb::Show { id } => output.show(&Detail(queue.show(id).await?)),
    }
}

impl Show for List<MessageView> {
    fn text(&self, style: Style) -> String {
        let now = Timestamp::from(SystemTime::now());
        let row = |view: &MessageView| {
            let first = view.pending.first();
            let to = first.map_or_else(String::new, |pending| pending.forward_path.to_string());
            let more = view.pending.len().saturating_sub(1);
            [
                view.id.to_string(),
                ago(now.since(view.accepted_at)),
                size(view.size),
                clean(&sender(view), 36),
                if more > 0 { format!("{} and {more} more", clean(&to, 36)) } else { clean(&to, 36) },
                first.map_or_else(String::new, |pending| standing(pending, now)),
            ]
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        table(style, ["ID", "AGE", "SIZE", "FROM", "TO", "NEXT"], &rows, "The queue is empty.")
    }
}

impl Show for Detail {
    fn text(&self, style: Style) -> String {
        let view = &self.0;
        let now = Timestamp::from(SystemTime::now());
        let mut lines = vec![
            format!("Message   {}", style.bold(&view.id.to_string())),
            format!("From      {}", clean(&sender(view), 320)),
            format!("Accepted  {} UTC, {} ago", clock(view.accepted_at), ago(now.since(view.accepted_at))),
            format!("Size      {}", size(view.size)),
        ];
        if let Some(account) = &view.account {
            lines.push(format!("Account   {account}"));
        }
        if let Some(trace) = &view.trace_id {
            lines.push(format!("Trace     {trace}"));
        }
        if let Some(tick) = &view.tick {
            lines.push(format!("Tick      {}", clean(tick, 64)));
        }
        if !view.pending.is_empty() {
            lines.push(String::new());
            let row = |pending: &PendingView| {
                let status = pending.last_status.as_ref().map_or_else(String::new, ToString::to_string);
                [
                    pending.forward_path.to_string(),
                    pending.destination.clone(),
                    pending.attempts.to_string(),
                    standing(pending, now),
                    clean(&status, 120),
                ]
            };
            let rows: Vec<_> = view.pending.iter().map(row).collect();
            lines.push(table(style, ["WAITS FOR", "NEXT HOP", "ATTEMPTS", "NEXT", "LAST HEARD"], &rows, ""));
        }
        if !view.timeline.is_empty() {
            lines.push(String::new());
            let rows: Vec<_> = view
                .timeline
                .iter()
                .map(|entry| {
                    let mut said = entry.status.to_string();
                    if let Some(remote) = &entry.remote {
                        said = format!("{remote}: {said}");
                    }
                    let action = format!("{} ({})", entry.action, entry.attempt);
                    [clock(entry.at), entry.forward_path.to_string(), action, clean(&said, 160)]
                })
                .collect();
            lines.push(table(
                style,
                ["WHEN (UTC)", "RECIPIENT", "WHAT (ATTEMPT)", "WHO SAID WHAT"],
                &rows,
                "",
            ));
        }
        lines.join("\n")
    }
}

fn sender(view: &MessageView) -> String {
    view.reverse_path.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string)
}

/// When it is tried next.
fn standing(pending: &PendingView, now: Timestamp) -> String {
    match (pending.state, pending.next_attempt_at) {
        (PendingState::Held, _) => "held".to_owned(),
        (PendingState::Fresh, _) | (PendingState::Deferred, None) => "now".to_owned(),
        (PendingState::Deferred, Some(at)) if at <= now => "now".to_owned(),
        (PendingState::Deferred, Some(at)) => format!("in {}", ago(at.since(now))),
    }
}
