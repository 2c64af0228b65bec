//! The limits themselves, with defaults that a sender of ordinary mail never meets.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::rate::Rate;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What one address, network or account may do; 0 is always "without limit".
#[derive(Debug, Clone)]
pub struct Settings {
    /// Networks that none of this applies to.
    pub exempt: Vec<IpNet>,
    /// The length of prefix that makes IPv4 addresses one network.
    pub ipv4_network: u8,
    /// The length of prefix that makes IPv6 addresses one network.
    pub ipv6_network: u8,
    /// The length of prefix that counts as one IPv6 address: one host has at least so many.
    pub ipv6_address: u8,
    /// Addresses, networks and accounts that are remembered, of each so many; who was not seen for longest is forgotten.
    pub tracked: usize,
    /// Sessions at once from one address.
    pub sessions_per_address: u32,
    /// Sessions at once from one network.
    pub sessions_per_network: u32,
    /// Sessions at once of one account.
    pub sessions_per_account: u32,
    /// New sessions from one address within a minute.
    pub new_sessions_per_address: u32,
    /// New sessions from one network within a minute.
    pub new_sessions_per_network: u32,
    /// Messages from one address within a minute.
    pub messages_per_address: u32,
    /// Recipients from one address within a minute.
    pub recipients_per_address: u32,
    /// Refused commands (5yz) of one address within a minute.
    pub errors_per_address: u32,
    /// Failed authentications of one address within an hour.
    pub auth_failures_per_address: u32,
    /// Failed authentications for one account within an hour, from all networks that it did not authenticate from before.
    pub auth_failures_per_account: u32,
    /// How many hundredths of the memory for messages one address may hold; it is always enough for one message.
    pub memory_percent: u8,
    /// How long an address that waited for the greeting, and a network that an account authenticated from, are known.
    pub known_for: Duration,
    /// The score that bans an address.
    pub ban_score: u32,
    /// How long it takes a score that high to decay to nothing.
    pub ban_decay: Duration,
    /// How long a ban lasts.
    pub ban_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = [IpAddr::from([127, 0, 0, 0]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        let lengths = [8, 128];
        let networks = loopback.into_iter().zip(lengths);
        Self {
            exempt: networks.filter_map(|(address, length)| IpNet::new(address, length).ok()).collect(),
            ipv4_network: 24,
            ipv6_network: 56,
            ipv6_address: 64,
            tracked: 100_000,
            sessions_per_address: 100,
            sessions_per_network: 500,
            sessions_per_account: 100,
            new_sessions_per_address: 1200,
            new_sessions_per_network: 6000,
            messages_per_address: 6000,
            recipients_per_address: 30_000,
            errors_per_address: 100,
            auth_failures_per_address: 30,
            auth_failures_per_account: 30,
            memory_percent: 25,
            known_for: 24 * HOUR,
            ban_score: 200,
            ban_decay: HOUR,
            ban_time: Duration::from_secs(900),
        }
    }
}

impl Settings {
    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt.iter().any(|network| network.contains(&address))
    }

    /// What counts as one address.
    pub(super) fn address(&self, address: IpAddr) -> IpAddr {
        masked(address, 32, self.ipv6_address)
    }

    /// What counts as one network.
    pub(super) fn network(&self, address: IpAddr) -> IpAddr {
        masked(address, self.ipv4_network, self.ipv6_network)
    }

    pub(super) fn new_sessions_of_address(&self) -> Rate {
        Rate { most: self.new_sessions_per_address, within: MINUTE }
    }

    pub(super) fn new_sessions_of_network(&self) -> Rate {
        Rate { most: self.new_sessions_per_network, within: MINUTE }
    }

    pub(super) fn messages(&self) -> Rate {
        Rate { most: self.messages_per_address, within: MINUTE }
    }

    pub(super) fn recipients(&self) -> Rate {
        Rate { most: self.recipients_per_address, within: MINUTE }
    }

    pub(super) fn errors(&self) -> Rate {
        Rate { most: self.errors_per_address, within: MINUTE }
    }

    pub(super) fn failures_of_address(&self) -> Rate {
        Rate { most: self.auth_failures_per_address, within: HOUR }
    }

    pub(super) fn failures_of_account(&self) -> Rate {
        Rate { most: self.auth_failures_per_account, within: HOUR }
    }

    pub(super) fn score(&self) -> Rate {
        Rate { most: self.ban_score, within: self.ban_decay }
    }
}

/// The network's address; an IPv4 address in IPv6 form is an IPv4 address.
fn masked(address: IpAddr, ipv4: u8, ipv6: u8) -> IpAddr {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { ipv4.min(32) } else { ipv6.min(128) };
    IpNet::new(address, length).map_or(address, |network| network.network())
}
