//! Accounts with limits and grants: what is asked of the mda, and what the client hears.

use std::sync::Mutex;

use async_trait::async_trait;
use mail::quota::{Charged, Cost, Excess, Measure, Room};
use mail::{Limit, Mailbox, Timestamp};
use protocol::{Error, ErrorKind, Quotas};

use crate::fixture::{Fixture, MESSAGE};

/// Counts recipients up to a limit, and writes down what it was asked.
#[derive(Default)]
pub(crate) struct Counts {
    told: Mutex<Vec<String>>,
    left: Mutex<u64>,
    failure: Mutex<Option<ErrorKind>>,
}

impl Counts {
    pub(crate) fn allow(&self, recipients: u64) {
        *self.left.lock().unwrap() = recipients;
    }

    fn fail(&self, kind: Option<ErrorKind>) {
        *self.failure.lock().unwrap() = kind;
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn note(&self, what: String) -> Result<(), Error> {
        self.told.lock().unwrap().push(what);
        self.failure.lock().unwrap().map_or(Ok(()), |kind| Err(Error::new(kind, "away")))
    }

    fn excess() -> Excess {
        let until = Some(Timestamp::from_millis(1_795_455_840_000 + 60 * 60_000));
        Excess { limit: Limit::of_name("recipients_per_day").unwrap(), allowed: 3, until }
    }
}

#[async_trait]
impl Quotas for Counts {
    async fn room(&self, account: &Mailbox, cost: Cost) -> Result<Room, Error> {
        self.note(format!("room {account} {} {}", cost.recipients, cost.octets))?;
        let left = *self.left.lock().unwrap();
        Ok(if left == 0 { Room::Over(Self::excess()) } else { Room::Left { recipients: Some(left) } })
    }

    async fn charge(&self, account: &Mailbox, cost: Cost) -> Result<Charged, Error> {
        self.note(format!("charge {account} {} {}", cost.recipients, cost.octets))?;
        let mut left = self.left.lock().unwrap();
        let Some(rest) = left.checked_sub(cost.of(Measure::Recipients)) else {
            return Ok(Charged::Over(Self::excess()));
        };
        *left = rest;
        Ok(Charged::Taken { at: Timestamp::from_millis(42) })
    }

    async fn give_back(&self, account: &Mailbox, cost: Cost, taken_at: Timestamp) -> Result<(), Error> {
        *self.left.lock().unwrap() += cost.recipients;
        self.note(format!(
            "give back {account} {} {} of {}",
            cost.recipients,
            cost.octets,
            taken_at.as_millis()
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_limits_costs_no_question() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submission").await;
    for _ in 0..3 {
        let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
        assert!(heard.starts_with("250 2.0.0 "), "{heard}");
    }
    assert_eq!(fixture.quotas.told(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_heard_of_before_content_is_sent_and_counts_what_is_queued() {
    let fixture = Fixture::start().await;
    fixture.directory.limit("recipients_per_day", 3);
    fixture.quotas.allow(2);
    let mut connection = fixture.signed_in("submission").await;
    let size = MESSAGE.len();
    for _ in 0..2 {
        let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
        assert!(heard.starts_with("250 2.0.0 "), "{heard}");
        let charge = format!("charge alice@example.test 1 {size}");
        assert_eq!(fixture.quotas.told(), ["room alice@example.test 1 1", &charge]);
    }
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    let expected =
        "452 4.5.3 The account has reached its limit of 3 recipients a day, try again after 18:44 UTC";
    assert_eq!(heard, expected);
    // Refused at MAIL: nothing was charged.
    assert_eq!(fixture.quotas.told(), ["room alice@example.test 1 1"]);
    assert_eq!(fixture.relay.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_beyond_what_is_left_are_refused_one_by_one() {
    let fixture = Fixture::start().await;
    fixture.directory.limit("recipients_per_day", 3);
    let mut connection = fixture.signed_in("submission").await;
    for (left, taken) in [(2, 2), (1, 1), (100, 3)] {
        fixture.quotas.allow(left);
        let recipients = ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"];
        let heard = fixture.send_all(&mut connection, "alice@example.test", &recipients, MESSAGE).await;
        for (number, heard) in heard.iter().enumerate() {
            if number < taken {
                assert!(heard.starts_with("250 2.0.0 "), "{number} of {left}: {heard}");
            } else {
                let refusal = format!(
                    "452 4.5.3 The account may send to {taken} recipients now, send to the others later"
                );
                assert_eq!(*heard, refusal, "{number} of {left}");
            }
        }
        let told = fixture.quotas.told();
        assert_eq!(told.len(), 2, "no question for each recipient: {told:?}");
        assert!(told[1].starts_with(&format!("charge alice@example.test {taken} ")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mta_does_not_take_is_given_back_unless_it_may_have() {
    let fixture = Fixture::start().await;
    fixture.directory.limit("recipients_per_day", 3);
    fixture.quotas.allow(3);
    let mut connection = fixture.signed_in("submission").await;
    let size = MESSAGE.len();
    for (kind, given_back) in [
        (ErrorKind::Unavailable, true),
        (ErrorKind::Overloaded, true),
        (ErrorKind::Rejected, true),
        (ErrorKind::Unknown, false),
    ] {
        fixture.relay.fail(Some(kind));
        let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
        assert!(!heard.starts_with("250 "), "{heard}");
        let told = fixture.quotas.told();
        let back = format!("give back alice@example.test 1 {size} of 42");
        assert_eq!(told.get(2).is_some_and(|told| *told == back), given_back, "{kind:?}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_count_a_limited_account_waits() {
    let fixture = Fixture::start().await;
    fixture.directory.limit("octets_per_hour", 1 << 30);
    fixture.quotas.allow(3);
    let mut connection = fixture.signed_in("submission").await;
    fixture.quotas.fail(Some(ErrorKind::Unavailable));
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("451 4.3.0 "), "{heard}");
    fixture.quotas.fail(None);
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("250 2.0.0 "), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sends_as_what_it_was_granted_in_envelope_and_header() {
    let fixture = Fixture::start().await;
    fixture.directory.grant("*@shop.test");
    let mut connection = fixture.signed_in("submission").await;
    let from = |author: &str| format!("From: Shop <{author}>\r\nSender: alice@example.test\r\n\r\nHi\r\n");
    for (sender, author, expected) in [
        ("any+thing@shop.test", "news@shop.test", "250 2.0.0 "),
        ("alice@example.test", "news@SHOP.test", "250 2.0.0 "),
        ("any@sub.shop.test", "news@shop.test", "550 5.7.1 The sender's address "),
        ("any@shop.test", "news@sub.shop.test", "550 5.7.1 The From field "),
    ] {
        let heard = fixture.send(&mut connection, sender, "bob@elsewhere.test", from(author)).await;
        assert!(heard.starts_with(expected), "{sender} {author}: {heard}");
    }
}
