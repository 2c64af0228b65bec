//! What trouble with disks and directories means: to the sender of a message, and to an agent that asks. The detail goes
//! to the log, here and only here.

use std::io;

use mail::{ForwardPath, Mailbox, Outcome, QueueId, Status};
use protocol::ErrorKind;

/// Nobody has this mailbox (RFC 3463 5.1.1).
pub(crate) fn unknown_user(recipient: &ForwardPath) -> Outcome {
    Outcome::Failed(Status::new(550, (5, 1, 1), format!("{recipient} has no mailbox here")))
}

/// The domain is not one of ours (RFC 3463 5.1.2).
pub(crate) fn not_local(recipient: &ForwardPath) -> Outcome {
    Outcome::Failed(Status::new(550, (5, 1, 2), format!("mail for {recipient} is not kept here")))
}

/// The address leads to others that cannot be delivered to from a mailbox server (RFC 3463 5.1.6).
pub(crate) fn moved(recipient: &ForwardPath, elsewhere: &Mailbox) -> Outcome {
    let text = format!("{recipient} now stands for {elsewhere}, whose mail is not kept here");
    Outcome::Failed(Status::new(550, (5, 1, 6), text))
}

/// The message could not be written: a full disk or quota waits to be mended, and so does everything else.
pub(crate) fn not_written(id: QueueId, recipient: &ForwardPath, error: &io::Error) -> Outcome {
    tracing::warn!(queue_id = %id, %recipient, %error, "a message could not be written into its mailbox; it stays queued");
    let (code, enhanced, text) = match error.kind() {
        io::ErrorKind::StorageFull => (452, (4, 3, 1), "the disk of the mailboxes is full"),
        io::ErrorKind::QuotaExceeded => (452, (4, 2, 2), "the mailbox is full"),
        _ => (451, (4, 3, 0), "the mailbox cannot be written to now"),
    };
    Outcome::Delayed(Status::new(code, enhanced, text))
}

/// The directory did not say whose the recipient is.
pub(crate) fn not_resolved(id: QueueId, recipient: &ForwardPath, error: &directory::Error) -> Outcome {
    if let directory::Error::TooManyMembers(_) = error {
        // Mailing list expansion problem (RFC 3463 5.2.4).
        return Outcome::Failed(Status::new(550, (5, 2, 4), error.to_string()));
    }
    tracing::warn!(queue_id = %id, %recipient, %error, "the directory could not be asked; the message stays queued");
    Outcome::Delayed(Status::new(451, (4, 3, 0), "the directory cannot be asked now"))
}

/// What an agent hears that asked the directory.
pub(crate) fn to_agent(error: &directory::Error) -> protocol::Error {
    use directory::Error as Of;
    let kind = match error {
        Of::AlreadyExists(_) => ErrorKind::AlreadyExists,
        Of::NotFound(_) => ErrorKind::NotFound,
        Of::Rejected(_) | Of::TooManyMembers(_) => ErrorKind::Rejected,
        Of::Busy | Of::Crowded => ErrorKind::Overloaded,
        Of::Uncounted(_) => {
            tracing::warn!(%error, "a message may have been counted, or not");
            return protocol::Error::new(ErrorKind::Unknown, "the quota cannot be charged now");
        }
        Of::Unavailable(_) => {
            tracing::warn!(%error, "the directory's database could not be asked");
            return protocol::Error::new(ErrorKind::Unavailable, "the directory cannot be asked now");
        }
        _ => {
            tracing::error!(%error, "the directory has a fault");
            return protocol::Error::new(
                ErrorKind::Internal,
                "the directory has a fault; the mda's log says more",
            );
        }
    };
    protocol::Error::new(kind, error)
}

/// What an agent hears that wanted to read a mailbox.
pub(crate) fn not_read(error: &io::Error) -> protocol::Error {
    tracing::warn!(%error, "a mailbox could not be read");
    protocol::Error::new(ErrorKind::Unavailable, "the mailbox cannot be read now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_with_the_disk_waits_and_says_which() {
        let id = QueueId { shard: 0, lane: 0, number: 1 };
        for (kind, expected) in [
            (io::ErrorKind::StorageFull, "452 4.3.1 the disk of the mailboxes is full"),
            (io::ErrorKind::QuotaExceeded, "452 4.2.2 the mailbox is full"),
            (io::ErrorKind::PermissionDenied, "451 4.3.0 the mailbox cannot be written to now"),
        ] {
            let outcome = not_written(id, &ForwardPath::Postmaster, &kind.into());
            assert!(
                matches!(&outcome, Outcome::Delayed(status) if status.to_string() == expected),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_crowd_fails_and_a_database_that_is_away_delays() {
        let id = QueueId { shard: 0, lane: 0, number: 1 };
        let crowd = directory::Error::TooManyMembers("all@example.org".to_owned());
        let outcome = not_resolved(id, &ForwardPath::Postmaster, &crowd);
        assert_eq!(outcome.status().enhanced.to_string(), "5.2.4");
        let outcome = not_resolved(id, &ForwardPath::Postmaster, &directory::Error::Busy);
        assert_eq!(outcome.status().to_string(), "451 4.3.0 the directory cannot be asked now");
        assert_eq!(to_agent(&directory::Error::Busy).kind, ErrorKind::Overloaded);
        assert_eq!(to_agent(&directory::Error::Corrupt("domain")).kind, ErrorKind::Internal);
    }
}
