//! What can go wrong on the client's side, by what the caller can do about it.

use std::io;

use mail::Status;

use crate::data::Fault;
use crate::dialogue::Step;
use crate::reply::ReplyError;
use crate::sasl::ClientFault;
use crate::tls::TlsError;

/// Why a connection is of no more use (but for [`Error::Content`], which is the message's fault). What a server refuses about a single recipient is no error but its
/// [`mail::Status`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about: try the next address.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The server was silent for too long.
    #[error("timed out while {}", .0.phrase())]
    Timeout(Step),
    /// The connection broke or the server closed it.
    #[error("lost the connection while {}: {source}", .step.phrase())]
    Closed {
        /// What was under way.
        step: Step,
        /// What the socket said.
        source: io::Error,
    },
    /// TLS is wanted and the server does not offer it or refused STARTTLS.
    #[error("the server offers no STARTTLS")]
    TlsNotOffered,
    /// The TLS handshake failed. Under [`Security::Opportunistic`](super::Security) the caller may connect again in clear.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// There is no TLS configuration to connect with.
    #[error(transparent)]
    TlsSettings(#[from] TlsError),
    /// The server does not follow the protocol.
    #[error("{source} (while {})", .step.phrase())]
    Protocol {
        /// What was under way.
        step: Step,
        /// What was wrong with it.
        source: ProtocolFault,
    },
    /// The server refused the session or the authentication as a whole.
    #[error("refused while {}: {status}", .step.phrase())]
    Refused {
        /// What was under way.
        step: Step,
        /// What the server said.
        status: Status,
    },
    /// The content cannot be sent as it is; nothing was sent.
    #[error("the message cannot be sent: {0}")]
    Content(#[from] Fault),
    /// The caller withdrew its consent before the end of data: no server took the message.
    #[error("withdrawn before the end of data")]
    Withdrawn,
    /// The connection broke behind the end of data: the server may have taken the message or not.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(#[source] Box<Error>),
}

/// What a server did that SMTP does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolFault {
    /// What came is no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// A reply that means nothing here, such as 354 to MAIL.
    #[error("the server gave a reply that does not belong here: {0}")]
    Unexpected(u16),
    /// More came than was asked for, behind STARTTLS: it could be somebody else's (RFC 3207 4.2).
    #[error("the server sent more than was asked for")]
    Surplus,
    /// None of the mechanisms that we know is offered.
    #[error("the server offers no authentication that we know")]
    NoMechanism,
    /// The server's side of an exchange of AUTH is not what it should be.
    #[error(transparent)]
    Authentication(#[from] ClientFault),
}
