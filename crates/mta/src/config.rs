//! The configuration of the mail transfer agent: the tables that it shares, and `[mta]`: what it listens on, where it sends,
//! and its limits.

mod relay_host;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use mail::Domain;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service::config::{ByteSize, ConfigError, Duration, Networks, SecretUrl, Service, Telemetry, Tls};

pub use relay_host::{RelayHost, RelayTls};

/// Everything that the mta reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[service]`
    pub service: Service,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[tls]`
    pub tls: Tls,
    /// `[limits]`
    pub limits: limits::Limits,
    /// `[queue]`
    #[serde(serialize_with = "without_password")]
    pub queue: queue::Settings,
    /// `[mta]`
    pub mta: Settings,
}

impl service::config::Settings for Config {
    const TABLES: &'static [&'static str] = &["service", "telemetry", "tls", "limits", "queue", "mta"];

    fn service(&self) -> &Service {
        &self.service
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn check(&self) -> Result<(), ConfigError> {
        if Domain::parse(&self.service.hostname()).is_err() {
            return Err(ConfigError::invalid(
                "service.hostname",
                "write a domain name, as in \"mx.example.org\"",
            ));
        }
        self.limits.check()?;
        self.mta.check()
    }
}

fn without_password<S: Serializer>(settings: &queue::Settings, serializer: S) -> Result<S::Ok, S::Error> {
    let url = SecretUrl::new(settings.url.as_str()).to_string();
    queue::Settings { url, ..settings.clone() }.serialize(serializer)
}

/// `[mta]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[mta.listen]`
    pub listen: Listen,
    /// Load balancers that tell in a PROXY header whose connection it is; nobody else may.
    pub proxy_from: Networks,
    /// `[mta.grpc]`: how other agents are answered.
    pub grpc: protocol::server::Settings,
    /// The mda: an address such as `https://mda:7026`, a list of them, or a table with more.
    pub mda: protocol::client::Settings,
    /// `[mta.dns]`
    pub dns: Dns,
    /// `[mta.routes]`: next hops of domains, in place of DNS; `*.example.org` covers the domains below.
    pub routes: BTreeMap<String, RelayHost>,
    /// Where everything goes that neither the directory nor a route knows, in place of DNS.
    pub smart_host: Option<RelayHost>,
    /// Networks that VRFY and EXPN tell who is here.
    pub verify_from: Networks,
    /// Networks that may start the queue by ETRN.
    pub etrn_from: Networks,
    /// Networks that may say by XCLIENT and XFORWARD whom they speak for.
    pub xclient_from: Networks,
    /// Networks that may give QUEU, TICK and VERB.
    pub verbs_from: Networks,
    /// `[mta.retry]`
    pub retry: Retry,
    /// `[mta.inbound]`
    pub inbound: Inbound,
    /// `[mta.outbound]`
    pub outbound: Outbound,
    /// `[mta.intake]`
    pub intake: Intake,
}

impl Settings {
    /// What the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.retry.delays.is_empty() {
            return Err(ConfigError::invalid(
                "mta.retry.delays",
                "name at least one delay, as in [\"1m\", \"10m\"]",
            ));
        }
        if self.retry.delays.iter().any(|delay| delay.is_zero()) {
            return Err(ConfigError::invalid("mta.retry.delays", "a delay of zero would retry without end"));
        }
        for domain in self.routes.keys() {
            let name = domain.strip_prefix("*.").unwrap_or(domain);
            if Domain::parse(name).is_err() {
                let problem =
                    format!("\"{domain}\" is no domain; write \"example.org\" or \"*.example.org\"");
                return Err(ConfigError::invalid("mta.routes", problem));
            }
        }
        for host in self.routes.values().chain(&self.smart_host) {
            if host.login.is_some() && !matches!(host.tls, RelayTls::Required | RelayTls::Implicit) {
                let problem = format!(
                    "a login for {host} would go over a connection that anybody may read; add tls = \"required\" or tls = \"implicit\""
                );
                return Err(ConfigError::invalid("mta.routes", problem));
            }
        }
        for (key, number) in [
            ("mta.outbound.attempts", self.outbound.attempts),
            ("mta.outbound.attempts_per_destination", self.outbound.attempts_per_destination),
            ("mta.outbound.local_deliveries", self.outbound.local_deliveries),
            ("mta.outbound.recipients_per_transaction", self.outbound.recipients_per_transaction),
            ("mta.outbound.ready", self.outbound.ready),
            ("mta.outbound.attempt_time", usize::from(!self.outbound.attempt_time.is_zero())),
            ("mta.inbound.recipients", self.inbound.recipients),
            ("mta.inbound.sessions", self.inbound.sessions),
        ] {
            if number == 0 {
                return Err(ConfigError::invalid(key, "at least 1 is needed"));
            }
        }
        Ok(())
    }
}

/// `[mta.listen]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// SMTP from other servers (port 25); nowhere by default.
    pub mx: Option<SocketAddr>,
    /// gRPC from the other agents and the command line; nowhere by default.
    pub grpc: Option<SocketAddr>,
}

/// `[mta.dns]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Servers to ask, as in `192.0.2.53` or `192.0.2.53:5300`; those of the system by default.
    #[serde(deserialize_with = "dns_servers")]
    pub servers: Vec<SocketAddr>,
    /// How long one question to one server may take.
    pub timeout: Duration,
    /// How often a question is asked before it counts as failed.
    pub attempts: usize,
    /// Answers kept in memory, for as long as their TTL says.
    pub cache: u64,
    /// Questions under way to one server at once.
    pub questions: usize,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            cache: 8192,
            questions: 1024,
        }
    }
}

