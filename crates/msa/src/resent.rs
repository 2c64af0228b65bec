//! Blocks of Resent fields (RFC 5322 3.6.6): a block says who sends a message on that was written before. Of several blocks the
//! topmost is the sender's; those below tell what others did.

use mail::Timestamp;
use mail::header::Field;
use smtp::Reply;

use crate::author;
use crate::completion::Fresh;
use crate::edit::Edits;
use crate::refusal;
use crate::sender::Sender;

/// The topmost block, as its fields come along.
#[derive(Debug, Default)]
pub(crate) struct Resent<'a> {
    first: Option<Field<'a>>,
    names: Vec<&'a str>,
    /// A field of another kind, or of another block, has followed.
    ended: bool,
}

impl<'a> Resent<'a> {
    /// Takes notice of the next field of the message. Whoever resends may do so in their own name alone.
    pub(crate) fn pass(&mut self, field: &Field<'a>, sender: &Sender<'_>) -> Result<(), Reply> {
        let belongs = field.name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("Resent-"));
        let repeated = self.names.iter().any(|name| name.eq_ignore_ascii_case(field.name));
        self.ended |= self.first.is_some() && (!belongs || repeated);
        if !belongs || self.ended {
            return Ok(());
        }
        self.first.get_or_insert(*field);
        self.names.push(field.name);
        for name in ["Resent-From", "Resent-Sender"] {
            if field.is(name) {
                let addresses = author::addresses(field).ok_or_else(|| refusal::unreadable(name))?;
                if !addresses.iter().all(|address| sender.owns(address)) {
                    return Err(refusal::author(name));
                }
            }
        }
        Ok(())
    }

    /// Adds what the block lacks, at its top.
    pub(crate) fn complete(&self, edits: &mut Edits<'_>, fresh: &Fresh<'_>) {
        let Some(first) = &self.first else { return };
        let lacks = |name: &str| !self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let mut added = String::new();
        if lacks("Resent-From") {
            added.push_str(&format!("Resent-From: <{}>\r\n", fresh.author));
        }
        if lacks("Resent-Date") {
            let now: Timestamp = fresh.now;
            added.push_str(&format!("Resent-Date: {}\r\n", now.rfc5322()));
        }
        if lacks("Resent-Message-ID") {
            let id = fresh.message_id.replacen('<', "<resent.", 1);
            added.push_str(&format!("Resent-Message-ID: {id}\r\n"));
        }
        if !added.is_empty() {
            edits.insert_before(first, added);
        }
    }
}
