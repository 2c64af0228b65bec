//! What is said to peers that want more than their share, or do not wait for their turn: code, enhanced status and one
//! sentence with the reason. 421 ends the session; all of it but the last two is worth another try later.

use super::Reply;

/// So many sessions at once from one address or network.
#[must_use]
pub fn too_many_sessions_from(whom: &'static str) -> Reply {
    Reply::new(421, (4, 7, 0), format!("Too many sessions from your {whom} at once, try again later"))
}

/// So many sessions begun from one address or network within a minute.
#[must_use]
pub fn sessions_too_fast(whom: &'static str) -> Reply {
    Reply::new(
        421,
        (4, 7, 0),
        format!("Too many new sessions from your {whom} within a minute, try again later"),
    )
}

/// So many messages from one address within a minute.
#[must_use]
pub fn messages_too_fast() -> Reply {
    Reply::new(450, (4, 7, 1), "Too many messages from your address within a minute, try again later")
}

/// So many recipients from one address within a minute.
#[must_use]
pub fn recipients_too_fast() -> Reply {
    Reply::new(452, (4, 5, 3), "Too many recipients from your address within a minute, try again later")
}

/// So many errors from one address within a minute, in all its sessions.
#[must_use]
pub fn too_many_errors_from_address() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many errors from your address within a minute, try again later")
}

/// The address is banned for a while.
#[must_use]
pub fn banned() -> Reply {
    Reply::new(421, (4, 7, 0), "Your address made too many errors and is not served for a while")
}

/// So many sessions of one account at once.
#[must_use]
pub fn too_many_sessions_of_account() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many sessions of this account at once, try again later")
}

/// So many failed authentications of one address or for one account: this one is not looked at (RFC 4954 6).
#[must_use]
pub fn authentication_limited() -> Reply {
    Reply::new(454, (4, 7, 0), "Too many failed authentications, try again later")
}

/// The session took a place that is kept for those who authenticate, and did not in time.
#[must_use]
pub fn authenticate_sooner() -> Reply {
    Reply::new(421, (4, 7, 0), "The places left are for those who authenticate at once, try again later")
}

/// A command line took too long from its first octet to its end.
#[must_use]
pub fn command_too_slow() -> Reply {
    Reply::new(421, (4, 4, 2), "The command line took too long, closing the connection")
}

/// Content comes too slowly, or takes too long as a whole.
#[must_use]
pub fn content_too_slow() -> Reply {
    Reply::new(421, (4, 4, 2), "The message comes too slowly, closing the connection")
}

/// The peer talked before the greeting (RFC 5321 3.1, 4.3.1).
#[must_use]
pub fn talked_too_early() -> Reply {
    Reply::new(554, (5, 5, 1), "You spoke before the greeting, closing the connection")
}

/// The peer sent more before it heard the reply to a command that must be the last of its group (RFC 2920 3.1).
#[must_use]
pub fn out_of_turn() -> Reply {
    Reply::new(503, (5, 5, 1), "You did not wait for the reply where it is needed, closing the connection")
}
