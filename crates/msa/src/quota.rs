//! How much an account may submit (RFC 6409 6: a submission server may limit its users). The mda counts, for all msas
//! together; accounts without limits cost nothing here, neither a call nor a lookup.
//!
//! A message is asked about at MAIL, so that nobody sends content in vain; that also tells how many recipients may come,
//! which is remembered for a moment and held against RCPT without asking again. What counts is the charge at the end of data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::quota::{Charged, Cost, Measure, Room};
use mail::{Account, Mailbox, Timestamp};
use protocol::{Error, ErrorKind, Quotas};
use smtp::Reply;

use crate::refusal;

/// How long the number of recipients that may come is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(60);
/// Of how many accounts it is remembered.
const REMEMBERED: usize = 10_000;

/// Asks the mda for room.
pub(crate) struct Quota {
    quotas: Arc<dyn Quotas>,
    recipients_left: Mutex<HashMap<Mailbox, (u64, Timestamp)>>,
}

/// A message that was counted, to be given back if it is not queued.
#[derive(Debug)]
pub(crate) struct Receipt {
    cost: Cost,
    taken_at: Timestamp,
}

impl Quota {
    pub(crate) fn new(quotas: Arc<dyn Quotas>) -> Self {
        Self { quotas, recipients_left: Mutex::default() }
    }

    /// Whether the smallest of messages may come.
    pub(crate) async fn room(&self, account: &Account, now: Timestamp) -> Result<(), Reply> {
        if !account.quota.is_limited() {
            return Ok(());
        }
        let least = Cost { recipients: 1, octets: 1 };
        let room = self.quotas.room(&account.address, least).await;
        match room.map_err(|error| unanswered(account, &error))? {
            Room::Left { recipients } => {
                self.remember(account, recipients, now);
                Ok(())
            }
            Room::Over(excess) => Err(refusal::over_quota(&excess, now)),
        }
    }

    /// Whether one more recipient may come, as far as is known here.
    pub(crate) fn recipient(&self, account: &Account, before: usize, now: Timestamp) -> Result<(), Reply> {
        let Some((_, at_most)) = account.quota.least(Measure::Recipients) else { return Ok(()) };
        let left = self.remembered(account, now).map_or(at_most, |left| left.min(at_most));
        if u64::try_from(before).is_ok_and(|before| before < left) {
            Ok(())
        } else {
            Err(refusal::recipients_over_quota(left))
        }
    }

    /// Counts a message. Nothing comes back for an account without limits.
    pub(crate) async fn charge(
        &self,
        account: &Account,
        cost: Cost,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Reply> {
        if !account.quota.is_limited() {
            return Ok(None);
        }
        let charged = self.quotas.charge(&account.address, cost).await;
        match charged.map_err(|error| unanswered(account, &error))? {
            Charged::Taken { at } => Ok(Some(Receipt { cost, taken_at: at })),
            Charged::Over(excess) => Err(refusal::over_quota(&excess, now)),
        }
    }

    /// Gives back what a message was charged that the mta did not take for this reason. One that may have been taken all the
    /// same stays counted: the count is never to be too low.
    pub(crate) async fn give_back(&self, account: &Account, receipt: Option<Receipt>, reason: ErrorKind) {
        let Some(Receipt { cost, taken_at }) = receipt else { return };
        if matches!(reason, ErrorKind::Unknown | ErrorKind::Internal) {
            return;
        }
        if let Err(error) = self.quotas.give_back(&account.address, cost, taken_at).await {
            tracing::warn!(account = %account.address, %error, "a message that was not queued stays counted");
        }
    }

    fn remember(&self, account: &Account, recipients: Option<u64>, now: Timestamp) {
        let Some(recipients) = recipients else { return };
        let mut left = self.recipients_left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= REMEMBERED && !left.contains_key(&account.address) {
            left.retain(|_, (_, at)| now.since(*at) < BELIEVED_FOR);
        }
        if left.len() < REMEMBERED || left.contains_key(&account.address) {
            left.insert(account.address.clone(), (recipients, now));
        }
    }

    fn remembered(&self, account: &Account, now: Timestamp) -> Option<u64> {
        let left = self.recipients_left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(&account.address)
            .filter(|(_, at)| now.since(*at) < BELIEVED_FOR)
            .map(|(recipients, _)| *recipients)
    }
}

/// Nobody can say how much the account may send: it waits.
fn unanswered(account: &Account, error: &Error) -> Reply {
    tracing::warn!(account = %account.address, %error, "the quota cannot be asked");
    refusal::directory_away()
}
