//! Every reply that our servers give: code, enhanced status (RFC 3463, 4954, 6531, 7372) and text together. Texts are
//! sentences for people who read logs; nothing that a peer sent is repeated in them.

use std::borrow::Cow;
use std::fmt::Display;

use mail::AddressError;

use super::Reply;

/// The opening of a session (RFC 5321 4.3.1).
#[must_use]
pub fn greeting(hostname: &str) -> Reply {
    Reply::bare(220, format!("{hostname} ESMTP Postrider"))
}

/// Answer to HELO.
#[must_use]
pub fn helo(hostname: &str) -> Reply {
    Reply::bare(250, hostname.to_owned())
}

/// Done, nothing more to say (NOOP, RSET).
#[must_use]
pub fn ok() -> Reply {
    Reply::new(250, (2, 0, 0), "OK")
}

/// Answer to MAIL.
#[must_use]
pub fn sender_ok() -> Reply {
    Reply::new(250, (2, 1, 0), "Sender OK")
}

/// Answer to RCPT.
#[must_use]
pub fn recipient_ok() -> Reply {
    Reply::new(250, (2, 1, 5), "Recipient OK")
}

/// Answer to DATA.
#[must_use]
pub fn start_mail_input() -> Reply {
    Reply::bare(354, "Start mail input; end with <CRLF>.<CRLF>")
}

/// Answer to a chunk that is not the last (RFC 3030 2).
#[must_use]
pub fn chunk_received(size: u64) -> Reply {
    Reply::new(250, (2, 0, 0), format!("{size} octets received"))
}

/// A BDAT whose size cannot be read; what follows it may be anything.
#[must_use]
pub fn chunk_size_unreadable() -> Reply {
    Reply::new(501, (5, 5, 4), "The size of the chunk cannot be read, closing the connection")
}

/// Answer to the end of data once the message is durable.
#[must_use]
pub fn queued(id: impl Display) -> Reply {
    Reply::new(250, (2, 0, 0), format!("Queued as {id}"))
}

/// Answer to QUIT.
#[must_use]
pub fn goodbye() -> Reply {
    Reply::new(221, (2, 0, 0), "Goodbye")
}

/// Answer to HELP.
#[must_use]
pub fn help(text: String) -> Reply {
    Reply::new(214, (2, 0, 0), text)
}

/// Answer to VRFY, which tells nothing (RFC 5321 7.3).
#[must_use]
pub fn cannot_verify() -> Reply {
    Reply::new(252, (2, 5, 2), "Cannot verify the user, but will take mail for it and try to deliver")
}

/// Answer to STARTTLS; the handshake follows.
#[must_use]
pub fn ready_for_tls() -> Reply {
    Reply::new(220, (2, 0, 0), "Ready to start TLS")
}

/// Answer to a successful AUTH (RFC 4954 6).
#[must_use]
pub fn authenticated() -> Reply {
    Reply::new(235, (2, 7, 0), "Authentication succeeded")
}

/// A challenge of AUTH, in base64 already (RFC 4954 4).
#[must_use]
pub fn challenge(base64: impl Into<Cow<'static, str>>) -> Reply {
    Reply::bare(334, base64)
}

/// Login and password do not belong together, or there is no such login: nobody learns which.
#[must_use]
pub fn authentication_failed() -> Reply {
    Reply::new(535, (5, 7, 8), "Authentication credentials are invalid")
}

/// The exchange was cancelled with `*` (RFC 4954 4).
#[must_use]
pub fn authentication_cancelled() -> Reply {
    Reply::new(501, (5, 7, 0), "Authentication cancelled")
}

/// A response of AUTH is not what its mechanism or base64 wants.
#[must_use]
pub fn authentication_malformed() -> Reply {
    Reply::new(501, (5, 5, 2), "The authentication response is not well-formed")
}

