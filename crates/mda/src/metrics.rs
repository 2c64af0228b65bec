//! What the mda counts. Names as in docs/telemetry.md.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

/// The instruments; a clone counts into the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    deliveries: Counter<u64>,
    delivery_duration: Histogram<f64>,
    authentications: Counter<u64>,
    authentication_duration: Histogram<f64>,
    charges: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            deliveries: meter
                .u64_counter("mailbox.deliveries")
                .with_unit("{delivery}")
                .with_description(
                    "Deliveries into mailboxes by outcome: delivered, repeated, delayed, failed",
                )
                .build(),
            delivery_duration: meter
                .f64_histogram("mailbox.delivery.duration")
                .with_unit("s")
                .with_description("How long a delivery into one mailbox took")
                .build(),
            authentications: meter
                .u64_counter("directory.authentications")
                .with_unit("{authentication}")
                .with_description("Logins checked by mechanism and result: accepted, refused, error")
                .build(),
            authentication_duration: meter
                .f64_histogram("directory.authentication.duration")
                .with_unit("s")
                .with_description("How long it took to check a login")
                .build(),
            charges: meter
                .u64_counter("directory.charges")
                .with_unit("{message}")
                .with_description(
                    "Messages of accounts with limits by result: taken, over, given_back, error",
                )
                .build(),
        }
    }

    pub(crate) fn delivered(&self, outcome: &'static str, took: Duration) {
        self.deliveries.add(1, &[KeyValue::new("outcome", outcome)]);
        self.delivery_duration.record(took.as_secs_f64(), &[]);
    }

    pub(crate) fn authenticated(&self, mechanism: &'static str, result: &'static str, took: Duration) {
        let mechanism = KeyValue::new("mechanism", mechanism);
        self.authentication_duration.record(took.as_secs_f64(), std::slice::from_ref(&mechanism));
        self.authentications.add(1, &[mechanism, KeyValue::new("result", result)]);
    }

    pub(crate) fn charged(&self, result: &'static str) {
        self.charges.add(1, &[KeyValue::new("result", result)]);
    }
}
