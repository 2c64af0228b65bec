//! Who has mail here: domains, accounts, aliases and credentials, on Postgres and on SQLite. It says where a recipient's
//! mail goes, whether a login is whose it says, as whom an account may send and how much. It knows no mailbox on disk, no
//! agent and no wire.
//!
//! How addresses compare: domains without case, a domain of UTF-8 labels equal to its A-labels; local parts of our domains
//! without case too (RFC 5321 2.4 leaves this to the host that owns the mailbox). Elsewhere's local parts keep their case.
//!
//! | what comes in | who gets it |
//! | --- | --- |
//! | an account's address | the account |
//! | `account+detail` | the account; an alias with a detail likewise |
//! | an alias | its targets, through further aliases up to ten deep; a circle is cut where it closes |
//! | `postmaster` and `abuse` of our domain, without account or alias (RFC 5321 4.5.1, RFC 2142) | the catch-all; else the configured postmaster; else the oldest account of the domain, else of all |
//! | `<Postmaster>` without domain | the configured postmaster, else the postmaster of our oldest domain |
//! | anything else of a domain with a catch-all (`*@domain`) | the catch-all's targets |

mod authentication;
mod charges;
mod error;
mod key;
mod ledger;
mod manage;
mod password;
mod proof;
mod quota;
mod resolution;
mod rights;
mod scram;
mod store;
mod vouched;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mail::{Mailbox, Quota};

pub use error::Error;
pub use manage::TARGET_LIMIT;
pub use password::PASSWORD_LIMIT;
pub use proof::DEFAULT_SCRAM_ITERATIONS;
pub use resolution::{Expansion, MEMBER_LIMIT, Member};
pub use rights::GRANT_LIMIT;

use authentication::Cache;
use charges::Charges;
use password::Hasher;
use proof::Scram;
use store::Store;

/// How a directory is opened and how it decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://…` or `sqlite:PATH`; a path's missing folder is made.
    pub url: String,
    /// Connections to Postgres at most.
    pub connections: u32,
    /// What stands between an account's name and a detail; none for no details.
    pub detail_separator: Option<char>,
    /// Who gets mail for postmaster and abuse where nobody else was named.
    pub postmaster: Option<Mailbox>,
    /// How long a password that was right need not be hashed again; zero for never.
    pub authentication_cache: Duration,
    /// How many passwords are hashed at the same time; each takes 19 MiB.
    pub concurrent_hashes: usize,
    /// Whether accounts have keys for SCRAM-SHA-256; without, those that there are are given up.
    pub scram: bool,
    /// How often a password is hashed for its keys (RFC 5802 5.1, `i`).
    pub scram_iterations: NonZeroU32,
    /// How much an account may submit that has no limits of its own.
    pub quota: Quota,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            connections: 10,
            detail_separator: Some('+'),
            postmaster: None,
            authentication_cache: Duration::from_secs(60),
            concurrent_hashes: 4,
            scram: true,
            scram_iterations: DEFAULT_SCRAM_ITERATIONS,
            quota: Quota::UNLIMITED,
        }
    }
}

/// The directory; a clone is another handle on the same.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Store,
    hasher: Hasher,
    cache: Arc<Cache>,
    scram: Scram,
    detail_separator: Option<char>,
    postmaster: Option<Mailbox>,
    quota: Quota,
    charges: Charges,
}

impl Directory {
    /// Brings the schema of the database at `url` up to date, making an SQLite file where there is none. Harmless when
    /// repeated or run twice at the same time.
    ///
    /// # Errors
    /// When the URL names no storage or the storage cannot be changed.
    pub async fn migrate(url: &str) -> Result<(), Error> {
        Store::migrate(url).await
    }

    /// Connects, and checks that the schema is what this program needs.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the storage cannot be reached now, [`Error::NotMigrated`] when [`Directory::migrate`] has
    /// to run first, [`Error::Refused`] when the storage does not take us, [`Error::Url`] when the URL names no storage.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        let store = Store::open(&settings.url, settings.connections).await?;
        Ok(Self {
            scram: Scram::open(&store, &settings).await?,
            charges: Charges::start(store.clone(), settings.quota),
            quota: settings.quota,
            store,
            hasher: Hasher::new(settings.concurrent_hashes),
            cache: Arc::new(Cache::new(settings.authentication_cache)),
            detail_separator: settings.detail_separator,
            postmaster: settings.postmaster,
        })
    }

    /// Asks the storage for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        self.store.ping().await
    }
}