/// The client could bind the exchange to TLS and believes that we cannot, though we offer it (RFC 5802 6).
#[must_use]
pub fn channel_binding_withheld() -> Reply {
    Reply::new(
        535,
        (5, 7, 8),
        "Channel binding is offered here, and somebody in between has kept that from the client",
    )
}

/// A kind of channel binding that there is not, or not with this version of TLS (RFC 5802 7).
#[must_use]
pub fn channel_binding_unknown() -> Reply {
    Reply::new(535, (5, 7, 8), "This kind of channel binding is not supported with this TLS session")
}

/// AUTH with a mechanism that is not offered (RFC 4954 4).
#[must_use]
pub fn mechanism_unknown() -> Reply {
    Reply::new(504, (5, 5, 4), "That authentication mechanism is not offered")
}

/// AUTH without TLS (RFC 4954 6).
#[must_use]
pub fn authentication_needs_tls() -> Reply {
    Reply::new(538, (5, 7, 11), "Authentication needs TLS: use STARTTLS first")
}

/// MAIL without AUTH where it is required (RFC 4954 6).
#[must_use]
pub fn authentication_required() -> Reply {
    Reply::new(530, (5, 7, 0), "Authentication required")
}

/// MAIL without TLS where it is required (RFC 3207 4).
#[must_use]
pub fn tls_required() -> Reply {
    Reply::new(530, (5, 7, 0), "TLS required: use STARTTLS first")
}

/// The peer failed to authenticate too often.
#[must_use]
pub fn too_many_authentication_failures() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many failed authentications, closing the connection")
}

/// A verb that nobody defined.
#[must_use]
pub fn unknown_command() -> Reply {
    Reply::new(500, (5, 5, 1), "Command not recognised")
}

/// A verb that is defined and not implemented or not offered here.
#[must_use]
pub fn not_implemented() -> Reply {
    Reply::new(502, (5, 5, 1), "Command not implemented")
}

/// A command out of order (RFC 5321 4.1.4).
#[must_use]
pub fn bad_sequence(what_to_do: &'static str) -> Reply {
    Reply::new(503, (5, 5, 1), what_to_do)
}

/// The arguments do not follow the grammar.
#[must_use]
pub fn syntax(usage: &'static str) -> Reply {
    Reply::new(501, (5, 5, 2), usage)
}

/// HELO or EHLO without a name; what answers them has no enhanced status (RFC 2034 4).
#[must_use]
pub fn bad_name(usage: &'static str) -> Reply {
    Reply::bare(501, usage)
}

/// A line holds octets that are not UTF-8, or control characters.
#[must_use]
pub fn not_text() -> Reply {
    Reply::new(500, (5, 5, 2), "The command line holds octets that are not UTF-8 text")
}

/// A line holds a CR or LF that is not part of its CRLF.
#[must_use]
pub fn bare_line_break_in_command() -> Reply {
    Reply::new(500, (5, 5, 2), "The command line holds a bare CR or LF: lines end in CRLF and nothing else")
}

/// A line is longer than RFC 5321 4.5.3.1.4 allows.
#[must_use]
pub fn line_too_long() -> Reply {
    Reply::new(500, (5, 5, 6), "The command line is too long")
}

/// A parameter of MAIL or RCPT that is not offered (RFC 5321 4.1.1.11).
#[must_use]
pub fn parameter_unknown() -> Reply {
    Reply::new(555, (5, 5, 4), "A parameter is not recognised or not offered")
}

/// A parameter of MAIL or RCPT with a value that does not fit, or given twice.
#[must_use]
pub fn parameter_malformed(which: &'static str) -> Reply {
    Reply::new(501, (5, 5, 4), format!("The parameter {which} is not well-formed"))
}

/// The argument of MAIL FROM is no address.
#[must_use]
pub fn bad_sender_address(error: AddressError) -> Reply {
    Reply::new(501, (5, 1, 7), format!("The sender's address is refused: {error}"))
}

/// The argument of RCPT TO is no address.
#[must_use]
pub fn bad_recipient_address(error: AddressError) -> Reply {
    Reply::new(501, (5, 1, 3), format!("The recipient's address is refused: {error}"))
}

