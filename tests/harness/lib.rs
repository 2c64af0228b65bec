//! The harness of the scenario tests: the real programs as real processes, and what surrounds them - DNS, other servers,
//! clients, a collector, a database - in the test's own process, each on a port of its own. It knows the programs by their
//! command lines, files and sockets only, as their users do.
//!
//! It is made for tests: what goes wrong here panics, and says with what dialogue or log it went wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

pub mod agent;
pub mod aloud;
pub mod apart;
pub mod certificates;
pub mod client;
pub mod collector;
pub mod dice;
pub mod disk;
pub mod dns;
pub mod flow;
pub mod maildir;
pub mod peer;
pub mod postgres;
pub mod program;
pub mod together;
pub mod transcript;
pub mod wait;

pub use agent::{Agent, Listen};
pub use apart::Apart;
pub use client::Client;
pub use collector::Collector;
pub use dice::Dice;
pub use disk::Disk;
pub use dns::Dns;
pub use flow::{Flow, Source};
pub use maildir::Maildir;
pub use peer::Peer;
pub use together::Together;
pub use wait::{PATIENCE, eventually};
