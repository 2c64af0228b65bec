//! The configuration of the mail transfer agent: the tables that it shares, and `[mta]`: what it listens on, where it sends,
//! and its limits.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use mail::Domain;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service::config::{ByteSize, ConfigError, Duration, Secret, SecretUrl, Service, Telemetry, Tls};

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
    /// `[queue]`
    #[serde(serialize_with = "without_password")]
    pub queue: queue::Settings,
    /// `[mta]`
    pub mta: Settings,
}

impl service::config::Settings for Config {
    const TABLES: &'static [&'static str] = &["service", "telemetry", "tls", "queue", "mta"];

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

/// How much TLS a relay host is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayTls {
    /// STARTTLS where it is offered, whatever the certificate.
    #[default]
    Opportunistic,
    /// STARTTLS with a certificate for the host's name, or no delivery.
    Required,
    /// TLS from the first octet (port 465), with a certificate for the host's name.
    Implicit,
    /// No TLS.
    None,
}

/// A server named by configuration: `"host:port"`, or a table with more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayHost {
    /// Name or address.
    pub host: String,
    /// Its port, 25 by default.
    pub port: u16,
    /// How much TLS.
    pub tls: RelayTls,
    /// Login, with a password.
    pub login: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The file that the password stands in.
    pub password_file: Option<PathBuf>,
}

impl FromStr for RelayHost {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed =
            || format!("\"{text}\" is no server; write \"host\", \"host:port\" or \"[::1]:port\"");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| malformed())?)
            }
            _ => (text, 25),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let is_address = host.parse::<IpAddr>().is_ok();
        if !is_address && Domain::parse(host).is_err() {
            return Err(malformed());
        }
        let host = host.to_owned();
        Ok(Self { host, port, tls: RelayTls::default(), login: None, password: None, password_file: None })
    }
}

impl fmt::Display for RelayHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayHostTable {
    host: String,
    #[serde(default)]
    tls: RelayTls,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for RelayHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RelayHostForm)
    }
}

/// Reads either form by itself, so that what is wrong with a table is named.
struct RelayHostForm;

impl<'de> Visitor<'de> for RelayHostForm {
    type Value = RelayHost;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"host:port\", or a table such as { host = \"host:port\", tls = \"required\" }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RelayHost, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RelayHost, A::Error> {
        let table = RelayHostTable::deserialize(MapAccessDeserializer::new(table))?;
        let host = table.host.parse().map_err(serde::de::Error::custom)?;
        let RelayHostTable { tls, login, password, password_file, .. } = table;
        Ok(RelayHost { tls, login, password, password_file, ..host })
    }
}

impl Serialize for RelayHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.login.is_none() && self.tls == RelayTls::default() {
            return serializer.collect_str(self);
        }
        let Self { tls, login, password, password_file, .. } = self.clone();
        RelayHostTable { host: self.to_string(), tls, login, password, password_file }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_host_is_written_short_or_as_a_table() {
        for (text, host, port) in [
            ("a.test", "a.test", 25),
            ("a.test:26", "a.test", 26),
            ("[::1]:26", "::1", 26),
            ("::1", "::1", 25),
        ] {
            let parsed: RelayHost = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
        }
        for text in ["", "a b", "a:x", "a:70000", "[::1"] {
            assert!(text.parse::<RelayHost>().is_err(), "{text}");
        }
        let settings: Settings = toml::from_str(
            "smart_host = { host = \"smart.test:587\", tls = \"required\", login = \"u\", password = \"p\" }\n\
             [routes]\n\"b.test\" = \"127.0.0.1:2600\"\n",
        )
        .unwrap();
        assert_eq!(settings.routes["b.test"].to_string(), "127.0.0.1:2600");
        assert_eq!(settings.smart_host.unwrap().tls, RelayTls::Required);
    }

    #[test]
    fn what_is_wrong_with_a_relay_host_is_named_and_its_password_is_not() {
        for (text, problem) in [
            ("{ host = \"x\", password = \"hush\", tsl = \"none\" }", "unknown field `tsl`"),
            ("{ host = \"x\", password = \"hush\", tls = \"some\" }", "unknown variant `some`"),
            ("{ password = \"hush\" }", "missing field `host`"),
            ("{ host = \"x\", password = 12345 }", "expected text in quotes"),
            ("25", "expected \"host:port\", or a table"),
        ] {
            let error = toml::from_str::<Settings>(&format!("smart_host = {text}")).unwrap_err();
            let message = error.message();
            assert!(message.contains(problem), "{text}: {message}");
            assert!(!message.contains("hush") && !message.contains("12345"), "{message}");
        }
    }

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
