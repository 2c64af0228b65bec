//! A message as applications describe it in JSON, and the options that all requests have.

use std::collections::BTreeMap;

use mail::{
    DeliverBy, DeliverByMode, Envelope, Hold, Mailbox, Notify, Priority, Ret, ReversePath, Timestamp,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// A message to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageRequest {
    /// Who it is from: an address of the account.
    pub(crate) from: Address,
    /// Who it is for.
    #[serde(default)]
    pub(crate) to: Vec<Address>,
    /// Who gets a copy.
    #[serde(default)]
    pub(crate) cc: Vec<Address>,
    /// Who gets a copy without the others seeing it.
    #[serde(default)]
    pub(crate) bcc: Vec<Address>,
    /// Where answers are to go.
    #[serde(default)]
    pub(crate) reply_to: Vec<Address>,
    /// The subject.
    #[serde(default)]
    pub(crate) subject: Option<String>,
    /// The message as plain text.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// The message as HTML; with `text` the reader's program chooses.
    #[serde(default)]
    pub(crate) html: Option<String>,
    /// Further header fields, such as `In-Reply-To` or `List-Unsubscribe`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Files that go along.
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
    /// How it is to be delivered.
    #[serde(flatten)]
    pub(crate) options: Options,
}

/// An address, alone (`bob@example.org`), with a name (`Bob <bob@example.org>`), or in parts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Address {
    /// As header fields write it.
    #[schema(example = "Bob <bob@example.org>")]
    Text(String),
    /// In parts.
    Parts(AddressParts),
}

/// An address in parts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressParts {
    /// The address.
    #[schema(example = "bob@example.org")]
    pub(crate) address: String,
    /// The name that is shown.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// A file that goes along.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    /// Its name.
    #[schema(example = "report.pdf")]
    pub(crate) filename: String,
    /// Its media type; `application/octet-stream` where none is given.
    #[serde(default)]
    #[schema(example = "application/pdf")]
    pub(crate) content_type: Option<String>,
    /// Its content in base64 (RFC 4648 4).
    #[schema(content_encoding = "base64")]
    pub(crate) content: String,
    /// A name by which the HTML shows it, as in `<img src="cid:logo">`.
    #[serde(default)]
    pub(crate) content_id: Option<String>,
}

/// How a message is to be delivered.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub(crate) struct Options {
    /// Where failures are reported to, an address of the account; that of `from` where none is given, and nobody where it is
    /// empty.
    #[serde(default)]
    pub(crate) reverse_path: Option<String>,
    /// From -9 to 9; higher is sooner (RFC 6710). More than the server grants becomes what it grants.
    #[serde(default)]
    #[schema(minimum = -9, maximum = 9)]
    pub(crate) priority: Option<i8>,
    /// When it is to leave, not before (RFC 4865).
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) send_at: Option<Timestamp>,
    /// After how many seconds it is to leave, in place of `send_at`.
    #[serde(default)]
    pub(crate) hold_for: Option<u32>,
    /// In how many seconds it is to be delivered (RFC 2852).
    #[serde(default)]
    pub(crate) deliver_by: Option<i64>,
    /// What happens when that time is over: `return` it, or `notify` the sender and go on.
    #[serde(default)]
    pub(crate) deliver_by_mode: Option<ByMode>,
    /// On what the sender wants to hear (RFC 3461); by default on failures and long delays. `never` stands alone.
    #[serde(default)]
    pub(crate) notify: Option<Vec<NotifyOn>>,
    /// How much of the message a failure notice returns.
    #[serde(default)]
    pub(crate) ret: Option<Return>,
    /// An id of the application's own, which notices name (ENVID of RFC 3461).
    #[serde(default)]
    pub(crate) envid: Option<String>,
    /// Whether every server on the way must use TLS with a verified certificate (RFC 8689).
    #[serde(default)]
    pub(crate) require_tls: bool,
}

/// What happens when the time for delivery is over.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ByMode {
    /// The message is returned.
    #[default]
    Return,
    /// The sender is told, and attempts go on.
    Notify,
}

/// On what the sender wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NotifyOn {
    /// On nothing.
    Never,
    /// On delivery.
    Success,
    /// On failure.
    Failure,
    /// On delay.
    Delay,
}

/// How much of the message a failure notice returns.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Return {
    /// The whole message.
    Full,
    /// Its header section.
    Headers,
}

/// Longest ENVID (RFC 3461 4.4).
const ENVID_LIMIT: usize = 100;

impl Options {
    /// MAIL FROM, where the options name it.
    pub(crate) fn reverse_path(&self) -> Result<Option<ReversePath>, Problem> {
        match self.reverse_path.as_deref() {
            None => Ok(None),
            Some("") => Ok(Some(ReversePath::Null)),
            Some(address) => match Mailbox::parse(address) {
                Ok(mailbox) => Ok(Some(ReversePath::Mailbox(mailbox))),
                Err(error) => Err(Problem::unprocessable(format!("reverse_path is no address: {error}"))),
            },
        }
    }

