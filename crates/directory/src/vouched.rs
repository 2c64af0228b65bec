//! Accounts that somebody else vouches for: a certificate authority, an issuer of tokens. Who they may vouch for and how is
//! decided by the caller; here an address becomes an account.

use mail::{Account, Mailbox};

use crate::key::Key;
use crate::{Directory, Error};

/// Addresses that are looked at, of one certificate or token.
const ADDRESS_LIMIT: usize = 16;

impl Directory {
    /// The account that has one of these addresses: no alias and no detail. Where a login is given it has to be one of the
    /// addresses, and is the account that is meant; where none is given, exactly one of them may be an account's.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn vouched(&self, login: &str, addresses: &[String]) -> Result<Option<Account>, Error> {
        let mut keys: Vec<Key> = Vec::new();
        for key in addresses.iter().take(ADDRESS_LIMIT).filter_map(|address| key(address)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if !login.is_empty() {
            let meant = key(login);
            keys.retain(|key| Some(key) == meant.as_ref());
        }
        let mut found = None;
        for key in keys {
            let Some(credentials) = self.store.credentials(&key).await? else { continue };
            if found.replace((key, credentials)).is_some() {
                return Ok(None);
            }
        }
        match found {
            Some((key, credentials)) => self.account(&key, credentials).await.map(Some),
            None => Ok(None),
        }
    }
}

fn key(address: &str) -> Option<Key> {
    Key::of(&Mailbox::parse(address).ok()?)
}
