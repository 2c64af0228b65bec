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
mod queue_summary;
mod quotas;
mod relay;
mod settings;

pub use delivery::DeliveryClient;
pub use directory::DirectoryClient;
pub use directory_admin::DirectoryAdminClient;
pub(crate) use endpoint::unusable;
pub use mailboxes::MailboxesClient;
pub use peers::Peers;
pub use queue_admin::QueueAdminClient;
pub use queue_summary::QueueSummaryClient;
pub use quotas::QuotasClient;
pub use relay::RelayClient;
pub use settings::Settings;
