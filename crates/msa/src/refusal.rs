//! The replies that only a submission server gives: code, enhanced status (RFC 3463, 7372) and text together. The others are
//! those of [`smtp::reply`].

use mail::mime::Unfit;
use smtp::Reply;

/// MAIL FROM is not one of the account's addresses (RFC 6409 6.1).
pub(crate) fn reverse_path() -> Reply {
    Reply::new(550, (5, 7, 1), "The sender's address does not belong to the authenticated account")
}

/// From or Sender has an address that is not one of the account's (RFC 6409 8.1).
pub(crate) fn author(field: &'static str) -> Reply {
    Reply::new(
        550,
        (5, 7, 1),
        format!("The {field} field has an address that does not belong to the authenticated account"),
    )
}

/// A field is there more than once that may be there only once (RFC 5322 3.6).
pub(crate) fn repeated(field: &'static str) -> Reply {
    Reply::new(550, (5, 6, 0), format!("The message has more than one {field} field"))
}

/// From or Sender holds no address, or something that different readers would read differently.
pub(crate) fn unreadable(field: &'static str) -> Reply {
    Reply::new(
        550,
        (5, 6, 0),
        format!("The {field} field is not well-formed: it needs addresses, as in <user@example.org>"),
    )
}

/// A line in the header section that belongs to no field.
pub(crate) fn no_field() -> Reply {
    Reply::new(550, (5, 6, 0), "The header section has a line that is no field")
}

/// It has to be changed before any server takes it, and cannot be.
pub(crate) fn unfit(why: &Unfit) -> Reply {
    Reply::new(554, (5, 6, 0), format!("The message cannot be sent: {why}"))
}

/// The mta cannot be reached, or nobody can say what it did: the client keeps the message and tries again.
pub(crate) fn not_queued() -> Reply {
    Reply::new(451, (4, 3, 0), "The message cannot be queued now and was not accepted, try again later")
}

/// The mta says that the message can never be taken.
pub(crate) fn rejected(why: String) -> Reply {
    Reply::new(554, (5, 6, 0), why)
}

/// The directory cannot be asked.
pub(crate) fn directory_away() -> Reply {
    Reply::new(451, (4, 3, 0), "The directory cannot be asked now, try again later")
}

/// Login and password cannot be checked now (RFC 4954 4.7.0 for a temporary failure).
pub(crate) fn authentication_away() -> Reply {
    Reply::new(454, (4, 7, 0), "Authentication cannot be checked now, try again later")
}
