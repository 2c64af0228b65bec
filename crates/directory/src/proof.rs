//! Logins by SCRAM-SHA-256: the challenge, the check of the proof, and how accounts come by their keys.
//!
//! Nobody learns from a challenge who has an account. The salt is a keyed hash of the login, whether somebody has it or not:
//! it is the same on every replica, after a restart, before and after an account is made, gets keys or another password. Who
//! has no account is checked against keys of nobody, which takes as long.

use std::num::NonZeroU32;
use std::sync::Arc;

use mail::{Account, ScramChallenge, ScramProof, ServerSignature};
use tokio::sync::Semaphore;

use crate::key::Key;
use crate::scram::{Keys, sign};
use crate::store::{Credentials, Store};
use crate::{Directory, Error, Settings};

/// Octets of a salt.
const SALT_LENGTH: usize = 16;
/// Hashes of a password for its keys, by default: some 40 milliseconds of a processor, for the server once for each password
/// and for a client at each login. RFC 7677 4 asks for 4096 at least.
pub const DEFAULT_SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// The secret that salts are made with, in the storage.
const SECRET: &str = "scram";

/// What keys are made with.
#[derive(Clone)]
pub(crate) struct Scram {
    enabled: bool,
    iterations: NonZeroU32,
    secret: Arc<[u8]>,
    /// Keys that are made behind a login, one at a time: nobody waits for them.
    background: Arc<Semaphore>,
}

impl Scram {
    /// Reads the directory's secret, or makes it; where SCRAM is off, gives up the keys there are.
    pub(crate) async fn open(store: &Store, settings: &Settings) -> Result<Self, Error> {
        let secret = match store.secret(SECRET).await? {
            Some(secret) => secret,
            None => {
                store.add_secret(SECRET, &rand::random::<[u8; 32]>()).await?;
                // Somebody else may have been first.
                store.secret(SECRET).await?.ok_or(Error::Corrupt("table of secrets"))?
            }
        };
        if !settings.scram {
            store.drop_scram().await?;
        }
        Ok(Self {
            enabled: settings.scram,
            iterations: settings.scram_iterations,
            secret: secret.into(),
            background: Arc::new(Semaphore::new(1)),
        })
    }

    /// The salt of a login; `name` is its key, or what was said where that is no address.
    fn salt(&self, name: &str) -> Vec<u8> {
        sign(&self.secret, format!("salt {name}").as_bytes())[..SALT_LENGTH].to_vec()
    }

    fn of_nobody(&self, name: &str) -> Keys {
        let key = sign(&self.secret, format!("key {name}").as_bytes());
        Keys::of_nobody(self.salt(name), self.iterations.get(), key)
    }

    /// The keys of a login, and whether they are somebody's.
    fn keys_of(&self, name: &str, credentials: Option<&Credentials>) -> Result<(Keys, bool), Error> {
        let stored =
            credentials.and_then(|credentials| credentials.scram.as_deref()).filter(|_| self.enabled);
        Ok(match stored {
            Some(text) => (Keys::parse(text)?, true),
            None => (self.of_nobody(name), false),
        })
    }

    /// The keys of a password, as they are stored; none where SCRAM is off. Keeps a processor busy.
    pub(crate) fn make(&self, key: &Key, password: &str) -> Option<String> {
        let keys = || Keys::derive(password, &self.salt(&key.to_text()), self.iterations);
        self.enabled.then(|| keys().to_text())
    }

    /// Whether an account has no keys, or others than would be made now.
    fn misses(&self, credentials: &Credentials) -> bool {
        let keys = || Keys::parse(credentials.scram.as_deref()?).ok();
        self.enabled && keys().is_none_or(|keys| keys.iterations != self.iterations.get())
    }
}

/// Shows no secret.
impl std::fmt::Debug for Scram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Scram");
        shown.field("enabled", &self.enabled).field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Directory {
    /// What a SCRAM client hears first (RFC 5802 5.1): the same for a login whether or not somebody has it.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error> {
        let login = self.login(login).await?;
        let (keys, _) = self.scram.keys_of(&login.name, login.credentials.as_ref())?;
        Ok(ScramChallenge { salt: keys.salt, iterations: keys.iterations })
    }

    /// The account of this proof's login and what proves us to the client, when the proof is right. A login that does not
    /// exist or has no keys takes as long as a wrong proof.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn prove_scram(&self, proof: &ScramProof) -> Result<Option<(Account, ServerSignature)>, Error> {
        let login = self.login(&proof.login).await?;
        let (keys, real) = self.scram.keys_of(&login.name, login.credentials.as_ref())?;
        let signature = keys.verify(&proof.auth_message, &proof.proof).filter(|_| real);
        match (login.key, login.credentials, signature) {
            (Some(key), Some(credentials), Some(signature)) => {
                Ok(Some((self.account(&key, credentials).await?, signature)))
            }
            _ => Ok(None),
        }
    }

    /// Makes the keys of an account that has none, now that its password is known; the login does not wait for it. While
    /// others are being made it is left to the next login.
    pub(crate) fn make_missing_keys(&self, key: &Key, credentials: &Credentials, password: &str) {
        if !self.scram.misses(credentials) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.scram.background).try_acquire_owned() else { return };
        let (scram, store) = (self.scram.clone(), self.store.clone());
        let (key, password, phc) = (key.clone(), password.to_owned(), credentials.password.clone());
        tokio::spawn(async move {
            let made = tokio::task::spawn_blocking(move || {
                let keys = scram.make(&key, &password);
                (key, keys)
            });
            if let Ok((key, Some(keys))) = made.await
                && let Err(error) = store.set_scram(&key, &phc, &keys).await
            {
                tracing::warn!(%error, "SCRAM keys could not be stored; they are made again at a later login");
            }
            drop(turn);
        });
    }
}
