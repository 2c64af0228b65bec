//! The one error that crosses between agents: a kind that the caller can act on and a sentence for people.

use std::fmt;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The other side cannot be reached or cannot serve now; trying later may help, and nothing was done.
    Unavailable,
    /// The call broke off and may or may not have taken effect.
    Unknown,
    /// A limit of memory, disk or rate is reached; trying later may help (452 4.3.1).
    Overloaded,
    /// The request itself can never succeed (554 5.6.0); retrying it is no use.
    Rejected,
    /// What was asked for is not there.
    NotFound,
    /// What was to be made is there already.
    AlreadyExists,
    /// The other side has a fault; its log says more.
    Internal,
}

/// An error between agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// One sentence for people and logs.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
