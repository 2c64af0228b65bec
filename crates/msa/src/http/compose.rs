//! From a description to a message (RFC 5322, RFC 2045): header fields and MIME parts, so that nothing that an application gives
//! can become a field, a part or a recipient that it did not ask for.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mail::Mailbox;
use mail_builder::headers::Header;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;

use super::problem::Problem;
use super::request::{Address, Attachment, MessageRequest};

/// Most fields in `headers`.
const FIELDS: usize = 100;
/// Longest value of a field in octets: with its name it fits a line (RFC 5322 2.1.1).
const VALUE_LIMIT: usize = 900;
const NAME_LIMIT: usize = 70;
const FILENAME_LIMIT: usize = 255;

/// Fields that are made from other members, or that only those may write who carry the message.
const OURS: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Bcc",
    "Reply-To",
    "Subject",
    "Date",
    "MIME-Version",
    "Received",
    "Return-Path",
    "Delivered-To",
    "DKIM-Signature",
    "Authentication-Results",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Received-SPF",
];
const OUR_FAMILIES: &[&str] = &["Content-", "Resent-"];

/// A message that was put together.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) from: Mailbox,
    /// To, Cc and Bcc, each once.
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) content: Bytes,
}

/// Puts a message together. Date and Message-ID are completed later, as for everybody.
///
/// # Errors
/// What cannot be a message, with where it stands.
pub(crate) fn compose(request: MessageRequest) -> Result<Composed, Problem> {
    let MessageRequest { from, to, cc, bcc, reply_to, subject, text, html, headers, attachments, .. } =
        request;
    let (author, name) = from.read("from")?;
    let mut output = Vec::new();
    field(&mut output, "From", &[(author.clone(), name)]);
    let mut recipients = Vec::new();
    for (member, name, addresses) in
        [("to", "To", &to), ("cc", "Cc", &cc), ("reply_to", "Reply-To", &reply_to)]
    {
        let addresses = read(member, addresses)?;
        field(&mut output, name, &addresses);
        if member != "reply_to" {
            recipients.extend(addresses.into_iter().map(|(mailbox, _)| mailbox));
        }
    }
    recipients.extend(read("bcc", &bcc)?.into_iter().map(|(mailbox, _)| mailbox));
    let mut seen = std::collections::HashSet::new();
    recipients.retain(|mailbox| seen.insert(mailbox.clone()));
    if let Some(subject) = subject {
        unstructured(&mut output, "Subject", &subject, "subject")?;
    }
    further(&mut output, &headers)?;
    output.extend_from_slice(b"MIME-Version: 1.0\r\n");
    body(text, html, attachments)?.write_part(&mut output);
    Ok(Composed { from: author, recipients, content: output.into() })
}

type Named = (Mailbox, Option<String>);

fn read(member: &str, addresses: &[Address]) -> Result<Vec<Named>, Problem> {
    addresses.iter().map(|address| address.read(member)).collect()
}

/// A field of addresses, which our own parser has read: the builder writes addresses as they come.
fn field(output: &mut Vec<u8>, name: &str, addresses: &[Named]) {
    use mail_builder::headers::address::Address;
    if addresses.is_empty() {
        return;
    }
    let of = |(mailbox, name): &Named| Address::new_address(name.clone(), mailbox.to_string());
    let list = Address::new_list(addresses.iter().map(of).collect());
    output.extend_from_slice(format!("{name}: ").as_bytes());
    list.write_header(output, name.len() + 2);
}

fn unstructured(output: &mut Vec<u8>, name: &str, value: &str, member: &str) -> Result<(), Problem> {
    if value.chars().any(char::is_control) {
        return Err(Problem::unprocessable(format!(
            "{member} holds a control character, such as a line break"
        )));
    }
    output.extend_from_slice(format!("{name}: ").as_bytes());
    Text::new(value).write_header(output, name.len() + 2);
    Ok(())
}

