//! From a request to what a submission needs, whichever way the message was given. Asks nobody.

use axum::body::Bytes;
use mail::{BodyType, Envelope, ForwardPath, Mailbox, Notify, Origin, ReversePath};
use smtp::policy::Policy;

use super::body::Kind;
use super::compose::{Composed, compose};
use super::members;
use super::problem::Problem;
use super::raw::{Query, Raw};
use super::request::{MessageRequest, Options};

/// A message on its way in, before anybody was asked about it.
#[derive(Debug)]
pub(crate) struct Draft {
    reverse_path: ReversePath,
    pub(crate) recipients: Vec<ForwardPath>,
    pub(crate) notify: Notify,
    pub(crate) content: Bytes,
    options: Options,
    body: BodyType,
    smtputf8: bool,
}

impl Draft {
    /// # Errors
    /// What cannot be a message, with what to change.
    pub(crate) fn new(kind: Kind, query: Option<&str>, octets: Bytes) -> Result<Self, Problem> {
        match kind {
            Kind::Json if query.is_some_and(|query| !query.is_empty()) => Err(Problem::bad_request(
                "Parameters in the query belong to message/rfc822; write them in the JSON",
            )),
            Kind::Json => Self::described(octets),
            Kind::Rfc822 => Self::whole(query.unwrap_or_default(), octets),
        }
    }

    fn described(octets: Bytes) -> Result<Self, Problem> {
        let mut request: MessageRequest =
            members::check(&octets).and_then(|()| serde_json::from_slice(&octets)).map_err(|error| {
                Problem::bad_request(format!("The JSON describes no message: {}", untold(&error)))
            })?;
        drop(octets);
        let options = std::mem::take(&mut request.options);
        let Composed { from, recipients, content } = compose(request)?;
        let raw = Raw::new(content)?;
        let reverse_path = options.reverse_path()?.unwrap_or(ReversePath::Mailbox(from));
        Self::of(raw, reverse_path, recipients.into_iter().map(ForwardPath::Mailbox).collect(), options)
    }

    fn whole(query: &str, octets: Bytes) -> Result<Self, Problem> {
        let Query { to, options } = Query::parse(query)?;
        let raw = Raw::new(octets)?;
        let reverse_path = match options.reverse_path()? {
            Some(reverse_path) => reverse_path,
            None => raw.reverse_path()?,
        };
        let recipients = if to.is_empty() { raw.recipients()? } else { to };
        Self::of(raw, reverse_path, recipients, options)
    }

    fn of(
        raw: Raw,
        reverse_path: ReversePath,
        recipients: Vec<ForwardPath>,
        options: Options,
    ) -> Result<Self, Problem> {
        if recipients.is_empty() {
            return Err(Problem::unprocessable("The message is for nobody; name a recipient"));
        }
        let notify = options.notify()?;
        let Raw { content, body, smtputf8 } = raw;
        let is_ascii = |mailbox: Option<&Mailbox>| mailbox.is_none_or(Mailbox::is_ascii);
        // RFC 6531 3.4: an address that is not ASCII asks for it as well.
        let smtputf8 = smtputf8
            || !is_ascii(reverse_path.mailbox())
            || !recipients.iter().all(|path| is_ascii(path.mailbox()));
        Ok(Self { reverse_path, recipients, notify, content, options, body, smtputf8 })
    }

    /// The envelope, without recipients yet. A priority beyond what is granted becomes what is (RFC 6710 4.1).
    ///
    /// # Errors
    /// When an option cannot be meant, or is not granted.
    pub(crate) fn envelope(&self, origin: Origin, policy: &Policy) -> Result<Envelope, Problem> {
        let mut envelope = Envelope::new(self.reverse_path.clone(), origin);
        envelope.body = self.body;
        envelope.smtputf8 = self.smtputf8;
        self.options.apply(&mut envelope)?;
        envelope.priority = envelope.priority.min(policy.max_priority);
        if envelope.hold.is_some() && policy.future_release.is_none() {
            return Err(Problem::unprocessable("No message is held here; leave send_at and hold_for away"));
        }
        policy.check_times(envelope.deliver_by, envelope.hold).map_err(|refusal| Problem::from(&refusal))?;
        Ok(envelope)
    }
}

/// What is wrong with the JSON, without the texts that the error quotes: they may be of the message.
fn untold(error: &serde_json::Error) -> String {
    let (mut kept, mut quoted, mut escaped) = (String::new(), false, false);
    for c in error.to_string().chars() {
        let ends = c == '"' && !escaped;
        if !quoted && kept.len() < 300 {
            kept.push(c);
        }
        if ends {
            quoted = !quoted;
            kept.push_str(if quoted { "…" } else { "\"" });
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kind: Kind, query: &str, content: &str) -> Result<Draft, Problem> {
        Draft::new(kind, Some(query), Bytes::copy_from_slice(content.as_bytes()))
    }

    #[test]
    fn both_ways_lead_to_the_same_envelope() {
        let json = r#"{"from": "a@a.test", "to": ["b@b.test"], "priority": -2, "text": "Hi"}"#;
        let one = draft(Kind::Json, "", json).unwrap();
        let two = draft(Kind::Rfc822, "priority=-2", "From: a@a.test\nTo: b@b.test\n\nHi\n").unwrap();
        let envelope = |draft: &Draft| draft.envelope(Origin::default(), &Policy::default()).unwrap();
        assert_eq!(envelope(&one), envelope(&two));
        assert_eq!((one.recipients, envelope(&two).priority.get()), (two.recipients, -2));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        let said = |json: &str| draft(Kind::Json, "", json).unwrap_err().detail().to_owned();
        let attached = said(r#"{"from": "a@a.test", "attachments": ["a \"secret\" file"]}"#);
        assert!(attached.contains("string \"…\"") && !attached.contains("secret"), "{attached}");
        assert!(said(r#"{"form": "a@a.test"}"#).contains("there is no member form"));
    }

    #[test]
    fn addresses_beyond_ascii_need_smtputf8() {
        let json = r#"{"from": "a@a.test", "to": ["jürgen@b.test"]}"#;
        assert!(draft(Kind::Json, "", json).unwrap().smtputf8);
        let hidden = r#"{"from": "a@a.test", "bcc": ["jürgen@b.test"]}"#;
        assert!(draft(Kind::Json, "", hidden).unwrap().smtputf8);
        assert!(!draft(Kind::Json, "", r#"{"from": "a@a.test", "to": ["b@b.test"]}"#).unwrap().smtputf8);
    }

    #[test]
    fn what_is_not_granted_is_lowered_or_refused() {
        let with = |member: &str| format!(r#"{{"from": "a@a.test", "to": ["b@b.test"], {member}}}"#);
        let envelope = |member: &str| {
            let draft = draft(Kind::Json, "", &with(member)).unwrap();
            draft.envelope(Origin::default(), &Policy::default())
        };
        assert_eq!(envelope(r#""priority": 9"#).unwrap().priority.get(), 0);
        assert!(envelope(r#""hold_for": 60"#).is_err());
        assert!(envelope(r#""deliver_by": 1"#).is_err());
        assert!(envelope(r#""deliver_by": 1, "deliver_by_mode": "notify""#).is_ok());
        assert!(draft(Kind::Json, "to=b@b.test", &with(r#""text": """#)).is_err());
        assert!(draft(Kind::Json, "", r#"{"from": "a@a.test"}"#).is_err());
    }
}
