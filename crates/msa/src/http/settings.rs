//! `[msa.http]`: how HTTP submission is served, beside the limits that it shares with SMTP.

use serde::{Deserialize, Serialize};
use service::config::{ConfigError, Duration};

/// `[msa.http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Serves without TLS, for a proxy that has it, or on loopback. Passwords then pass in clear text.
    pub insecure: bool,
    /// Connections at once.
    pub connections: usize,
    /// Requests at work at once, over all connections.
    pub requests: usize,
    /// Requests of one connection before it is closed.
    pub requests_per_connection: usize,
    /// How long a connection may last.
    pub connection_lifetime: Duration,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the header of a request may take to come, and how long a connection may wait for its next request.
    pub header_timeout: Duration,
    /// How long the body of a request may take to come.
    pub body_timeout: Duration,
    /// After how long a client is told to try again, where nothing says more.
    pub retry_after: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            insecure: false,
            connections: 1000,
            requests: 256,
            requests_per_connection: 1000,
            connection_lifetime: Duration::from_secs(600),
            handshake: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            retry_after: Duration::from_secs(10),
        }
    }
}

impl Http {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (key, is_zero) in [
            ("msa.http.connections", self.connections == 0),
            ("msa.http.requests", self.requests == 0),
            ("msa.http.requests_per_connection", self.requests_per_connection == 0),
            ("msa.http.connection_lifetime", self.connection_lifetime.is_zero()),
            ("msa.http.handshake", self.handshake.is_zero()),
            ("msa.http.header_timeout", self.header_timeout.is_zero()),
            ("msa.http.body_timeout", self.body_timeout.is_zero()),
        ] {
            if is_zero {
                return Err(ConfigError::invalid(key, "zero would refuse everything; write more"));
            }
        }
        Ok(())
    }
}
