//! The metrics of the process: one set of instruments, read by the Prometheus text here and by the OTLP export.

use opentelemetry_sdk::metrics::{Aggregation, Instrument, InstrumentKind, Stream};
use prometheus::{Registry, TextEncoder};

/// Bounds for times: from a commit in under a millisecond to a slow remote host.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// Bounds for sizes: from a short note to the largest attachment.
const BYTES: [f64; 9] =
    [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

/// All metrics as Prometheus text. Clones read the same ones.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Registry);

impl Metrics {
    /// The text of this moment.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.gather()).unwrap_or_else(|error| {
            tracing::error!(error = error.to_string(), "metrics cannot be written as text");
            String::new()
        })
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0
    }
}

/// Histogram bounds by unit: the library's own suit milliseconds only.
pub(super) fn bounds_by_unit(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram {
        return None;
    }
    let boundaries = match instrument.unit() {
        "s" => SECONDS.to_vec(),
        "By" => BYTES.to_vec(),
        _ => return None,
    };
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: false };
    Stream::builder().with_aggregation(aggregation).build().ok()
}
