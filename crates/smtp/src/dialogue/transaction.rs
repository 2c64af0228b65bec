//! One mail transaction of a client (RFC 5321 3.3), in batches where the server offers PIPELINING (RFC 2920). Content goes
//! behind DATA, which every server knows; a binary message, whose octets DATA would change, in one chunk behind BDAT.

use std::fmt::Write as _;

use mail::{BodyType, Content, DeliverByMode, Envelope, OriginalRecipient, Recipient, Status};

use super::Step;
use crate::command::{ENVID_LIMIT, ORCPT_LIMIT, encode_xtext};
use crate::data;
use crate::extension::Capabilities;
use crate::reply::Reply;

/// Most RCPT commands of one batch: small enough that neither side's replies pile up behind a full socket (RFC 2920 3.1).
const BATCH: usize = 100;
/// Most seconds that BY can say (RFC 2852 4).
const MOST_SECONDS: i64 = 999_999_999;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write these commands, then wait for the reply to the first of them.
    Write(String, Step),
    /// Wait for one more reply.
    Read(Step),
    /// Write the content with its final dot, or as a chunk with its command in front
    /// ([`Transaction::is_chunked`]), then wait for a reply ([`Step::EndOfData`]).
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

/// A mail transaction, from MAIL to the reply behind the content.
#[derive(Debug)]
pub struct Transaction<'a> {
    recipients: &'a [Recipient],
    mail: String,
    dsn: bool,
    pipelining: bool,
    chunked: bool,
    /// Addresses and ORCPT are written in UTF-8, and not in their forms in ASCII.
    international: bool,
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
    /// fail here with 5.6.7 (RFC 6531 3.6), all of them where the sender or the header section needs it. So do all with
    /// 5.6.1 where the content is binary and the server does not offer to take that (RFC 3030 3), and with 5.7.30 where the
    /// message requires TLS of every hop and the server does not offer to see to it (RFC 8689 4.2.1).
    ///
    /// BY is passed on as the envelope has it: the caller takes off the time that has gone by (RFC 2852 4.2).
    #[must_use]
    pub fn new(
        capabilities: &Capabilities,
        envelope: &Envelope,
        recipients: &'a [Recipient],
        content: &Content,
    ) -> Self {
        let all_need = needs_smtputf8(envelope, content);
        let chunked = envelope.body == BodyType::BinaryMime && data::needs_chunk(content);
        let mut statuses = vec![None; recipients.len()];
        if chunked && !(capabilities.chunking && capabilities.binary_mime) {
            let status =
                Status::new(554, (5, 6, 1), "The content is binary and the next server does not take that");
            statuses.fill(Some(status));
        }
        if envelope.require_tls && !capabilities.require_tls {
            statuses.fill(Some(Status::new(550, (5, 7, 30), "The next server does not offer REQUIRETLS")));
        }
        if !capabilities.smtputf8 {
            for (recipient, status) in recipients.iter().zip(&mut statuses) {
                let needs = (!has_ascii_form(recipient)).then_some(Needs::Address).or(all_need);
                if let Some(needs) = needs {
                    status.get_or_insert_with(|| needs.status());
                }
            }
        }
        let wanted: Vec<usize> = (0..recipients.len()).filter(|place| statuses[*place].is_none()).collect();
        let needed = all_need.is_some() || !wanted.iter().all(|place| has_ascii_form(&recipients[*place]));
        let international = capabilities.smtputf8 && (envelope.smtputf8 || needed);
        Self {
            recipients,
            mail: mail_command(capabilities, envelope, content, international, chunked),
            dsn: capabilities.dsn,
            pipelining: capabilities.pipelining,
            chunked,
            international,
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

    /// Whether the content goes as it is, behind BDAT, and not in lines behind DATA.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.chunked
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
                // Behind a chunk that was refused the transaction is open until RSET (RFC 3030 2).
                self.open = self.chunked && !reply.is_success();
                let status = if reply.is_success() { reply.status() } else { refusal(reply) };
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
                let enough = !self.accepted.is_empty() && is_too_many(reply);
                self.statuses[recipient] = Some(if enough { too_many() } else { refusal(reply) });
            }
        }
        let next = place + 1;
        if next < self.wanted.len() {
            self.waiting = Waiting::Rcpt(next);
            return self.rcpt_or_write(next);
        }
        if self.chunked && !self.accepted.is_empty() {
            self.waiting = Waiting::EndOfData;
            return Next::Content;
        }
        self.waiting = Waiting::Data;
        if self.pipelining && !self.chunked {
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

    /// The next batch of RCPT, and DATA behind the last one; without PIPELINING a single RCPT. A chunk waits until somebody
    /// was accepted: it would be sent for nothing otherwise.
    fn write_recipients(&mut self, commands: &mut String) {
        let batch = if self.pipelining { BATCH } else { 1 };
        let end = (self.written + batch).min(self.wanted.len());
        for place in &self.wanted[self.written..end] {
            rcpt_command(commands, &self.recipients[*place], self.dsn, self.international);
        }
        self.written = end;
        if self.pipelining && !self.chunked && end == self.wanted.len() {
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

/// Whether this may say, as RFC 821 had it, that no more recipients are taken in this transaction (RFC 5321 4.5.3.1.10). A full
/// mailbox, which is said by the same code, names itself.
fn is_too_many(reply: &Reply) -> bool {
    let status = reply.enhanced().map(|enhanced| (enhanced.subject, enhanced.detail));
    reply.code() == 552 && matches!(status, None | Some((5, 3)))
}

fn too_many() -> Status {
    Status::new(452, (4, 5, 3), "The server takes no more recipients in one transaction")
}

/// What of a message needs SMTPUTF8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Address,
    Header,
}

impl Needs {
    /// What a recipient hears where SMTPUTF8 is not to be had (RFC 6531 3.6 and 4.3).
    fn status(self) -> Status {
        let (detail, what) = match self {
            Self::Address => (7, "An address has a local part that is not ASCII"),
            Self::Header => (9, "The header section is not ASCII"),
        };
        Status::new(553, (5, 6, detail), format!("{what} and the next server does not offer SMTPUTF8"))
    }
}

/// Whether the recipient can be named without SMTPUTF8, with the domain in A-labels if need be.
fn has_ascii_form(recipient: &Recipient) -> bool {
    recipient.forward_path.mailbox().is_none_or(|m| m.is_ascii() || m.to_ascii().is_some())
}

/// Why the message as such needs SMTPUTF8, whoever it is for.
fn needs_smtputf8(envelope: &Envelope, content: &Content) -> Option<Needs> {
    let sender = envelope.reverse_path.mailbox();
    if sender.is_some_and(|mailbox| !mailbox.is_ascii() && mailbox.to_ascii().is_none()) {
        return Some(Needs::Address);
    }
    (envelope.smtputf8 && !content.split_header().0.is_ascii()).then_some(Needs::Header)
}

fn mail_command(
    capabilities: &Capabilities,
    envelope: &Envelope,
    content: &Content,
    international: bool,
    chunked: bool,
) -> String {
    let ascii = envelope.reverse_path.to_ascii().filter(|_| !international);
    let mut command = format!("MAIL FROM:{}", ascii.as_ref().unwrap_or(&envelope.reverse_path));
    let eight_bit = || content.segments().iter().any(|segment| !segment.is_ascii());
    if capabilities.size.is_some() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(command, " SIZE={}", content.len());
    }
    if chunked {
        command.push_str(" BODY=BINARYMIME");
    } else if capabilities.eight_bit_mime && (envelope.body != BodyType::SevenBit || eight_bit()) {
        command.push_str(" BODY=8BITMIME");
    }
    if international {
        command.push_str(" SMTPUTF8");
    }
    if capabilities.dsn {
        if let Some(ret) = envelope.ret {
            let _ = write!(command, " RET={}", ret.as_str());
        }
        if let Some(envid) = envelope.envid.as_deref().map(encode_xtext).filter(|e| e.len() <= ENVID_LIMIT) {
            let _ = write!(command, " ENVID={envid}");
        }
    }
    if let (Some(by), Some(_)) = (envelope.deliver_by, capabilities.deliver_by) {
        let mode = if by.mode == DeliverByMode::Return { "R" } else { "N" };
        let trace = if by.trace { "T" } else { "" };
        let seconds = by.seconds.clamp(-MOST_SECONDS, MOST_SECONDS);
        let _ = write!(command, " BY={seconds};{mode}{trace}");
    }
    if capabilities.mt_priority && !envelope.priority.is_normal() {
        let _ = write!(command, " MT-PRIORITY={}", envelope.priority.get());
    }
    if capabilities.require_tls && envelope.require_tls {
        command.push_str(" REQUIRETLS");
    }
    command.push_str("\r\n");
    command
}

/// What came as UTF-8 takes three times as much in xtext: where it outgrows its limit it is left out, for a server that refuses
/// the recipient for it would be right to.
fn rcpt_command(commands: &mut String, recipient: &Recipient, dsn: bool, international: bool) {
    let ascii = recipient.forward_path.to_ascii().filter(|_| !international);
    let _ = write!(commands, "RCPT TO:{}", ascii.as_ref().unwrap_or(&recipient.forward_path));
    if dsn {
        if let Some(notify) = recipient.notify.parameter() {
            let _ = write!(commands, " NOTIFY={notify}");
        }
        let original = recipient.original.as_ref().map(|original| orcpt(original, international));
        if let Some(original) = original.filter(|original| original.len() <= ORCPT_LIMIT) {
            let _ = write!(commands, " ORCPT={original}");
        }
    }
    commands.push_str("\r\n");
}

/// An address of the type utf-8 in the form that fits the transaction (RFC 6533 3), any other in xtext.
fn orcpt(original: &OriginalRecipient, international: bool) -> String {
    let OriginalRecipient { address_type, address } = original;
    let plain = |c: char| !c.is_ascii() || (c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\'));
    match original.is_utf8() {
        true if international && address.chars().all(plain) => format!("{address_type};{address}"),
        true => original.to_ascii(),
        false => format!("{address_type};{}", encode_xtext(address)),
    }
}

#[cfg(test)]
mod tests;
