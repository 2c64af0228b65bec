//! Telemetry: logs on standard error, metrics as Prometheus text, and, with a collector configured, all three signals over
//! OTLP. A collector that is slow or away costs records, never mail: every queue here is bounded and nothing waits for one.
//!
//! Log lines carry their own fields and not those of the spans around them; who wants to see a message's way follows the
//! trace id. So without a collector spans are switched off at the place where they are made, and cost next to nothing.
//!
//! Instruments come from `opentelemetry::global::meter("postrider")`. They must be made after [`install`], by
//! constructors: one made before would stay silent for good.

mod export;
mod filter;
mod json;
mod metrics;

pub use metrics::Metrics;

pub(crate) use filter::parse as parse_log_level;

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Metadata;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, LogFormat, Telemetry as Settings};
use export::Providers;

/// The name that all instruments, spans and records are registered under.
const SCOPE: &str = "postrider";

/// Telemetry cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The table `[telemetry]` is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A part of it does not start.
    #[error("telemetry does not start: {0}")]
    Start(String),
}

/// Telemetry at work. Ends by [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    providers: Providers,
    metrics: Metrics,
}

/// Starts telemetry for the whole process, once. `program` names the service where the configuration does not. Must be
/// called within the runtime.
pub fn install(settings: &Settings, program: &str) -> Result<Telemetry, TelemetryError> {
    settings.check()?;
    let level = parse_log_level(&settings.log_level)
        .map_err(|problem| ConfigError::invalid("telemetry.log_level", problem))?;
    let metrics = Metrics::default();
    let providers = Providers::build(settings, program, &metrics)?;

    let spans = providers.traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter::without_exporter(Targets::new().with_default(LevelFilter::INFO)))
    });
    let records = providers.logs.as_ref().map(|provider| {
        OpenTelemetryTracingBridge::new(provider).with_filter(filter::without_exporter(level.clone()))
    });
    let lines = lines(settings.log_format, &level).with_filter(level.and(filter_fn(is_event)));
    tracing_subscriber::registry()
        .with(lines)
        .with(spans)
        .with(records)
        .try_init()
        .map_err(|error| TelemetryError::Start(error.to_string()))?;

    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_meter_provider(providers.metrics.clone());
    if let Some(provider) = &providers.traces {
        global::set_tracer_provider(provider.clone());
    }
    log_panics();
    Ok(Telemetry { providers, metrics })
}

impl Telemetry {
    /// The metrics of this process, for the health server.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what is still held back, and ends. Takes `limit` at most; what is not sent by then is lost.
    pub async fn shutdown(self, limit: Duration) {
        let providers = self.providers;
        // These calls block; on a thread of the runtime they would wait for the very exporter that runs on it.
        let ended = tokio::task::spawn_blocking(move || providers.shutdown(limit));
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!("the collector did not take the last traces, metrics and logs in time");
        }
    }
}

/// The layer that writes log lines to standard error.
fn lines(format: LogFormat, level: &Targets) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => layer.with_ansi(false).event_format(json::Json).boxed(),
        LogFormat::Text => {
            // Where lines come from matters to developers only, and they have asked for more than `info`.
            let target = level.iter().any(|(_, level)| level > LevelFilter::INFO)
                || level.default_level().is_some_and(|level| level > LevelFilter::INFO);
            layer.compact().with_target(target).with_ansi(std::io::stderr().is_terminal()).boxed()
        }
    }
}

/// Spans are not for this reader, and one that nobody reads is never made.
fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// A panic becomes a record like all others. It ends the task that it happens in, not the process by itself.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = message, location, "a task panicked; this is a bug in this program");
    }));
}
