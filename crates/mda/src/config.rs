//! `[mda]` and `[directory]`: where accounts and mailboxes are kept, who may ask, and the limits.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use mail::{Limit, Mailbox, Quota};
use serde::{Deserialize, Serialize};
use service::config::{ByteSize, ConfigError, Duration, SecretUrl, Service, Telemetry, Tls};

/// Everything that the mda reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[service]`
    pub service: Service,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[tls]`
    pub tls: Tls,
    /// `[directory]`
    pub directory: DirectorySettings,
    /// `[mda]`
    pub mda: Settings,
}

impl service::config::Settings for Config {
    const TABLES: &'static [&'static str] = &["service", "telemetry", "tls", "directory", "mda"];

    fn service(&self) -> &Service {
        &self.service
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.directory.check()?;
        self.mda.check()
    }
}

/// How often a password may be hashed for its SCRAM keys: RFC 7677 4 asks for so many, and clients compute it at each login.
const SCRAM_ITERATIONS: RangeInclusive<u32> = 4096..=10_000_000;

/// `[directory]`: domains, accounts, aliases.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectorySettings {
    /// Where it is stored: `postgres://…` or `sqlite:PATH`.
    pub url: SecretUrl,
    /// Connections to Postgres at most.
    pub connections: u32,
    /// What stands between an account's name and a detail, as in `alice+lists`; empty for no details.
    pub detail_separator: String,
    /// Who gets mail for postmaster and abuse where a domain has nobody of that name; by default its oldest account.
    pub postmaster: Option<Mailbox>,
    /// How long a password that was right need not be hashed again. A changed password counts at once all the same.
    pub authentication_cache: Duration,
    /// How many passwords are checked at the same time; each takes 19 MiB of memory.
    pub concurrent_hashes: usize,
    /// Whether accounts can log in by SCRAM-SHA-256; off gives up the keys that are stored for it.
    pub scram: bool,
    /// How often a password is hashed for its SCRAM keys: the cost of guessing from stolen ones, and of a client's login.
    pub scram_iterations: u32,
    /// `[directory.quota]`: how much an account may submit that has no limits of its own.
    pub quota: QuotaSettings,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        let defaults = directory::Settings::default();
        Self {
            url: SecretUrl::default(),
            connections: defaults.connections,
            detail_separator: defaults.detail_separator.map(String::from).unwrap_or_default(),
            postmaster: defaults.postmaster,
            authentication_cache: defaults.authentication_cache.into(),
            concurrent_hashes: defaults.concurrent_hashes,
            scram: defaults.scram,
            scram_iterations: defaults.scram_iterations.get(),
            quota: QuotaSettings::default(),
        }
    }
}

/// `[directory.quota]`: 0 for no limit, which is the default of each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaSettings {
    /// Messages within an hour.
    pub messages_per_hour: u64,
    /// Messages within a day.
    pub messages_per_day: u64,
    /// Recipients of all messages within an hour.
    pub recipients_per_hour: u64,
    /// Recipients of all messages within a day.
    pub recipients_per_day: u64,
    /// Content of all messages within an hour.
    pub octets_per_hour: ByteSize,
    /// Content of all messages within a day.
    pub octets_per_day: ByteSize,
}

impl QuotaSettings {
    fn to_quota(&self) -> Quota {
        let allowed = [
            self.messages_per_hour,
            self.messages_per_day,
            self.recipients_per_hour,
            self.recipients_per_day,
            self.octets_per_hour.get(),
            self.octets_per_day.get(),
        ];
        Limit::ALL.into_iter().zip(allowed).collect()
    }
}

