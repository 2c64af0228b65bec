//! Serves the quotas.

use std::sync::Arc;

use mail::Timestamp;
use mail::quota::Cost;
use tonic::{Request, Response, Status};

use super::respond;
use crate::Quotas;
use crate::generated as wire;
use crate::wire::text;

pub(super) struct Service(pub(super) Arc<dyn Quotas>);

#[tonic::async_trait]
impl wire::quotas_server::Quotas for Service {
    async fn room(
        &self,
        request: Request<wire::ChargeRequest>,
    ) -> Result<Response<wire::RoomResponse>, Status> {
        let span = tracing::info_span!("quotas.room", otel.kind = "server");
        respond(span, request, async |it| {
            let cost = Cost { recipients: it.recipients, octets: it.octets };
            Ok(self.0.room(&text("account", &it.account)?, cost).await?.into())
        })
        .await
    }

    async fn charge(
        &self,
        request: Request<wire::ChargeRequest>,
    ) -> Result<Response<wire::ChargeResponse>, Status> {
        let span = tracing::info_span!("quotas.charge", otel.kind = "server");
        respond(span, request, async |it| {
            let cost = Cost { recipients: it.recipients, octets: it.octets };
            Ok(self.0.charge(&text("account", &it.account)?, cost).await?.into())
        })
        .await
    }

    async fn give_back(
        &self,
        request: Request<wire::GiveBackRequest>,
    ) -> Result<Response<wire::GiveBackResponse>, Status> {
        let span = tracing::info_span!("quotas.give_back", otel.kind = "server");
        respond(span, request, async |it| {
            let cost = Cost { recipients: it.recipients, octets: it.octets };
            let taken_at = Timestamp::from_millis(it.taken_at);
            self.0.give_back(&text("account", &it.account)?, cost, taken_at).await?;
            Ok(wire::GiveBackResponse {})
        })
        .await
    }
}
