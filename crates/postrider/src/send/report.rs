//! What the server said about it all.

use std::time::Duration;

use mail::{Mailbox, Status};
use serde::Serialize;
use service::exit::{Code, Stop};

use crate::output::{Show, Style, clean};

/// Replies of one kind are named, not listed one by one, and no more kinds than these.
const KINDS: usize = 10;

/// The outcome of one or many transactions.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    messages: u64,
    accepted: u64,
    refused: u64,
    seconds: f64,
    replies: Vec<Reply>,
    #[serde(skip)]
    to: Vec<Mailbox>,
}

/// What was said about one recipient, or about many of them.
#[derive(Debug, Serialize)]
struct Reply {
    recipient: Mailbox,
    status: Status,
}

impl Report {
    pub(super) fn new(to: Vec<Mailbox>) -> Self {
        Self { messages: 0, accepted: 0, refused: 0, seconds: 0.0, replies: Vec::new(), to }
    }

    /// One transaction's statuses, in the order of the recipients.
    pub(super) fn add(&mut self, statuses: Vec<Status>) {
        self.messages += 1;
        for (recipient, status) in self.to.iter().zip(statuses) {
            if status.is_success() {
                self.accepted += 1;
            } else {
                self.refused += 1;
            }
            let known = |reply: &Reply| reply.recipient == *recipient && reply.status.code == status.code;
            if self.replies.len() < KINDS.max(self.to.len()) && !self.replies.iter().any(known) {
                self.replies.push(Reply { recipient: recipient.clone(), status });
            }
        }
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }

    /// An error where anything was refused.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let Some(first) = self.replies.iter().find(|reply| !reply.status.is_success()) else { return Ok(()) };
        let code = if first.status.is_transient() { Code::Temporary } else { Code::Data };
        let what = match self.refused + self.accepted {
            1 => "the recipient was refused".to_owned(),
            all => format!("{} of {all} recipients were refused", self.refused),
        };
        Err(Stop::new(code, anyhow::Error::msg(what)).into())
    }
}

impl Show for Report {
    fn text(&self, style: Style) -> String {
        let reply = |reply: &Reply| {
            let status = clean(&reply.status.to_string(), 300);
            let status = if reply.status.is_success() { status } else { style.bold(&status) };
            format!("{}: {status}", reply.recipient)
        };
        let mut lines: Vec<String> = self.replies.iter().map(reply).collect();
        if self.messages > 1 {
            let rate = if self.seconds > 0.0 {
                f64::from(u32::try_from(self.messages).unwrap_or(u32::MAX)) / self.seconds
            } else {
                0.0
            };
            lines.push(format!(
                "{} messages in {:.1} s ({rate:.0} a second); recipients: {} accepted, {} refused",
                self.messages, self.seconds, self.accepted, self.refused
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_equal_replies_are_told_once() {
        let mut report = Report::new(vec!["a@b.test".parse().unwrap(), "c@d.test".parse().unwrap()]);
        for _ in 0..100 {
            report.add(vec![
                Status::new(250, (2, 0, 0), "queued"),
                Status::new(550, (5, 1, 1), "no such user"),
            ]);
        }
        assert_eq!((report.accepted, report.refused, report.replies.len()), (100, 100, 2));
        assert_eq!(report.verdict().unwrap_err().to_string(), "100 of 200 recipients were refused");
        let text = report.text(Style::default());
        assert!(
            text.starts_with("a@b.test: 250 2.0.0 queued\nc@d.test: 550 5.1.1 no such user\n100 messages"),
            "{text}"
        );
    }
}
