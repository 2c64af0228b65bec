//! Servers that configuration names: a smart host, or the next hop of a domain, with the TLS and the login that they get.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use mail::Domain;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service::config::Secret;

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
    use super::super::Settings;
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
}
