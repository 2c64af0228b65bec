//! Clients: each implements a contract by calling another agent. They share [`Peers`], which knows the addresses of the
//! agent's replicas, keeps a connection to each, and goes to the next when one does not answer.

mod backend;
mod content;
mod delivery;
mod directory;
mod directory_admin;
mod endpoint;
mod mailboxes;
mod peers;
mod queue_admin;
mod relay;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use delivery::DeliveryClient;
pub use directory::DirectoryClient;
pub use directory_admin::DirectoryAdminClient;
pub(crate) use endpoint::unusable;
pub use mailboxes::MailboxesClient;
pub use peers::Peers;
pub use queue_admin::QueueAdminClient;
pub use relay::RelayClient;

/// How to reach another agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Addresses such as `https://mta:7025`. Calls are spread over all of them, and over all IP addresses of each name.
    pub endpoints: Vec<String>,
    /// Allows `http://` beyond loopback, where the network itself is trusted.
    pub insecure: bool,
    /// How long a connection may take to come up.
    pub connect_timeout_ms: u64,
    /// How long a call may take that looks something up or changes a little.
    pub deadline_ms: u64,
    /// How long a call may take that carries a message.
    pub transfer_deadline_ms: u64,
    /// For how long we ask what became of a message when the call that carried it broke.
    pub settle_deadline_ms: u64,
    /// How often names are looked up again.
    pub resolve_interval_ms: u64,
    /// How long a connection may be silent before we ask whether the other side is still there.
    pub keep_alive_ms: u64,
    /// How long the other side has to answer that.
    pub keep_alive_timeout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            insecure: false,
            connect_timeout_ms: 2_000,
            deadline_ms: 10_000,
            transfer_deadline_ms: 60_000,
            settle_deadline_ms: 15_000,
            resolve_interval_ms: 3_000,
            keep_alive_ms: 10_000,
            keep_alive_timeout_ms: 5_000,
        }
    }
}

impl Settings {
    fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    fn transfer_deadline(&self) -> Duration {
        Duration::from_millis(self.transfer_deadline_ms)
    }
}
