//! One mail transaction of a client (RFC 5321 3.3), in batches where the server offers PIPELINING (RFC 2920).

use std::fmt::Write as _;

use mail::{BodyType, Content, Envelope, Recipient, Status, header};

use super::Step;
use crate::command::encode_xtext;
use crate::extension::Capabilities;
use crate::reply::Reply;

/// Most RCPT commands of one batch: small enough that neither side's replies pile up behind a full socket (RFC 2920 3.1).
const BATCH: usize = 100;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write these commands, then wait for the reply to the first of them.
    Write(String, Step),
    /// Wait for one more reply.
    Read(Step),
    /// Write the content with its final dot, then wait for a reply ([`Step::EndOfData`]).
    Content,
    /// Write a lone dot: the server asks for content although it took no recipient. Then wait for a reply.
    LoneDot,
    /// It is over: [`Transaction::finish`].
    Finished,
}

/// Which reply comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Mail,
    /// For the recipient at this place of `wanted`.
    Rcpt(usize),
    Data,
    EndOfData,
    Nothing,
}

/// A mail transaction, from MAIL to the reply behind the final dot.
#[derive(Debug)]
pub struct Transaction<'a> {
    recipients: &'a [Recipient],
    mail: String,
    dsn: bool,
    pipelining: bool,
    /// The recipients that the server is asked about, by their places.
    wanted: Vec<usize>,
    /// What became of each recipient; none while it is open, and for those that were accepted until the end of data.
    statuses: Vec<Option<Status>>,
    accepted: Vec<usize>,
    mail_refused: bool,
    waiting: Waiting,
    /// How many of `wanted` have been written.
    written: usize,
    /// The server still has the transaction open: RSET comes before the next one.
    open: bool,
    closing: bool,
}

impl<'a> Transaction<'a> {
    /// Plans a transaction towards a server of these capabilities. Recipients that cannot be named to it without SMTPUTF8
    /// fail here with 5.6.7 (RFC 6531 3.6), all of them where the sender or the header section needs it.
    #[must_use]
    pub fn new(
        capabilities: &Capabilities,
        envelope: &Envelope,
        recipients: &'a [Recipient],
        content: &Content,
    ) -> Self {
        let ascii =
            |recipient: &Recipient| recipient.forward_path.mailbox().is_none_or(mail::Mailbox::is_ascii);
        let all_need = needs_smtputf8(envelope, content);
        let mut statuses = vec![None; recipients.len()];
        if !capabilities.smtputf8 {
            for (recipient, status) in recipients.iter().zip(&mut statuses) {
                if all_need || !ascii(recipient) {
                    *status = Some(Status::new(553, (5, 6, 7), "The next server does not offer SMTPUTF8"));
                }
            }
        }
        let wanted: Vec<usize> = (0..recipients.len()).filter(|place| statuses[*place].is_none()).collect();
        let international =
            envelope.smtputf8 || all_need || !wanted.iter().all(|place| ascii(&recipients[*place]));
        Self {
            recipients,
            mail: mail_command(capabilities, envelope, content, international),
            dsn: capabilities.dsn,
            pipelining: capabilities.pipelining,
            wanted,
            statuses,
            accepted: Vec::new(),
            mail_refused: false,
            waiting: Waiting::Nothing,
            written: 0,
            open: false,
            closing: false,
        }
    }

    /// The first thing to do.
    pub fn begin(&mut self) -> Next {
        if self.wanted.is_empty() {
            return Next::Finished;
        }
        self.waiting = Waiting::Mail;
        let mut commands = std::mem::take(&mut self.mail);
        if self.pipelining {
            self.write_recipients(&mut commands);
        }
        Next::Write(commands, Step::Mail)
    }

    /// What to do now that this reply came.
    pub fn take(&mut self, reply: &Reply) -> Next {
        if reply.closes() {
            self.closing = true;
            self.end_with(&reply.status());
            return Next::Finished;
        }
        match self.waiting {
            Waiting::Mail => self.mail_answered(reply),
            Waiting::Rcpt(place) => self.rcpt_answered(place, reply),
            Waiting::Data => self.data_answered(reply),
            Waiting::EndOfData => {
                self.open = false;
                let status = reply.status();
                for place in std::mem::take(&mut self.accepted) {
                    self.statuses[place] = Some(status.clone());
                }
                self.finished()
            }
            Waiting::Nothing => Next::Finished,
        }
    }

