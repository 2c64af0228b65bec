//! Configuration: one TOML file for all agents, laid over by the environment and the command line.
//!
//! Order, later wins: built-in base, file, environment (`POSTRIDER_MTA__RETRY__EXPIRE`), `--set key=value`.
//! An agent reads the shared tables and its own, leaves the other agents' tables alone, and refuses any key that it
//! does not know. This module knows the names of the tables, not what the agents keep in theirs.

mod duration;
mod error;
mod load;
mod networks;
mod overlay;
mod secret;
mod size;
mod tables;

pub use duration::Duration;
pub use error::ConfigError;
pub use load::{Source, load};
pub use networks::Networks;
pub use secret::{Secret, SecretUrl, secret};
pub use size::ByteSize;
pub use tables::{AgentTls, LogFormat, Service, ServiceListen, Telemetry, Tls};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The tables that a configuration file may have at its top. A name that is not here is a misspelling, whoever reads
/// the file.
pub const TABLES: [&str; 10] =
    ["service", "telemetry", "tls", "limits", "queue", "directory", "msa", "mta", "mda", "admin"];

/// The root of what one program reads: a struct with one field for each of its tables.
pub trait Settings: DeserializeOwned + Serialize + Default + Send + 'static {
    /// The names of its tables, a part of [`TABLES`].
    const TABLES: &'static [&'static str];

    /// The table `[service]`.
    fn service(&self) -> &Service;

    /// The table `[telemetry]`.
    fn telemetry(&self) -> &Telemetry;

    /// What the types cannot say: rules across several keys. Called by [`Settings::read`].
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Loads, then checks.
    fn read(source: &Source) -> Result<Self, ConfigError> {
        let settings: Self = load(source, Self::TABLES)?;
        settings.telemetry().check()?;
        settings.check()?;
        Ok(settings)
    }
}

/// The configuration in force as TOML, secrets as `[redacted]`.
pub fn print<T: Serialize>(settings: &T) -> Result<String, ConfigError> {
    let unprintable = |error: toml::ser::Error| ConfigError::invalid("configuration", error.to_string());
    // By way of a table: plain values have to stand before sub-tables, whatever the order of the fields.
    let table = toml::Table::try_from(settings).map_err(unprintable)?;
    toml::to_string_pretty(&table).map_err(unprintable)
}
