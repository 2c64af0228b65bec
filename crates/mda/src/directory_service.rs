//! The directory as other agents and administrators see it: `directory::Directory` behind the contracts, with the time and
//! the counters added.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mail::{
    Account, Alias, Credentials, Domain, ForwardPath, Mailbox, Resolution, ScramChallenge, Timestamp,
};
use protocol::{Authentication, Directory, DirectoryAdmin, Error, ErrorKind};
use service::clock::Clock;

use crate::failure::to_agent;
use crate::metrics::Metrics;

/// Answers what the directory is asked.
#[derive(Debug)]
pub struct DirectoryService {
    directory: directory::Directory,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl DirectoryService {
    /// Answers from this directory.
    pub(crate) fn new(directory: directory::Directory, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { directory, clock, metrics }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }
}

#[async_trait]
impl Directory for DirectoryService {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        let Credentials::Password { login, password } = credentials else {
            return Ok(Authentication::Refused);
        };
        let started = Instant::now();
        let checked = self.directory.authenticate(login, password).await;
        let result = match &checked {
            Ok(Some(_)) => "accepted",
            Ok(None) => "refused",
            Err(_) => "error",
        };
        self.metrics.authenticated(result, started.elapsed());
        let account = checked.map_err(|error| to_agent(&error))?;
        Ok(account.map_or(Authentication::Refused, Authentication::Accepted))
    }

    async fn challenge_scram(&self, _: &str) -> Result<ScramChallenge, Error> {
        Err(Error::new(ErrorKind::Rejected, "no account has SCRAM keys"))
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        self.directory.resolve(forward_path).await.map_err(|error| to_agent(&error))
    }
}

#[async_trait]
impl DirectoryAdmin for DirectoryService {
    async fn add_domain(&self, domain: &Domain) -> Result<(), Error> {
        self.directory.add_domain(domain, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn remove_domain(&self, domain: &Domain) -> Result<(), Error> {
        self.directory.remove_domain(domain).await.map_err(|error| to_agent(&error))
    }

    async fn domains(&self) -> Result<Vec<Domain>, Error> {
        self.directory.domains().await.map_err(|error| to_agent(&error))
    }

    async fn add_account(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.directory.add_account(address, password, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn set_password(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.directory.set_password(address, password).await.map_err(|error| to_agent(&error))
    }

    async fn remove_account(&self, address: &Mailbox) -> Result<(), Error> {
        self.directory.remove_account(address).await.map_err(|error| to_agent(&error))
    }

    async fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<Account>, Error> {
        self.directory.accounts(domain).await.map_err(|error| to_agent(&error))
    }

    async fn set_alias(&self, alias: &Alias) -> Result<(), Error> {
        self.directory.set_alias(alias, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn remove_alias(&self, address: &str) -> Result<(), Error> {
        self.directory.remove_alias(address).await.map_err(|error| to_agent(&error))
    }

    async fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, Error> {
        self.directory.aliases(domain).await.map_err(|error| to_agent(&error))
    }
}
