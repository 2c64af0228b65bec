//! Keeps the house tidy: what the documents say about crates, settings, telemetry and commands is so, and what is shipped is
//! accepted by the programs. Build the programs first.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod configurations;
mod dependencies;
mod documents;
mod macros;
mod settings;
mod sources;
mod telemetry;
mod tree;
