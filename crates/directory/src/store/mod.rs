//! The storage: what the rest of the crate asks, answered by Postgres or SQLite. Rows come out as they are stored, in keys;
//! what they mean is decided elsewhere.

mod connect;
mod quotas;
mod rights;
mod schema;
mod statements;

use std::collections::HashMap;

use mail::{Mailbox, Timestamp};
use sqlx::{PgPool, SqlitePool};
use tracing::Instrument;

use crate::Error;
use crate::key::{Key, mailbox};
use statements as of;

#[derive(Debug, Clone)]
pub(crate) enum Store {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// What a login is checked against.
pub(crate) struct Credentials {
    /// The hash.
    pub(crate) password: String,
    /// SCRAM keys of the same password.
    pub(crate) scram: Option<String>,
    pub(crate) shown_domain: String,
    pub(crate) created_at: Timestamp,
}

/// What is kept of a new password.
pub(crate) struct Secrets {
    /// The hash.
    pub(crate) password: String,
    /// SCRAM keys.
    pub(crate) scram: Option<String>,
}

/// What a domain of ours has under the local parts that were asked for.
pub(crate) struct Lookup {
    pub(crate) shown_domain: String,
    pub(crate) entries: HashMap<String, Entry>,
}

pub(crate) enum Entry {
    Account,
    Alias(Vec<Mailbox>),
}

pub(crate) struct AccountRow {
    pub(crate) domain: String,
    pub(crate) local_part: String,
    pub(crate) shown_domain: String,
    pub(crate) created_at: Timestamp,
    pub(crate) own: OwnLimits,
}

/// One target of an alias.
pub(crate) struct AliasRow {
    pub(crate) local_part: String,
    pub(crate) shown_domain: String,
    pub(crate) target: Mailbox,
    pub(crate) target_key: String,
}

pub(crate) enum AliasWrite {
    Done,
    NoDomain,
    IsAccount,
}

/// Runs a named statement on either storage: `run!(self, of::NAME, fetch_all as (String, i64), argument, …)`.
macro_rules! run {
    ($store:expr, $statement:expr, execute $(, $argument:expr)*) => {{
        let span = tracing::debug_span!("directory.query", statement = $statement.name);
        let run = async {
            match $store {
                Store::Postgres(pool) => {
                    sqlx::query($statement.sql)$(.bind($argument))*.execute(pool).await.map(|done| done.rows_affected())
                }
                Store::Sqlite(pool) => {
                    sqlx::query($statement.sql)$(.bind($argument))*.execute(pool).await.map(|done| done.rows_affected())
                }
            }
        };
        run.instrument(span).await
    }};
    ($store:expr, $statement:expr, $fetch:ident as $row:ty $(, $argument:expr)*) => {{
        let span = tracing::debug_span!("directory.query", statement = $statement.name);
        let run = async {
            match $store {
                Store::Postgres(pool) => sqlx::query_as::<_, $row>($statement.sql)$(.bind($argument))*.$fetch(pool).await,
                Store::Sqlite(pool) => sqlx::query_as::<_, $row>($statement.sql)$(.bind($argument))*.$fetch(pool).await,
            }
        };
        run.instrument(span).await
    }};
}
use run;

pub(crate) use quotas::{OwnLimits, QuotaRow};
pub(crate) use rights::{Alias, Rights};

impl Store {
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let _: (i32,) = run!(self, of::PING, fetch_one as (i32,))?;
        Ok(())
    }

    pub(crate) async fn look_up(&self, key: &Key, base: Option<&Key>) -> Result<Option<Lookup>, Error> {
        let (full, base) = (&key.local_part, base.map_or(&key.local_part, |base| &base.local_part));
        type Row = (String, Option<String>, Option<String>);
        let rows = run!(self, of::LOOK_UP, fetch_all as Row, &key.domain, full, base)?;
        let Some((shown_domain, _, _)) = rows.first() else { return Ok(None) };
        let mut found = Lookup { shown_domain: shown_domain.clone(), entries: HashMap::new() };
        for (_, local_part, target) in rows {
            let Some(local_part) = local_part else { continue };
            let entry = found.entries.entry(local_part).or_insert(Entry::Account);
            let Some(target) = target else { continue };
            let target = parse_target(&target)?;
            match entry {
                Entry::Alias(targets) => targets.push(target),
                Entry::Account => *entry = Entry::Alias(vec![target]),
            }
        }
        Ok(Some(found))
    }