    /// One status for each recipient, in their order.
    #[must_use]
    pub fn finish(self) -> Vec<Status> {
        let unanswered = || Status::new(451, (4, 5, 0), "The server gave no answer for this recipient");
        self.statuses.into_iter().map(|status| status.unwrap_or_else(unanswered)).collect()
    }

    /// Whether RSET has to come before another transaction.
    #[must_use]
    pub fn needs_reset(&self) -> bool {
        self.open
    }

    /// Whether the server said 421: it closes the connection.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    fn mail_answered(&mut self, reply: &Reply) -> Next {
        if reply.is_success() {
            self.open = true;
        } else {
            self.mail_refused = true;
            self.end_with(&refusal(reply));
            if !self.pipelining {
                return self.finished();
            }
        }
        self.waiting = Waiting::Rcpt(0);
        self.rcpt_or_write(0)
    }

    fn rcpt_answered(&mut self, place: usize, reply: &Reply) -> Next {
        if !self.mail_refused {
            let recipient = self.wanted[place];
            if reply.is_success() {
                self.accepted.push(recipient);
            } else {
                self.statuses[recipient] = Some(refusal(reply));
            }
        }
        let next = place + 1;
        if next < self.wanted.len() {
            self.waiting = Waiting::Rcpt(next);
            return self.rcpt_or_write(next);
        }
        self.waiting = Waiting::Data;
        if self.pipelining {
            Next::Read(Step::Data)
        } else if self.accepted.is_empty() {
            self.finished()
        } else {
            Next::Write("DATA\r\n".to_owned(), Step::Data)
        }
    }

    /// Waits for the recipient's reply, or asks first.
    fn rcpt_or_write(&mut self, place: usize) -> Next {
        if place < self.written {
            return Next::Read(Step::Rcpt);
        }
        if self.mail_refused {
            return self.finished();
        }
        let mut commands = String::new();
        self.write_recipients(&mut commands);
        Next::Write(commands, Step::Rcpt)
    }

    /// The next batch of RCPT, and DATA behind the last one; without PIPELINING a single RCPT.
    fn write_recipients(&mut self, commands: &mut String) {
        let batch = if self.pipelining { BATCH } else { 1 };
        let end = (self.written + batch).min(self.wanted.len());
        for place in &self.wanted[self.written..end] {
            rcpt_command(commands, &self.recipients[*place], self.dsn);
        }
        self.written = end;
        if self.pipelining && end == self.wanted.len() {
            commands.push_str("DATA\r\n");
        }
    }

    fn data_answered(&mut self, reply: &Reply) -> Next {
        if reply.code() != 354 {
            if !self.mail_refused {
                self.end_with(&refusal(reply));
            }
            return self.finished();
        }
        self.waiting = Waiting::EndOfData;
        if self.accepted.is_empty() { Next::LoneDot } else { Next::Content }
    }

    /// What is open for a recipient, accepted or not, ends with this status.
    fn end_with(&mut self, status: &Status) {
        self.accepted.clear();
        for place in &self.wanted {
            self.statuses[*place].get_or_insert_with(|| status.clone());
        }
    }

    fn finished(&mut self) -> Next {
        self.waiting = Waiting::Nothing;
        Next::Finished
    }
}

/// What a reply that is no success means for a recipient. A 2yz or 3yz where it makes no sense must not pass for one.
fn refusal(reply: &Reply) -> Status {
    if reply.is_transient() || reply.is_permanent() {
        return reply.status();
    }
    Status::new(451, (4, 5, 0), format!("The server gave a reply that does not belong here: {reply}"))
}

/// Whether the message as such needs SMTPUTF8, whoever it is for.
fn needs_smtputf8(envelope: &Envelope, content: &Content) -> bool {
    let sender = envelope.reverse_path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii());
    sender || (envelope.smtputf8 && !header::split(&content.to_bytes()).0.is_ascii())
}

