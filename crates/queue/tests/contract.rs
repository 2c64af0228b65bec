//! What the queue promises, asked of both storages; and what only Postgres promises.

#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "support/postgres.rs"]
mod postgres;
mod support;

mod contract {
    mod accept;
    mod idempotency;
    mod load;
    mod ownership;
    mod recovery;
    mod report;
    mod views;
}

/// Runs each contract on both storages, each time in a database of its own.
macro_rules! contracts {
    ($($contract:ident),* $(,)?) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $contract() { super::$contract($crate::support::Database::sqlite().await).await; }
        )* }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $contract() { super::$contract($crate::support::Database::postgres().await).await; }
        )* }
    };
}
use contracts;
