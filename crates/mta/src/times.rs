//! When a delivery may begin, when its sender hears of a delay and when it ends: what configuration says, bent by what MAIL
//! asked for (RFC 2852, RFC 4865). Pure; knows no attempt and no queue.

use std::time::Duration;

use mail::{DeliverBy, DeliverByMode, Envelope, Hold, Recipient, Timestamp};

/// What holds where MAIL asked for nothing.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long a delivery is tried.
    pub expire: Duration,
    /// After how long its sender hears of a delay.
    pub delay_notice: Duration,
}

/// The times of one message's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Not to be tried before.
    pub held_until: Option<Timestamp>,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When its sender hears of a delay.
    pub delay_notice_at: Timestamp,
}

impl Times {
    /// The times of a message accepted at this time. What is held has its whole time behind the release; what is to be
    /// delivered by a time has that and no more, or tells its sender then.
    #[must_use]
    pub fn window(&self, envelope: &Envelope, at: Timestamp) -> Window {
        let held_until = match envelope.hold {
            Some(Hold::For(seconds)) => Some(at + Duration::from_secs(seconds.into())),
            Some(Hold::Until(time)) => Some(time),
            None => None,
        }
        .filter(|until| *until > at);
        let start = held_until.unwrap_or(at);
        let mut window = Window {
            held_until,
            expires_at: start + self.expire,
            delay_notice_at: start + self.delay_notice,
        };
        if let Some(deliver_by) = envelope.deliver_by {
            match deliver_by.mode {
                DeliverByMode::Return => {
                    window.expires_at = window.expires_at.min(deadline(deliver_by, at));
                    window.delay_notice_at = window.delay_notice_at.min(window.expires_at);
                }
                DeliverByMode::Notify => window.delay_notice_at = deadline(deliver_by, at),
            }
        }
        window
    }
}

/// When the time of BY is over.
#[must_use]
pub fn deadline(deliver_by: DeliverBy, accepted_at: Timestamp) -> Timestamp {
    Timestamp::from_millis(accepted_at.as_millis().saturating_add(deliver_by.seconds.saturating_mul(1000)))
}

/// Whether a message is to be returned by now rather than delivered (RFC 2852 4, by-mode R).
#[must_use]
pub fn is_overdue(envelope: &Envelope, accepted_at: Timestamp, now: Timestamp) -> bool {
    envelope.deliver_by.is_some_and(|by| by.mode == DeliverByMode::Return && deadline(by, accepted_at) <= now)
}

/// What is left of the time of BY for the next server; the seconds are rounded down, for a promise is not to be stretched.
#[must_use]
pub fn remaining(envelope: &Envelope, accepted_at: Timestamp, now: Timestamp) -> Option<DeliverBy> {
    let deliver_by = envelope.deliver_by?;
    let millis = deadline(deliver_by, accepted_at).as_millis().saturating_sub(now.as_millis());
    Some(DeliverBy { seconds: millis.div_euclid(1000), ..deliver_by })
}

/// Whether the sender hears of a delay: who asked for it by BY with mode N, unless they want to hear nothing at all, and who
/// asked by NOTIFY (RFC 2852 4, RFC 3461 4.1).
#[must_use]
pub fn hears_of_delay(envelope: &Envelope, recipient: &Recipient) -> bool {
    recipient.notify.delay || (wants_notice_at_deadline(envelope) && !is_never(recipient))
}

/// Whether the end of the time of BY is to be told and attempts go on.
#[must_use]
pub fn wants_notice_at_deadline(envelope: &Envelope) -> bool {
    envelope.deliver_by.is_some_and(|by| by.mode == DeliverByMode::Notify)
}

/// Whether NOTIFY=NEVER was given.
#[must_use]
pub fn is_never(recipient: &Recipient) -> bool {
    recipient.notify == mail::Notify::NEVER
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Notify, Origin, ReversePath};

    const TIMES: Times = Times { expire: Duration::from_secs(1000), delay_notice: Duration::from_secs(100) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn envelope(deliver_by: Option<(i64, DeliverByMode)>, hold: Option<Hold>) -> Envelope {
        let deliver_by = deliver_by.map(|(seconds, mode)| DeliverBy { seconds, mode, trace: false });
        Envelope { deliver_by, hold, ..Envelope::new(ReversePath::Null, Origin::default()) }
    }

    fn window(deliver_by: Option<(i64, DeliverByMode)>, hold: Option<Hold>) -> (Option<i64>, i64, i64) {
        let window = TIMES.window(&envelope(deliver_by, hold), at(10));
        let seconds = |time: Timestamp| time.as_millis() / 1000;
        (window.held_until.map(seconds), seconds(window.expires_at), seconds(window.delay_notice_at))
    }

    #[test]
    fn what_mail_asked_for_bends_what_is_configured() {
        use DeliverByMode::{Notify, Return};
        assert_eq!(window(None, None), (None, 1010, 110));
        assert_eq!(window(None, Some(Hold::For(50))), (Some(60), 1060, 160));
        assert_eq!(window(None, Some(Hold::Until(at(500)))), (Some(500), 1500, 600));
        assert_eq!(window(None, Some(Hold::Until(at(10)))), (None, 1010, 110), "that is now");
        assert_eq!(window(Some((30, Return)), None), (None, 40, 40));
        assert_eq!(window(Some((5000, Return)), None), (None, 1010, 110), "never longer than configured");
        assert_eq!(window(Some((30, Notify)), None), (None, 1010, 40));
        assert_eq!(window(Some((-5, Notify)), None), (None, 1010, 5));
        assert_eq!(window(Some((i64::MAX, Notify)), None).1, 1010);
    }

    #[test]
    fn what_is_left_is_counted_from_the_acceptance() {
        let returned = envelope(Some((30, DeliverByMode::Return)), None);
        assert!(!is_overdue(&returned, at(10), at(39)) && is_overdue(&returned, at(10), at(40)));
        let half = Timestamp::from_millis(10_500);
        assert_eq!(remaining(&returned, at(10), half).unwrap().seconds, 29);
        let told = envelope(Some((30, DeliverByMode::Notify)), None);
        assert!(!is_overdue(&told, at(10), at(4000)));
        assert_eq!(remaining(&told, at(10), at(50)).unwrap().seconds, -10);
        assert!(remaining(&envelope(None, None), at(0), at(0)).is_none());
    }

    #[test]
    fn who_asked_by_the_deadline_hears_of_it_unless_never() {
        let told = envelope(Some((30, DeliverByMode::Notify)), None);
        let mut recipient = Recipient::from("<a@b.test>".parse::<mail::ForwardPath>().unwrap());
        recipient.notify = Notify { success: false, failure: true, delay: false, explicit: true };
        assert!(hears_of_delay(&told, &recipient) && !hears_of_delay(&envelope(None, None), &recipient));
        recipient.notify = Notify::NEVER;
        assert!(!hears_of_delay(&told, &recipient));
    }
}
