//! The settings of a server: one struct, whose limits are announced in EHLO and enforced from the same values.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{Budget, Floor, Limits};
use crate::policy::Policy;
use crate::sasl::Mechanism;

/// How a server behaves. `Settings::default()` with a hostname is a sane one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the server calls itself in the greeting and in EHLO.
    pub hostname: String,
    /// Largest message in octets (SIZE, RFC 1870).
    pub max_size: usize,
    /// Most recipients of one transaction; over it 452 4.5.3. RFC 5321 4.5.3.1.8 wants at least 100.
    pub max_recipients: usize,
    /// Refused commands (5yz) after which the session ends with 421; a message that is taken sets the count back to zero.
    pub max_errors: u32,
    /// Failed authentications after which the session ends with 421.
    pub max_auth_failures: u32,
    /// Most sessions of one listener; over it 421 4.3.2 and nothing else.
    pub max_sessions: usize,
    /// The mechanisms of AUTH in the order in which EHLO names them, over TLS only; none: no AUTH.
    pub mechanisms: Vec<Mechanism>,
    /// How many of them only sessions can keep that authenticate, where authentication is offered.
    pub reserved_sessions: usize,
    /// What one address, network and account may do; give all listeners of an agent the same.
    pub limits: Arc<Limits>,
    /// How long a peer that is not known waits for the greeting; who talks meanwhile hears 554. Zero: not at all.
    pub greeting_delay: Duration,
    /// Whether a peer is refused that sends more before it heard a reply that it must wait for (RFC 2920 3.1).
    pub forbid_unauthorized_pipelining: bool,
    /// The error of a session from which on replies to errors are delayed, and by how much each.
    pub tarpit: Tarpit,
    /// The load balancers whose connections begin with a PROXY header; nobody else's do.
    pub proxy_from: Vec<IpNet>,
    /// Whether MAIL needs AUTH first (530).
    pub require_authentication: bool,
    /// Whether MAIL needs TLS first (530).
    pub require_tls: bool,
    /// What is offered beyond that, and to whom.
    pub policy: Policy,
    /// How long is waited for what.
    pub timeouts: Timeouts,
    /// Memory for messages on their way in; give all listeners of an agent the same.
    pub message_memory: Budget,
    /// How long a message waits for its memory before it hears 452 4.3.1.
    pub memory_wait: Duration,
}

/// How long a server waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the next command (RFC 5321 4.5.3.2.7), and for the peer to take a reply.
    pub command: Duration,
    /// For the next piece of content.
    pub data: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the session as a whole.
    pub session: Duration,
    /// For a command line, from its first octet to its end.
    pub line: Duration,
    /// For the content of one message, from its first octet to its end.
    pub message: Duration,
    /// How fast content has to come.
    pub floor: Floor,
    /// For authentication, where the session has a reserved place.
    pub authentication: Duration,
    /// For a PROXY header.
    pub proxy: Duration,
}

/// How errors are slowed down.
#[derive(Debug, Clone, Copy)]
pub struct Tarpit {
    /// The error of a session from which on there is a delay; 0 for never.
    pub from_error: u32,
    /// The delay for each.
    pub delay: Duration,
}

impl Default for Tarpit {
    fn default() -> Self {
        Self { from_error: 5, delay: Duration::from_secs(1) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            data: Duration::from_secs(180),
            handshake: Duration::from_secs(30),
            session: Duration::from_secs(3600),
            line: Duration::from_secs(60),
            message: Duration::from_secs(1800),
            floor: Floor { octets_per_second: 1024, window: Duration::from_secs(180) },
            authentication: Duration::from_secs(15),
            proxy: Duration::from_secs(5),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            max_size: 25 * 1024 * 1024,
            max_recipients: 1000,
            max_errors: 20,
            max_auth_failures: 5,
            max_sessions: 10_000,
            mechanisms: Vec::new(),
            reserved_sessions: 1000,
            limits: Arc::new(Limits::default()),
            greeting_delay: Duration::ZERO,
            forbid_unauthorized_pipelining: true,
            tarpit: Tarpit::default(),
            proxy_from: Vec::new(),
            require_authentication: false,
            require_tls: false,
            policy: Policy::default(),
            timeouts: Timeouts::default(),
            message_memory: Budget::new(256 * 1024 * 1024),
            memory_wait: Duration::from_secs(60),
        }
    }
}
