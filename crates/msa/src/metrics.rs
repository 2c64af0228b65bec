//! What the msa counts. Names as in docs/telemetry.md.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use smtp::Reply;

/// The instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    messages: Counter<u64>,
    size: Histogram<u64>,
    authentications: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            messages: meter
                .u64_counter("msa.messages")
                .with_unit("{message}")
                .with_description("Messages at the end of data, by what the client heard")
                .build(),
            size: meter
                .u64_histogram("msa.message.size")
                .with_unit("By")
                .with_description("Size of messages that were accepted")
                .build(),
            authentications: meter
                .u64_counter("msa.authentications")
                .with_unit("{authentication}")
                .with_description("Attempts to authenticate, by outcome")
                .build(),
        }
    }

    /// A message was answered.
    pub(crate) fn message(&self, reply: &Reply, size: usize) {
        let outcome = match reply.code() / 100 {
            2 => "accepted",
            4 => "delayed",
            _ => "refused",
        };
        self.messages.add(1, &[KeyValue::new("outcome", outcome)]);
        if reply.is_success() {
            self.size.record(u64::try_from(size).unwrap_or(u64::MAX), &[]);
        }
    }

    /// `accepted`, `refused`, or `unavailable` where the directory could not be asked.
    pub(crate) fn authentication(&self, outcome: &'static str) {
        self.authentications.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
