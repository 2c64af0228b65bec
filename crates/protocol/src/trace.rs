//! W3C trace context between spans, metadata and the text that a message carries. Uses the process's propagator, which
//! whoever sets up telemetry installs; without one all of this does nothing.

use mail::TraceContext;
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use tonic::metadata::{KeyRef, MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The context of the current span, to be kept with a message; empty where nobody traces.
#[must_use]
pub fn current() -> TraceContext {
    let mut text = Text(TraceContext::default());
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut text));
    text.0
}

/// Makes a span the child of a stored context. It has to happen before the span is entered; an empty context changes
/// nothing.
pub fn span_parent(span: &Span, parent: &TraceContext) {
    if !parent.is_empty() {
        adopt(span, &Text(parent.clone()));
    }
}

/// Puts the current span's context into a call's metadata.
pub(crate) fn inject(metadata: &mut MetadataMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Outgoing(metadata));
    });
}

/// Makes a span the child of the caller's.
pub(crate) fn follow(span: &Span, metadata: &MetadataMap) {
    if metadata.contains_key(TRACEPARENT) {
        adopt(span, &Incoming(metadata));
    }
}

fn adopt(span: &Span, carrier: &dyn Extractor) {
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(carrier));
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "a span keeps its own parent");
    }
}

struct Text(TraceContext);

impl Injector for Text {
    fn set(&mut self, key: &str, value: String) {
        match key {
            TRACEPARENT => self.0.traceparent = value,
            TRACESTATE => self.0.tracestate = value,
            _ => {}
        }
    }
}

impl Extractor for Text {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(&self.0.traceparent),
            TRACESTATE => Some(&self.0.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Outgoing<'a>(&'a mut MetadataMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) =
            (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value))
        {
            self.0.insert(key, value);
        }
    }
}

struct Incoming<'a>(&'a MetadataMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        let name = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(name).collect()
    }
}
