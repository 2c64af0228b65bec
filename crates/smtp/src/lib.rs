//! SMTP: grammar, sans-I/O session and dialogue, and their tokio and rustls drivers.
//!
//! Pure and free of sockets: [`command`], [`reply`], [`extension`], [`data`], [`sasl`], [`session`] (server side) and
//! [`dialogue`] (client side). Over tokio and rustls: [`server`], [`client`] and [`tls`]. What the protocol cannot know it
//! asks an [`Agent`]: msa and mta differ in nothing else. Knows the nouns of `mail` and nothing else of ours: no queue, no
//! directory, no configuration file.

pub mod agent;
pub mod client;
pub mod command;
pub mod data;
pub mod dialogue;
pub mod extension;
pub mod policy;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod session;
mod stream;
pub mod tls;
pub mod verification;

pub use agent::{Agent, Inquiry, Login, SessionInfo};
pub use extension::Capabilities;
pub use reply::Reply;
pub use tls::TlsInfo;
