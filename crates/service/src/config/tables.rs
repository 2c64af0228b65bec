//! The tables that every agent reads: `[service]`, `[telemetry]`, `[tls]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::{ConfigError, Duration};

/// `[service]`: the process as such.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// The name that this host has in greetings, Received fields and message ids; the machine's own by default.
    #[serde(deserialize_with = "hostname")]
    pub hostname: Option<String>,
    /// Deliver mail for domains that nobody here knows and no route names into local mailboxes too.
    pub sandbox: bool,
    /// How long work in flight may take to finish once the process is told to stop.
    pub shutdown_grace: Duration,
    /// `[service.listen]`
    pub listen: ServiceListen,
}

/// `[service.listen]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceListen {
    /// Where `/livez`, `/readyz` and `/metrics` are served; nowhere by default.
    pub health: Option<SocketAddr>,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            hostname: None,
            sandbox: false,
            shutdown_grace: Duration::from_secs(30),
            listen: ServiceListen::default(),
        }
    }
}

impl Service {
    /// The configured name of this host, or else the machine's own.
    pub fn hostname(&self) -> String {
        let machine = || {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
            Some(name.trim().to_owned()).filter(|name| is_hostname(name))
        };
        self.hostname.clone().or_else(machine).unwrap_or_else(|| "localhost".to_owned())
    }
}

/// `[telemetry]`: traces, metrics and logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The collector, as in `http://collector:4317` (OTLP over gRPC). `OTEL_EXPORTER_OTLP_ENDPOINT` serves where this is
    /// not given; with neither, nothing is exported.
    pub endpoint: Option<String>,
    /// The certificate authority of an `https` collector, a PEM file.
    pub authority_file: Option<PathBuf>,
    /// The name of this service; `OTEL_SERVICE_NAME`, or else the program's name, by default.
    pub service_name: Option<String>,
    /// The share of traces that start here and are recorded, from 0 to 1. Traces that started elsewhere keep to the
    /// decision made there.
    pub sample_ratio: f64,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, also per module as in `info,mta=debug`.
    pub log_level: String,
    /// The form of log lines.
    pub log_format: LogFormat,
}

/// The form of log lines on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line, with `trace_id` and `span_id`.
    Json,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry {
            endpoint: None,
            authority_file: None,
            service_name: None,
            sample_ratio: 1.0,
            log_level: "info".to_owned(),
            log_format: LogFormat::default(),
        }
    }
}

impl Telemetry {
    /// The configured collector, or else the one that the standard variable names.
    pub fn endpoint(&self) -> Option<String> {
        let given = self.endpoint.clone().or_else(|| std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok());
        given.filter(|endpoint| !endpoint.is_empty())
    }

    /// What the types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(ConfigError::invalid("telemetry.sample_ratio", "write a share from 0.0 to 1.0"));
        }
        if let Err(problem) = crate::telemetry::parse_log_level(&self.log_level) {
            return Err(ConfigError::invalid("telemetry.log_level", problem));
        }
        if let Some(endpoint) = self.endpoint() {
            let secure = endpoint.starts_with("https://");
            if !secure && !endpoint.starts_with("http://") {
                let problem =
                    "write the collector's address with its scheme, as in \"http://collector:4317\"";
                return Err(ConfigError::invalid("telemetry.endpoint", problem));
            }
            if secure && self.authority_file.is_none() {
                let problem = "an https collector needs the certificates that it is checked against, \
                               as in \"/etc/ssl/certs/ca-certificates.crt\"";
                return Err(ConfigError::invalid("telemetry.authority_file", problem));
            }
        }
        Ok(())
    }
}

/// `[tls]`: the files of certificates and keys, PEM. Who uses them reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The chain shown to SMTP peers, this host's certificate first.
    pub certificate_file: Option<PathBuf>,
    /// The key of its first certificate.
    pub key_file: Option<PathBuf>,
    /// `[tls.agents]`
    pub agents: AgentTls,
}

/// `[tls.agents]`: mutual TLS between agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentTls {
    /// The chain that this agent shows to the others, as server and as client.
    pub certificate_file: Option<PathBuf>,
    /// The key of its first certificate.
    pub key_file: Option<PathBuf>,
    /// The authority that signed all agents' certificates.
    pub authority_file: Option<PathBuf>,
}

fn hostname<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    match name {
        Some(name) if !is_hostname(&name) => {
            Err(serde::de::Error::custom("write a host name of letters, digits, hyphens and dots"))
        }
        name => Ok(name),
    }
}

/// A `Domain` of RFC 5321 section 4.1.2. It stands in replies and header fields, so nothing else may get in.
fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_holds_nothing_that_could_end_a_line() {
        for good in ["localhost", "mx1.example.org", "a-b.example"] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a\r\nb", "a b", "a_b", "mx.example."] {
            assert!(!is_hostname(bad), "{bad}");
        }
        assert!(is_hostname(&Service::default().hostname()));
    }

    #[test]
    fn telemetry_says_what_to_change() {
        let wrong = |change: fn(&mut Telemetry)| {
            let mut telemetry = Telemetry::default();
            change(&mut telemetry);
            telemetry.check().unwrap_err().to_string()
        };
        assert!(Telemetry::default().check().is_ok());
        assert!(wrong(|t| t.sample_ratio = 1.5).starts_with("telemetry.sample_ratio: "));
        assert!(wrong(|t| t.sample_ratio = f64::NAN).starts_with("telemetry.sample_ratio: "));
        assert!(wrong(|t| t.log_level = "loud".into()).starts_with("telemetry.log_level: "));
        assert!(wrong(|t| t.endpoint = Some("collector:4317".into())).starts_with("telemetry.endpoint: "));
        assert!(wrong(|t| t.endpoint = Some("https://c".into())).starts_with("telemetry.authority_file: "));
    }
}
