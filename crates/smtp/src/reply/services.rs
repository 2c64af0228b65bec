//! Replies of service extensions and of commands that not everybody may give.

use std::fmt::{Display, Write as _};

use mail::{Domain, DomainSummary, Priority, Summary, Timestamp};

use super::Reply;
use crate::agent::SessionInfo;

/// Answer to a MAIL whose MT-PRIORITY is granted only in part (RFC 6710 4.1): the text begins with what is granted.
#[must_use]
pub fn priority_lowered(granted: Priority) -> Reply {
    Reply::new(250, (2, 3, 6), format!("{} is the priority that is granted", granted.get()))
}

/// BY with by-mode R and less time than the server promises to need (RFC 2852 3, 4).
#[must_use]
pub fn deliver_by_too_soon(least: u32) -> Reply {
    Reply::new(555, (5, 5, 4), format!("BY with R needs at least {least} seconds"))
}

/// HOLDFOR or HOLDUNTIL beyond what EHLO names (RFC 4865 4.2).
#[must_use]
pub fn hold_too_long(seconds: u32) -> Reply {
    Reply::new(501, (5, 5, 4), format!("Messages are held for at most {seconds} seconds"))
}

/// HOLDUNTIL with a time that is over.
#[must_use]
pub fn hold_is_over() -> Reply {
    Reply::new(501, (5, 5, 4), "The time of HOLDUNTIL is over already")
}

/// A message that would be released only when the time of its BY is over (RFC 4865 5.2.2).
#[must_use]
pub fn hold_beyond_deliver_by() -> Reply {
    Reply::new(501, (5, 5, 4), "The message would be held for longer than BY gives for its delivery")
}

/// REQUIRETLS on a session without TLS (RFC 8689 2).
#[must_use]
pub fn require_tls_needs_tls() -> Reply {
    Reply::new(530, (5, 7, 10), "REQUIRETLS needs TLS: use STARTTLS first")
}

/// XCLIENT or XFORWARD from somebody who is not listed.
#[must_use]
pub fn not_authorized() -> Reply {
    Reply::new(550, (5, 7, 0), "Insufficient authorization")
}

/// Answer to the end of data once the message is durable; who said VERB ON hears the ids one by one.
#[must_use]
pub fn queued_for(session: &SessionInfo, id: impl Display, trace: Option<&str>) -> Reply {
    if !session.verbose {
        return super::queued(id);
    }
    let trace = trace.map(|trace| format!("\ntrace-id {trace}")).unwrap_or_default();
    Reply::new(250, (2, 0, 0), format!("Queued as {id}\nqueue-id {id}{trace}"))
}

/// TICK was taken.
#[must_use]
pub fn ticked(token: &str) -> Reply {
    Reply::new(250, (2, 0, 0), format!("TICK {token}"))
}

/// VERB was taken.
#[must_use]
pub fn verbose(on: bool) -> Reply {
    Reply::new(250, (2, 0, 0), if on { "Verbose mode" } else { "Verbose mode is off" })
}

/// Answer to VRFY: this is the address (RFC 5321 3.5.1).
#[must_use]
pub fn verified(address: String) -> Reply {
    Reply::new(250, (2, 1, 5), address)
}

/// Answer to VRFY: not ours, but it would be taken (RFC 5321 3.4).
#[must_use]
pub fn forwarded_elsewhere(address: &str) -> Reply {
    Reply::new(251, (2, 1, 5), format!("User not local; will forward to {address}"))
}

/// Answer to VRFY and EXPN: not ours, and it would not be taken (RFC 5321 3.4).
#[must_use]
pub fn not_local() -> Reply {
    Reply::new(551, (5, 1, 6), "User not local; the domain is not served here")
}

/// Answer to VRFY and EXPN: a name without a domain, of which there may be one in each (RFC 5321 3.5.1).
#[must_use]
pub fn ambiguous() -> Reply {
    Reply::new(553, (5, 1, 4), "The name is ambiguous: give the whole address")
}

/// Answer to EXPN: the members, one on a line (RFC 5321 3.5.2).
#[must_use]
pub fn members(lines: String) -> Reply {
    Reply::new(250, (2, 1, 5), lines)
}

/// Answer to VRFY and EXPN that would need UTF-8, which the peer did not say to take (RFC 6531 3.7.4.2).
#[must_use]
pub fn reply_needs_smtputf8() -> Reply {
    Reply::new(553, (5, 6, 8), "The answer is not ASCII: ask again with the parameter SMTPUTF8")
}

/// Answer to EXPN: the address is somebody's own and no list.
#[must_use]
pub fn not_a_list() -> Reply {
    Reply::new(550, (5, 1, 1), "That is a user and no mailing list")
}

/// Answer to ETRN: what waits is tried now (RFC 1985 5.3).
#[must_use]
pub fn queue_started(waiting: u64) -> Reply {
    Reply::new(253, (2, 0, 0), format!("OK, {waiting} pending messages are tried now"))
}

/// Answer to ETRN: nothing waits (RFC 1985 5.3).
#[must_use]
pub fn nothing_waits() -> Reply {
    Reply::new(251, (2, 0, 0), "OK, no messages are waiting")
}

/// Answer to ETRN: not now (RFC 1985 5.3).
#[must_use]
pub fn queue_not_started() -> Reply {
    Reply::new(458, (4, 3, 0), "The queue cannot be started now, try again later")
}

/// Answer to ETRN: nothing is kept for that domain here (RFC 1985 5.3).
#[must_use]
pub fn node_not_allowed() -> Reply {
    Reply::new(459, (4, 7, 1), "Mail for that domain is not kept here")
}

/// Answer to QUEU: what waits, a domain on a line; with the age of the oldest message where `now` is given. Domains are in
/// ASCII, whoever asks.
#[must_use]
pub fn queue_summary(summary: &Summary, now: Option<Timestamp>) -> Reply {
    let mut text = String::from("Recipients that wait, by domain");
    for waiting in &summary.domains {
        let DomainSummary { domain, active, queued, retry, held, oldest } = waiting;
        let ascii = Domain::parse(domain).ok().and_then(|domain| domain.to_ascii().ok());
        let domain = ascii.as_ref().unwrap_or(domain);
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "\n{domain} active={active} queued={queued} retry={retry} held={held}");
        if let Some(now) = now {
            let _ = write!(text, " age={}", now.since(*oldest).as_secs());
        }
    }
    let shown = summary.domains.len();
    match summary.more {
        0 if shown == 0 => text = String::from("Nobody waits"),
        0 => {}
        more => {
            let _ = write!(text, "\nand {more} domains more");
        }
    }
    Reply::new(250, (2, 0, 0), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_summed_up_by_domain() {
        assert_eq!(queue_summary(&Summary::default(), None).text(), "Nobody waits");
        let domain = |name: &str, queued| DomainSummary {
            domain: name.to_owned(),
            active: 1,
            queued,
            retry: 3,
            held: 4,
            oldest: Timestamp::from_millis(1_000),
        };
        let summary =
            Summary { domains: vec![domain("b\u{fc}ro.test", 2), domain("[192.0.2.1]", 0)], more: 0 };
        assert_eq!(
            queue_summary(&summary, None).text(),
            "Recipients that wait, by domain\nxn--bro-hoa.test active=1 queued=2 retry=3 held=4\n\
             [192.0.2.1] active=1 queued=0 retry=3 held=4"
        );
        let aged = queue_summary(&Summary { more: 7, ..summary }, Some(Timestamp::from_millis(62_999)));
        assert!(aged.text().ends_with("held=4 age=61\nand 7 domains more"), "{aged}");
    }
}
