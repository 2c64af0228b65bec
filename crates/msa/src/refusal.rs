//! The replies that only a submission server gives: code, enhanced status (RFC 3463, 7372) and text together. The others are
//! those of [`smtp::reply`].

use mail::Timestamp;
use mail::mime::Unfit;
use mail::quota::{Excess, Measure, Period};
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

/// A client gave the same idempotency key to two different requests.
pub(crate) fn key_of_another() -> Reply {
    Reply::new(
        550,
        (5, 5, 4),
        "The idempotency key was used for another request; give each request one of its own",
    )
}

/// Nobody can say what the mta did: the client keeps the message and tries again.
pub(crate) fn perhaps_queued() -> Reply {
    Reply::new(
        451,
        (4, 3, 0),
        "Nobody can say now whether the message was queued; try again, by HTTP with the same Idempotency-Key",
    )
}

/// The mta cannot be reached: the client keeps the message and tries again.
pub(crate) fn not_queued() -> Reply {
    Reply::new(451, (4, 3, 0), "The message cannot be queued now and was not accepted, try again later")
}

/// The mta says that the message can never be taken.
pub(crate) fn rejected(why: String) -> Reply {
    Reply::new(554, (5, 6, 0), why)
}

/// The account has no room for the message (RFC 6409 6; RFC 3463 X.7.1, for recipients X.5.3): temporary where there will be,
/// and then it says when; for good where the message alone is more than the limit allows.
pub(crate) fn over_quota(excess: &Excess, now: Timestamp) -> Reply {
    let Excess { limit, allowed, until } = excess;
    let what = match limit.measure {
        Measure::Messages => "messages",
        Measure::Recipients => "recipients",
        Measure::Octets => "octets",
    };
    let period = match limit.period {
        Period::Hour => "an hour",
        Period::Day => "a day",
    };
    let Some(until) = until else {
        let text = format!("The message alone is more than the account may send: {allowed} {what} {period}");
        return match limit.measure {
            Measure::Messages | Measure::Octets => Reply::new(552, (5, 3, 4), text),
            Measure::Recipients => Reply::new(550, (5, 5, 3), text),
        };
    };
    let again = until.minute(now);
    let text =
        format!("The account has reached its limit of {allowed} {what} {period}, try again after {again}");
    match limit.measure {
        Measure::Messages | Measure::Octets => Reply::new(450, (4, 7, 1), text),
        Measure::Recipients => Reply::new(452, (4, 5, 3), text),
    }
}

/// One more recipient would be more than the account may send to now (RFC 5321 4.5.3.1.10: the client sends to the others in
/// another transaction).
pub(crate) fn recipients_over_quota(left: u64) -> Reply {
    let text = format!("The account may send to {left} recipients now, send to the others later");
    Reply::new(452, (4, 5, 3), text)
}

/// The directory cannot be asked.
pub(crate) fn directory_away() -> Reply {
    Reply::new(451, (4, 3, 0), "The directory cannot be asked now, try again later")
}

/// Login and password cannot be checked now (RFC 4954 4.7.0 for a temporary failure).
pub(crate) fn authentication_away() -> Reply {
    Reply::new(454, (4, 7, 0), "Authentication cannot be checked now, try again later")
}

#[cfg(test)]
mod tests {
    use mail::Limit;

    use super::*;

    #[test]
    fn who_is_over_quota_hears_which_limit_and_when_to_come_back() {
        let now = Timestamp::from_millis(1_795_455_840_000);
        let excess = |limit, minutes: Option<u64>| {
            let until = minutes.map(|minutes| now + std::time::Duration::from_secs(60 * minutes));
            over_quota(&Excess { limit: Limit::of_name(limit).unwrap(), allowed: 10, until }, now).to_string()
        };
        for (limit, minutes, expected) in [
            (
                "messages_per_hour",
                Some(16),
                "450 4.7.1 The account has reached its limit of 10 messages an hour, try again after 18:00 UTC",
            ),
            (
                "octets_per_day",
                Some(16 + 24 * 60),
                "450 4.7.1 The account has reached its limit of 10 octets a day, try again after 2026-11-24 18:00 UTC",
            ),
            (
                "recipients_per_day",
                Some(1),
                "452 4.5.3 The account has reached its limit of 10 recipients a day, try again after 17:45 UTC",
            ),
            (
                "recipients_per_hour",
                None,
                "550 5.5.3 The message alone is more than the account may send: 10 recipients an hour",
            ),
            (
                "octets_per_hour",
                None,
                "552 5.3.4 The message alone is more than the account may send: 10 octets an hour",
            ),
        ] {
            assert_eq!(excess(limit, minutes), expected);
        }
    }
}
