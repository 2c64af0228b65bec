//! The durable mail queue on Postgres and on SQLite
