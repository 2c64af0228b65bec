//! Log lines for machines: one JSON object each, with the ids that find the trace it belongs to.

use std::fmt;

use opentelemetry::trace::TraceContextExt;
use serde::Serializer as _;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes `timestamp`, `level`, `target`, `message`, the event's own fields, and within a trace `trace_id` and `span_id`.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let line = line(&timestamp, event.metadata(), fields.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// One object, what every record has in front. A field that has the name of one of those gives way to it.
fn line(
    timestamp: &str,
    metadata: &Metadata<'_>,
    mut fields: Map<String, Value>,
) -> serde_json::Result<String> {
    let message = fields.remove("message").unwrap_or_default();
    let (trace_id, span_id) = current_ids().unzip();
    let head = [
        ("timestamp", Some(timestamp.into())),
        ("level", Some(metadata.level().as_str().into())),
        ("target", Some(metadata.target().into())),
        ("message", Some(message)),
        ("trace_id", trace_id.map(Value::String)),
        ("span_id", span_id.map(Value::String)),
    ];
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut object = serializer.serialize_map(None)?;
    for (name, value) in head {
        fields.remove(name);
        if let Some(value) = value {
            object.serialize_entry(name, &value)?;
        }
    }
    for (name, value) in &fields {
        object.serialize_entry(name, value)?;
    }
    object.end()?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The ids of the span that is entered. Asked of the dispatcher: this layer itself sees no spans.
fn current_ids() -> Option<(String, String)> {
    tracing::dispatcher::get_default(|dispatch| {
        let current = dispatch.current_span();
        let context = tracing_opentelemetry::get_otel_context(current.id()?, dispatch)?;
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    })
}

struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The one unit test that sets the subscriber of this process: only there can a layer ask the dispatcher.
    #[test]
    fn a_line_is_one_object_with_its_fields_and_its_trace() {
        let lines = Lines::default();
        let writer = lines.clone();
        let ours = |metadata: &Metadata<'_>| metadata.is_event() && metadata.target() == "json.test";
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || writer.clone())
            .with_filter(filter_fn(ours));
        let provider = SdkTracerProvider::builder().build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer).with(spans);
        tracing::subscriber::set_global_default(subscriber).unwrap();

        tracing::info_span!("delivery.attempt").in_scope(|| {
            tracing::warn!(target: "json.test", attempt = 2, tls = true, level = "x", "delayed\nfor \"now\"");
        });
        tracing::info!(target: "json.test", "outside");

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2, "{text}");
        assert_eq!(records[0]["message"], "delayed\nfor \"now\"");
        assert_eq!((&records[0]["attempt"], &records[0]["tls"]), (&2.into(), &true.into()));
        assert_eq!(records[0]["level"], "WARN");
        assert_eq!(records[0]["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(records[0]["span_id"].as_str().unwrap().len(), 16);
        assert!(records[1].get("trace_id").is_none());
    }
}
