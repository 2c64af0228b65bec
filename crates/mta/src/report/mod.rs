//! From an attempt's outcomes to what the queue stores: the end, or the next attempt, and the notices that go with it. Knows no
//! network.

pub mod notice;

use std::time::Duration;

use mail::{Envelope, Outcome, Status, Timestamp};
use queue::{Delivery, Retry};
use rand::RngExt;

use crate::config;
use crate::times;

/// What an attempt came to for one recipient.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// The outcome.
    pub outcome: Outcome,
    /// The server that said so: name, address and TLS version.
    pub remote: Option<String>,
    /// What the server was told of the sender's wishes.
    pub passed_on: PassedOn,
}

/// Which wishes of the sender the next server knows and cares for from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassedOn {
    /// What the sender wants to hear (RFC 3461).
    pub dsn: bool,
    /// The time to deliver by (RFC 2852).
    pub deliver_by: bool,
}

impl Attempted {
    /// An outcome that no server had a part in.
    #[must_use]
    pub fn here(outcome: Outcome) -> Self {
        Self { outcome, remote: None, passed_on: PassedOn::default() }
    }
}

/// When retries are due.
#[derive(Debug, Clone)]
pub struct Schedule {
    delays: Vec<Duration>,
    jitter: f64,
}

/// What becomes of a recipient after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The outcome, a delay turned into a failure where time is up.
    pub outcome: Outcome,
    /// The next attempt of a delayed recipient.
    pub retry: Option<Retry>,
    /// Whether a notice of a delay is due now.
    pub delay_notice: bool,
}

impl Schedule {
    /// The schedule of `[mta.retry]`.
    #[must_use]
    pub fn new(settings: &config::Retry) -> Self {
        Self {
            delays: settings.delays.iter().map(|delay| delay.get()).collect(),
            jitter: settings.jitter.clamp(0.0, 0.5),
        }
    }

    /// Rules on an outcome: final outcomes stay, delays get their next attempt, the last one at the time of expiry.
    #[must_use]
    pub fn rule(&self, delivery: &Delivery, envelope: &Envelope, outcome: Outcome, now: Timestamp) -> Ruling {
        let Outcome::Delayed(status) = outcome else {
            return Ruling { outcome, retry: None, delay_notice: false };
        };
        if now >= delivery.expires_at {
            return Ruling {
                outcome: Outcome::Failed(time_is_up(&status)),
                retry: None,
                delay_notice: false,
            };
        }
        let mut next_attempt_at = (now + self.delay(delivery.attempts)).min(delivery.expires_at);
        let due = delivery.delay_notice_at.is_some_and(|at| at <= now);
        let delay_notice_at = delivery.delay_notice_at.filter(|_| !due);
        if let Some(at) = delay_notice_at.filter(|_| times::wants_notice_at_deadline(envelope)) {
            next_attempt_at = next_attempt_at.min(at);
        }
        Ruling {
            outcome: Outcome::Delayed(status),
            retry: Some(Retry { next_attempt_at, delay_notice_at }),
            delay_notice: due && times::hears_of_delay(envelope, &delivery.recipient),
        }
    }

    /// Puts off an end that the sender cannot be told of yet, time up or not, and with it the notice of a delay.
    #[must_use]
    pub fn postpone(&self, delivery: &Delivery, status: Status, now: Timestamp) -> Ruling {
        let next_attempt_at = now + self.delay(delivery.attempts);
        Ruling {
            outcome: Outcome::Delayed(status),
            retry: Some(Retry { next_attempt_at, delay_notice_at: delivery.delay_notice_at }),
            delay_notice: false,
        }
    }

    /// How long to wait after the attempt that follows `attempts` others.
    fn delay(&self, attempts: u16) -> Duration {
        let last = self.delays.len().saturating_sub(1);
        let delay =
            self.delays.get(usize::from(attempts).min(last)).copied().unwrap_or(Duration::from_mins(1));
        let spread = rand::rng().random_range(-1.0..=1.0) * self.jitter;
        delay.mul_f64(1.0 + spread)
    }
}

/// RFC 3463 X.4.7, with what the last attempt heard.
#[must_use]
pub fn time_is_up(last: &Status) -> Status {
    Status::new(554, (5, 4, 7), format!("delivery time is up; the last attempt: {last}"))
}

/// The sender wanted it back rather than late (RFC 2852).
#[must_use]
pub fn too_late() -> Status {
    Status::new(554, (5, 4, 7), "the message could not be delivered within the time that its sender gave")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{DeliverBy, DeliverByMode, ForwardPath, Origin, QueueId, Recipient, ReversePath};
    use queue::RecipientKey;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn delivery(attempts: u16, expires: i64, notice: Option<i64>) -> Delivery {
        Delivery {
            key: RecipientKey { id: QueueId { shard: 0, lane: 0, number: 1 }, number: 0 },
            recipient: Recipient::from("<a@b.test>".parse::<ForwardPath>().unwrap()),
            destination: "b.test".into(),
            priority: mail::Priority::NORMAL,
            attempts,
            next_attempt_at: None,
            expires_at: at(expires),
            delay_notice_at: notice.map(at),
        }
    }

    fn rule(delivery: &Delivery, now: i64) -> Ruling {
        rule_for(&Envelope::new(ReversePath::Null, Origin::default()), delivery, now)
    }

    fn rule_for(envelope: &Envelope, delivery: &Delivery, now: i64) -> Ruling {
        let schedule =
            Schedule { delays: vec![Duration::from_secs(2), Duration::from_secs(60)], jitter: 0.0 };
        let delayed = Outcome::Delayed(Status::new(451, (4, 0, 0), "busy"));
        schedule.rule(delivery, envelope, delayed, at(now))
    }

    #[test]
    fn delays_grow_and_the_last_repeats_until_expiry() {
        let next = |attempts, now| rule(&delivery(attempts, 1000, None), now).retry.unwrap().next_attempt_at;
        assert_eq!((next(0, 0), next(1, 0), next(9, 0)), (at(2), at(60), at(60)));
        assert_eq!(next(9, 990), at(1000), "one more attempt at the end");
        let ruling = rule(&delivery(9, 1000, None), 1000);
        assert_eq!(ruling.outcome.status().enhanced.to_string(), "5.4.7");
        assert!(ruling.outcome.status().text.contains("busy") && ruling.retry.is_none());
    }

    #[test]
    fn the_end_of_the_time_to_deliver_by_is_told_when_it_comes() {
        let deliver_by = DeliverBy { seconds: 30, mode: DeliverByMode::Notify, trace: false };
        let envelope =
            Envelope { deliver_by: Some(deliver_by), ..Envelope::new(ReversePath::Null, Origin::default()) };
        let ruling = rule_for(&envelope, &delivery(3, 1000, Some(30)), 20);
        assert_eq!(
            ruling.retry.unwrap().next_attempt_at,
            at(30),
            "an attempt then, and the notice behind it"
        );
        let ruling = rule_for(&envelope, &delivery(4, 1000, Some(30)), 30);
        assert!(ruling.delay_notice);
        assert_eq!(ruling.retry.unwrap().next_attempt_at, at(90));
    }

    #[test]
    fn a_delay_is_told_once() {
        let ruling = rule(&delivery(3, 1000, Some(100)), 100);
        assert!(ruling.delay_notice && ruling.retry.unwrap().delay_notice_at.is_none());
        let ruling = rule(&delivery(3, 1000, Some(100)), 99);
        assert!(!ruling.delay_notice && ruling.retry.unwrap().delay_notice_at.is_some());
    }
}
