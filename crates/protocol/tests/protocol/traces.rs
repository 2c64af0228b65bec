//! One trace across a call.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use protocol::client::{DeliveryClient, RelayClient};
use protocol::{Delivery, DeliveryRequest, Relay, trace};
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::agents::{Mda, Mta, Queue, Script};
use crate::support::{id, null, peers, recipient, serve, soon, submission};

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Spans {
    async fn named(&self, name: &str) -> SpanData {
        soon(async {
            loop {
                if let Some(span) = self.0.lock().unwrap().iter().find(|span| span.name == name) {
                    return span.clone();
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

/// Records the spans of this thread, on which the whole test runs.
fn record() -> (Spans, tracing::subscriber::DefaultGuard) {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let spans = Spans::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    (spans, guard)
}

#[tokio::test]
async fn the_servers_span_is_a_child_of_the_clients() {
    let (spans, _guard) = record();
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    let server = serve(|builder| builder.relay(mta)).await;
    let relay = RelayClient::new(peers(&[server.address]));
    soon(relay.enqueue(submission("x")).instrument(info_span!("smtp.transaction"))).await.unwrap();
    let (parent, child) = (spans.named("smtp.transaction").await, spans.named("relay.enqueue").await);
    assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id());
    assert_eq!(child.parent_span_id, parent.span_context.span_id());
}

#[tokio::test]
async fn a_stored_context_is_a_parent_later() {
    let (spans, _guard) = record();
    let stored = {
        let _entered = info_span!("accepted").entered();
        trace::current()
    };
    assert_eq!(stored.trace_id().map(str::len), Some(32));
    let span = info_span!("delivery.attempt");
    trace::span_parent(&span, &stored);
    let server = serve(|builder| builder.delivery(Arc::new(Mda::default()))).await;
    let request = DeliveryRequest {
        id: id(1),
        reverse_path: null(),
        recipients: vec![recipient("<a@b.test>")],
        content: "x".into(),
        trace: stored,
    };
    soon(DeliveryClient::new(peers(&[server.address])).deliver(request).instrument(span)).await.unwrap();
    let accepted = spans.named("accepted").await;
    let attempt = spans.named("delivery.attempt").await;
    let deliver = spans.named("delivery.deliver").await;
    assert_eq!(accepted.parent_span_id, SpanId::INVALID);
    assert_eq!(attempt.parent_span_id, accepted.span_context.span_id());
    assert_eq!(deliver.parent_span_id, attempt.span_context.span_id());
    assert_eq!(deliver.span_context.trace_id(), accepted.span_context.trace_id());
}

#[tokio::test]
async fn where_nobody_traces_there_is_no_context() {
    assert!(trace::current().is_empty());
}