    pub(crate) async fn credentials(&self, key: &Key) -> Result<Option<Credentials>, Error> {
        type Row = (String, Option<String>, String, i64);
        let row = run!(self, of::CREDENTIALS, fetch_optional as Row, &key.domain, &key.local_part)?;
        Ok(row.map(|(password, scram, shown_domain, created_at)| {
            let created_at = Timestamp::from_millis(created_at);
            Credentials { password, scram, shown_domain, created_at }
        }))
    }

    /// The oldest account of a domain, else of all.
    pub(crate) async fn oldest_account(&self, domain: &str) -> Result<Option<Mailbox>, Error> {
        type Row = (String, String);
        let row = match run!(self, of::OLDEST_ACCOUNT_OF_DOMAIN, fetch_optional as Row, domain)? {
            Some(row) => Some(row),
            None => run!(self, of::OLDEST_ACCOUNT, fetch_optional as Row)?,
        };
        row.map(|(local_part, shown_domain)| mailbox(&local_part, &shown_domain)).transpose()
    }

    pub(crate) async fn oldest_domain(&self) -> Result<Option<String>, Error> {
        Ok(run!(self, of::OLDEST_DOMAIN, fetch_optional as (String,))?.map(|(shown,)| shown))
    }

    /// Whether it was not there yet.
    pub(crate) async fn add_domain(&self, name: &str, shown: &str, now: Timestamp) -> Result<bool, Error> {
        Ok(run!(self, of::ADD_DOMAIN, execute, name, shown, now.as_millis())? == 1)
    }

    /// Whether it was there; none while addresses depend on it.
    pub(crate) async fn remove_domain(&self, name: &str) -> Result<Option<bool>, Error> {
        unless_foreign_key(run!(self, of::REMOVE_DOMAIN, execute, name))
    }

    pub(crate) async fn domains(&self) -> Result<Vec<String>, Error> {
        let rows = run!(self, of::DOMAINS, fetch_all as (String,))?;
        Ok(rows.into_iter().map(|(shown,)| shown).collect())
    }

    /// Whether the address was free; none where the domain is not ours.
    pub(crate) async fn add_account(
        &self,
        key: &Key,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Option<bool>, Error> {
        let (domain, local_part) = (&key.domain, &key.local_part);
        unless_foreign_key(run!(
            self,
            of::ADD_ACCOUNT,
            execute,
            domain,
            local_part,
            &secrets.password,
            &secrets.scram,
            now.as_millis()
        ))
    }

    pub(crate) async fn set_password(&self, key: &Key, secrets: &Secrets) -> Result<bool, Error> {
        let Secrets { password, scram } = secrets;
        Ok(run!(self, of::SET_PASSWORD, execute, &key.domain, &key.local_part, password, scram)? == 1)
    }

    /// Gives an account SCRAM keys, if `password` is still the hash that it has.
    pub(crate) async fn set_scram(&self, key: &Key, password: &str, scram: &str) -> Result<(), Error> {
        run!(self, of::SET_SCRAM, execute, &key.domain, &key.local_part, password, scram)?;
        Ok(())
    }

    /// Takes the SCRAM keys of all accounts away.
    pub(crate) async fn drop_scram(&self) -> Result<(), Error> {
        run!(self, of::DROP_SCRAM, execute)?;
        Ok(())
    }

    pub(crate) async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(run!(self, of::SECRET, fetch_optional as (Vec<u8>,), name)?.map(|(secret,)| secret))
    }

