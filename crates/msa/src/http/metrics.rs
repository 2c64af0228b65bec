//! What is counted of requests. Names as in docs/telemetry.md.

use std::time::Duration;

use axum::http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

/// The instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    duration: Histogram<f64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            duration: meter
                .f64_histogram("msa.http.request.duration")
                .with_unit("s")
                .with_description("Requests of HTTP submission from header to answer, by route and status")
                .build(),
        }
    }

    /// A request was answered.
    pub(crate) fn request(&self, route: &'static str, status: StatusCode, took: Duration) {
        let labels = [KeyValue::new("route", route), KeyValue::new("status", i64::from(status.as_u16()))];
        self.duration.record(took.as_secs_f64(), &labels);
    }
}
