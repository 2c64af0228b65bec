//! An OTLP collector: what the programs report, to be asserted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::wait::eventually;

/// A span as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The service that reported it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: String,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's id; empty for a root.
    pub parent_id: String,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
}

/// A log record as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The service that reported it.
    pub service: String,
    /// The sentence.
    pub body: String,
    /// The trace that it belongs to, or empty.
    pub trace_id: String,
}

#[derive(Clone, Default)]
struct Store {
    spans: Arc<Mutex<Vec<Span>>>,
    records: Arc<Mutex<Vec<Record>>>,
    metrics: Arc<Mutex<Vec<String>>>,
}

/// The collector; it ends with this value.
pub struct Collector {
    address: SocketAddr,
    store: Store,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
        if std::thread::panicking() {
            eprintln!("---- spans at the collector ----\n{}", self.tree());
        }
    }
}

impl Collector {
    /// Listens on a port of loopback.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let store = Store::default();
        let server = Server::builder()
            .add_service(TraceServiceServer::new(store.clone()))
            .add_service(LogsServiceServer::new(store.clone()))
            .add_service(MetricsServiceServer::new(store.clone()));
        let serving = tokio::spawn(async move {
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Self { address, store, serving }
    }

    /// As `telemetry.endpoint` wants it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.store.spans.lock().unwrap().clone()
    }

    /// All log records so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.store.records.lock().unwrap().clone()
    }

    /// The names of all metrics so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        self.store.metrics.lock().unwrap().clone()
    }

    /// Waits until there is a span that is meant.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn span(&self, what: &str, is_meant: impl Fn(&Span) -> bool) -> Span {
        eventually(what, async || self.spans().into_iter().find(|span| is_meant(span))).await
    }

    /// Waits until the trace has spans of all these names, and returns all of its spans.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn trace(&self, trace_id: &str, names: &[&str]) -> Vec<Span> {
        let what = format!("{names:?} in trace {trace_id}");
        eventually(&what, async || {
            let spans: Vec<Span> =
                self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
            let all = names.iter().all(|name| spans.iter().any(|span| span.name == *name));
            all.then_some(spans)
        })
        .await
    }

    /// The names from a span up to its root, the span's own first.
    ///
    /// # Panics
    /// When the parents run in a circle.
    #[must_use]
    pub fn ancestry(&self, span: &Span) -> Vec<String> {
        let spans = self.spans();
        let mut names = vec![span.name.clone()];
        let mut parent = span.parent_id.clone();
        while let Some(span) =
            spans.iter().find(|other| other.span_id == parent && other.trace_id == span.trace_id)
        {
            names.push(span.name.clone());
            parent.clone_from(&span.parent_id);
            assert!(names.len() < 100, "a circle of parents: {names:?}");
        }
        names
    }

    /// All spans, one a line, for people.
    #[must_use]
    pub fn tree(&self) -> String {
        self.spans().iter().fold(String::new(), |mut text, span| {
            let Span { service, name, trace_id, span_id, parent_id, attributes, .. } = span;
            let _ = writeln!(text, "{trace_id} {parent_id:16} > {span_id} {service}: {name} {attributes:?}");
            text
        })
    }
}

#[tonic::async_trait]
impl TraceService for Store {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let service = service(resource.resource.map(|resource| resource.attributes));
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_ascii_lowercase();
                spans.push(Span {
                    service: service.clone(),
                    kind,
                    name: span.name,
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent_id: hex(&span.parent_span_id),
                    attributes: attributes(span.attributes),
                });
            }
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Store {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut records = self.records.lock().unwrap();
        for resource in request.into_inner().resource_logs {
            let service = service(resource.resource.map(|resource| resource.attributes));
            for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let body = text(record.body);
                records.push(Record { service: service.clone(), body, trace_id: hex(&record.trace_id) });
            }
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Store {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut names = self.metrics.lock().unwrap();
        let scopes =
            request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            if !names.contains(&metric.name) {
                names.push(metric.name);
            }
        }
        Ok(Response::new(Default::default()))
    }
}

fn service(resource: Option<Vec<KeyValue>>) -> String {
    attributes(resource.unwrap_or_default()).remove("service.name").unwrap_or_default()
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}