/// The fields that the application adds.
fn further(
    output: &mut Vec<u8>,
    headers: &std::collections::BTreeMap<String, String>,
) -> Result<(), Problem> {
    if headers.len() > FIELDS {
        return Err(Problem::unprocessable(format!("headers holds more than {FIELDS} fields")));
    }
    for (name, value) in headers {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
        // RFC 5322 3.6.8.
        let is_name = name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
        if name.is_empty() || name.len() > NAME_LIMIT || !is_name {
            return Err(Problem::unprocessable(format!("headers: \"{shown}\" is no name of a field")));
        }
        let starts_with =
            |family: &&str| name.get(..family.len()).is_some_and(|s| s.eq_ignore_ascii_case(family));
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) || OUR_FAMILIES.iter().any(starts_with) {
            return Err(Problem::unprocessable(format!("headers: {shown} cannot be given here")));
        }
        if value.len() > VALUE_LIMIT {
            let detail = format!("headers: {shown} is longer than {VALUE_LIMIT} octets");
            return Err(Problem::unprocessable(detail));
        }
        if headers.keys().any(|other| other != name && other.eq_ignore_ascii_case(name)) {
            return Err(Problem::unprocessable(format!("headers: {shown} is there twice")));
        }
        unstructured(output, name, value, &format!("headers: {shown}"))?;
    }
    Ok(())
}

/// `multipart/mixed` of the text and what goes along; what the HTML shows lies with it in `multipart/related`.
fn body(
    text: Option<String>,
    html: Option<String>,
    attachments: Vec<Attachment>,
) -> Result<MimePart<'static>, Problem> {
    let (mut shown, mut along) = (Vec::new(), Vec::new());
    for attachment in attachments {
        let is_shown = attachment.content_id.is_some() && html.is_some();
        let part = attached(attachment)?;
        if is_shown { shown.push(part) } else { along.push(part) }
    }
    let plain = |text: String| MimePart::new("text/plain", lines(&text));
    let mut part = match (text, html) {
        (text, None) => plain(text.unwrap_or_default()),
        (text, Some(html)) => {
            let mut html = MimePart::new("text/html", lines(&html));
            if !shown.is_empty() {
                shown.insert(0, html);
                html = MimePart::new("multipart/related", shown);
            }
            match text {
                Some(text) => MimePart::new("multipart/alternative", vec![plain(text), html]),
                None => html,
            }
        }
    };
    if !along.is_empty() {
        along.insert(0, part);
        part = MimePart::new("multipart/mixed", along);
    }
    Ok(part)
}

/// With line ends as the wire has them, whatever they were.
fn lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 32);
    for line in text.replace("\r\n", "\n").split_inclusive(['\n', '\r']) {
        let end = line.trim_end_matches(['\n', '\r']);
        lines.push_str(end);
        if end.len() < line.len() {
            lines.push_str("\r\n");
        }
    }
    lines
}

fn attached(attachment: Attachment) -> Result<MimePart<'static>, Problem> {
    let Attachment { filename, content_type, content, content_id } = attachment;
    if filename.is_empty() || filename.len() > FILENAME_LIMIT || filename.chars().any(char::is_control) {
        let detail = "attachments: a filename has 1 to 255 octets and no control characters";
        return Err(Problem::unprocessable(detail));
    }
    let refuse = |what: &str| Problem::unprocessable(format!("attachments: {filename}: {what}"));
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let (main, parameters) = media_type(&content_type)
        .ok_or_else(|| refuse("content_type is no media type such as application/pdf, or a compound one"))?;
    let octets = STANDARD.decode(content.as_bytes()).map_err(|_| refuse("content is not base64"))?;
    drop(content);
    let mut declared = ContentType::new(main);
    for (name, value) in parameters {
        declared = declared.attribute(name, value);
    }
    // In base64 and not as the builder would choose, so that every octet arrives, whatever its type.
    let part = MimePart::new(declared, wrapped(&octets)).transfer_encoding("base64");
    let disposition = ContentType::new(if content_id.is_some() { "inline" } else { "attachment" });
    let part = part.header("Content-Disposition", disposition.attribute("filename", filename.clone()));
    let Some(id) = content_id else { return Ok(part) };
    let is_id = !id.is_empty()
        && id.len() <= VALUE_LIMIT
        && id.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>()\"\\,;:[]".contains(&octet));
    if is_id { Ok(part.cid(id)) } else { Err(refuse("content_id is no id such as logo@example.org")) }
}

