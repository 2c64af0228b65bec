//! Serves mailboxes to read.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};

use super::respond;
use crate::Mailboxes;
use crate::generated as wire;
use crate::wire::{chunks, text};

pub(super) struct Service(pub(super) Arc<dyn Mailboxes>);

#[tonic::async_trait]
impl wire::mailboxes_server::Mailboxes for Service {
    type ReadMessageStream = Pin<Box<dyn Stream<Item = Result<wire::ReadMessageResponse, Status>> + Send>>;

    async fn list_messages(
        &self,
        request: Request<wire::ListMailboxRequest>,
    ) -> Result<Response<wire::ListMailboxResponse>, Status> {
        let span = tracing::info_span!("mailboxes.list", otel.kind = "server");
        respond(span, request, async |request| {
            let account = text("account", &request.account)?;
            let messages = self.0.messages(&account, request.limit).await?;
            Ok(wire::ListMailboxResponse { messages: messages.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn read_message(
        &self,
        request: Request<wire::ReadMessageRequest>,
    ) -> Result<Response<Self::ReadMessageStream>, Status> {
        let span = tracing::info_span!("mailboxes.read", otel.kind = "server");
        respond(span, request, async |request| {
            let account = text("account", &request.account)?;
            let content = self.0.message(&account, &request.name).await?;
            let answers = stream::iter(chunks(&content)).map(|chunk| Ok(wire::ReadMessageResponse { chunk }));
            Ok::<Self::ReadMessageStream, _>(answers.boxed())
        })
        .await
    }
}
