//! What the mta counts: messages taken, outcomes, and how much waits. Names are in `docs/telemetry.md`.

use std::sync::Arc;

use mail::Action;
use opentelemetry::metrics::{Counter, ObservableGauge};
use opentelemetry::{KeyValue, global};

use crate::dispatcher::Dispatcher;

/// Counters of the message path.
#[derive(Clone)]
pub struct Metrics {
    accepted: Counter<u64>,
    accepted_bytes: Counter<u64>,
    outcomes: Counter<u64>,
}

/// The instruments; to be made after telemetry was installed.
impl Default for Metrics {
    fn default() -> Self {
        let meter = global::meter("postrider");
        Self {
            accepted: meter
                .u64_counter("mta.messages.accepted")
                .with_unit("{message}")
                .with_description("Messages made durable")
                .build(),
            accepted_bytes: meter
                .u64_counter("mta.messages.accepted.size")
                .with_unit("By")
                .with_description("Content of messages made durable")
                .build(),
            outcomes: meter
                .u64_counter("mta.recipients.outcomes")
                .with_unit("{recipient}")
                .with_description("Outcomes of attempts, by action and kind of destination")
                .build(),
        }
    }
}

impl Metrics {
    /// A message was made durable.
    pub fn accepted(&self, size: usize) {
        self.accepted.add(1, &[]);
        self.accepted_bytes.add(size as u64, &[]);
    }

    /// An attempt came to this for one recipient.
    pub fn outcome(&self, action: Action, is_local: bool) {
        let destination = if is_local { "local" } else { "remote" };
        self.outcomes
            .add(1, &[KeyValue::new("action", action.as_str()), KeyValue::new("destination", destination)]);
    }
}

/// Gauges of what waits in memory; they last as long as the returned values.
#[must_use]
pub fn gauges(dispatcher: &Arc<Dispatcher>) -> [ObservableGauge<u64>; 2] {
    let meter = global::meter("postrider");
    let (ready, under_way) = (Arc::downgrade(dispatcher), Arc::downgrade(dispatcher));
    [
        meter
            .u64_observable_gauge("mta.scheduler.ready")
            .with_unit("{job}")
            .with_description("Jobs in memory that wait for their turn")
            .with_callback(move |gauge| {
                if let Some(dispatcher) = ready.upgrade() {
                    gauge.observe(dispatcher.load_figures().0 as u64, &[]);
                }
            })
            .build(),
        meter
            .u64_observable_gauge("mta.scheduler.attempts")
            .with_unit("{attempt}")
            .with_description("Attempts under way")
            .with_callback(move |gauge| {
                if let Some(dispatcher) = under_way.upgrade() {
                    gauge.observe(dispatcher.load_figures().1 as u64, &[]);
                }
            })
            .build(),
    ]
}
