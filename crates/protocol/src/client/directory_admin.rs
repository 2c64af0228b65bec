//! Changes to the directory of an mda.

use async_trait::async_trait;
use mail::quota::LimitChange;
use mail::{Account, AccountView, Alias, Domain, Limit, Mailbox, SenderPattern};
use tonic::transport::Channel;

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::{answer, text};
use crate::{DirectoryAdmin, Error};

type Stub = wire::directory_admin_client::DirectoryAdminClient<Channel>;

/// The directory's administration, from afar.
#[derive(Debug, Clone)]
pub struct DirectoryAdminClient {
    peers: Peers,
}

impl DirectoryAdminClient {
    /// A client of these mdas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

/// The call of one method with a message made anew for each try.
macro_rules! make {
    ($method:ident, $message:expr) => {
        |channel, call: Call| {
            let request = call.request($message);
            async move { Stub::new(channel).$method(request).await }
        }
    };
}

#[async_trait]
impl DirectoryAdmin for DirectoryAdminClient {
    async fn add_domain(&self, domain: &Domain) -> Result<(), Error> {
        let make = make!(add_domain, wire::DomainRequest { domain: domain.to_string() });
        self.peers.change(make).await.map(drop)
    }

    async fn remove_domain(&self, domain: &Domain) -> Result<(), Error> {
        let make = make!(remove_domain, wire::DomainRequest { domain: domain.to_string() });
        self.peers.change(make).await.map(drop)
    }

    async fn domains(&self) -> Result<Vec<Domain>, Error> {
        let found = self.peers.look_up(make!(list_domains, wire::ListDomainsRequest {})).await?.into_inner();
        answer(found.domains.iter().map(|domain| text("domain", domain)).collect())
    }

    async fn add_account(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.peers.change(make!(add_account, account(address, password))).await.map(drop)
    }

    async fn set_password(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.peers.change(make!(set_password, account(address, password))).await.map(drop)
    }

    async fn remove_account(&self, address: &Mailbox) -> Result<(), Error> {
        let make = make!(remove_account, wire::RemoveAccountRequest { address: address.to_string() });
        self.peers.change(make).await.map(drop)
    }

    async fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<Account>, Error> {
        let make =
            make!(list_accounts, wire::ListAccountsRequest { domain: domain.map(ToString::to_string) });
        let found = self.peers.look_up(make).await?.into_inner();
        answer(found.accounts.into_iter().map(TryInto::try_into).collect())
    }

    async fn account(&self, address: &Mailbox) -> Result<AccountView, Error> {
        let make = make!(show_account, wire::ShowAccountRequest { address: address.to_string() });
        answer(self.peers.look_up(make).await?.into_inner().try_into())
    }

    async fn grant(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.peers.change(make!(grant, grant(address, pattern))).await.map(drop)
    }

    async fn revoke(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.peers.change(make!(revoke, grant(address, pattern))).await.map(drop)
    }

    async fn set_limits(&self, address: &Mailbox, changes: &[(Limit, LimitChange)]) -> Result<(), Error> {
        let make = make!(set_limits, wire::SetLimitsRequest::new(address.to_string(), changes));
        self.peers.change(make).await.map(drop)
    }

    async fn set_alias(&self, alias: &Alias) -> Result<(), Error> {
        self.peers.change(make!(set_alias, wire::Alias::from(alias))).await.map(drop)
    }

    async fn remove_alias(&self, address: &str) -> Result<(), Error> {
        let make = make!(remove_alias, wire::RemoveAliasRequest { address: address.to_owned() });
        self.peers.change(make).await.map(drop)
    }

    async fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, Error> {
        let make = make!(list_aliases, wire::ListAliasesRequest { domain: domain.map(ToString::to_string) });
        let found = self.peers.look_up(make).await?.into_inner();
        answer(found.aliases.into_iter().map(TryInto::try_into).collect())
    }
}

fn account(address: &Mailbox, password: &str) -> wire::AccountRequest {
    wire::AccountRequest { address: address.to_string(), password: password.to_owned() }
}

fn grant(address: &Mailbox, pattern: &SenderPattern) -> wire::GrantRequest {
    wire::GrantRequest { address: address.to_string(), pattern: pattern.to_string() }
}