fn mail_command(
    capabilities: &Capabilities,
    envelope: &Envelope,
    content: &Content,
    international: bool,
) -> String {
    let mut command = format!("MAIL FROM:{}", envelope.reverse_path);
    let eight_bit = || content.segments().iter().any(|segment| !segment.is_ascii());
    if capabilities.size.is_some() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(command, " SIZE={}", content.len());
    }
    if capabilities.eight_bit_mime && (envelope.body != BodyType::SevenBit || eight_bit()) {
        command.push_str(" BODY=8BITMIME");
    }
    if capabilities.smtputf8 && international {
        command.push_str(" SMTPUTF8");
    }
    if capabilities.dsn {
        if let Some(ret) = envelope.ret {
            let _ = write!(command, " RET={}", ret.as_str());
        }
        if let Some(envid) = &envelope.envid {
            let _ = write!(command, " ENVID={}", encode_xtext(envid));
        }
    }
    command.push_str("\r\n");
    command
}

fn rcpt_command(commands: &mut String, recipient: &Recipient, dsn: bool) {
    let _ = write!(commands, "RCPT TO:{}", recipient.forward_path);
    if dsn {
        if let Some(notify) = recipient.notify.parameter() {
            let _ = write!(commands, " NOTIFY={notify}");
        }
        if let Some(original) = &recipient.original {
            let _ = write!(commands, " ORCPT={};{}", original.address_type, encode_xtext(&original.address));
        }
    }
    commands.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use mail::{ForwardPath, Notify, Origin, OriginalRecipient, Ret};

    use super::*;

    fn recipients(paths: &[&str]) -> Vec<Recipient> {
        paths.iter().map(|path| path.parse::<ForwardPath>().unwrap().into()).collect()
    }

    fn envelope() -> Envelope {
        Envelope::new("<s@a.example>".parse().unwrap(), Origin::default())
    }

    fn everything() -> Capabilities {
        Capabilities::parse("x\nSIZE\nPIPELINING\n8BITMIME\nSMTPUTF8\nDSN")
    }

    fn reply(text: &'static str) -> Reply {
        Reply::decode(&mut format!("{text}\r\n").as_str().into()).unwrap().unwrap()
    }

    /// Plays the server's replies and returns what was done, line by line, and the statuses.
    fn play(
        capabilities: &str,
        paths: &[&str],
        replies: &[&'static str],
    ) -> (Vec<String>, Vec<String>, bool) {
        let recipients = recipients(paths);
        let capabilities = Capabilities::parse(capabilities);
        let mut transaction =
            Transaction::new(&capabilities, &envelope(), &recipients, &Content::from("a\r\n"));
        let mut done = Vec::new();
        let mut next = transaction.begin();
        let mut replies = replies.iter();
        loop {
            match &next {
                Next::Write(commands, _) => done.push(commands.trim_end().replace("\r\n", "|")),
                Next::Read(_) => {}
                Next::Finished => break,
                other => done.push(format!("{other:?}")),
            }
            next = transaction.take(&reply(replies.next().expect("one reply more")));
        }
        assert_eq!(replies.next(), None, "every reply is read");
        let reset = transaction.needs_reset();
        (done, transaction.finish().iter().map(ToString::to_string).collect(), reset)
    }

    #[test]
    fn a_batch_goes_out_at_once_where_the_server_can() {
        let (done, statuses, reset) = play(
            "x\nPIPELINING",
            &["<a@b>", "<c@d>"],
            &["250 ok", "250 ok", "550 5.1.1 no", "354 go", "250 2.0.0 queued"],
        );
        assert_eq!(done, ["MAIL FROM:<s@a.example>|RCPT TO:<a@b>|RCPT TO:<c@d>|DATA", "Content"]);
        assert_eq!(
            (statuses, reset),
            (vec!["250 2.0.0 queued".to_owned(), "550 5.1.1 no".to_owned()], false)
        );
    }

    #[test]
    fn one_by_one_otherwise() {
        let (done, statuses, _) =
            play("x", &["<a@b>", "<c@d>"], &["250 ok", "451 later", "250 ok", "354 go", "554 spam"]);
        assert_eq!(done, ["MAIL FROM:<s@a.example>", "RCPT TO:<a@b>", "RCPT TO:<c@d>", "DATA", "Content"]);
        assert_eq!(statuses, ["451 4.0.0 later", "554 5.0.0 spam"]);
    }

    #[test]
    fn when_nobody_is_accepted_nothing_is_sent() {
        let (done, statuses, reset) =
            play("x\nPIPELINING", &["<a@b>"], &["250 ok", "550 no", "354 go", "250 strange"]);
        assert_eq!((done[1].as_str(), statuses[0].as_str(), reset), ("LoneDot", "550 5.0.0 no", false));
        let (_, statuses, reset) = play("x\nPIPELINING", &["<a@b>"], &["250 ok", "550 no", "503 rcpt first"]);
        assert_eq!((statuses[0].as_str(), reset), ("550 5.0.0 no", true));
        let (done, _, reset) = play("x", &["<a@b>"], &["250 ok", "550 no"]);
        assert_eq!((done.len(), reset), (2, true));
    }

    #[test]
    fn a_refused_sender_is_what_all_recipients_hear() {
        let replies = ["552 5.3.4 big", "503 x", "503 x", "503 x"];
        let (_, statuses, reset) = play("x\nPIPELINING", &["<a@b>", "<c@d>"], &replies);
        assert_eq!((statuses, reset), (vec!["552 5.3.4 big".to_owned(); 2], false));
        let (done, statuses, _) = play("x", &["<a@b>", "<c@d>"], &replies[..1]);
        assert_eq!((done.len(), statuses), (1, vec!["552 5.3.4 big".to_owned(); 2]));
    }

    #[test]
    fn a_421_ends_it_for_all_that_are_open() {
        let (_, statuses, _) =
            play("x\nPIPELINING", &["<a@b>", "<c@d>", "<e@f>"], &["250 ok", "250 ok", "550 no", "421 bye"]);
        assert_eq!(statuses, ["421 4.0.0 bye", "550 5.0.0 no", "421 4.0.0 bye"]);
    }

    #[test]
    fn a_positive_reply_in_the_wrong_place_is_no_success() {
        let (_, statuses, _) = play("x\nPIPELINING", &["<a@b>"], &["250 ok", "250 ok", "250 what"]);
        assert!(statuses[0].starts_with("451 4.5.0"), "{statuses:?}");
    }

    #[test]
    fn many_recipients_go_in_several_batches() {
        let paths: Vec<String> = (0..250).map(|n| format!("<u{n}@b>")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let mut replies = vec!["250 ok"; 251];
        replies.extend(["354 go", "250 done"]);
        let (done, statuses, _) = play("x\nPIPELINING", &paths, &replies);
        let counts: Vec<usize> = done.iter().map(|batch| batch.matches("RCPT").count()).collect();
        assert_eq!((counts, statuses.len()), (vec![100, 100, 50, 0], 250));
        assert!(done[2].ends_with("|DATA"));
    }

    #[test]
    fn parameters_are_given_where_they_are_offered() {
        let mut envelope = envelope();
        envelope.ret = Some(Ret::Full);
        envelope.envid = Some("a b".to_owned());
        let mut recipients = recipients(&["<δ@b>"]);
        recipients[0].notify = Notify::NEVER;
        recipients[0].original =
            Some(OriginalRecipient { address_type: "rfc822".to_owned(), address: "x+y@z".to_owned() });
        let content = Content::from("ä\r\n");
        let mut transaction = Transaction::new(&everything(), &envelope, &recipients, &content);
        let Next::Write(commands, Step::Mail) = transaction.begin() else { panic!("no commands") };
        assert_eq!(
            commands,
            "MAIL FROM:<s@a.example> SIZE=4 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+20b\r\n\
             RCPT TO:<δ@b> NOTIFY=NEVER ORCPT=rfc822;x+2By@z\r\nDATA\r\n"
        );
        let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &content);
        assert_eq!(transaction.begin(), Next::Finished);
        assert_eq!(transaction.finish()[0].enhanced.to_string(), "5.6.7");
    }

    #[test]
    fn a_message_that_said_smtputf8_and_needs_none_goes_anywhere() {
        let mut envelope = envelope();
        envelope.smtputf8 = true;
        let recipients = recipients(&["<a@b>"]);
        let plain = Content::from("Subject: x\r\n\r\nä\r\n");
        let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &plain);
        assert!(matches!(transaction.begin(), Next::Write(..)));
        let utf8 = Content::from("Subject: ä\r\n\r\nx\r\n");
        let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &utf8);
        assert_eq!(transaction.begin(), Next::Finished);
    }
}
