//! `postrider send`: a small client for trying things. Any host, port, TLS mode and login, one message or many.

mod message;
mod report;
mod server;

use std::io::Read;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use mail::{BodyType, Content, Envelope, ForwardPath, Mailbox, Origin, Recipient, ReversePath, Timestamp};
use service::config::Service;

use crate::output::{Output, Progress};
use message::{Attachment, Draft, crlf};
use report::Report;
use server::Server;

/// The arguments of `postrider send`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postrider send --login demo@localhost --from demo@localhost --to demo@localhost --subject Hello
  postrider send --port 1025 --from me@elsewhere.example --to demo@localhost -v
  postrider send --host mail.example.org --port 465 --login me@example.org --from me@example.org --to you@example.net
  postrider send --login demo@localhost --from demo@localhost --to demo@localhost --count 1000")]
pub(crate) struct Send {
    #[command(flatten)]
    server: Server,
    /// The sender; <> for none
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path)]
    from: ReversePath,
    /// A recipient (repeatable)
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<Mailbox>,
    /// The subject
    #[arg(long, default_value = "A message from postrider send")]
    subject: String,
    /// The text; - reads it from standard input
    #[arg(long, value_name = "TEXT", default_value = "It works.")]
    body: String,
    /// A finished message with its header, in place of subject and text; - reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "body", "attach"])]
    file: Option<PathBuf>,
    /// A file to attach (repeatable)
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// How many messages, each in a transaction of its own over the same connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

/// Sends, and says what became of it.
pub(crate) async fn run(arguments: &Send, output: Output) -> anyhow::Result<()> {
    let host = Service::default().hostname();
    let finished = arguments.file.as_ref().map(finished).transpose()?;
    let text = if arguments.body == "-" { standard_input()? } else { arguments.body.clone().into_bytes() };
    let text = String::from_utf8(text)
        .context("the text is not UTF-8; send it as a finished message with --file")?;
    let read =
        |path: &PathBuf| Attachment::read(path).with_context(|| format!("cannot read {}", path.display()));
    let attachments = arguments.attach.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let draft = Draft {
        from: arguments.from.mailbox(),
        to: &arguments.to,
        subject: &arguments.subject,
        text: &text,
        attachments: &attachments,
    };
    let recipients: Vec<Recipient> =
        arguments.to.iter().cloned().map(|to| Recipient::from(ForwardPath::Mailbox(to))).collect();
    let session = arguments.server.prepare(&host)?;
    let mut connection = session.connect().await?;
    let mut report = Report::new(arguments.to.clone());
    let mut progress = Progress::new("sent", arguments.count);
    let started = Instant::now();
    for number in 0..arguments.count {
        let octets = finished.clone().unwrap_or_else(|| {
            let id = format!("{:016x}.{number}", rand::random::<u64>());
            draft.build(&id, &host, Timestamp::from(SystemTime::now()))
        });
        if !connection.is_usable() {
            connection = session.connect().await?;
        }
        let envelope = envelope(arguments, &octets);
        let content = Content::from(octets);
        report.add(connection.transact(&envelope, &recipients, &content, &|| true).await?);
        progress.at(number + 1);
    }
    report.took(started.elapsed());
    connection.quit().await;
    drop(progress);
    output.show(&report)?;
    report.verdict()
}

fn envelope(arguments: &Send, octets: &[u8]) -> Envelope {
    let mut envelope = Envelope::new(arguments.from.clone(), Origin::default());
    if !octets.is_ascii() {
        envelope.body = BodyType::EightBitMime;
    }
    let in_ascii =
        arguments.to.iter().all(Mailbox::is_ascii) && arguments.from.mailbox().is_none_or(Mailbox::is_ascii);
    envelope.smtputf8 = !in_ascii;
    envelope
}

fn finished(path: &PathBuf) -> anyhow::Result<Bytes> {
    let octets = if path.as_os_str() == "-" {
        standard_input()?
    } else {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    Ok(crlf(&octets).into())
}

fn standard_input() -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    std::io::stdin().lock().read_to_end(&mut octets).context("cannot read standard input")?;
    Ok(octets)
}

fn reverse_path(text: &str) -> Result<ReversePath, mail::AddressError> {
    match text {
        "" | "<>" => Ok(ReversePath::Null),
        address => Mailbox::parse(address).map(ReversePath::Mailbox),
    }
}
