//! Whether the process lives, whether it can do its work, and its metrics as text, over HTTP.

mod client;
mod readiness;
mod server;

pub use client::healthcheck;
pub use readiness::{Condition, Readiness};
pub use server::serve;
