//! What people see of a message: where it is, what happened to it, and why. Read from the queue, shown by `queue list` and
//! `queue show`.

use serde::{Deserialize, Serialize};

use crate::{Action, ForwardPath, Mailbox, QueueId, ReversePath, Status, Timestamp};

/// A message with its recipients and, where asked for, everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its queue id.
    pub id: QueueId,
    /// MAIL FROM; none where only history is left and it did not record it.
    pub reverse_path: Option<ReversePath>,
    /// The account that submitted it.
    pub account: Option<Mailbox>,
    /// Its size in octets.
    pub size: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The trace that follows it, 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The correlation token of the session that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<String>,
    /// The recipients that still wait.
    pub pending: Vec<PendingView>,
    /// What happened, oldest first; filled only when one message is asked for.
    pub timeline: Vec<TimelineEntry>,
}

/// A recipient that still waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingView {
    /// Its number within the message.
    pub number: u16,
    /// RCPT TO.
    pub forward_path: ForwardPath,
    /// The next hop that it waits for.
    pub destination: String,
    /// Where it stands.
    pub state: PendingState,
    /// Attempts so far.
    pub attempts: u16,
    /// When it is tried next; none for a first attempt that is under way or due.
    pub next_attempt_at: Option<Timestamp>,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// What the last attempt heard.
    pub last_status: Option<Status>,
}

/// Where a pending recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PendingState {
    /// Before the end of its first attempt.
    Fresh,
    /// Waiting for its next attempt.
    Deferred,
    /// Waiting for somebody to release it.
    Held,
}

/// One thing that happened to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// The recipient's number within the message.
    pub number: u16,
    /// RCPT TO.
    pub forward_path: ForwardPath,
    /// Which attempt it was, from 1.
    pub attempt: u16,
    /// What it came to.
    pub action: Action,
    /// What the other side, or we, said.
    pub status: Status,
    /// The server that said it, with its address and TLS version where there was one.
    pub remote: Option<String>,
}