impl DirectorySettings {
    /// What the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.detail_separator.chars().count() > 1 {
            let problem = "write one character, as in \"+\", or nothing for no details";
            return Err(ConfigError::invalid("directory.detail_separator", problem));
        }
        if !SCRAM_ITERATIONS.contains(&self.scram_iterations) {
            let (least, most) = (SCRAM_ITERATIONS.start(), SCRAM_ITERATIONS.end());
            let problem = format!("between {least} (RFC 7677) and {most}, which clients can still compute");
            return Err(ConfigError::invalid("directory.scram_iterations", problem));
        }
        at_least_one("directory.concurrent_hashes", self.concurrent_hashes)?;
        at_least_one("directory.connections", self.connections as usize)
    }

    pub(crate) fn to_directory(&self) -> directory::Settings {
        directory::Settings {
            url: self.url.expose().to_owned(),
            connections: self.connections,
            detail_separator: self.detail_separator.chars().next(),
            postmaster: self.postmaster.clone(),
            authentication_cache: self.authentication_cache.get(),
            concurrent_hashes: self.concurrent_hashes,
            scram: self.scram,
            scram_iterations: NonZeroU32::new(self.scram_iterations)
                .unwrap_or(directory::DEFAULT_SCRAM_ITERATIONS),
            quota: self.quota.to_quota(),
        }
    }
}

/// `[mda]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of all mailboxes, each at `DOMAIN/LOCALPART/Maildir` below it.
    pub mail: PathBuf,
    /// Messages that are written at the same time.
    pub concurrent_deliveries: usize,
    /// `[mda.listen]`
    pub listen: Listen,
    /// `[mda.grpc]`: who of the other agents may ask for what, and the limits.
    pub grpc: protocol::server::Settings,
    /// `[mda.oauth]`: whose access tokens are taken for a login.
    pub oauth: crate::oauth::Settings,
}

/// `[mda.listen]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where the other agents and the command line reach it, as in `127.0.0.1:7026`.
    pub grpc: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mail: PathBuf::from("./data/mail"),
            concurrent_deliveries: 32,
            listen: Listen::default(),
            grpc: protocol::server::Settings::default(),
            oauth: crate::oauth::Settings::default(),
        }
    }
}

impl Settings {
    /// What the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.oauth.check()?;
        at_least_one("mda.concurrent_deliveries", self.concurrent_deliveries)
    }
}

fn at_least_one(key: &str, number: usize) -> Result<(), ConfigError> {
    if number == 0 { Err(ConfigError::invalid(key, "at least 1 is needed")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::Settings as _;

    #[test]
    fn the_defaults_can_be_meant_and_nonsense_is_named() {
        assert!(Config::default().check().is_ok());
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(
            wrong(|c| c.directory.detail_separator = "++".into()).starts_with("directory.detail_separator: ")
        );
        assert!(wrong(|c| c.directory.concurrent_hashes = 0).starts_with("directory.concurrent_hashes: "));
        assert!(wrong(|c| c.directory.scram_iterations = 4095).starts_with("directory.scram_iterations: "));
        assert!(wrong(|c| c.mda.concurrent_deliveries = 0).starts_with("mda.concurrent_deliveries: "));
    }

    #[test]
    fn each_limit_is_read_into_its_place() {
        let quota = QuotaSettings {
            messages_per_hour: 1,
            messages_per_day: 2,
            recipients_per_hour: 3,
            recipients_per_day: 0,
            octets_per_hour: ByteSize::mib(1),
            octets_per_day: ByteSize::mib(2),
        };
        let limits: Vec<_> = quota.to_quota().limits().map(|(limit, n)| format!("{limit}={n}")).collect();
        assert_eq!(
            limits.join(" "),
            "messages_per_hour=1 messages_per_day=2 recipients_per_hour=3 octets_per_hour=1048576 octets_per_day=2097152"
        );
        assert!(!QuotaSettings::default().to_quota().is_limited());
    }

    #[test]
    fn what_is_printed_holds_no_password_and_is_read_back() {
        let mut config = Config::default();
        config.directory.url = SecretUrl::new("postgres://mda:hush@db/directory");
        let printed = service::config::print(&config).unwrap();
        assert!(!printed.contains("hush"), "{printed}");
        assert!(printed.contains("[mda.grpc.clients]"), "{printed}");
        let mut without = DirectorySettings::default();
        without.detail_separator.clear();
        assert_eq!(without.to_directory().detail_separator, None);
        assert_eq!(DirectorySettings::default().to_directory().detail_separator, Some('+'));
    }
}
