//! What accounts may send as (RFC 6409 6.1): their own address, the aliases that lead directly to them, and what an
//! administrator has granted.
//!
//! A grant may name a domain that is not ours: whether an account may write for an address is the administrator's word
//! alone, and that address's mailbox may well be kept elsewhere, as for a shop's mail that a service of ours sends.

use mail::quota::LimitView;
use mail::{Account, AccountView, Limit, Mailbox, Quota, SenderPattern, Timestamp};

use crate::key::{CATCH_ALL, Key, domain_key, mailbox};
use crate::ledger::Ledger;
use crate::manage::{no_account, own_key};
use crate::store::{Alias, Credentials, Rights};
use crate::{Directory, Error};

/// Grants of one account at most: all of them travel with each login.
pub const GRANT_LIMIT: usize = 100;

impl Directory {
    /// Lets an account send as the addresses of a pattern. What it was granted before is granted still; the same again
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Rejected`] when nobody could ever have such an address or the account has
    /// [`GRANT_LIMIT`] already, or the storage cannot be changed.
    pub async fn grant(
        &self,
        address: &Mailbox,
        pattern: &SenderPattern,
        now: Timestamp,
    ) -> Result<(), Error> {
        let key = own_key(address)?;
        let pattern_key = pattern_key(pattern)?;
        let granted = self.store.rights_of(&key).await?.granted;
        if granted.iter().any(|known| known_as(known, &pattern_key)) {
            return Ok(());
        }
        if granted.len() >= GRANT_LIMIT {
            return Err(Error::Rejected(format!(
                "{address} has {GRANT_LIMIT} grants; no account can have more"
            )));
        }
        if self.store.add_grant(&key, &pattern_key, pattern, now).await? {
            return Ok(());
        }
        // Somebody may have granted the same in between.
        self.store.account(&key).await?.map(drop).ok_or_else(|| no_account(address))
    }

    /// Takes a grant back. Sessions that have authenticated keep it until they end.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the storage cannot be changed.
    pub async fn revoke(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        let found = self.store.remove_grant(&own_key(address)?, &pattern_key(pattern)?).await?;
        if found { Ok(()) } else { Err(Error::NotFound(format!("grant of {pattern} to {address}"))) }
    }

    /// One account, with all limits and what counts towards each now.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the storage cannot be asked.
    pub async fn account_view(&self, address: &Mailbox, now: Timestamp) -> Result<AccountView, Error> {
        let key = own_key(address)?;
        let (shown_domain, created_at) =
            self.store.account(&key).await?.ok_or_else(|| no_account(address))?;
        let rights = self.store.rights_of(&key).await?;
        let mut ledger = match self.store.quota(&key).await? {
            Some(row) => Ledger::parse(&row.ledger)?,
            None => Ledger::empty(),
        };
        ledger.turn_to(now);
        let own = rights.own;
        let account = account(&key, &shown_domain, rights, &self.quota, created_at)?;
        let view = |limit: Limit| LimitView {
            limit,
            allowed: account.quota.get(limit).map(u64::from),
            own: own.0[limit.index()].is_some(),
            used: ledger.used(limit),
        };
        Ok(AccountView { limits: Limit::ALL.map(view).to_vec(), account })
    }

    /// The account behind credentials, with what it may send as and how much.
    pub(crate) async fn account(&self, key: &Key, credentials: Credentials) -> Result<Account, Error> {
        let rights = self.store.rights_of(key).await?;
        account(key, &credentials.shown_domain, rights, &self.quota, credentials.created_at)
    }
}

/// An account as others see it. It may send as its own address in A-labels, too, where the domain is shown in UTF-8.
pub(crate) fn account(
    key: &Key,
    shown_domain: &str,
    rights: Rights,
    default: &Quota,
    created_at: Timestamp,
) -> Result<Account, Error> {
    let Rights { aliases, granted, own } = rights;
    let address = mailbox(&key.local_part, shown_domain)?;
    let names = aliases.iter().filter(|alias| alias.local_part != CATCH_ALL);
    let mut may_send_as = names
        .map(|Alias { local_part, shown_domain }| mailbox(local_part, shown_domain))
        .collect::<Result<Vec<_>, Error>>()?;
    let in_ascii = mailbox(&key.local_part, &key.domain)?;
    if in_ascii != address {
        may_send_as.push(in_ascii);
    }
    Ok(Account { address, may_send_as, granted, quota: own.over(default), created_at })
}

/// A pattern in the form that is compared.
fn pattern_key(pattern: &SenderPattern) -> Result<String, Error> {
    match pattern {
        SenderPattern::Address(mailbox) => {
            let no_name = || Error::Rejected(format!("{mailbox} needs a domain that can be a name in DNS"));
            Key::of(mailbox).map(|key| key.to_text()).ok_or_else(no_name)
        }
        SenderPattern::Domain(domain) => Ok(format!("*@{}", domain_key(domain)?)),
        SenderPattern::Anybody => Ok(pattern.to_string()),
    }
}

fn known_as(pattern: &SenderPattern, key: &str) -> bool {
    pattern_key(pattern).is_ok_and(|known| known == key)
}
