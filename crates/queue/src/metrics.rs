//! What the queue counts. Names as in docs/telemetry.md.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tokio::time::Instant;

use crate::store::Statement;

/// The instruments; a clone counts into the same ones.
#[derive(Clone)]
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    messages: Histogram<u64>,
    reports: Histogram<u64>,
    failures: Counter<u64>,
    statements: Histogram<f64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        let metrics = Self {
            duration: meter
                .f64_histogram("queue.commit.duration")
                .with_unit("s")
                .with_description("How long a group commit took")
                .build(),
            messages: meter
                .u64_histogram("queue.commit.messages")
                .with_description("Messages in one group commit")
                .build(),
            reports: meter
                .u64_histogram("queue.commit.reports")
                .with_description("Results in one group commit")
                .build(),
            failures: meter
                .u64_counter("queue.commit.failures")
                .with_description("Group commits that failed")
                .build(),
            statements: meter
                .f64_histogram("queue.statement.duration")
                .with_unit("s")
                .with_description("How long a statement took, by its name")
                .build(),
        };
        // There from the start, so that the first failure is an increase.
        metrics.failures.add(0, &[]);
        metrics
    }

    pub(crate) fn committed(&self, messages: usize, reports: usize, took: Duration) {
        self.duration.record(took.as_secs_f64(), &[]);
        self.messages.record(u64::try_from(messages).unwrap_or(u64::MAX), &[]);
        self.reports.record(u64::try_from(reports).unwrap_or(u64::MAX), &[]);
    }

    /// Runs a statement and records how long it took under its name.
    pub(crate) async fn timed<T>(&self, statement: Statement, run: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = run.await;
        let took = started.elapsed();
        tracing::trace!(statement = statement.name, ?took, "statement");
        self.statements.record(took.as_secs_f64(), &[KeyValue::new("statement", statement.name)]);
        answer
    }

    pub(crate) fn failed(&self) {
        self.failures.add(1, &[]);
    }
}
