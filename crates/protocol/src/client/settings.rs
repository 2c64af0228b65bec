//! How another agent is reached: the table that configurations have for it, or its short forms.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How to reach another agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
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
    pub(super) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub(super) fn transfer_deadline(&self) -> Duration {
        Duration::from_millis(self.transfer_deadline_ms)
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// From one address, a list of them, or the whole table.
impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address as in \"https://mta:7025\", a list of addresses, or a table with endpoints")
    }

    fn visit_str<E: serde::de::Error>(self, endpoint: &str) -> Result<Self::Value, E> {
        if !endpoint.contains("://") {
            return Err(E::invalid_value(Unexpected::Str(endpoint), &self));
        }
        Ok(Settings { endpoints: vec![endpoint.to_owned()], ..Settings::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut endpoints = Vec::new();
        while let Some(endpoint) = list.next_element()? {
            endpoints.push(endpoint);
        }
        Ok(Settings { endpoints, ..Settings::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        Settings::deserialize(MapAccessDeserializer::new(table))
    }
}
