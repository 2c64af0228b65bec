//! How much waits in the queue, by domain, as QUEU shows it. Read from the queue; knows no message.

use crate::Timestamp;

/// The domains that most recipients wait for, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The most first.
    pub domains: Vec<DomainSummary>,
    /// Domains that found no place in the list.
    pub more: u64,
}

/// The recipients of one domain that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSummary {
    /// The domain, or an address in brackets; `Postmaster` for the postmaster without a domain.
    pub domain: String,
    /// Attempts are under way for so many.
    pub active: u64,
    /// So many wait for their first attempt.
    pub queued: u64,
    /// So many wait for another attempt.
    pub retry: u64,
    /// So many are not to be tried before their time (RFC 4865), or before somebody releases them.
    pub held: u64,
    /// When the oldest of their messages came.
    pub oldest: Timestamp,
}
