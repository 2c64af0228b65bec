//! Serves the question how much is in the queue.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::respond;
use crate::QueueSummary;
use crate::generated as wire;
use crate::wire::optional;

pub(super) struct Service(pub(super) Arc<dyn QueueSummary>);

#[tonic::async_trait]
impl wire::queue_summary_server::QueueSummary for Service {
    async fn summarize(
        &self,
        request: Request<wire::SummarizeRequest>,
    ) -> Result<Response<wire::Summary>, Status> {
        let span = tracing::info_span!("queue_summary.summarize", otel.kind = "server");
        respond(span, request, async |request| {
            let domain = optional("domain", request.domain.as_ref())?;
            Ok((&self.0.summarize(domain.as_ref(), request.limit).await?).into())
        })
        .await
    }
}
