//! How the queue is used: where it is, how lanes are leased, how work is batched. Knows nothing of files or environment.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[queue]` table. Every key has a default but `url`, whose default is a file beside the process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `postgres://…`, or `sqlite:PATH` (absolute with `sqlite:///`).
    pub url: String,
    /// Most lanes that this instance leases, whatever its fair share would be.
    pub lanes_at_most: u16,
    /// How long a lease holds after a heartbeat.
    pub lease_ms: u64,
    /// How often the lease is renewed.
    pub heartbeat_ms: u64,
    /// How long before the end of the lease this instance stops trusting it.
    pub margin_ms: u64,
    /// How long a surplus lane is kept closed before another instance may have it, so that transactions past the final dot
    /// can end.
    pub release_grace_ms: u64,
    /// Connections that commit, each with its own lanes. SQLite has one whatever is said here.
    pub writers: u16,
    /// Connections that load.
    pub readers: u16,
    /// Connections that store the parts of large content ahead of their message.
    pub spoolers: u16,
    /// Most messages of a group commit.
    pub batch_messages: usize,
    /// Most octets of content of a group commit; one larger message still goes, alone.
    pub batch_octets: usize,
    /// Most results of a group commit.
    pub batch_reports: usize,
    /// Most calls that wait for one writer; further ones wait outside.
    pub waiting_at_most: usize,
    /// How long results wait for an accept to ride with.
    pub report_linger_ms: u64,
    /// How long a commit whose outcome is unknown is repeated before the caller hears so.
    pub accept_deadline_ms: u64,
    /// How long connecting to the database may take.
    pub connect_timeout_ms: u64,
    /// SQLite: octets set aside on the disk, so that results can be recorded when it is full. More than the 16 MiB that the
    /// write-ahead log usually has: then the log can always be written back.
    pub reserve_octets: u64,
    /// How long history is kept, counted from the message's acceptance.
    pub history_retention_hours: u32,
    /// After how long a message row that nobody waits for is removed.
    pub orphan_retention_hours: u32,
    /// How long an idempotency key is remembered at least.
    pub idempotency_retention_hours: u32,
    /// How often expired history and orphans are looked for.
    pub maintenance_interval_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "sqlite:queue.sqlite".to_owned(),
            lanes_at_most: 256,
            lease_ms: 15_000,
            heartbeat_ms: 5_000,
            margin_ms: 3_000,
            release_grace_ms: 5_000,
            writers: 2,
            readers: 4,
            spoolers: 2,
            batch_messages: 256,
            batch_octets: 1024 * 1024,
            batch_reports: 500,
            waiting_at_most: 1024,
            report_linger_ms: 10,
            accept_deadline_ms: 10_000,
            connect_timeout_ms: 3_000,
            reserve_octets: 24 * 1024 * 1024,
            history_retention_hours: 7 * 24,
            orphan_retention_hours: 24,
            idempotency_retention_hours: 24,
            maintenance_interval_ms: 600_000,
        }
    }
}

impl Settings {
    /// The defaults with another place.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// How long after sending a heartbeat this instance trusts its lanes.
    pub(crate) fn trust(&self) -> Duration {
        Duration::from_millis(self.lease_ms.saturating_sub(self.margin_ms))
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("Settings").field("url", &format_args!("{scheme}:…")).finish_non_exhaustive()
    }
}
