//! Serves a look at the queue.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::respond;
use crate::QueueAdmin;
use crate::generated as wire;
use crate::wire::text;

pub(super) struct Service(pub(super) Arc<dyn QueueAdmin>);

#[tonic::async_trait]
impl wire::queue_admin_server::QueueAdmin for Service {
    async fn list(
        &self,
        request: Request<wire::ListMessagesRequest>,
    ) -> Result<Response<wire::ListMessagesResponse>, Status> {
        let span = tracing::info_span!("queue_admin.list", otel.kind = "server");
        respond(span, request, async |request| {
            let messages = self.0.list(&request.try_into()?).await?;
            Ok(wire::ListMessagesResponse { messages: messages.iter().map(Into::into).collect() })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<wire::ShowMessageRequest>,
    ) -> Result<Response<wire::MessageView>, Status> {
        let span = tracing::info_span!(
            "queue_admin.show",
            queue_id = request.get_ref().queue_id,
            otel.kind = "server"
        );
        respond(span, request, async |request| {
            Ok((&self.0.show(text("queue id", &request.queue_id)?).await?).into())
        })
        .await
    }
}