/// Base64 in lines of 76 characters (RFC 2045 6.8).
fn wrapped(octets: &[u8]) -> Vec<u8> {
    const LINE: usize = 57;
    let mut output = String::with_capacity(octets.len().div_ceil(LINE) * 78);
    for line in octets.chunks(LINE) {
        STANDARD.encode_string(line, &mut output);
        output.push_str("\r\n");
    }
    output.into_bytes()
}

type Parameters = Vec<(String, String)>;

/// Type and parameters, where they are simple ones (RFC 2045 5.1): tokens, or quoted strings without anything to escape. A
/// compound type is none: what lies within it would have to be a message or parts.
fn media_type(text: &str) -> Option<(String, Parameters)> {
    let is_token = |word: &str| {
        !word.is_empty()
            && word.len() <= 127
            && word.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet))
    };
    let mut pieces = text.split(';');
    let (main, sub) = pieces.next()?.trim().split_once('/')?;
    let is_compound = main.eq_ignore_ascii_case("multipart") || main.eq_ignore_ascii_case("message");
    if !is_token(main) || !is_token(sub) || is_compound {
        return None;
    }
    let mut parameters = Vec::new();
    for piece in pieces {
        let (name, value) = piece.trim().split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let is_plain = |value: &str| {
            value.bytes().all(|octet| matches!(octet, b' '..=b'~') && !b"\"\\".contains(&octet))
        };
        let value = match quoted {
            Some(inner) => Some(inner).filter(|inner| is_plain(inner)),
            None => Some(value).filter(|value| is_token(value)),
        }?;
        if !is_token(name) || parameters.len() == 10 || value.len() > VALUE_LIMIT {
            return None;
        }
        parameters.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut whole = String::new();
    // Writing to a String cannot fail.
    let _ = write!(whole, "{}/{}", main.to_ascii_lowercase(), sub.to_ascii_lowercase());
    Some((whole, parameters))
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;

    fn composed(json: &str) -> Result<Composed, String> {
        let request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        compose(request).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_text_is_a_message() {
        let json = r#"{"from": "Alice <alice@example.test>", "to": ["bob@b.test", "Bob <bob@b.test>"], "cc": ["c@c.test"],
            "bcc": ["d@d.test"], "subject": "Grüße", "text": "Hi\nthere\r\n", "headers": {"X-Order": "7"}}"#;
        let composed = composed(json).unwrap();
        let recipients: Vec<_> = composed.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["bob@b.test", "c@c.test", "d@d.test"]);
        let text = String::from_utf8(composed.content.to_vec()).unwrap();
        assert!(
            text.starts_with("From: Alice <alice@example.test>\r\n") || text.starts_with("From: \"Alice\" <"),
            "{text}"
        );
        assert!(!text.contains("d@d.test") && text.is_ascii(), "{text}");
        let message = MessageParser::new().parse(&composed.content).unwrap();
        assert_eq!(message.subject(), Some("Grüße"));
        assert_eq!(message.header_raw("X-Order").map(str::trim), Some("7"));
        assert_eq!(message.body_text(0).unwrap(), "Hi\nthere\n".replace('\n', "\r\n"));
    }

    #[test]
    fn parts_lie_where_readers_look_for_them() {
        let every: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let logo = STANDARD.encode(&every);
        let json = format!(
            r#"{{"from": "a@a.test", "to": ["b@b.test"], "text": "plain", "html": "<img src=cid:logo>", "attachments": [
                {{"filename": "lögo.png", "content_type": "image/png", "content": "{logo}", "content_id": "logo"}},
                {{"filename": "a.csv", "content_type": "text/csv; charset=utf-8", "content": "{logo}"}}]}}"#
        );
        let content = composed(&json).unwrap().content;
        assert!(content.is_ascii());
        let message = MessageParser::new().parse(&content).unwrap();
        let types: Vec<_> = message
            .parts
            .iter()
            .map(|part| {
                part.content_type().map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap())).unwrap()
            })
            .collect();
        assert_eq!(
            types,
            [
                "multipart/mixed",
                "multipart/alternative",
                "text/plain",
                "multipart/related",
                "text/html",
                "image/png",
                "text/csv"
            ]
        );
        assert_eq!(message.parts[5].contents(), every);
        assert_eq!(message.parts[5].attachment_name(), Some("lögo.png"));
        assert_eq!(message.parts[5].content_id(), Some("logo"));
        let table = content.windows(13).position(|window| window == b"filename=\"a.c").unwrap();
        let encoded = &content[table..];
        let start = encoded.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let end = encoded.windows(4).position(|window| window == b"\r\n--").unwrap();
        let encoded: Vec<u8> = encoded[start..end].iter().copied().filter(|o| !b"\r\n".contains(o)).collect();
        assert_eq!(STANDARD.decode(encoded).unwrap(), every);
    }

    #[test]
    fn nothing_that_is_given_becomes_something_else() {
        let with = |member: &str| format!(r#"{{"from": "a@a.test", "to": ["b@b.test"], {member}}}"#);
        for member in [
            r#""subject": "a\r\nBcc: x@x.test""#,
            r#""subject": "a\nb""#,
            r#""subject": "a\u0000""#,
            r#""headers": {"X\r\nBcc": "a"}"#,
            r#""headers": {"X: y": "a"}"#,
            r#""headers": {"X": "a\r\nBcc: x@x.test"}"#,
            r#""headers": {"Bcc": "x@x.test"}"#,
            r#""headers": {"content-type": "text/html"}"#,
            r#""headers": {"Resent-From": "x@x.test"}"#,
            r#""headers": {"X-A": "1", "x-a": "2"}"#,
            r#""headers": {"": "1"}"#,
            r#""reply_to": [{"address": "a@a.test", "name": "a\nb"}]"#,
            r#""cc": ["a@a.test\r\nX: y"]"#,
            r#""attachments": [{"filename": "a\nb", "content": ""}]"#,
            r#""attachments": [{"filename": "", "content": ""}]"#,
            r#""attachments": [{"filename": "a", "content": "not base64"}]"#,
            r#""attachments": [{"filename": "a", "content": "", "content_type": "text/plain\r\nX: y"}]"#,
            r#""attachments": [{"filename": "a", "content": "", "content_type": "multipart/mixed; boundary=x"}]"#,
            r#""attachments": [{"filename": "a", "content": "", "content_type": "message/rfc822"}]"#,
            r#""attachments": [{"filename": "a", "content": "", "content_id": "a>\r\nX: y"}]"#,
            r#""sender": "x@x.test""#,
        ] {
            assert!(composed(&with(member)).is_err(), "{member}");
        }
    }

    #[test]
    fn all_that_is_written_has_lines_as_the_wire_wants_them() {
        let long = "ä".repeat(5000);
        let json = serde_json::json!({
            "from": format!("{} <a@a.test>", "n".repeat(300)),
            "to": (0..200).map(|n| format!("someone{n}@example.test")).collect::<Vec<_>>(),
            "subject": &long[..800], "text": format!("a\rb\nc\r\nd \t\n{long}"), "html": long,
            "headers": {"X-Long": "word ".repeat(150)},
        });
        let content = composed(&json.to_string()).unwrap().content;
        assert!(content.is_ascii());
        let text = String::from_utf8(content.to_vec()).unwrap();
        for line in text.split("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
        }
        let message = MessageParser::new().parse(&content).unwrap();
        assert_eq!(message.to().unwrap().iter().count(), 200);
        assert_eq!(message.body_text(0).unwrap(), format!("a\r\nb\r\nc\r\nd \t\r\n{long}"));
    }
}
