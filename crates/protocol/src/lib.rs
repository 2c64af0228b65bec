//! What the agents say to each other: the traits below, in the types of `mail`, and their gRPC on both ends. An agent
//! implements a trait; another calls it, either directly, when both live in one process, or through `client`, which speaks
//! to a `server` that serves the implementation. Generated types stay inside this crate.

mod contract;
mod error;

pub use contract::{
    Authentication, Delivery, DeliveryRequest, Directory, DirectoryAdmin, Intake, MailboxMessage, Mailboxes,
    MessageFilter, QueueAdmin, Relay, Submission, Submitted,
};
pub use error::{Error, ErrorKind};
