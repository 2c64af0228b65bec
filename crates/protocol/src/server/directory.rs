//! Serves the directory.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::respond;
use crate::Directory;
use crate::generated as wire;
use crate::wire::text;

pub(super) struct Service(pub(super) Arc<dyn Directory>);

#[tonic::async_trait]
impl wire::directory_server::Directory for Service {
    async fn authenticate(
        &self,
        request: Request<wire::AuthenticateRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        let span = tracing::info_span!("directory.authenticate", otel.kind = "server");
        respond(span, request, async |request| Ok((&self.0.authenticate(&request.try_into()?).await?).into()))
            .await
    }

    async fn challenge_scram(
        &self,
        request: Request<wire::ChallengeScramRequest>,
    ) -> Result<Response<wire::ChallengeScramResponse>, Status> {
        let span = tracing::info_span!("directory.challenge_scram", otel.kind = "server");
        respond(span, request, async |request| Ok(self.0.challenge_scram(&request.login).await?.into())).await
    }

    async fn resolve(
        &self,
        request: Request<wire::ResolveRecipientRequest>,
    ) -> Result<Response<wire::ResolveRecipientResponse>, Status> {
        let span = tracing::info_span!("directory.resolve", otel.kind = "server");
        respond(span, request, async |request| {
            let forward_path = text("forward-path", &request.forward_path)?;
            Ok((&self.0.resolve(&forward_path).await?).into())
        })
        .await
    }
}
