//! What the directory knows, in the words that agents and people share. Credentials are not among them.

use serde::{Deserialize, Serialize};

use crate::quota::LimitView;
use crate::{Mailbox, Quota, SenderPattern, Timestamp};

/// Somebody who has a mailbox here and may submit mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its address, which is also its login.
    pub address: Mailbox,
    /// Further addresses that it may send as (its aliases).
    pub may_send_as: Vec<Mailbox>,
    /// What an administrator lets it send as besides.
    pub granted: Vec<SenderPattern>,
    /// How much it may submit, with what is configured for all.
    pub quota: Quota,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Account {
    /// An account with nothing but its own address.
    #[must_use]
    pub const fn new(address: Mailbox, created_at: Timestamp) -> Self {
        Self { address, may_send_as: Vec::new(), granted: Vec::new(), quota: Quota::UNLIMITED, created_at }
    }
}

/// An account with what it has used of its quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// All limits, with what counts towards each now.
    pub limits: Vec<LimitView>,
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