/// An address in MAIL needs SMTPUTF8, which MAIL did not ask for (RFC 6531 3.5).
#[must_use]
pub fn sender_needs_smtputf8() -> Reply {
    Reply::new(550, (5, 6, 7), "The address is not ASCII: MAIL needs the parameter SMTPUTF8")
}

/// An address in RCPT needs SMTPUTF8, which MAIL did not ask for (RFC 6531 3.5).
#[must_use]
pub fn recipient_needs_smtputf8() -> Reply {
    Reply::new(553, (5, 6, 7), "The address is not ASCII: MAIL needs the parameter SMTPUTF8")
}

/// The message is larger than SIZE allows (RFC 1870 6).
#[must_use]
pub fn too_large(limit: usize) -> Reply {
    Reply::new(552, (5, 3, 4), format!("The message is larger than {limit} octets"))
}

/// More recipients than one transaction may have (RFC 5321 4.5.3.1.10).
#[must_use]
pub fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "Too many recipients: send to the rest in another transaction")
}

/// DATA without a recipient that was accepted (RFC 5321 3.3).
#[must_use]
pub fn no_valid_recipients() -> Reply {
    Reply::new(554, (5, 5, 1), "No valid recipients")
}

/// Content with a CR that no LF follows (RFC 5321 2.3.8).
#[must_use]
pub fn bare_carriage_return() -> Reply {
    Reply::new(554, (5, 6, 0), "The message holds a bare CR: lines end in CRLF and nothing else")
}

/// Content with an LF that follows no CR (RFC 5321 2.3.8).
#[must_use]
pub fn bare_line_feed() -> Reply {
    Reply::new(554, (5, 6, 0), "The message holds a bare LF: lines end in CRLF and nothing else")
}

/// There is no memory for the message now.
#[must_use]
pub fn no_memory() -> Reply {
    Reply::new(452, (4, 3, 1), "Too many messages are under way, try again later")
}

/// The queue or its disk is full.
#[must_use]
pub fn storage_full() -> Reply {
    Reply::new(452, (4, 3, 1), "Insufficient storage, try again later")
}

/// Something of ours does not work now; the log knows more.
#[must_use]
pub fn local_trouble() -> Reply {
    Reply::new(451, (4, 3, 0), "Temporary trouble here, try again later")
}

/// The recipient's domain is not ours and the peer may not relay.
#[must_use]
pub fn relay_denied() -> Reply {
    Reply::new(550, (5, 7, 1), "Relaying denied: the recipient's domain is not served here")
}

/// The domain is ours, the user is not.
#[must_use]
pub fn unknown_user() -> Reply {
    Reply::new(550, (5, 1, 1), "No such user here")
}

/// The account may not send under this address.
#[must_use]
pub fn sender_not_owned() -> Reply {
    Reply::new(550, (5, 7, 1), "This address does not belong to the authenticated account")
}

/// Something was sent behind STARTTLS before the handshake: command injection (RFC 3207 4.2).
#[must_use]
pub fn pipelined_starttls() -> Reply {
    Reply::new(554, (5, 5, 1), "Nothing may follow STARTTLS before the handshake, closing the connection")
}

/// The peer made too many errors.
#[must_use]
pub fn too_many_errors() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many errors, closing the connection")
}

/// The peer was silent for too long (RFC 5321 4.5.3.2.7).
#[must_use]
pub fn idle_too_long() -> Reply {
    Reply::new(421, (4, 4, 2), "Waited too long, closing the connection")
}

/// No more sessions are taken now.
#[must_use]
pub fn too_many_sessions() -> Reply {
    Reply::new(421, (4, 3, 2), "Too many sessions, try again later")
}

/// The service is going down (RFC 5321 3.8).
#[must_use]
pub fn shutting_down() -> Reply {
    Reply::new(421, (4, 3, 2), "The service is going down, closing the connection")
}
