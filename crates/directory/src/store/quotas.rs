//! Accounts' limits and ledgers, a row for each account that has any.

use mail::{Limit, Quota, Timestamp};
use tracing::Instrument;

use super::{Store, of, run};
use crate::Error;
use crate::key::Key;

/// An account's own limits, in the order of [`Limit::ALL`]: none as configured for all, 0 without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OwnLimits(pub(crate) [Option<i64>; 6]);

impl OwnLimits {
    /// The limits in force, over those configured for all.
    pub(crate) fn over(&self, default: &Quota) -> Quota {
        let mut quota = *default;
        for limit in Limit::ALL {
            if let Some(own) = self.0[limit.index()] {
                quota.set(limit, u64::try_from(own).unwrap_or(0));
            }
        }
        quota
    }
}

/// What is stored of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QuotaRow {
    pub(crate) own: OwnLimits,
    pub(crate) ledger: String,
}

type Amount = Option<i64>;
type Row = (Amount, Amount, Amount, Amount, Amount, Amount, String);

impl From<Row> for QuotaRow {
    fn from((a, b, c, d, e, f, ledger): Row) -> Self {
        Self { own: OwnLimits([a, b, c, d, e, f]), ledger }
    }
}

/// Makes of what is stored of the account at this place what shall be; `None` where there is no such account. An error
/// undoes the whole transaction.
pub(crate) type Decide<'a> = dyn FnMut(usize, Option<&mut QuotaRow>) -> Result<(), Error> + Send + 'a;

impl Store {
    /// What is stored of an account, unless that is nothing.
    pub(crate) async fn quota(&self, key: &Key) -> Result<Option<QuotaRow>, Error> {
        let row = run!(self, of::QUOTA, fetch_optional as Row, &key.domain, &key.local_part)?;
        Ok(row.map(QuotaRow::from))
    }

    /// Changes several accounts in one transaction, whose locks are taken in the order of the keys: give them sorted, and
    /// transactions never wait for each other in a circle. Where nothing has changed nothing is written.
    pub(crate) async fn change_quotas(
        &self,
        keys: &[&Key],
        now: Timestamp,
        decide: &mut Decide<'_>,
    ) -> Result<(), Error> {
        macro_rules! change {
            ($pool:expr) => {{
                let mut transaction = $pool.begin().await?;
                let mut changed = false;
                for (place, key) in keys.iter().enumerate() {
                    let claim =
                        sqlx::query_as::<_, Row>(of::CLAIM_QUOTA.sql).bind(&key.domain).bind(&key.local_part);
                    let Some(row) = claim.fetch_optional(&mut *transaction).await? else {
                        decide(place, None)?;
                        continue;
                    };
                    let before = QuotaRow::from(row);
                    let mut after = before.clone();
                    decide(place, Some(&mut after))?;
                    if after == before {
                        continue;
                    }
                    changed = true;
                    let [a, b, c, d, e, f] = after.own.0;
                    let write = sqlx::query(of::WRITE_QUOTA.sql).bind(&key.domain).bind(&key.local_part);
                    let write = write.bind(a).bind(b).bind(c).bind(d).bind(e).bind(f);
                    let write = write.bind(&after.ledger).bind(now.as_millis());
                    write.execute(&mut *transaction).await?;
                }
                if changed { transaction.commit().await? } else { transaction.rollback().await? }
            }};
        }
        let span = tracing::debug_span!("directory.query", statement = "change_quotas");
        let change = async {
            match self {
                Self::Postgres(pool) => change!(pool),
                Self::Sqlite(pool) => change!(pool),
            }
            Ok(())
        };
        change.instrument(span).await
    }

    /// Clears what was last written before that time: ledgers, and rows that say nothing without one.
    pub(crate) async fn sweep_quotas(&self, before: Timestamp) -> Result<(), Error> {
        run!(self, of::SWEEP_LEDGERS, execute, before.as_millis())?;
        run!(self, of::SWEEP_QUOTAS, execute, before.as_millis())?;
        Ok(())
    }
}