    /// Keeps a secret, unless there is one of this name.
    pub(crate) async fn add_secret(&self, name: &str, secret: &[u8]) -> Result<(), Error> {
        run!(self, of::ADD_SECRET, execute, name, secret)?;
        Ok(())
    }

    pub(crate) async fn remove_account(&self, key: &Key) -> Result<bool, Error> {
        Ok(run!(self, of::REMOVE_ACCOUNT, execute, &key.domain, &key.local_part)? == 1)
    }

    pub(crate) async fn accounts(&self, domain: Option<&str>) -> Result<Vec<AccountRow>, Error> {
        type Amount = Option<i64>;
        type Row = (String, String, String, i64, Amount, Amount, Amount, Amount, Amount, Amount);
        let rows = run!(self, of::ACCOUNTS, fetch_all as Row, domain)?;
        let account = |(domain, local_part, shown_domain, created_at, a, b, c, d, e, f): Row| {
            let (created_at, own) = (Timestamp::from_millis(created_at), OwnLimits([a, b, c, d, e, f]));
            AccountRow { domain, local_part, shown_domain, created_at, own }
        };
        Ok(rows.into_iter().map(account).collect())
    }

    /// Targets come as they are shown and as they are compared. One transaction: an alias is never seen without targets.
    pub(crate) async fn set_alias(
        &self,
        key: &Key,
        targets: &[(String, String)],
        now: Timestamp,
    ) -> Result<AliasWrite, Error> {
        macro_rules! set_alias {
            ($pool:expr) => {{
                let mut transaction = $pool.begin().await?;
                let claim = sqlx::query_as::<_, (i32,)>(of::CLAIM_ALIAS.sql)
                    .bind(&key.domain)
                    .bind(&key.local_part)
                    .bind(now.as_millis());
                match claim.fetch_one(&mut *transaction).await {
                    Ok((0,)) => {}
                    Ok(_) => return Ok(AliasWrite::IsAccount),
                    Err(error) if is_foreign_key(&error) => return Ok(AliasWrite::NoDomain),
                    Err(error) => return Err(error.into()),
                }
                let clear = sqlx::query(of::CLEAR_TARGETS.sql).bind(&key.domain).bind(&key.local_part);
                clear.execute(&mut *transaction).await?;
                for (position, (target, target_key)) in (0i32..).zip(targets) {
                    let add = sqlx::query(of::ADD_TARGET.sql).bind(&key.domain).bind(&key.local_part);
                    add.bind(position).bind(target).bind(target_key).execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
            }};
        }
        let span = tracing::debug_span!("directory.query", statement = "set_alias");
        let write = async {
            match self {
                Self::Postgres(pool) => set_alias!(pool),
                Self::Sqlite(pool) => set_alias!(pool),
            }
            Ok(AliasWrite::Done)
        };
        write.instrument(span).await
    }

    pub(crate) async fn remove_alias(&self, key: &Key) -> Result<bool, Error> {
        Ok(run!(self, of::REMOVE_ALIAS, execute, &key.domain, &key.local_part)? == 1)
    }

    pub(crate) async fn aliases(&self, domain: Option<&str>) -> Result<Vec<AliasRow>, Error> {
        type Row = (String, String, String, String);
        let rows = run!(self, of::ALIASES, fetch_all as Row, domain)?;
        let alias = |(local_part, shown_domain, target, target_key): Row| {
            Ok(AliasRow { local_part, shown_domain, target: parse_target(&target)?, target_key })
        };
        rows.into_iter().map(alias).collect()
    }
}

fn parse_target(text: &str) -> Result<Mailbox, Error> {
    Mailbox::parse(text).map_err(|_| Error::Corrupt("target of an alias"))
}

/// Whether a row was written; none where a foreign key stood against it.
fn unless_foreign_key(written: Result<u64, sqlx::Error>) -> Result<Option<bool>, Error> {
    match written {
        Ok(rows) => Ok(Some(rows == 1)),
        Err(error) if is_foreign_key(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_foreign_key(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}
