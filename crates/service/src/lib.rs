//! What every agent stands on: start, configuration, telemetry, health, shutdown, clock.
//!
//! An agent's `main.rs` is one line, [`main`] with the agent's name and its start function. A program with a command line
//! of its own is composed of the same parts: [`Options`], [`config::Settings::read`], [`block_on`], [`host::run`] and
//! [`exit`].
//!
//! This crate knows nothing of mail and of none of the agents, but for the names of their configuration tables.

pub mod clock;
pub mod config;
pub mod exit;
pub mod health;
pub mod host;
pub mod listening;
pub mod net;
mod program;
pub mod shutdown;
pub mod telemetry;

pub use host::Context;
pub use program::{Options, Task, Work, block_on, main, main_with};
