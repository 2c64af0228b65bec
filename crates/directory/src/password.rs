//! Passwords: Argon2id in PHC strings (RFC 9106). Memory and time are bounded by a number of permits; a hash keeps a
//! processor busy for tens of milliseconds, so it runs beside the runtime. No password is stored or logged.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Longest password in octets: nobody types more, and hashing more would be work for an attacker to give away.
pub const PASSWORD_LIMIT: usize = 1024;
/// Checked for a login that does not exist, so that the answer takes as long as for one that does. Nobody knows a password
/// for it, and knowing one would not help.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$ZcAIKdEEgqTZIAhiJMsEpw$urh4T49fWyGALo+jybAb3W8B9pOOi9N8CbpoeziNafo";
/// How long a check waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
}

/// The right to hash one password now.
pub(crate) struct Turn(OwnedSemaphorePermit);

impl Hasher {
    pub(crate) fn new(concurrent: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(concurrent.max(1))) }
    }

    /// Waits until a password may be hashed.
    pub(crate) async fn turn(&self) -> Result<Turn, Error> {
        match tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }

    /// Hashes a new password, and does what else is to be done with it in the same turn.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        password: &str,
        also: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<(String, T), Error> {
        if password.is_empty() || password.len() > PASSWORD_LIMIT {
            let text = format!("a password has between 1 and {PASSWORD_LIMIT} octets");
            return Err(Error::Rejected(text));
        }
        let password = password.to_owned();
        self.turn().await?.spend(move || Ok((hash(password.as_bytes())?, also(&password)))).await
    }

    /// Whether `password` is the one that was hashed; with no hash to compare to it takes as long and is never right.
    pub(crate) async fn verify(&self, turn: Turn, password: &str, phc: Option<&str>) -> Result<bool, Error> {
        let exists = phc.is_some();
        let phc = phc.unwrap_or(NOBODY).to_owned();
        let password = password.to_owned();
        let right = turn.spend(move || verify(password.as_bytes(), &phc)).await?;
        Ok(right && exists)
    }
}

impl Turn {
    /// The turn ends with the work, even where nobody waits for it any more: this is what bounds the memory.
    async fn spend<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(self.0);
            result
        });
        done.await.map_err(|error| Error::Hash(error.to_string()))?
    }
}

fn hash(password: &[u8]) -> Result<String, Error> {
    let hash = Argon2::default().hash_password(password).map_err(|error| Error::Hash(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(password: &[u8], phc: &str) -> Result<bool, Error> {
    let stored = PasswordHash::new(phc).map_err(|_| Error::Corrupt("password hash"))?;
    match Argon2::default().verify_password(password, &stored) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::Hash(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_told_from_another_and_from_nobodys() {
        let hasher = Hasher::new(1);
        let (phc, length) = hasher.hash("right", str::len).await.unwrap();
        assert_eq!(length, 5);
        let cost = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((cost(&phc), phc.len()), (cost(NOBODY), NOBODY.len()));
        for (password, phc, right) in [
            ("right", Some(phc.as_str()), true),
            ("wrong", Some(phc.as_str()), false),
            ("right", None, false),
        ] {
            let turn = hasher.turn().await.unwrap();
            assert_eq!(hasher.verify(turn, password, phc).await.unwrap(), right);
        }
        let turn = hasher.turn().await.unwrap();
        assert!(matches!(hasher.verify(turn, "x", Some("plain")).await, Err(Error::Corrupt(_))));
    }

    #[tokio::test]
    async fn empty_and_endless_passwords_are_not_made() {
        let hasher = Hasher::new(1);
        for password in [String::new(), "x".repeat(PASSWORD_LIMIT + 1)] {
            assert!(matches!(hasher.hash(&password, |_| ()).await, Err(Error::Rejected(_))));
        }
    }
}
