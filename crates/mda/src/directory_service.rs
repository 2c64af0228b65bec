//! The directory as other agents and administrators see it: `directory::Directory` behind the contracts, with the time and
//! the counters added.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mail::quota::{Charged, Cost, LimitChange, Room};
use mail::{
    Account, AccountView, Alias, Credentials, Domain, ForwardPath, Limit, Mailbox, Resolution,
    ScramChallenge, SenderPattern, Timestamp,
};
use protocol::{Authentication, Directory, DirectoryAdmin, Error, ErrorKind, Quotas};
use service::clock::Clock;

use crate::failure::to_agent;
use crate::metrics::Metrics;
use crate::oauth::{Denial, Tokens};

/// Answers what the directory is asked.
#[derive(Debug)]
pub struct DirectoryService {
    directory: directory::Directory,
    tokens: Option<Tokens>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl DirectoryService {
    /// Answers from this directory, and about tokens where somebody is named who issues them.
    pub(crate) fn new(
        directory: directory::Directory,
        tokens: Option<Tokens>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { directory, tokens, clock, metrics }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    /// The address that a token is for; none where it is refused, as all are where nobody is named who may issue them.
    async fn address_of(&self, login: &str, token: &str) -> Result<Option<String>, Error> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        match tokens.address_of(token).await {
            Ok(address) => Ok(Some(address)),
            Err(Denial::Refused(reason)) => {
                tracing::info!(?login, reason, "a token was refused");
                Ok(None)
            }
            Err(Denial::Unavailable) => {
                Err(Error::new(ErrorKind::Unavailable, "the issuer of tokens cannot be asked now"))
            }
        }
    }

    async fn check(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        let directory = &self.directory;
        let account = match credentials {
            Credentials::Password { login, password } => directory.authenticate(login, password).await,
            Credentials::Scram(proof) => {
                let proven = directory.prove_scram(proof).await.map_err(|error| to_agent(&error))?;
                return Ok(proven.map_or(Authentication::Refused, |(account, signature)| {
                    Authentication::Proven(account, signature)
                }));
            }
            Credentials::Token { login, token } => match self.address_of(login, token).await? {
                Some(address) => directory.vouched(login, &[address]).await,
                None => Ok(None),
            },
            Credentials::Certificate { login, addresses } => directory.vouched(login, addresses).await,
        };
        let account = account.map_err(|error| to_agent(&error))?;
        Ok(account.map_or(Authentication::Refused, Authentication::Accepted))
    }
}

#[async_trait]
impl Directory for DirectoryService {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        let started = Instant::now();
        let checked = self.check(credentials).await;
        let result = match &checked {
            Ok(Authentication::Refused) => "refused",
            Ok(_) => "accepted",
            Err(_) => "error",
        };
        self.metrics.authenticated(mechanism(credentials), result, started.elapsed());
        checked
    }

    async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error> {
        self.directory.challenge_scram(login).await.map_err(|error| to_agent(&error))
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        self.directory.resolve(forward_path).await.map_err(|error| to_agent(&error))
    }
}

#[async_trait]
impl Quotas for DirectoryService {
    async fn room(&self, account: &Mailbox, cost: Cost) -> Result<Room, Error> {
        self.directory.room(account, cost, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn charge(&self, account: &Mailbox, cost: Cost) -> Result<Charged, Error> {
        let charged = self.directory.charge(account, cost, self.now()).await;
        self.metrics.charged(match &charged {
            Ok(Charged::Taken { .. }) => "taken",
            Ok(Charged::Over(_)) => "over",
            Err(_) => "error",
        });
        charged.map_err(|error| to_agent(&error))
    }

    async fn give_back(&self, account: &Mailbox, cost: Cost, taken_at: Timestamp) -> Result<(), Error> {
        let given = self.directory.give_back(account, cost, taken_at, self.now()).await;
        self.metrics.charged(if given.is_ok() { "given_back" } else { "error" });
        given.map_err(|error| to_agent(&error))
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

    async fn account(&self, address: &Mailbox) -> Result<AccountView, Error> {
        self.directory.account_view(address, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn grant(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.directory.grant(address, pattern, self.now()).await.map_err(|error| to_agent(&error))
    }

    async fn revoke(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.directory.revoke(address, pattern).await.map_err(|error| to_agent(&error))
    }

    async fn set_limits(&self, address: &Mailbox, changes: &[(Limit, LimitChange)]) -> Result<(), Error> {
        self.directory.set_limits(address, changes, self.now()).await.map_err(|error| to_agent(&error))
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

/// As metrics name it.
fn mechanism(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::Password { .. } => "password",
        Credentials::Scram(_) => "scram",
        Credentials::Token { .. } => "token",
        Credentials::Certificate { .. } => "certificate",
    }
}
