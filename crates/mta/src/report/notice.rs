//! Delivery status notifications: what is told to whom (RFC 3461 5.2) and in what form (RFC 3464; RFC 6533 where addresses
//! need UTF-8). Builds octets; sends nothing.

use std::fmt::Write as _;

use bytes::Bytes;
use mail::header;
use mail::{
    Action, BodyType, Content, DeliverByMode, Domain, Envelope, ForwardPath, Outcome, QueueId, Recipient,
    Ret, Status, Timestamp, unitext,
};
use queue::Message;

use super::PassedOn;
use crate::times;

/// What a notice tells of one recipient.
#[derive(Debug)]
pub struct Notice<'a> {
    /// The message that it is about.
    pub message: &'a Message,
    /// Its content, for returning.
    pub content: &'a Content,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// The server that said so.
    pub remote: Option<&'a str>,
    /// Until when a delayed message is tried.
    pub retry_until: Option<Timestamp>,
    /// The size up to which a failed message is returned whole.
    pub returned_size: usize,
}

/// Whether the sender wants to hear of this outcome. A null reverse-path never does (RFC 5321 4.5.5).
#[must_use]
pub fn is_wanted(envelope: &Envelope, recipient: &Recipient, outcome: &Outcome, passed_on: PassedOn) -> bool {
    if envelope.reverse_path.is_null() {
        return false;
    }
    match outcome.action() {
        Action::Failed => recipient.notify.failure,
        Action::Delayed => times::hears_of_delay(envelope, recipient),
        Action::Delivered | Action::Expanded => recipient.notify.success,
        // Where the next server knows DSN, it tells (RFC 3461 5.2.2).
        Action::Relayed => {
            (recipient.notify.success && !passed_on.dsn)
                || (is_relaying_told(envelope, passed_on) && !times::is_never(recipient))
        }
    }
}

/// Whether BY asks to tell of a relaying: each with T; the last that knows of the time with N (RFC 2852 4).
fn is_relaying_told(envelope: &Envelope, passed_on: PassedOn) -> bool {
    envelope
        .deliver_by
        .is_some_and(|by| by.trace || (by.mode == DeliverByMode::Notify && !passed_on.deliver_by))
}

