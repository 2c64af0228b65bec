//! What a broken connection or a refused session means for mail: the one place that words and classifies it. Temporary unless
//! known to be permanent.

use mail::Status;
use smtp::client::Error;

/// Why an attempt at one server came to nothing.
#[derive(Debug)]
pub struct Failure {
    /// How far it got.
    pub stage: Stage,
    /// What it means for the recipients if nothing else helps.
    pub status: Status,
    /// The server.
    pub remote: Option<String>,
}

/// How far an attempt got, which decides what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before or within the transaction, certainly before the message was taken: another server may be tried at once.
    Connection,
    /// Nothing more may be tried now: the message may have been taken (RFC 5321 6.1), or it is ours no longer.
    Final,
}

impl Failure {
    /// The failure of a list without servers.
    #[must_use]
    pub fn nobody_tried() -> Self {
        let status = Status::new(451, (4, 4, 4), "the destination names no server to try");
        Self { stage: Stage::Connection, status, remote: None }
    }

    /// A session that did not come about.
    #[must_use]
    pub fn in_connection(error: &Error, remote: &str) -> Self {
        let status = match error {
            // A server that wants none of our sessions may want them tomorrow (RFC 5321 3.1).
            Error::Refused { .. } => Status::new(450, (4, 3, 2), format!("{remote}: {error}")),
            other => Status::new(451, (4, 4, 1), format!("no session with {remote}: {other}")),
        };
        Self { stage: Stage::Connection, status, remote: Some(remote.to_owned()) }
    }

    /// A transaction that broke off.
    #[must_use]
    pub fn in_transaction(error: &Error, remote: Option<String>) -> Self {
        let name = remote.as_deref().unwrap_or("the server");
        let (stage, status) = match error {
            Error::OutcomeUnknown(_) => {
                let text = format!("{name} may have taken the message, but did not say so: {error}");
                (Stage::Final, Status::new(451, (4, 4, 2), text))
            }
            Error::Withdrawn => {
                (Stage::Final, Status::new(451, (4, 3, 0), "the message belongs to another instance now"))
            }
            Error::Content(problem) => (
                Stage::Final,
                Status::new(554, (5, 6, 0), format!("the message cannot be sent over SMTP: {problem}")),
            ),
            Error::Refused { status, .. } if status.code == 421 => (
                Stage::Connection,
                Status::new(450, (4, 3, 2), format!("{name} closed the session: {status}")),
            ),
            other => (
                Stage::Connection,
                Status::new(451, (4, 4, 2), format!("the session with {name} broke: {other}")),
            ),
        };
        Self { stage, status, remote }
    }
}
