//! The one error that crosses between agents: a kind that the caller can act on and a sentence for people.

use std::fmt;
use std::path::PathBuf;

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

/// Why agents cannot be connected as configured. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file of certificates or keys cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Some of the three files are given, but not all.
    #[error(
        "TLS between agents needs all of certificate_file, key_file and authority_file; {missing} is missing"
    )]
    Incomplete {
        /// The first key that is not given.
        missing: &'static str,
    },
    /// The files hold no certificate or key that can be used.
    #[error("the certificate, key or authority for TLS between agents cannot be used: {problem}")]
    Credentials {
        /// What the TLS library said.
        problem: String,
    },
    /// An address of another agent is malformed.
    #[error("\"{endpoint}\" is no address of an agent: {problem}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No address of the other agent is given.
    #[error("no address of the other agent is given; write one, as in endpoints = [\"https://mta:7025\"]")]
    NoEndpoint,
    /// `https` without certificates.
    #[error(
        "\"{endpoint}\" needs a certificate of our own; give certificate_file, key_file and authority_file in [tls.agents]"
    )]
    NoCredentials {
        /// The address.
        endpoint: String,
    },
    /// Plaintext where others could read along.
    #[error(
        "{place} is not on loopback and would speak to other agents without TLS; give certificates in [tls.agents], \
         or set insecure = true beside it where the network itself is trusted"
    )]
    Plaintext {
        /// The address.
        place: String,
    },
    /// A client is admitted under something that is no name.
    #[error("\"{name}\" is no name that a certificate can have; write a DNS name, as in \"msa\"")]
    ClientName {
        /// What was given.
        name: String,
    },
    /// The server ended by itself.
    #[error("the gRPC server stopped: {problem}")]
    Serve {
        /// Why.
        problem: String,
    },
}
