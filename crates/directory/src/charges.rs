//! Group commit of charges: one task for each directory takes everything that waits and counts it in one transaction, so that
//! many messages cost one synced write. Knows ledgers and the storage, and no contract of agents.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::quota::{Charged, Cost};
use mail::{Quota, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::Error;
use crate::key::Key;
use crate::ledger::Ledger;
use crate::store::{QuotaRow, Store};

/// Most charges of one transaction.
const GROUP_LIMIT: usize = 256;
/// Most charges that wait for the transaction before theirs.
const WAITING_LIMIT: usize = 1024;
/// How long a charge waits for a place among them.
const WAIT: Duration = Duration::from_secs(3);
/// How long a transaction may take: whoever waits for it has a client waiting.
const DEADLINE: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Count a message.
    Take,
    /// Count one no more that was taken at that time.
    GiveBack { at: Timestamp },
}

/// None where there is no such account.
type Answer = Result<Option<Charged>, Error>;

/// A change of one account's ledger, and who waits for it.
pub(crate) struct Order {
    key: Key,
    change: Change,
    cost: Cost,
    now: Timestamp,
    waiting: oneshot::Sender<Answer>,
}

impl Order {
    pub(crate) fn new(
        key: Key,
        change: Change,
        cost: Cost,
        now: Timestamp,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (waiting, answer) = oneshot::channel();
        (Self { key, change, cost, now, waiting }, answer)
    }

    /// Does it to what is stored. By the limits of this moment: what an administrator changes counts at once.
    fn carry_out(&self, row: &mut QuotaRow, default: &Quota) -> Result<Charged, Error> {
        let quota = row.own.over(default);
        let mut ledger = Ledger::parse(&row.ledger)?;
        let at = ledger.turn_to(self.now);
        match self.change {
            Change::Take if !quota.is_limited() => return Ok(Charged::Taken { at }),
            Change::Take => {
                if let Some(excess) = ledger.excess(&quota, self.cost) {
                    return Ok(Charged::Over(excess));
                }
                ledger.take(self.cost, at);
            }
            Change::GiveBack { at } => {
                ledger.give_back(self.cost, at);
            }
        }
        row.ledger = ledger.to_text();
        Ok(Charged::Taken { at })
    }
}

/// The way to the task; it ends when the last of these is gone.
#[derive(Debug, Clone)]
pub(crate) struct Charges(mpsc::Sender<Order>);

impl Charges {
    /// Starts the task.
    pub(crate) fn start(store: Store, default: Quota) -> Self {
        let (sender, orders) = mpsc::channel(WAITING_LIMIT);
        tokio::spawn(run(store, default, orders));
        Self(sender)
    }

    pub(crate) async fn send(&self, order: Order) -> Result<(), Error> {
        self.0.send_timeout(order, WAIT).await.map_err(|_| Error::Crowded)
    }
}

async fn run(store: Store, default: Quota, mut orders: mpsc::Receiver<Order>) {
    let mut group = Vec::new();
    while orders.recv_many(&mut group, GROUP_LIMIT).await > 0 {
        settle(&store, &default, std::mem::take(&mut group)).await;
    }
}

/// Carries a group out in one transaction and answers each. An account whose ledger cannot be read fails alone.
async fn settle(store: &Store, default: &Quota, group: Vec<Order>) {
    let mut of_account: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
    for (place, order) in group.iter().enumerate() {
        of_account.entry(&order.key).or_default().push(place);
    }
    let (keys, places): (Vec<&Key>, Vec<Vec<usize>>) = of_account.into_iter().unzip();
    let mut answers: Vec<Answer> = group.iter().map(|_| Ok(None)).collect();
    let now = group.iter().map(|order| order.now).max().unwrap_or(Timestamp::from_millis(0));
    let mut decide = |account: usize, mut row: Option<&mut QuotaRow>| {
        for place in &places[account] {
            if let Some(row) = &mut row {
                answers[*place] = group[*place].carry_out(row, default).map(Some);
            }
        }
        Ok(())
    };
    let settled = timeout(DEADLINE, store.change_quotas(&keys, now, &mut decide)).await;
    let failure = match settled {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the directory's database does not answer".to_owned()),
    };
    for (order, answer) in group.into_iter().zip(answers) {
        let answer = match &failure {
            Some(failure) => Err(Error::Uncounted(failure.clone())),
            None => answer,
        };
        // Who has gone away has nothing more to ask: what was counted stays counted.
        let _ = order.waiting.send(answer);
    }
}
