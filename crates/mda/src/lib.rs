//! The mail delivery agent. It knows who has mail here ([`directory_service`], over the `directory` crate), puts mail into
//! mailboxes ([`delivery`], [`maildir`]) and shows what lies in them ([`mailboxes`]). Other agents reach it over gRPC, or
//! directly where all live in one process ([`Mda`]). It knows nothing of the queue and of no other agent.
//!
//! A delivery is one atomic rename, and repeating it changes nothing, so the process may be killed at any time.

mod config;
pub mod delivery;
pub mod directory_service;
mod failure;
pub mod mailboxes;
pub mod maildir;
mod metrics;
mod oauth;
mod start;

pub use config::{Config, DirectorySettings, Listen, QuotaSettings, Settings};
pub use oauth::Settings as OauthSettings;
pub use start::{MIGRATE, Mda, run};

/// What `mda --help` says.
pub const ABOUT: &str = "The mail delivery agent: knows accounts and aliases, and delivers into mailboxes";