    /// Puts the options into an envelope, but for those of recipients.
    pub(crate) fn apply(&self, envelope: &mut Envelope) -> Result<(), Problem> {
        if let Some(asked) = self.priority {
            let priority = Priority::new(asked);
            envelope.priority =
                priority.ok_or_else(|| Problem::unprocessable("priority is between -9 and 9"))?;
        }
        envelope.hold = match (self.send_at, self.hold_for) {
            (Some(_), Some(_)) => return Err(Problem::unprocessable("give send_at or hold_for, not both")),
            (Some(time), None) => Some(Hold::Until(time)),
            (None, Some(seconds)) => Some(Hold::For(seconds)),
            (None, None) => None,
        };
        envelope.deliver_by = self.deliver_by.map(|seconds| DeliverBy {
            seconds,
            mode: match self.deliver_by_mode.unwrap_or_default() {
                ByMode::Return => DeliverByMode::Return,
                ByMode::Notify => DeliverByMode::Notify,
            },
            trace: false,
        });
        envelope.ret = self.ret.map(|ret| match ret {
            Return::Full => Ret::Full,
            Return::Headers => Ret::Headers,
        });
        let printable = |id: &String| id.len() <= ENVID_LIMIT && id.bytes().all(|b| matches!(b, b' '..=b'~'));
        if self.envid.as_ref().is_some_and(|id| id.is_empty() || !printable(id)) {
            return Err(Problem::unprocessable("envid has 1 to 100 printable ASCII characters"));
        }
        envelope.envid.clone_from(&self.envid);
        envelope.require_tls = self.require_tls;
        Ok(())
    }

    /// NOTIFY of each recipient.
    pub(crate) fn notify(&self) -> Result<Notify, Problem> {
        let Some(wanted) = &self.notify else { return Ok(Notify::default()) };
        let on = |what| wanted.contains(&what);
        if wanted.is_empty() || (on(NotifyOn::Never) && wanted.iter().any(|what| *what != NotifyOn::Never)) {
            return Err(Problem::unprocessable("notify names success, failure, delay, or never alone"));
        }
        Ok(Notify {
            success: on(NotifyOn::Success),
            failure: on(NotifyOn::Failure),
            delay: on(NotifyOn::Delay),
            explicit: true,
        })
    }
}

impl Address {
    /// The address and the name that is shown with it.
    ///
    /// # Errors
    /// When it is no address, or the name holds control characters; `member` is where it stands in the request.
    pub(crate) fn read(&self, member: &str) -> Result<(Mailbox, Option<String>), Problem> {
        let (address, name) = match self {
            Self::Parts(AddressParts { address, name }) => (address.as_str(), name.as_deref()),
            Self::Text(text) => match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
                Some((name, address)) => (address, Some(name)),
                None => (text.trim(), None),
            },
        };
        let mailbox = Mailbox::parse(address)
            .map_err(|error| Problem::unprocessable(format!("{member} holds what is no address: {error}")))?;
        let name = name.map(|name| unquoted(name.trim())).filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(Problem::unprocessable(format!("{member} holds a name with a control character")));
        }
        Ok((mailbox, name))
    }
}

/// A quoted string without its quotes (RFC 5322 3.2.4); anything else as it stands.
fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), ()> {
        let read = Address::Text(text.to_owned()).read("to");
        read.map(|(mailbox, name)| (mailbox.to_string(), name)).map_err(drop)
    }

    #[test]
    fn addresses_come_with_a_name_or_without() {
        let with = |name: &str| Ok(("bob@example.org".to_owned(), Some(name.to_owned())));
        assert_eq!(read("bob@example.org"), Ok(("bob@example.org".to_owned(), None)));
        assert_eq!(read("<bob@example.org>"), Ok(("bob@example.org".to_owned(), None)));
        assert_eq!(read("Bob <bob@example.org>"), with("Bob"));
        assert_eq!(read("\"B, \\\"o\\\" b\" <bob@example.org>"), with("B, \"o\" b"));
        assert_eq!(read("Jürgen <x> <bob@example.org>"), with("Jürgen <x>"));
    }

    #[test]
    fn nothing_else_is_an_address() {
        for text in [
            "",
            "bob",
            "bob@",
            "a@b.test, c@d.test",
            "bob@example.org\r\nX: y",
            "B\nX: <bob@example.org>",
            "<>",
        ] {
            assert_eq!(read(text), Err(()), "{text:?}");
        }
    }

    #[test]
    fn options_become_those_of_the_envelope() {
        let options: Options = serde_json::from_str(
            r#"{"reverse_path": "", "priority": 3, "send_at": "2026-11-24T08:00:00+01:00", "deliver_by": 600,
                "deliver_by_mode": "notify", "notify": ["success", "delay"], "ret": "headers", "envid": "order 7",
                "require_tls": true}"#,
        )
        .unwrap();
        assert_eq!(options.reverse_path().unwrap(), Some(ReversePath::Null));
        assert_eq!(options.notify().unwrap().parameter().as_deref(), Some("SUCCESS,DELAY"));
        let mut envelope = Envelope::new(ReversePath::Null, mail::Origin::default());
        options.apply(&mut envelope).unwrap();
        assert_eq!(envelope.priority.get(), 3);
        assert_eq!(envelope.hold, Some(Hold::Until("2026-11-24T07:00:00Z".parse().unwrap())));
        assert_eq!(envelope.deliver_by.map(|by| (by.seconds, by.mode)), Some((600, DeliverByMode::Notify)));
        assert_eq!((envelope.ret, envelope.envid.as_deref()), (Some(Ret::Headers), Some("order 7")));
        assert!(envelope.require_tls);
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        let mut envelope = Envelope::new(ReversePath::Null, mail::Origin::default());
        for text in [
            r#"{"priority": 10}"#,
            r#"{"send_at": "2026-11-24T08:00:00Z", "hold_for": 1}"#,
            r#"{"envid": "a\nb"}"#,
            r#"{"envid": ""}"#,
        ] {
            let options: Options = serde_json::from_str(text).unwrap();
            assert!(options.apply(&mut envelope).is_err(), "{text}");
        }
        for text in [r#"{"notify": []}"#, r#"{"notify": ["never", "delay"]}"#] {
            let options: Options = serde_json::from_str(text).unwrap();
            assert!(options.notify().is_err(), "{text}");
        }
    }
}