impl Notice<'_> {
    /// The notice as content, sent by `host` at `now` under `id`.
    #[must_use]
    pub fn build(&self, id: QueueId, host: &Domain, now: Timestamp) -> Content {
        let boundary = format!("=_{id}_postrider");
        let returned = self.returned();
        let (explanation, fields) = (self.explanation(host), self.fields(host, now));
        let eight_bit = !(returned.is_ascii() && explanation.is_ascii() && fields.is_ascii());
        let mut text = self.header(id, host, now, &boundary, eight_bit);
        let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
        let _ = write!(
            text,
            "\r\nThis is a report in several parts (RFC 3464).\r\n\r\n--{boundary}\r\nContent-Type: text/plain; \
             charset=utf-8\r\n{encoding}\r\n{explanation}\r\n--{boundary}\r\nContent-Type: message/{}\r\n\
             {encoding}\r\n{fields}\r\n--{boundary}\r\nContent-Type: {}\r\n{encoding}\r\n",
            if self.is_global() { "global-delivery-status" } else { "delivery-status" },
            self.returned_type(),
        );
        let mut content = Content::from(text);
        content.append(returned);
        content.append(format!("\r\n--{boundary}--\r\n"));
        content
    }

    fn header(&self, id: QueueId, host: &Domain, now: Timestamp, boundary: &str, eight_bit: bool) -> String {
        // In ASCII if there is such a form: a server without SMTPUTF8 takes the notice then.
        let sender = self.message.envelope.reverse_path.mailbox();
        let to = sender.map(|s| s.to_ascii().as_ref().unwrap_or(s).to_string()).unwrap_or_default();
        let subject = match self.outcome.action() {
            Action::Failed => "Undelivered mail returned to sender",
            Action::Delayed => "Delayed mail (still being tried)",
            _ => "Mail delivered",
        };
        let report = if self.is_global() { "global-delivery-status" } else { "delivery-status" };
        let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {}\r\n\
             Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n{encoding}Content-Type: \
             multipart/report; report-type={report};\r\n\tboundary=\"{boundary}\"\r\n",
            now.rfc5322()
        )
    }

    /// The part for people.
    fn explanation(&self, host: &Domain) -> String {
        let address = path_text(&self.recipient.forward_path);
        let lead = match self.outcome.action() {
            Action::Failed => format!(
                "Your message could not be delivered to\r\n\r\n    {address}\r\n\r\nand will not be tried again. The reason:"
            ),
            Action::Delayed => {
                let until = self.retry_until.map(|t| format!(" until {}", t.rfc5322())).unwrap_or_default();
                format!(
                    "Your message has not been delivered yet to\r\n\r\n    {address}\r\n\r\nYou need do nothing: it will be tried again{until}.\r\nThe reason so far:"
                )
            }
            Action::Relayed => format!(
                "Your message was passed on for\r\n\r\n    {address}\r\n\r\nto a server that sends no notice of delivery. It said:"
            ),
            Action::Delivered | Action::Expanded => {
                format!("Your message was delivered to\r\n\r\n    {address}\r\n\r\nThe mail system said:")
            }
        };
        let remote = self.remote.map(|name| format!(" (said {name})")).unwrap_or_default();
        format!(
            "This is the mail system at {host}.\r\n\r\n{lead}\r\n\r\n    {}{remote}\r\n",
            clean(&self.outcome.status().to_string())
        )
    }

    /// The fields of RFC 3464 2.2 and 2.3.
    fn fields(&self, host: &Domain, now: Timestamp) -> String {
        let mut fields = format!("Reporting-MTA: dns; {host}\r\n");
        if let Some(envid) = &self.message.envelope.envid {
            let _ = write!(fields, "Original-Envelope-Id: {}\r\n", self.clean(envid));
        }
        let _ = write!(fields, "Arrival-Date: {}\r\n\r\n", self.message.accepted_at.rfc5322());
        if let Some(original) = &self.recipient.original {
            let original = if self.is_global() { original.to_string() } else { original.to_ascii() };
            let _ = write!(fields, "Original-Recipient: {}\r\n", clean(&original));
        }
        let status: &Status = self.outcome.status();
        let _ = write!(
            fields,
            "Final-Recipient: {}\r\nAction: {}\r\nStatus: {}\r\n",
            self.final_recipient(),
            self.outcome.action(),
            status.enhanced,
        );
        if let Some(name) = self.remote.and_then(|remote| remote.split_whitespace().next()) {
            let _ = write!(fields, "Remote-MTA: dns; {}\r\n", self.clean(name));
        }
        let _ = write!(fields, "Diagnostic-Code: smtp; {}\r\n", self.clean(&status.to_string()));
        let _ = write!(fields, "Last-Attempt-Date: {}\r\n", now.rfc5322());
        if let Some(until) = self.retry_until {
            let _ = write!(fields, "Will-Retry-Until: {}\r\n", until.rfc5322());
        }
        fields
    }

    /// Type and address (RFC 6533 3): in UTF-8, or in a form of ASCII in a report that may hold nothing else.
    fn final_recipient(&self) -> String {
        let path = &self.recipient.forward_path;
        match path.to_ascii() {
            _ if self.is_global() && !path_text(path).is_ascii() => {
                format!("{}; {}", unitext::ADDRESS_TYPE, path_text(path))
            }
            Some(ascii) => format!("rfc822; {}", path_text(&ascii)),
            None => format!("{}; {}", unitext::ADDRESS_TYPE, unitext::encode(&path_text(path))),
        }
    }

    /// Whether the report is one of RFC 6533: the sender can read UTF-8, and there is some.
    fn is_global(&self) -> bool {
        let original = self.recipient.original.as_ref();
        self.message.envelope.smtputf8
            && !(path_text(&self.recipient.forward_path).is_ascii()
                && original.is_none_or(|original| original.address.is_ascii())
                && self.content.split_header().0.is_ascii())
    }

    /// Text from peers may not end a field of ours, nor hold more than ASCII where the report may not.
    fn clean(&self, text: &str) -> String {
        let text = clean(text);
        if self.is_global() { text } else { text.replace(|c: char| !c.is_ascii(), "?") }
    }

    /// RET counts for failures only (RFC 3461 4.3); other notices return the header. So does what is said about a binary
    /// message: with its body the notice would be binary too, and stop where the message did (RFC 3030 3).
    fn is_returned_whole(&self) -> bool {
        self.outcome.action() == Action::Failed
            && self.message.envelope.body != BodyType::BinaryMime
            && self.message.envelope.ret != Some(Ret::Headers)
            && !self.message.envelope.require_tls
            && self.content.len() <= self.returned_size
    }

    fn returned(&self) -> Bytes {
        if self.is_returned_whole() {
            return self.content.to_bytes();
        }
        let (section, _) = self.content.split_header();
        let (header, _) = header::split(&section);
        section.slice(..header.len().min(self.returned_size))
    }

    fn returned_type(&self) -> &'static str {
        match (self.is_returned_whole(), self.is_global()) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        }
    }
}

