//! `mailbox.proto`.

use mail::Timestamp;

use crate::MailboxMessage;
use crate::generated as wire;

impl From<MailboxMessage> for wire::MailboxMessage {
    fn from(message: MailboxMessage) -> Self {
        let MailboxMessage { name, delivered_at, size, seen, from, subject } = message;
        Self { name, delivered_at: delivered_at.as_millis(), size, seen, from, subject }
    }
}

impl From<wire::MailboxMessage> for MailboxMessage {
    fn from(message: wire::MailboxMessage) -> Self {
        let wire::MailboxMessage { name, delivered_at, size, seen, from, subject } = message;
        Self { name, delivered_at: Timestamp::from_millis(delivered_at), size, seen, from, subject }
    }
}
