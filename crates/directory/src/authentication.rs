//! Checks a login's password. What was right is remembered for a short while, because an Argon2 hash per session would
//! bound the rate of submission by its cost.
//!
//! What is remembered is a SHA-256 over a key of this process, the login, the password and the hash that the storage holds
//! now. The storage is asked each time, so a changed password or a removed account counts at once, and a wrong password
//! never gets an answer faster than Argon2 allows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail::{Account, Mailbox};
use sha2::{Digest, Sha256};

use crate::key::Key;
use crate::store::Credentials;
use crate::{Directory, Error, PASSWORD_LIMIT};

/// Logins remembered at most.
const CACHE_LIMIT: usize = 10_000;

impl Directory {
    /// The account of this login, when the password is right. The login is the account's address; no alias and no detail.
    /// A login that does not exist takes as long as a wrong password.
    ///
    /// # Errors
    /// When the storage cannot be asked or too many passwords wait to be checked.
    pub async fn authenticate(&self, login: &str, password: &str) -> Result<Option<Account>, Error> {
        if password.len() > PASSWORD_LIMIT {
            return Ok(None);
        }
        let Login { key, credentials, .. } = self.login(login).await?;
        let phc = credentials.as_ref().map(|credentials| credentials.password.as_str());
        let fingerprint = phc.map(|phc| self.cache.fingerprint(login, password, phc));
        let known = || fingerprint.is_some_and(|fingerprint| self.cache.holds(&fingerprint, Instant::now()));
        if !known() {
            let turn = self.hasher.turn().await?;
            // Somebody else may have checked the same while this one waited.
            if !known() && !self.hasher.verify(turn, password, phc).await? {
                return Ok(None);
            }
            if let Some(fingerprint) = fingerprint {
                self.cache.remember(fingerprint, Instant::now());
            }
        }
        match (key, credentials) {
            (Some(key), Some(credentials)) => {
                self.make_missing_keys(&key, &credentials, password);
                self.account(&key, credentials).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What the storage has under a login: the address of an account, no alias and no detail.
    pub(crate) async fn login(&self, login: &str) -> Result<Login, Error> {
        let key = Mailbox::parse(login).ok().and_then(|mailbox| Key::of(&mailbox));
        let name = key.as_ref().map_or_else(|| login.to_owned(), Key::to_text);
        let credentials = match &key {
            Some(key) => self.store.credentials(key).await?,
            None => None,
        };
        Ok(Login { name, key, credentials })
    }
}

/// A login, looked up.
pub(crate) struct Login {
    /// The key as text, or what was said where that is no address of anybody's.
    pub(crate) name: String,
    pub(crate) key: Option<Key>,
    /// None where there is no such account.
    pub(crate) credentials: Option<Credentials>,
}

type Fingerprint = [u8; 32];

/// Which passwords were right a moment ago.
pub(crate) struct Cache {
    key: [u8; 32],
    lifetime: Duration,
    known_until: Mutex<HashMap<Fingerprint, Instant>>,
}

impl Cache {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { key: rand::random(), lifetime, known_until: Mutex::default() }
    }

    fn fingerprint(&self, login: &str, password: &str, phc: &str) -> Fingerprint {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for part in [login, password, phc] {
            // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn holds(&self, fingerprint: &Fingerprint, now: Instant) -> bool {
        let known_until = self.known_until.lock().unwrap_or_else(PoisonError::into_inner);
        known_until.get(fingerprint).is_some_and(|until| now < *until)
    }

    fn remember(&self, fingerprint: Fingerprint, now: Instant) {
        if self.lifetime.is_zero() {
            return;
        }
        let mut known_until = self.known_until.lock().unwrap_or_else(PoisonError::into_inner);
        if known_until.len() >= CACHE_LIMIT {
            known_until.retain(|_, until| now < *until);
        }
        if known_until.len() >= CACHE_LIMIT {
            known_until.clear();
        }
        known_until.insert(fingerprint, now + self.lifetime);
    }
}

/// Says how many are remembered, never which.
impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.known_until.lock().map_or(0, |known| known.len());
        f.debug_struct("Cache")
            .field("lifetime", &self.lifetime)
            .field("known", &known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_forgotten_in_time_and_with_every_change() {
        let cache = Cache::new(Duration::from_secs(60));
        let now = Instant::now();
        let fingerprint = cache.fingerprint("login", "password", "hash");
        assert!(!cache.holds(&fingerprint, now));
        cache.remember(fingerprint, now);
        assert!(cache.holds(&fingerprint, now + Duration::from_secs(59)));
        assert!(!cache.holds(&fingerprint, now + Duration::from_secs(60)));
        for (login, password, phc) in
            [("login", "password", "other"), ("login", "other", "hash"), ("loginp", "assword", "hash")]
        {
            assert!(!cache.holds(&cache.fingerprint(login, password, phc), now));
        }
    }

    #[test]
    fn the_cache_is_bounded_and_can_be_off() {
        let cache = Cache::new(Duration::from_secs(60));
        let now = Instant::now();
        for number in 0..=u32::try_from(CACHE_LIMIT).unwrap() {
            let mut fingerprint = [0; 32];
            fingerprint[..4].copy_from_slice(&number.to_be_bytes());
            cache.remember(fingerprint, now);
        }
        assert!(cache.known_until.lock().unwrap().len() <= CACHE_LIMIT);
        let off = Cache::new(Duration::ZERO);
        off.remember([1; 32], now);
        assert!(!off.holds(&[1; 32], now));
    }
}
