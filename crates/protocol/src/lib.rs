//! What the agents say to each other: the traits below, in the types of `mail`, and their gRPC on both ends. An agent
//! implements a trait; another calls it, either directly, when both live in one process, or through [`client`], which speaks
//! to a [`server`] that serves the implementation. Generated types stay inside this crate.

pub mod client;
mod contract;
mod error;
mod generated;
pub mod server;
mod status;
pub mod tls;
pub mod trace;
mod wire;

pub use contract::{
    Authentication, Delivery, DeliveryRequest, Directory, DirectoryAdmin, Intake, MailboxMessage, Mailboxes,
    MessageFilter, QueueAdmin, QueueSummary, Quotas, Relay, Submission, Submitted,
};
pub use error::{Error, ErrorKind, SetupError};