/// Addresses with or without the port of DNS.
fn dns_servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let server = |text: String| {
        let address =
            text.parse().or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)));
        address.map_err(|_| {
            serde::de::Error::custom(format!(
                "\"{text}\" is no address; write \"192.0.2.53\" or \"192.0.2.53:5300\""
            ))
        })
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(server).collect()
}

/// `[mta.retry]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How long to wait after the first, second… attempt; the last repeats.
    pub delays: Vec<Duration>,
    /// Every wait is longer or shorter by up to this share of itself, so that retries spread.
    pub jitter: f64,
    /// How long a message is tried before it is returned.
    pub expire: Duration,
    /// After how long the sender is told, once, that a message is delayed.
    pub delay_notice: Duration,
    /// Messages up to this size go back whole with a failure notice, larger ones with their header alone.
    pub returned_size: ByteSize,
}

impl Default for Retry {
    fn default() -> Self {
        let delays = [60, 300, 900, 1800, 3600, 7200, 14_400].map(Duration::from_secs).to_vec();
        Self {
            delays,
            jitter: 0.05,
            expire: Duration::from_secs(5 * 86_400),
            delay_notice: Duration::from_secs(4 * 3600),
            returned_size: ByteSize::mib(1),
        }
    }
}

/// `[mta.inbound]`: limits of SMTP from other servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inbound {
    /// Largest message.
    pub message_size: ByteSize,
    /// Recipients in one transaction.
    pub recipients: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// How long a peer that is not known waits for the greeting; who talks meanwhile is refused.
    pub greeting_delay: Duration,
    /// Memory for message content in all sessions together.
    pub message_memory: ByteSize,
    /// How long a session waits for memory before it hears 452.
    pub memory_wait: Duration,
    /// How long a peer may stay silent.
    pub idle: Duration,
    /// Errors in one session before it is closed.
    pub errors: usize,
    /// The least time that BY (RFC 2852) may give with by-mode R.
    pub deliver_by: Duration,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            message_size: ByteSize::mib(50),
            recipients: 1000,
            sessions: 10_000,
            greeting_delay: Duration::from_secs(1),
            message_memory: ByteSize::mib(256),
            memory_wait: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            errors: 20,
            deliver_by: Duration::from_secs(60),
        }
    }
}

/// `[mta.outbound]`: limits of sending.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// The port of other servers' SMTP.
    pub port: u16,
    /// Attempts under way at once.
    pub attempts: usize,
    /// Attempts, and so connections, to one destination at once.
    pub attempts_per_destination: usize,
    /// Deliveries into local mailboxes at once.
    pub local_deliveries: usize,
    /// Messages in memory for one destination; the rest waits in the queue.
    pub ready: usize,
    /// Recipients in one transaction.
    pub recipients_per_transaction: usize,
    /// Attempts in a row without an answer that suspend a destination, for the times of `mta.retry.delays`.
    pub failures_before_suspension: u32,
    /// Content in memory for attempts: half for messages kept since their acceptance, half for those read from the queue again.
    pub content_memory: ByteSize,
    /// How long a TCP connection may take to come about.
    pub connect_timeout: Duration,
    /// Servers tried in one attempt.
    pub hosts: usize,
    /// Addresses of one server tried in one attempt.
    pub addresses_per_host: usize,
    /// How long a connection is kept open for the next message.
    pub connection_idle: Duration,
    /// Messages over one connection.
    pub messages_per_connection: usize,
    /// Connections kept open for reuse.
    pub idle_connections: usize,
    /// How long an attempt at all servers of a destination may take.
    pub attempt_time: Duration,
    /// Authorities (PEM) that are trusted beside the system's, for next hops whose certificate is verified.
    pub authority_file: Option<PathBuf>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            port: 25,
            attempts: 1000,
            attempts_per_destination: 20,
            local_deliveries: 32,
            ready: 1000,
            recipients_per_transaction: 100,
            failures_before_suspension: 3,
            content_memory: ByteSize::mib(64),
            connect_timeout: Duration::from_secs(30),
            hosts: 5,
            addresses_per_host: 4,
            connection_idle: Duration::from_secs(2),
            messages_per_connection: 100,
            attempt_time: Duration::from_secs(3600),
            authority_file: None,
            idle_connections: 200,
        }
    }
}

/// `[mta.intake]`: what every message has to keep to, wherever it comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Intake {
    /// Received fields that a message may carry before it counts as going in circles (RFC 5321 6.3).
    pub hops: usize,
    /// Members that one message's aliases may expand to.
    pub expansion: usize,
}

impl Default for Intake {
    fn default() -> Self {
        Self { hops: 50, expansion: 10_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_needs_a_connection_that_nobody_reads() {
        let with = |tls| {
            let text = format!(
                "smart_host = {{ host = \"smart.test\", tls = \"{tls}\", login = \"u\", password = \"p\" }}"
            );
            toml::from_str::<Settings>(&text).unwrap().check()
        };
        assert!(with("required").is_ok() && with("implicit").is_ok());
        assert!(with("opportunistic").is_err() && with("none").is_err());
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let mut settings = Settings::default();
        assert!(settings.check().is_ok());
        settings.retry.delays.clear();
        assert!(settings.check().unwrap_err().to_string().starts_with("mta.retry.delays: "));
    }
}
