//! Lists of networks as people write them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Networks, written as `["192.0.2.0/24", "2001:db8::/32"]`; a plain address stands for itself alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// These networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Networks {
        Networks(networks)
    }

    /// Loopback of both families.
    #[must_use]
    pub fn loopback() -> Networks {
        Networks(["127.0.0.0/8", "::1/128"].into_iter().filter_map(parse).collect())
    }

    /// Each of them.
    #[must_use]
    pub fn to_vec(&self) -> Vec<IpNet> {
        self.0.clone()
    }

    /// Whether an address is in one of them; an IPv4 address in IPv6 form (`::ffff:192.0.2.1`) is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(text).collect();
        f.write_str(&texts.join(", "))
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(text))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Networks, D::Error> {
        let network = |text: String| {
            parse(&text).ok_or_else(|| {
                Error::custom(format!(
                    "\"{text}\" is no network; write \"192.0.2.0/24\", \"2001:db8::/32\" or a plain address"
                ))
            })
        };
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(Networks(texts.into_iter().map(network).collect::<Result<_, _>>()?))
    }
}

fn parse(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc())
}

/// As it was written, a plain address without its length.
fn text(network: &IpNet) -> String {
    let is_one = network.prefix_len() == network.max_prefix_len();
    if is_one { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        x: Networks,
    }

    #[test]
    fn networks_and_plain_addresses() {
        let table: Table =
            toml::from_str("x = [\"192.0.2.0/24\", \"198.51.100.7\", \"2001:db8::/32\"]").unwrap();
        for inside in ["192.0.2.255", "198.51.100.7", "2001:db8:1::", "::ffff:192.0.2.1"] {
            assert!(table.x.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.3.0", "198.51.100.8", "2001:db9::", "::1"] {
            assert!(!table.x.contains(outside.parse().unwrap()), "{outside}");
        }
        assert_eq!(table.x.to_string(), "192.0.2.0/24, 198.51.100.7, 2001:db8::/32");
        assert!(Networks::loopback().contains("127.9.9.9".parse().unwrap()));
        assert!(Networks::loopback().contains("::1".parse().unwrap()));
        let error = toml::from_str::<Table>("x = [\"192.0.2\"]").err().unwrap().to_string();
        assert!(error.contains("\"192.0.2\" is no network"), "{error}");
    }
}
