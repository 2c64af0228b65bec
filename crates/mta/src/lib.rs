//! The mail transfer agent. It takes mail from the msa over gRPC and from other servers on port 25 ([`intake`], [`inbound`]),
//! makes it durable in the queue, decides where each recipient's mail goes ([`recipients`], [`route`]), and tries until it is
//! delivered, relayed or returned ([`scheduler`], [`dispatcher`], [`attempt`]): to other servers ([`outbound`]) or into
//! mailboxes here ([`local`]). What an attempt came to is ruled on in [`report`]. Knows nothing of mailboxes and accounts but
//! what the mda says.

pub mod attempt;
pub mod config;
pub mod dispatcher;
pub mod inbound;
pub mod intake;
pub mod local;
pub mod memory;
pub mod metrics;
mod once;
pub mod outbound;
pub mod queue_admin;
pub mod queue_summary;
pub mod recipients;
pub mod report;
pub mod route;
pub mod scheduler;
mod start;
pub mod times;

pub use config::{Config, Settings};
pub use start::{Mta, Parts, exit_code, start};
