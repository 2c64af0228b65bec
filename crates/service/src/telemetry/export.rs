//! The way out: providers of the three signals, and their exporters where a collector is configured.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};

use super::metrics::{Metrics, bounds_by_unit};
use super::{SCOPE, TelemetryError};
use crate::config::{ConfigError, Telemetry as Settings};

/// Spans that wait for the exporter; more are dropped. A message makes about six.
const MAX_WAITING_SPANS: usize = 8192;

/// The sources of the three signals.
#[derive(Debug)]
pub(super) struct Providers {
    pub(super) traces: Option<SdkTracerProvider>,
    pub(super) logs: Option<SdkLoggerProvider>,
    pub(super) metrics: SdkMeterProvider,
}

impl Providers {
    /// Metrics always, to be read as text; everything else only if there is a collector.
    pub(super) fn build(
        settings: &Settings,
        program: &str,
        metrics: &Metrics,
    ) -> Result<Providers, TelemetryError> {
        let start = |error: ExporterBuildError| TelemetryError::Start(error.to_string());
        let resource = resource(settings, program);
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(metrics.registry().clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Start(error.to_string()))?;
        let meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_view(bounds_by_unit)
            .with_reader(reader);
        let Some(endpoint) = settings.endpoint() else {
            return Ok(Providers { traces: None, logs: None, metrics: meters.build() });
        };

        let collector = Collector { endpoint, tls: tls(settings)? };
        let spans = collector.configure(SpanExporter::builder().with_tonic()).build().map_err(start)?;
        let records = collector.configure(LogExporter::builder().with_tonic()).build().map_err(start)?;
        let points = collector.configure(MetricExporter::builder().with_tonic()).build().map_err(start)?;
        let bounded = BatchConfigBuilder::default().with_max_queue_size(MAX_WAITING_SPANS).build();
        let spans = BatchSpanProcessor::builder(spans).with_batch_config(bounded).build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio)));
        Ok(Providers {
            traces: Some(
                SdkTracerProvider::builder()
                    .with_resource(resource.clone())
                    .with_sampler(sampler)
                    .with_span_processor(spans)
                    .build(),
            ),
            // Its queue is bounded by the library, at 2048 records.
            logs: Some(
                SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(records).build(),
            ),
            metrics: meters.with_periodic_exporter(points).build(),
        })
    }

    /// Sends what waits, each signal on a thread of its own so that one does not use up the others' time. Blocks.
    pub(super) fn shutdown(self, limit: Duration) {
        let Providers { traces, logs, metrics } = self;
        std::thread::scope(|scope| {
            scope.spawn(|| traces.map(|provider| provider.shutdown_with_timeout(limit)));
            scope.spawn(|| logs.map(|provider| provider.shutdown_with_timeout(limit)));
            scope.spawn(|| metrics.shutdown_with_timeout(limit));
        });
    }
}

/// Where all three exporters send to.
struct Collector {
    endpoint: String,
    tls: Option<ClientTlsConfig>,
}

impl Collector {
    fn configure<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let builder = builder.with_endpoint(self.endpoint.clone());
        match &self.tls {
            Some(tls) => builder.with_tls_config(tls.clone()),
            None => builder,
        }
    }
}

fn tls(settings: &Settings) -> Result<Option<ClientTlsConfig>, ConfigError> {
    let Some(path) = &settings.authority_file else { return Ok(None) };
    let pem = std::fs::read(path).map_err(|source| ConfigError::Unreadable {
        key: "telemetry.authority_file".to_owned(),
        path: path.clone(),
        source,
    })?;
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
}

/// Who speaks. Attributes of `OTEL_RESOURCE_ATTRIBUTES` come along.
fn resource(settings: &Settings, program: &str) -> Resource {
    let from_environment = || std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let name = settings.service_name.clone().or_else(from_environment).unwrap_or_else(|| program.to_owned());
    let host = crate::config::Service::default().hostname();
    Resource::builder()
        .with_service_name(name)
        .with_attributes([
            KeyValue::new("service.namespace", SCOPE),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", format!("{host}/{}", std::process::id())),
            KeyValue::new("host.name", host),
        ])
        .build()
}
