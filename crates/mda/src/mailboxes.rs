//! Shows people what lies in a mailbox: the list of messages with sender and subject, and one message as it lies there.
//! Mail that a sandbox kept for somebody unknown is shown too.

use std::io;

use async_trait::async_trait;
use directory::{Directory, Expansion, Member};
use mail::{Content, ForwardPath, Mailbox, header};
use mail_parser::{Addr, MessageParser};
use protocol::{Error, ErrorKind, MailboxMessage, Mailboxes};

use crate::failure;
use crate::maildir::{Entry, Maildir, Store};

/// Longest sender and subject that are shown, in characters.
const TEXT_LIMIT: usize = 1000;

/// Reads the mailboxes of one store.
#[derive(Debug)]
pub struct MailboxReader {
    directory: Directory,
    store: Store,
}

impl MailboxReader {
    /// Reads mailboxes of `store`, whose accounts `directory` knows.
    pub(crate) fn new(directory: Directory, store: Store) -> Self {
        Self { directory, store }
    }

    /// The mailbox behind an address, and whether somebody here has it: an account's, also by a detail or an alias that
    /// leads to it alone, or else the one that a sandbox made for exactly this address.
    async fn find(&self, address: &Mailbox) -> Result<(Maildir, bool), Error> {
        let path = ForwardPath::Mailbox(address.clone());
        let expansion = self.directory.expand(&path).await.map_err(|error| failure::to_agent(&error))?;
        if let Expansion::Members(members) = expansion
            && let [Member::Here { account, .. }] = members.as_slice()
        {
            return Ok((self.store.mailbox(account), true));
        }
        Ok((self.store.mailbox(address), false))
    }
}

#[async_trait]
impl Mailboxes for MailboxReader {
    async fn messages(&self, account: &Mailbox, limit: u32) -> Result<Vec<MailboxMessage>, Error> {
        let (maildir, known) = self.find(account).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let listed = read(move || {
            let Some(entries) = maildir.entries()? else { return Ok(None) };
            entries.into_iter().take(limit).map(summary).collect::<io::Result<Vec<_>>>().map(Some)
        });
        match listed.await? {
            Some(messages) => Ok(messages),
            None if known => Ok(Vec::new()),
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no mailbox {account}"))),
        }
    }

    async fn message(&self, account: &Mailbox, name: &str) -> Result<Content, Error> {
        let (maildir, _) = self.find(account).await?;
        let wanted = name.to_owned();
        match read(move || maildir.content(&wanted)).await? {
            Some(content) => Ok(Content::from(content)),
            None => {
                let text = format!("there is no message {name} in the mailbox {account}");
                Err(Error::new(ErrorKind::NotFound, text))
            }
        }
    }
}

/// Reads files off the runtime's threads.
async fn read<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|error| failure::not_read(&error))
}

fn summary(entry: Entry) -> io::Result<MailboxMessage> {
    let (from, subject) = sender_and_subject(&entry.front()?);
    Ok(MailboxMessage {
        name: entry.name,
        delivered_at: entry.delivered_at.into(),
        size: entry.size,
        seen: entry.seen,
        from,
        subject,
    })
}

/// The From and Subject fields on one line each, encoded words decoded (RFC 2047); as they stand where they cannot be.
fn sender_and_subject(front: &[u8]) -> (String, String) {
    let (section, _) = header::split(front);
    let as_it_stands = |name| header::find(section, name).map(|field| field.unfolded()).unwrap_or_default();
    let parsed = MessageParser::default().parse_headers(section);
    let parsed = parsed.as_ref();
    let from =
        parsed.and_then(|message| message.from()?.first().map(written)).filter(|from| !from.is_empty());
    let subject = parsed.and_then(|message| message.subject()).map(str::to_owned);
    (
        line(&from.unwrap_or_else(|| as_it_stands("From"))),
        line(&subject.unwrap_or_else(|| as_it_stands("Subject"))),
    )
}

fn written(address: &Addr<'_>) -> String {
    match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    }
}

/// Fit for a terminal: no control characters, and an end.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_and_subject_are_readable() {
        for (front, from, subject) in [
            ("From: a@b.example\r\nSubject: plain\r\n\r\nbody", "a@b.example", "plain"),
            (
                "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?b?IGF1cyBXaWVu?=\r\n\
                 From: =?iso-8859-1?q?J=F6rg?= <j@b.example>\r\n\r\n",
                "Jörg <j@b.example>",
                "Grüße aus Wien",
            ),
            (
                "From: \"A, B\" <a@b.example>\r\nSubject: folded\r\n over lines\r\n",
                "A, B <a@b.example>",
                "folded over lines",
            ),
            ("To: x\r\n\r\nSubject: in the body", "", ""),
            ("Subject: \u{1b}[31mred\u{7}\r\n\r\n", "", " [31mred "),
            ("", "", ""),
        ] {
            assert_eq!(
                sender_and_subject(front.as_bytes()),
                (from.to_owned(), subject.to_owned()),
                "{front}"
            );
        }
        let (_, long) = sender_and_subject(format!("Subject: {}\r\n", "x".repeat(5000)).as_bytes());
        assert_eq!(long.len(), TEXT_LIMIT);
    }
}
