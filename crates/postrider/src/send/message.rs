//! The message that `postrider send` makes where no finished one is given (RFC 5322, RFC 2045). Knows no server.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use mail::{Mailbox, Timestamp};

/// Longest line in octets without its end (RFC 5322 2.1.1).
const LINE_LIMIT: usize = 998;
/// Octets of a line of Base64 (RFC 2045 6.8).
const BASE64_LINE: usize = 76;
/// Octets of text in one encoded word: with its frame, and `Subject: ` before it, a line stays within 76 (RFC 2047 2).
const ENCODED_WORD: usize = 39;

/// A file to attach.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) octets: Vec<u8>,
}

/// What a message is made of.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) from: Option<&'a Mailbox>,
    pub(super) to: &'a [Mailbox],
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    pub(super) attachments: &'a [Attachment],
}

impl Attachment {
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        let name =
            path.file_name().map_or_else(|| "file".into(), std::ffi::OsStr::to_string_lossy).into_owned();
        Ok(Self { name, octets: std::fs::read(path)? })
    }
}

impl Draft<'_> {
    /// The whole message; `id` makes it different from all others.
    pub(super) fn build(&self, id: &str, host: &str, now: Timestamp) -> Bytes {
        let mut message = String::new();
        let from = self.from.map_or_else(|| format!("MAILER-DAEMON@{host}"), ToString::to_string);
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        field(&mut message, "From", &from);
        field(&mut message, "To", &to.join(",\r\n "));
        field(&mut message, "Subject", &encode_words(self.subject));
        field(&mut message, "Date", &now.rfc5322());
        field(&mut message, "Message-ID", &format!("<{id}@{host}>"));
        field(&mut message, "MIME-Version", "1.0");
        if self.attachments.is_empty() {
            text_part(&mut message, self.text);
        } else {
            self.multipart(&mut message, &format!("=_{id}"));
        }
        message.into()
    }

    fn multipart(&self, message: &mut String, boundary: &str) {
        field(message, "Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""));
        message.push_str("\r\n");
        message.push_str(&format!("--{boundary}\r\n"));
        text_part(message, self.text);
        for Attachment { name, octets } in self.attachments {
            message.push_str(&format!("--{boundary}\r\n"));
            field(message, "Content-Type", "application/octet-stream");
            field(message, "Content-Transfer-Encoding", "base64");
            field(message, "Content-Disposition", &format!("attachment;\r\n {}", file_name(name)));
            message.push_str("\r\n");
            base64_lines(message, octets);
        }
        message.push_str(&format!("--{boundary}--\r\n"));
    }
}

fn field(message: &mut String, name: &str, value: &str) {
    message.push_str(name);
    message.push_str(": ");
    message.push_str(value);
    message.push_str("\r\n");
}

/// `text/plain` as it is, unless a line is longer than SMTP takes.
fn text_part(message: &mut String, text: &str) {
    let text = crlf(text.as_bytes());
    let text = String::from_utf8_lossy(&text);
    let longest = text.split("\r\n").map(str::len).max().unwrap_or(0);
    let encoding = match (longest > LINE_LIMIT, text.is_ascii()) {
        (true, _) => "base64",
        (false, true) => "7bit",
        (false, false) => "8bit",
    };
    field(message, "Content-Type", "text/plain; charset=utf-8");
    field(message, "Content-Transfer-Encoding", encoding);
    message.push_str("\r\n");
    if encoding == "base64" { base64_lines(message, text.as_bytes()) } else { message.push_str(&text) }
}

fn base64_lines(message: &mut String, octets: &[u8]) {
    for line in octets.chunks(BASE64_LINE / 4 * 3) {
        BASE64.encode_string(line, message);
        message.push_str("\r\n");
    }
}

/// Whatever the line ends were, they are CRLF afterwards, at the end too (RFC 5321 2.3.8).
pub(super) fn crlf(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(octets.len() + octets.len() / 32 + 2);
    let mut rest = octets.iter().copied().peekable();
    while let Some(octet) = rest.next() {
        match octet {
            b'\r' => {
                rest.next_if_eq(&b'\n');
                lines.extend_from_slice(b"\r\n");
            }
            b'\n' => lines.extend_from_slice(b"\r\n"),
            other => lines.push(other),
        }
    }
    if !lines.ends_with(b"\r\n") {
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// A header value that holds more than ASCII, in encoded words (RFC 2047); control characters become spaces.
fn encode_words(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    if text.is_ascii() && text.len() <= LINE_LIMIT - "Subject: ".len() {
        return text;
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        if word.len() + character.len_utf8() > ENCODED_WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(character);
    }
    words.push(word);
    let encoded: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word))).collect();
    encoded.join("\r\n ")
}

/// The file name parameter (RFC 2183), in the form of RFC 2231 where it is not plain.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._-+()".contains(c);
    if name.chars().all(plain) {
        return format!("filename=\"{name}\"");
    }
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("filename*=utf-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(subject: &str, text: &str, attachments: &[Attachment]) -> String {
        let from = Mailbox::parse("a@b.test").unwrap();
        let to = [Mailbox::parse("c@d.test").unwrap()];
        let draft = Draft { from: Some(&from), to: &to, subject, text, attachments };
        String::from_utf8(draft.build("id1", "host.test", Timestamp::from_millis(0)).to_vec()).unwrap()
    }

    #[test]
    fn a_plain_message_reads_as_it_was_meant() {
        assert_eq!(
            build("Hello", "One\nTwo", &[]),
            "From: a@b.test\r\nTo: c@d.test\r\nSubject: Hello\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
             Message-ID: <id1@host.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nOne\r\nTwo\r\n"
        );
    }

    #[test]
    fn what_does_not_fit_into_mail_is_encoded() {
        let message = build("Grüße\r\nBcc: x@y.test", "Ä", &[]);
        assert!(message.contains("Subject: =?utf-8?B?") && !message.contains("\r\nBcc"), "{message}");
        assert!(message.contains("Content-Transfer-Encoding: 8bit"), "{message}");
        let message = build("x", &"y".repeat(2000), &[]);
        assert!(message.lines().all(|line| line.len() <= 78), "{message}");
        let message = build(&"é".repeat(100), "", &[]);
        assert!(message.lines().all(|line| line.len() <= 78), "{message}");
    }

    #[test]
    fn attachments_are_parts_of_their_own() {
        let octets = (0..=255).collect();
        let message = build("x", "see there", &[Attachment { name: "ü \"1\".bin".to_owned(), octets }]);
        assert!(message.contains("filename*=utf-8''%C3%BC%20%221%22.bin"), "{message}");
        assert_eq!(message.matches("--=_id1\r\n").count(), 2, "{message}");
        assert!(message.ends_with("--=_id1--\r\n"), "{message}");
    }

    #[test]
    fn all_line_ends_become_crlf() {
        assert_eq!(crlf(b"a\nb\r\nc\rd\n\n"), b"a\r\nb\r\nc\r\nd\r\n\r\n");
        assert_eq!(crlf(b""), b"\r\n");
        assert_eq!(crlf(b"a"), b"a\r\n");
    }
}
