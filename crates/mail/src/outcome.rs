//! What an attempt came to for one recipient, in the actions of RFC 3464 2.3.3.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Status;

/// What an attempt came to for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It lies in the recipient's mailbox.
    Delivered(Status),
    /// Another server took responsibility for it.
    Relayed(Status),
    /// Not now; it stays queued and is tried again.
    Delayed(Status),
    /// Never; the sender is to be told.
    Failed(Status),
}

impl Outcome {
    /// The status behind the outcome.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::Delivered(status)
            | Self::Relayed(status)
            | Self::Delayed(status)
            | Self::Failed(status) => status,
        }
    }

    /// The action that a timeline and a DSN name.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Delivered(_) => Action::Delivered,
            Self::Relayed(_) => Action::Relayed,
            Self::Delayed(_) => Action::Delayed,
            Self::Failed(_) => Action::Failed,
        }
    }

    /// A refusal by its reply code: 4yz delays, 5yz fails.
    #[must_use]
    pub fn refused(status: Status) -> Self {
        if status.code / 100 == 5 { Self::Failed(status) } else { Self::Delayed(status) }
    }
}

/// The action of RFC 3464 2.3.3, as timelines and DSNs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Final delivery.
    Delivered,
    /// Handed to a server that sends no DSN of its own.
    Relayed,
    /// Not yet.
    Delayed,
    /// Never.
    Failed,
    /// Replaced by the members of an alias.
    Expanded,
}

impl Action {
    /// Every action, in the order of their stored numbers.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Relayed, Self::Delayed, Self::Failed, Self::Expanded];

    /// The word of RFC 3464.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Expanded => "expanded",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