fn path_text(path: &ForwardPath) -> String {
    match path.mailbox() {
        Some(mailbox) => mailbox.to_string(),
        None => "postmaster".to_owned(),
    }
}

/// Text from peers may not end a line of ours.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{DeliverBy, Notify, Origin, OriginalRecipient, TraceContext};

    fn message(sender: &str) -> Message {
        Message {
            id: QueueId { shard: 0, lane: 0, number: 1 },
            accepted_at: Timestamp::from_millis(0),
            envelope: Envelope::new(sender.parse().unwrap(), Origin::default()),
            trace: TraceContext::default(),
            size: 0,
        }
    }

    fn recipient() -> Recipient {
        Recipient::from("<rcpt@b.test>".parse::<ForwardPath>().unwrap())
    }

    fn build(message: &Message, outcome: &Outcome, content: &str, returned_size: usize) -> String {
        let content = Content::from(content.to_owned());
        let notice = Notice {
            message,
            content: &content,
            recipient: &recipient(),
            outcome,
            remote: Some("mx.b.test [192.0.2.1] TLSv1.3"),
            retry_until: None,
            returned_size,
        };
        let id = QueueId { shard: 0, lane: 0, number: 2 };
        let built = notice.build(id, &"mta.test".parse().unwrap(), Timestamp::from_millis(0)).to_bytes();
        String::from_utf8(built.to_vec()).unwrap()
    }

    #[test]
    fn a_failure_says_which_address_and_why_and_returns_the_message() {
        let failed = Outcome::Failed(Status::new(550, (5, 1, 1), "no such user"));
        let text = build(&message("<sender@a.test>"), &failed, "Subject: x\r\n\r\nbody\r\n", 1000);
        for line in [
            "To: <sender@a.test>",
            "Reporting-MTA: dns; mta.test",
            "Final-Recipient: rfc822; rcpt@b.test",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; mx.b.test",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user",
            "Content-Type: message/rfc822",
            "body",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in\n{text}");
        }
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "no bare CR or LF");
        let short = build(&message("<sender@a.test>"), &failed, "Subject: x\r\n\r\nbody\r\n", 15);
        assert!(short.contains("text/rfc822-headers") && !short.contains("body"));
    }

    /// RFC 6533 3: the address as it is where UTF-8 may stand, in a form of ASCII where it may not.
    #[test]
    fn international_addresses_have_the_form_that_fits_the_report() {
        let failed = Outcome::Failed(Status::new(553, (5, 6, 7), "nö"));
        for (smtputf8, path, lines) in [
            (true, "<jürgen@b.test>", ["utf-8; jürgen@b.test", "utf-8;ü@c.test", "553 5.6.7 nö"]),
            (
                false,
                "<jürgen@b.test>",
                ["utf-8; j\\x{FC}rgen@b.test", "utf-8;\\x{FC}@c.test", "553 5.6.7 n?"],
            ),
            (false, "<j@ü.test>", ["rfc822; j@xn--tda.test", "utf-8;\\x{FC}@c.test", "553 5.6.7 n?"]),
        ] {
            let mut message = message("<sender@ü.test>");
            message.envelope.smtputf8 = smtputf8;
            let mut recipient = Recipient::from(path.parse::<ForwardPath>().unwrap());
            recipient.original =
                Some(OriginalRecipient { address_type: "utf-8".to_owned(), address: "ü@c.test".to_owned() });
            let content = Content::from("Subject: x\r\n\r\nbody\r\n");
            let notice = Notice {
                message: &message,
                content: &content,
                recipient: &recipient,
                outcome: &failed,
                remote: None,
                retry_until: None,
                returned_size: 1000,
            };
            let id = QueueId { shard: 0, lane: 0, number: 2 };
            let text = notice.build(id, &"mta.test".parse().unwrap(), Timestamp::from_millis(0)).to_bytes();
            let text = str::from_utf8(&text).unwrap();
            let [last, original, diagnostic] = lines;
            for line in [
                format!("Final-Recipient: {last}"),
                format!("Original-Recipient: {original}"),
                format!("Diagnostic-Code: smtp; {diagnostic}"),
                "To: <sender@xn--tda.test>".to_owned(),
            ] {
                assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in\n{text}");
            }
            assert_eq!(text.contains("message/global-delivery-status"), smtputf8, "{text}");
        }
    }

    #[test]
    fn of_a_binary_message_the_header_is_returned() {
        let failed = Outcome::Failed(Status::new(554, (5, 6, 1), "binary"));
        let mut message = message("<sender@a.test>");
        message.envelope.body = BodyType::BinaryMime;
        let text = build(&message, &failed, "Subject: x\r\n\r\n\n\0\r", 1000);
        assert!(text.contains("text/rfc822-headers\r\n\r\nSubject: x\r\n") && !text.contains('\0'));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "no bare CR or LF");
    }

    #[test]
    fn the_sender_hears_only_what_it_asked_for_and_nobody_behind_a_null_reverse_path() {
        let status = || Status::new(250, (2, 0, 0), "ok");
        let sender = message("<a@b.test>").envelope;
        let none = PassedOn::default();
        let dsn = PassedOn { dsn: true, ..none };
        let plain = recipient();
        assert!(is_wanted(&sender, &plain, &Outcome::Failed(status()), none));
        assert!(is_wanted(&sender, &plain, &Outcome::Delayed(status()), none));
        assert!(!is_wanted(&sender, &plain, &Outcome::Relayed(status()), none));
        assert!(!is_wanted(&message("<>").envelope, &plain, &Outcome::Failed(status()), none));
        let never = Recipient { notify: Notify::NEVER, ..recipient() };
        assert!(!is_wanted(&sender, &never, &Outcome::Failed(status()), none));
        let success = Notify { success: true, failure: false, delay: false, explicit: true };
        let asked = Recipient { notify: success, ..recipient() };
        assert!(is_wanted(&sender, &asked, &Outcome::Relayed(status()), none));
        assert!(!is_wanted(&sender, &asked, &Outcome::Relayed(status()), dsn));
        assert!(is_wanted(&sender, &asked, &Outcome::Delivered(status()), none));
    }

    #[test]
    fn whoever_gave_a_time_hears_of_relaying_as_asked() {
        let relayed = Outcome::Relayed(Status::new(250, (2, 0, 0), "ok"));
        let knows = PassedOn { dsn: true, deliver_by: true };
        let knows_not = PassedOn { dsn: true, deliver_by: false };
        let never = Recipient { notify: Notify::NEVER, ..recipient() };
        for (mode, trace, told_if_known, told_if_not) in [
            (DeliverByMode::Notify, false, false, true),
            (DeliverByMode::Notify, true, true, true),
            (DeliverByMode::Return, true, true, true),
            (DeliverByMode::Return, false, false, false),
        ] {
            let mut envelope = message("<a@b.test>").envelope;
            envelope.deliver_by = Some(DeliverBy { seconds: 100, mode, trace });
            assert_eq!(is_wanted(&envelope, &recipient(), &relayed, knows), told_if_known);
            assert_eq!(is_wanted(&envelope, &recipient(), &relayed, knows_not), told_if_not);
            assert!(!is_wanted(&envelope, &never, &relayed, knows_not));
        }
    }
}
