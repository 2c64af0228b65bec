//! What is counted where limits apply. Names as in docs/telemetry.md.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

use super::Reason;

/// The instruments.
#[derive(Debug)]
pub(super) struct Metrics {
    refused: Counter<u64>,
    bans: Counter<u64>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            refused: meter
                .u64_counter("smtp.refused")
                .with_unit("{refusal}")
                .with_description("Sessions, commands and messages refused by a limit or for bad manners")
                .build(),
            bans: meter
                .u64_counter("smtp.bans")
                .with_unit("{ban}")
                .with_description("Addresses banned for a while")
                .build(),
        }
    }

    pub(super) fn refused(&self, reason: Reason) {
        self.refused.add(1, &[KeyValue::new("reason", reason.as_str())]);
    }

    pub(super) fn banned(&self) {
        self.bans.add(1, &[]);
    }
}
