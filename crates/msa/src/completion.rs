//! What a submission server does to a header section (RFC 6409 8): checks who the message says it is from and that each field is
//! there as often as it may be (RFC 5322 3.6), adds what is missing and takes out Bcc and what is empty. Everything else stays octet
//! for octet.

use mail::header::{self, Field};
use mail::{Content, Mailbox, Timestamp};
use smtp::Reply;

use crate::author;
use crate::edit::Edits;
use crate::refusal;
use crate::resent::Resent;
use crate::sender::Sender;

/// Fields that a message has once or not at all (RFC 5322 3.6, RFC 2045 3), besides From and Sender: of several, one reader shows the
/// first and another the last.
const SINGLE: [&str; 8] = [
    "Date",
    "Message-ID",
    "Subject",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Lists of addresses that a message has once; several of them are joined, for they say the same as one.
const LISTS: [&str; 3] = ["To", "Cc", "Reply-To"];

/// Fields that are taken out where they are empty, which they may not be (RFC 5322 3.6).
const NEVER_EMPTY: [&str; 9] =
    ["To", "Cc", "Reply-To", "Date", "Message-ID", "In-Reply-To", "References", "Resent-To", "Resent-Cc"];

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

/// Checks and completes a message, whose first segment holds its header section.
///
/// # Errors
/// The reply, where the sender may not send it.
pub(crate) fn complete(content: &Content, sender: &Sender<'_>, fresh: &Fresh<'_>) -> Result<Content, Reply> {
    let start = content.segments().first().cloned().unwrap_or_default();
    let (header, _) = header::split(&start);
    let mut edits = Edits::new(header);
    let mut from = Author::new("From");
    let mut of_sender = Author::new("Sender");
    let mut resent = Resent::default();
    let mut singles = [false; SINGLE.len()];
    let mut lists: [Option<Field<'_>>; LISTS.len()] = [None; LISTS.len()];
    let mut octets = 0;
    for field in header::fields(header) {
        octets += field.raw.len();
        if from.takes(&field, sender)? || of_sender.takes(&field, sender)? {
            continue;
        }
        let is_empty = field.value.trim_ascii().is_empty() && NEVER_EMPTY.iter().any(|name| field.is(name));
        if is_empty || field.is("Bcc") || field.is("Resent-Bcc") {
            edits.remove(&field);
            continue;
        }
        resent.pass(&field, sender)?;
        if let Some(at) = SINGLE.iter().position(|name| field.is(name))
            && std::mem::replace(&mut singles[at], true)
        {
            return Err(refusal::repeated(SINGLE[at]));
        }
        if let Some(at) = LISTS.iter().position(|name| field.is(name)) {
            match lists[at] {
                Some(first) => join(&mut edits, &first, &field),
                None => lists[at] = Some(field),
            }
        }
    }
    if octets != header.len() {
        // Some readers take it for the start of the body, and do not see the fields behind it.
        return Err(refusal::no_field());
    }
    resent.complete(&mut edits, fresh);
    let mut added = String::new();
    if from.addresses == 0 {
        added.push_str(&format!("From: <{}>\r\n", fresh.author));
    }
    if from.addresses > 1 && of_sender.addresses == 0 {
        added.push_str(&format!("Sender: <{}>\r\n", fresh.author));
    }
    if !singles[0] {
        added.push_str(&format!("Date: {}\r\n", fresh.now.rfc5322()));
    }
    if !singles[1] {
        added.push_str(&format!("Message-ID: {}\r\n", fresh.message_id));
    }
    if header.is_empty() && !start.starts_with(b"\r\n") {
        // All of it is body: what is added must not run into it.
        added.push_str("\r\n");
    }
    let mut completed = edits.apply(content);
    if !added.is_empty() {
        completed.prepend(added);
    }
    Ok(completed)
}

/// Makes the addresses of a second field those of the first.
fn join(edits: &mut Edits<'_>, first: &Field<'_>, second: &Field<'_>) {
    edits.remove(second);
    edits.append_to(first, [b",\r\n ", second.value.trim_ascii()].concat());
}

/// A field that says who the message is from: at most one of it, with addresses of the sender alone.
struct Author {
    name: &'static str,
    /// None as long as the field has not come.
    addresses: usize,
}

impl Author {
    fn new(name: &'static str) -> Self {
        Self { name, addresses: 0 }
    }

    /// Whether the field is this one; if so it is checked.
    fn takes(&mut self, field: &Field<'_>, sender: &Sender<'_>) -> Result<bool, Reply> {
        if !field.is(self.name) {
            return Ok(false);
        }
        if self.addresses > 0 {
            return Err(refusal::repeated(self.name));
        }
        let addresses = author::addresses(field).ok_or_else(|| refusal::unreadable(self.name))?;
        self.addresses = addresses.len();
        if addresses.iter().all(|address| sender.owns(address)) {
            return Ok(true);
        }
        Err(refusal::author(self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
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
        complete(&Bytes::copy_from_slice(content).into(), &sender, &fresh)
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
        let content = Content::from(message);
        let unchanged = Edits::new(b"").apply(&content);
        assert_eq!(unchanged.segments()[0].as_ptr(), content.segments()[0].as_ptr());
    }
}
