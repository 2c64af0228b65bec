//! How much accounts may submit: limits of their own or as configured for all, counted exactly for all that share the
//! storage. The arithmetic is [`crate::ledger`]'s.

use mail::quota::{Charged, Cost, LimitChange, Measure, Room};
use mail::{Limit, Mailbox, Timestamp};

use crate::charges::{Change, Order};
use crate::key::Key;
use crate::ledger::Ledger;
use crate::manage::{no_account, own_key};
use crate::{Directory, Error};

/// Largest limit, for a storage knows no larger number.
const LARGEST: u64 = i64::MAX.unsigned_abs();
/// How old a ledger is before it is cleared: nothing counts for longer than a day and an hour.
const SWEEP_AGE_MS: i64 = 26 * 60 * 60 * 1000;

impl Directory {
    /// Gives an account limits of its own, or takes them back.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the storage cannot be changed.
    pub async fn set_limits(
        &self,
        address: &Mailbox,
        changes: &[(Limit, LimitChange)],
        now: Timestamp,
    ) -> Result<(), Error> {
        let key = own_key(address)?;
        let mut found = false;
        let mut decide = |_, row: Option<&mut crate::store::QuotaRow>| {
            let Some(row) = row else { return Ok(()) };
            found = true;
            for (limit, change) in changes {
                row.own.0[limit.index()] = match change {
                    LimitChange::Default => None,
                    LimitChange::Unlimited => Some(0),
                    LimitChange::AtMost(allowed) => Some(allowed.get().min(LARGEST).cast_signed()),
                };
            }
            Ok(())
        };
        self.store.change_quotas(&[&key], now, &mut decide).await?;
        if found { Ok(()) } else { Err(no_account(address)) }
    }

    /// Whether there is room for a message now. Nothing is counted, so it may be gone when the message is charged.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn room(&self, address: &Mailbox, cost: Cost, now: Timestamp) -> Result<Room, Error> {
        let row = self.store.quota(&own_key(address)?).await?.unwrap_or_default();
        let quota = row.own.over(&self.quota);
        let mut ledger = Ledger::parse(&row.ledger)?;
        ledger.turn_to(now);
        if let Some(excess) = ledger.excess(&quota, cost) {
            return Ok(Room::Over(excess));
        }
        let of_recipients = quota.limits().filter(|(limit, _)| limit.measure == Measure::Recipients);
        let recipients =
            of_recipients.map(|(limit, allowed)| allowed.saturating_sub(ledger.used(limit))).min();
        Ok(Room::Left { recipients })
    }

    /// Counts a message, if there is room for it by the limits that the account has now. Many at once share a transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Busy`], or the storage cannot be changed; then it may have been counted, or not.
    pub async fn charge(&self, address: &Mailbox, cost: Cost, now: Timestamp) -> Result<Charged, Error> {
        self.order(address, Change::Take, cost, now).await
    }

    /// Counts a message no more that was taken at that time and came to nothing.
    ///
    /// # Errors
    /// As [`Directory::charge`].
    pub async fn give_back(
        &self,
        address: &Mailbox,
        cost: Cost,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.order(address, Change::GiveBack { at }, cost, now).await.map(drop)
    }

    /// Clears what nobody asks for any more: ledgers in which nothing counts, rows without limits.
    ///
    /// # Errors
    /// When the storage cannot be changed.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.store.sweep_quotas(Timestamp::from_millis(now.as_millis().saturating_sub(SWEEP_AGE_MS))).await
    }

    async fn order(
        &self,
        address: &Mailbox,
        change: Change,
        cost: Cost,
        now: Timestamp,
    ) -> Result<Charged, Error> {
        let key: Key = own_key(address)?;
        let (order, answer) = Order::new(key, change, cost, now);
        self.charges.send(order).await?;
        let charged = answer.await.map_err(|_| Error::Uncounted("it was cut off".to_owned()))??;
        charged.ok_or_else(|| no_account(address))
    }
}
