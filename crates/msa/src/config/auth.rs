//! `[msa.auth]`: how clients log in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::config::ConfigError;
use smtp::sasl::{Mechanism, UnknownMechanism};

/// `[msa.auth]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The mechanisms of AUTH, in the order in which EHLO names them.
    pub mechanisms: Vec<Named>,
    /// The authorities whose certificates clients may log in with (EXTERNAL), PEM.
    pub client_authority_file: Option<PathBuf>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { mechanisms: Mechanism::OF_PASSWORDS.map(Named).into(), client_authority_file: None }
    }
}

impl Auth {
    /// What is offered: what is named, and EXTERNAL where there is an authority for it.
    #[must_use]
    pub fn offered(&self) -> Vec<Mechanism> {
        let external = self.client_authority_file.is_some().then_some(Mechanism::External);
        let mut offered = Vec::new();
        for mechanism in self.mechanisms.iter().map(|named| named.0).chain(external) {
            if !offered.contains(&mechanism) {
                offered.push(mechanism);
            }
        }
        offered
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let key = "msa.auth.mechanisms";
        if self.offered().is_empty() {
            return Err(ConfigError::invalid(
                key,
                "without any, nobody could submit mail; name at least one",
            ));
        }
        let external = self.mechanisms.iter().any(|named| named.0 == Mechanism::External);
        if external && self.client_authority_file.is_none() {
            let problem =
                "EXTERNAL needs to know whose certificates count; give msa.auth.client_authority_file";
            return Err(ConfigError::invalid(key, problem));
        }
        Ok(())
    }
}

/// A mechanism as the configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Named(pub Mechanism);

impl TryFrom<String> for Named {
    type Error = UnknownMechanism;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse().map(Self)
    }
}

impl From<Named> for String {
    fn from(named: Named) -> Self {
        named.0.name().to_owned()
    }
}
