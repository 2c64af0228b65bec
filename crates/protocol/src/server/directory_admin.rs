//! Serves changes to the directory.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::respond;
use crate::generated as wire;
use crate::wire::{optional, text};
use crate::{DirectoryAdmin, Error};

pub(super) struct Service(pub(super) Arc<dyn DirectoryAdmin>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::directory_admin_server::DirectoryAdmin for Service {
    async fn add_domain(&self, request: Request<wire::DomainRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.add_domain", otel.kind = "server");
        let add = async |it: wire::DomainRequest| done(self.0.add_domain(&text("domain", &it.domain)?).await);
        respond(span, request, add).await
    }

    async fn remove_domain(&self, request: Request<wire::DomainRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.remove_domain", otel.kind = "server");
        let remove =
            async |it: wire::DomainRequest| done(self.0.remove_domain(&text("domain", &it.domain)?).await);
        respond(span, request, remove).await
    }

    async fn list_domains(
        &self,
        request: Request<wire::ListDomainsRequest>,
    ) -> Answer<wire::ListDomainsResponse> {
        let span = tracing::info_span!("directory_admin.list_domains", otel.kind = "server");
        respond(span, request, async |_| {
            let domains = self.0.domains().await?;
            Ok(wire::ListDomainsResponse { domains: domains.iter().map(ToString::to_string).collect() })
        })
        .await
    }

    async fn add_account(&self, request: Request<wire::AccountRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.add_account", otel.kind = "server");
        respond(span, request, async |it| {
            done(self.0.add_account(&text("address", &it.address)?, &it.password).await)
        })
        .await
    }

    async fn set_password(&self, request: Request<wire::AccountRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.set_password", otel.kind = "server");
        respond(span, request, async |it| {
            done(self.0.set_password(&text("address", &it.address)?, &it.password).await)
        })
        .await
    }

    async fn remove_account(&self, request: Request<wire::RemoveAccountRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.remove_account", otel.kind = "server");
        respond(span, request, async |it| done(self.0.remove_account(&text("address", &it.address)?).await))
            .await
    }

    async fn list_accounts(
        &self,
        request: Request<wire::ListAccountsRequest>,
    ) -> Answer<wire::ListAccountsResponse> {
        let span = tracing::info_span!("directory_admin.list_accounts", otel.kind = "server");
        respond(span, request, async |it| {
            let domain = optional("domain", it.domain.as_ref())?;
            let accounts = self.0.accounts(domain.as_ref()).await?;
            Ok(wire::ListAccountsResponse { accounts: accounts.iter().map(Into::into).collect() })
        })
        .await
    }

    async fn show_account(
        &self,
        request: Request<wire::ShowAccountRequest>,
    ) -> Answer<wire::ShowAccountResponse> {
        let span = tracing::info_span!("directory_admin.show_account", otel.kind = "server");
        respond(span, request, async |it| Ok((&self.0.account(&text("address", &it.address)?).await?).into()))
            .await
    }

    async fn grant(&self, request: Request<wire::GrantRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.grant", otel.kind = "server");
        respond(span, request, async |it| {
            let (address, pattern) = (text("address", &it.address)?, text("pattern", &it.pattern)?);
            done(self.0.grant(&address, &pattern).await)
        })
        .await
    }

    async fn revoke(&self, request: Request<wire::GrantRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.revoke", otel.kind = "server");
        respond(span, request, async |it| {
            let (address, pattern) = (text("address", &it.address)?, text("pattern", &it.pattern)?);
            done(self.0.revoke(&address, &pattern).await)
        })
        .await
    }

    async fn set_limits(&self, request: Request<wire::SetLimitsRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.set_limits", otel.kind = "server");
        respond(span, request, async |it| {
            done(self.0.set_limits(&text("address", &it.address)?, &it.changes()?).await)
        })
        .await
    }

    async fn set_alias(&self, request: Request<wire::Alias>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.set_alias", otel.kind = "server");
        respond(span, request, async |it| done(self.0.set_alias(&it.try_into()?).await)).await
    }

    async fn remove_alias(&self, request: Request<wire::RemoveAliasRequest>) -> Answer<wire::Done> {
        let span = tracing::info_span!("directory_admin.remove_alias", otel.kind = "server");
        respond(span, request, async |it| done(self.0.remove_alias(&it.address).await)).await
    }

    async fn list_aliases(
        &self,
        request: Request<wire::ListAliasesRequest>,
    ) -> Answer<wire::ListAliasesResponse> {
        let span = tracing::info_span!("directory_admin.list_aliases", otel.kind = "server");
        respond(span, request, async |it| {
            let domain = optional("domain", it.domain.as_ref())?;
            let aliases = self.0.aliases(domain.as_ref()).await?;
            Ok(wire::ListAliasesResponse { aliases: aliases.iter().map(Into::into).collect() })
        })
        .await
    }
}

fn done(result: Result<(), Error>) -> Result<wire::Done, Error> {
    result.map(|()| wire::Done {})
}
