//! What the directory knows, in the words that agents and people share. Credentials are not among them.

use serde::{Deserialize, Serialize};

use crate::{Mailbox, Timestamp};

/// Somebody who has a mailbox here and may submit mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its address, which is also its login.
    pub address: Mailbox,
    /// Further addresses that it may send as (its aliases).
    pub may_send_as: Vec<Mailbox>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An address that stands for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The address; a local part of `*` catches what nothing else of the domain takes.
    pub address: String,
    /// Where its mail goes, here or elsewhere.
    pub targets: Vec<Mailbox>,
}

/// What the directory says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Ours; the mail goes to these: the address itself where it is an account's (with its detail), or the members of an
    /// alias, which may live elsewhere.
    Deliverable(Vec<Mailbox>),
    /// The domain is ours, the user is not.
    UnknownUser,
    /// The domain is not ours.
    NotLocal,
}
