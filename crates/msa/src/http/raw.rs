//! A message as applications give it whole (message/rfc822): its line ends, and who it is from and for where the request does
//! not say so.

use bytes::Bytes;
use mail::header::{self, Field};
use mail::{BodyType, ForwardPath, Mailbox, ReversePath};

use super::problem::Problem;
use super::request::Options;
use crate::author;

/// What the query of a request says.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// RCPT TO; empty for those of the header.
    pub(crate) to: Vec<ForwardPath>,
    pub(crate) options: Options,
}

impl Query {
    /// # Errors
    /// What is unknown, given twice, or no value of its parameter.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let (mut to, mut options) = (Vec::new(), serde_json::Map::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "to" {
                let path: Result<ForwardPath, _> = format!("<{value}>").parse();
                let path = path.map_err(|error| {
                    Problem::bad_request(format!("The parameter to is no address: {error}"))
                })?;
                to.push(path);
                continue;
            }
            let name = if name == "from" { "reverse_path" } else { &name };
            let value = match name {
                "priority" | "hold_for" | "deliver_by" | "require_tls" => {
                    serde_json::from_str(&value).unwrap_or(serde_json::Value::Null)
                }
                "notify" => value.split(',').map(str::to_owned).collect(),
                "reverse_path" | "send_at" | "deliver_by_mode" | "ret" | "envid" => value.into_owned().into(),
                _ => {
                    return Err(Problem::bad_request(format!(
                        "There is no parameter {}",
                        name.escape_debug()
                    )));
                }
            };
            if value.is_null() {
                return Err(Problem::bad_request(format!("The parameter {name} cannot be read")));
            }
            if options.insert(name.to_owned(), value).is_some() {
                return Err(Problem::bad_request(format!("The parameter {name} is there twice")));
            }
        }
        let options = serde_json::from_value(options.into());
        let options = options
            .map_err(|error| Problem::bad_request(format!("The parameters cannot be read: {error}")))?;
        Ok(Self { to, options })
    }
}

/// A message that was given whole.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) content: Bytes,
    pub(crate) body: BodyType,
    /// The header section holds UTF-8 (RFC 6532).
    pub(crate) smtputf8: bool,
}

impl Raw {
    /// # Errors
    /// When lines end in different ways: different readers would see different messages (RFC 5321 2.3.8).
    pub(crate) fn new(content: Bytes) -> Result<Self, Problem> {
        let content = with_wire_ends(content)?;
        let (header, body) = header::split(&content);
        if str::from_utf8(header).is_err() {
            return Err(Problem::unprocessable("The header section is not UTF-8"));
        }
        let smtputf8 = !header.is_ascii();
        let body = if smtputf8 || !body.is_ascii() { BodyType::EightBitMime } else { BodyType::SevenBit };
        Ok(Self { content, body, smtputf8 })
    }

    /// MAIL FROM by the header: its Sender, or the one author.
    pub(crate) fn reverse_path(&self) -> Result<ReversePath, Problem> {
        for name in ["Sender", "From"] {
            let Some(field) = self.fields(name).next() else { continue };
            if let Some([only]) = author::addresses(&field).as_deref() {
                return Ok(ReversePath::Mailbox(only.clone()));
            }
            break;
        }
        Err(Problem::unprocessable(
            "The header names no sender that could be told for certain; give from in the query",
        ))
    }

    /// RCPT TO by the header: To, Cc and Bcc, each address once.
    pub(crate) fn recipients(&self) -> Result<Vec<ForwardPath>, Problem> {
        let mut recipients: Vec<Mailbox> = Vec::new();
        for name in ["To", "Cc", "Bcc"] {
            // More than one of a kind is none of RFC 5322 3.6, and would be much to read.
            if self.fields(name).nth(1).is_some() {
                let detail = format!("There is more than one {name} field; give to in the query");
                return Err(Problem::unprocessable(detail));
            }
            for field in self.fields(name) {
                let addresses = author::addresses(&field).ok_or_else(|| {
                    let detail = format!("The {name} field cannot be read for certain; give to in the query");
                    Problem::unprocessable(detail)
                })?;
                recipients.extend(addresses);
            }
        }
        let mut seen = std::collections::HashSet::new();
        recipients.retain(|mailbox| seen.insert(mailbox.clone()));
        Ok(recipients.into_iter().map(ForwardPath::Mailbox).collect())
    }

    fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        header::fields(header::split(&self.content).0).filter(move |field| field.is(name))
    }
}

/// A file as Unix writes it, with LF alone, gets the line ends of the wire; one that has them keeps them; a mixture is no
/// message.
fn with_wire_ends(content: Bytes) -> Result<Bytes, Problem> {
    let mixed = || Problem::unprocessable("The lines of the message do not all end in CRLF, or all in LF");
    let mut feeds = 0;
    let mut pairs = 0;
    for at in memchr::memchr_iter(b'\n', &content) {
        feeds += 1;
        pairs += usize::from(at > 0 && content[at - 1] == b'\r');
    }
    let returns = memchr::memchr_iter(b'\r', &content).count();
    if returns != pairs || (pairs > 0 && pairs < feeds) {
        return Err(mixed());
    }
    if pairs == feeds {
        return Ok(content);
    }
    let mut wire = Vec::with_capacity(content.len() + feeds);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        match line.split_last() {
            Some((b'\n', text)) => {
                wire.extend_from_slice(text);
                wire.extend_from_slice(b"\r\n");
            }
            _ => wire.extend_from_slice(line),
        }
    }
    Ok(wire.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Raw, Problem> {
        Raw::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_end_as_on_the_wire() {
        for (given, wire) in [
            ("Subject: x\n\na\nb", Some("Subject: x\r\n\r\na\r\nb")),
            ("Subject: x\r\n\r\na\r\n", Some("Subject: x\r\n\r\na\r\n")),
            ("no end", Some("no end")),
            ("", Some("")),
            ("a\r\nb\n", None),
            ("a\rb\r\n", None),
            ("a\r", None),
            ("a\n\r\n", None),
            ("a\r\r\n", None),
        ] {
            let content = raw(given).ok().map(|raw| String::from_utf8(raw.content.to_vec()).unwrap());
            assert_eq!(content.as_deref(), wire, "{given:?}");
        }
    }

    #[test]
    fn sender_and_recipients_are_those_of_the_header() {
        let raw =
            raw("From: A <a@a.test>\nTo: b@b.test,\n C <c@c.test>\nCc: b@b.test\nBcc: d@d.test\n\nHi\n")
                .unwrap();
        assert_eq!(raw.reverse_path().unwrap().to_string(), "<a@a.test>");
        let recipients: Vec<_> = raw.recipients().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["<b@b.test>", "<c@c.test>", "<d@d.test>"]);
        assert_eq!((raw.body, raw.smtputf8), (BodyType::SevenBit, false));
    }

    #[test]
    fn what_is_doubtful_is_not_guessed() {
        assert!(raw("Subject: x\n\n").unwrap().reverse_path().is_err());
        assert!(raw("From: a@a.test, b@b.test\n\n").unwrap().reverse_path().is_err());
        let two = raw("From: a@a.test, b@b.test\nSender: b@b.test\n\n").unwrap();
        assert_eq!(two.reverse_path().unwrap().to_string(), "<b@b.test>");
        assert!(raw("To: a (b@b.test\n\n").unwrap().recipients().is_err());
        assert!(raw("Subject: x\n\n").unwrap().recipients().unwrap().is_empty());
    }

    #[test]
    fn other_characters_make_another_envelope() {
        let body = raw("From: a@a.test\n\nGrüße\n").unwrap();
        assert_eq!((body.body, body.smtputf8), (BodyType::EightBitMime, false));
        let header = raw("Subject: Grüße\n\n").unwrap();
        assert_eq!((header.body, header.smtputf8), (BodyType::EightBitMime, true));
        assert!(Raw::new(Bytes::from_static(b"Subject: \xff\n\n")).is_err());
    }

    #[test]
    fn the_query_names_recipients_and_options() {
        let query = Query::parse(
            "to=b%40b.test&to=%22a%20b%22@c.test&from=a@a.test&notify=success,delay&priority=-3",
        );
        let query = query.unwrap();
        let to: Vec<_> = query.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["<b@b.test>", "<\"a b\"@c.test>"]);
        assert_eq!(query.options.reverse_path().unwrap().unwrap().to_string(), "<a@a.test>");
        assert_eq!(query.options.notify().unwrap().parameter().as_deref(), Some("SUCCESS,DELAY"));
        assert_eq!(query.options.priority, Some(-3));
        for wrong in
            ["to=b", "to=", "cc=b@b.test", "priority=high", "priority=1&priority=2", "ret=half", "notify="]
        {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
