//! What accounts may send as: aliases that lead to them, and grants.

use mail::{SenderPattern, Timestamp};
use tracing::Instrument;

use super::{OwnLimits, Store, of, run};
use crate::Error;
use crate::key::Key;

/// What an account may do beyond what everybody may.
#[derive(Default)]
pub(crate) struct Rights {
    pub(crate) aliases: Vec<Alias>,
    pub(crate) granted: Vec<SenderPattern>,
    pub(crate) own: OwnLimits,
}

/// An alias that leads directly to an account.
pub(crate) struct Alias {
    pub(crate) local_part: String,
    pub(crate) shown_domain: String,
}

impl Store {
    pub(crate) async fn rights_of(&self, key: &Key) -> Result<Rights, Error> {
        type Amount = Option<i64>;
        type Text = Option<String>;
        type Row = (Amount, Amount, Amount, Amount, Amount, Amount, Option<i32>, Text, Text);
        let rows = run!(self, of::RIGHTS_OF, fetch_all as Row, &key.domain, &key.local_part, key.to_text())?;
        let mut rights = Rights::default();
        for (a, b, c, d, e, f, kind, local_part, shown) in rows {
            rights.own = OwnLimits([a, b, c, d, e, f]);
            match (kind, local_part, shown) {
                (Some(0), Some(local_part), Some(shown_domain)) => {
                    rights.aliases.push(Alias { local_part, shown_domain });
                }
                (Some(_), _, Some(shown)) => rights.granted.push(pattern(&shown)?),
                _ => {}
            }
        }
        Ok(rights)
    }

    /// Whether it was new; an account that is not there gets none.
    pub(crate) async fn add_grant(
        &self,
        key: &Key,
        pattern_key: &str,
        pattern: &SenderPattern,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (shown, now) = (pattern.to_string(), now.as_millis());
        let (domain, local_part) = (&key.domain, &key.local_part);
        Ok(run!(self, of::ADD_GRANT, execute, domain, local_part, pattern_key, &shown, now)? == 1)
    }

    /// Whether it was there.
    pub(crate) async fn remove_grant(&self, key: &Key, pattern_key: &str) -> Result<bool, Error> {
        Ok(run!(self, of::REMOVE_GRANT, execute, &key.domain, &key.local_part, pattern_key)? == 1)
    }

    /// All grants, each with its account.
    pub(crate) async fn grants(&self, domain: Option<&str>) -> Result<Vec<(Key, SenderPattern)>, Error> {
        let rows = run!(self, of::GRANTS, fetch_all as (String, String, String), domain)?;
        let grant = |(domain, local_part, shown): (String, String, String)| {
            Ok((Key { domain, local_part }, pattern(&shown)?))
        };
        rows.into_iter().map(grant).collect()
    }

    /// Shown domain and age of an account, if it is there.
    pub(crate) async fn account(&self, key: &Key) -> Result<Option<(String, Timestamp)>, Error> {
        let row = run!(self, of::ACCOUNT, fetch_optional as (String, i64), &key.domain, &key.local_part)?;
        Ok(row.map(|(shown_domain, created_at)| (shown_domain, Timestamp::from_millis(created_at))))
    }
}

fn pattern(shown: &str) -> Result<SenderPattern, Error> {
    shown.parse().map_err(|_| Error::Corrupt("grant"))
}
