//! What a submission server does to a message (RFC 6409 8): checks who it says it is from, adds the fields that are missing
//! and takes Bcc out. Everything else stays octet for octet; nothing is written anew.

use bytes::Bytes;
use mail::header::{self, Field};
use mail::{Content, Mailbox, Timestamp};
use smtp::Reply;

use crate::author;
use crate::refusal;
use crate::sender::Sender;

/// What is added where it is missing.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    /// For Date.
    pub(crate) now: Timestamp,
    /// For Message-ID, with its angle brackets.
    pub(crate) message_id: &'a str,
    /// For From.
    pub(crate) author: &'a Mailbox,
}

/// Checks and completes a message.
///
/// # Errors
/// The reply, where the sender may not send it.
pub(crate) fn complete(content: &Bytes, sender: &Sender<'_>, fresh: &Fresh<'_>) -> Result<Content, Reply> {
    let (header, _) = header::split(content);
    let mut from = Author::new("From");
    let mut of_sender = Author::new("Sender");
    let (mut has_date, mut has_message_id) = (false, false);
    let mut blind = Vec::new();
    for field in header::fields(header) {
        if from.takes(&field, sender)? || of_sender.takes(&field, sender)? {
            continue;
        }
        has_date |= field.is("Date");
        has_message_id |= field.is("Message-ID");
        if field.is("Bcc") || field.is("Resent-Bcc") {
            blind.push(field.raw);
        }
    }
    let mut added = String::new();
    if !from.seen {
        added.push_str(&format!("From: <{}>\r\n", fresh.author));
    }
    if !has_date {
        added.push_str(&format!("Date: {}\r\n", fresh.now.rfc5322()));
    }
    if !has_message_id {
        added.push_str(&format!("Message-ID: {}\r\n", fresh.message_id));
    }
    if header.is_empty() && !content.starts_with(b"\r\n") {
        // All of it is body: what is added must not run into it.
        added.push_str("\r\n");
    }
    let mut completed = without(content, &blind);
    if !added.is_empty() {
        completed.prepend(added);
    }
    Ok(completed)
}

/// A field that says who the message is from: at most one of it, with addresses of the sender alone.
struct Author {
    name: &'static str,
    seen: bool,
}

impl Author {
    fn new(name: &'static str) -> Self {
        Self { name, seen: false }
    }

    /// Whether the field is this one; if so it is checked.
    fn takes(&mut self, field: &Field<'_>, sender: &Sender<'_>) -> Result<bool, Reply> {
        if !field.is(self.name) {
            return Ok(false);
        }
        if self.seen {
            return Err(refusal::repeated(self.name));
        }
        self.seen = true;
        let addresses = author::addresses(field).ok_or_else(|| refusal::unreadable(self.name))?;
        if addresses.iter().all(|address| sender.owns(address)) {
            return Ok(true);
        }
        Err(refusal::author(self.name))
    }
}

/// The content without these parts of it, in order; nothing is copied.
fn without(content: &Bytes, parts: &[&[u8]]) -> Content {
    let mut kept = Content::default();
    let mut from = 0;
    for part in parts {
        // Each is a slice of the content itself, so its place follows from where it lies.
        let at = part.as_ptr().addr() - content.as_ptr().addr();
        if at > from {
            kept.append(content.slice(from..at));
        }
        from = at + part.len();
    }
    if from < content.len() {
        kept.append(content.slice(from..));
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mail::Account;

    use super::*;

    fn completed(content: &[u8]) -> Result<Vec<u8>, String> {
        let account = Account {
            may_send_as: vec!["sales@example.test".parse().unwrap()],
            ..Account::new("alice@example.test".parse().unwrap(), Timestamp::from_millis(0))
        };
        let fresh = Fresh {
            now: Timestamp::from_millis(1_795_455_840_000),
            message_id: "<fresh@msa.example.test>",
            author: &account.address,
        };
        let sender = Sender::new(&account, Some('+'));
        complete(&Bytes::copy_from_slice(content), &sender, &fresh)
            .map(|content| content.to_bytes().to_vec())
            .map_err(|reply| reply.to_string())
    }

    /// Each `NAME.in` under tests/completion becomes `NAME.out`; line ends are CRLF on the wire and LF in the files.
    #[test]
    fn messages_are_completed_as_the_files_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/completion");
        let crlf = |path: &Path| std::fs::read_to_string(path).unwrap().replace('\n', "\r\n");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let input = entry.unwrap().path();
            if input.extension().is_none_or(|extension| extension != "in") {
                continue;
            }
            let expected = crlf(&input.with_extension("out"));
            let answer = match completed(crlf(&input).as_bytes()) {
                Ok(content) => String::from_utf8(content).unwrap(),
                Err(reply) => format!("{reply}\r\n"),
            };
            assert_eq!(answer, expected, "{}", input.display());
            seen += 1;
        }
        assert!(seen >= 10, "{seen} files");
    }

    #[test]
    fn octets_are_left_as_they_are_and_where_they_are() {
        let mut message = b"From: alice@example.test\r\nDate: x\r\nMessage-ID: <1@x>\r\nX: ".to_vec();
        message.extend((0..=255u8).filter(|octet| !b"\r\n".contains(octet)));
        message.extend(b"\r\n\r\n\x00\xff\r\n\r\nBcc: not a field\r\n");
        assert_eq!(completed(&message).unwrap(), message);
        let content = Bytes::from(message);
        assert_eq!(without(&content, &[]).segments()[0].as_ptr(), content.as_ptr());
    }
}
