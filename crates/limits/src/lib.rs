//! The table `[limits]`: what the peers of an SMTP server may do, and how long they may take. The agents that have one read
//! the same table, and each counts for itself. It knows the settings of `smtp::server` and no agent.

mod check;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use service::config::{Duration, Networks};
use smtp::server::{self, Floor, Tarpit, Timeouts, limits};

/// `[limits]`; a number of 0 is "without limit", where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Networks that no limit by address, network or account applies to, nor any delay.
    pub exempt: Networks,
    /// The length of prefix that makes IPv4 addresses one network.
    pub ipv4_network: u8,
    /// The length of prefix that makes IPv6 addresses one network.
    pub ipv6_network: u8,
    /// The length of prefix that counts as one IPv6 address.
    pub ipv6_address: u8,
    /// Addresses, networks and accounts that are remembered, of each so many.
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
    /// Failed authentications for one account within an hour, from networks that it did not authenticate from before.
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
    /// Whether a peer is refused that does not wait for a reply that it must wait for (RFC 2920 3.1).
    pub forbid_unauthorized_pipelining: bool,
    /// The error of a session from which on replies to errors are delayed; 0 for never.
    pub tarpit_from: u32,
    /// The delay for each.
    pub tarpit_delay: Duration,
    /// For a TLS handshake.
    pub handshake_time: Duration,
    /// For a session as a whole.
    pub session_time: Duration,
    /// For a command line, from its first octet to its end.
    pub line_time: Duration,
    /// For the content of a message, from its first octet to its end.
    pub message_time: Duration,
    /// Octets of content in a second, on the average over `content_window`, below which a peer is too slow.
    pub content_rate: usize,
    /// See `content_rate`; also the longest silence within content.
    pub content_window: Duration,
    /// For a PROXY header.
    pub proxy_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let limits::Settings {
            exempt,
            ipv4_network,
            ipv6_network,
            ipv6_address,
            tracked,
            sessions_per_address,
            sessions_per_network,
            sessions_per_account,
            new_sessions_per_address,
            new_sessions_per_network,
            messages_per_address,
            recipients_per_address,
            errors_per_address,
            auth_failures_per_address,
            auth_failures_per_account,
            memory_percent,
            known_for,
            ban_score,
            ban_decay,
            ban_time,
        } = limits::Settings::default();
        let (times, tarpit) = (Timeouts::default(), Tarpit::default());
        Self {
            exempt: Networks::new(exempt),
            ipv4_network,
            ipv6_network,
            ipv6_address,
            tracked,
            sessions_per_address,
            sessions_per_network,
            sessions_per_account,
            new_sessions_per_address,
            new_sessions_per_network,
            messages_per_address,
            recipients_per_address,
            errors_per_address,
            auth_failures_per_address,
            auth_failures_per_account,
            memory_percent,
            known_for: known_for.into(),
            ban_score,
            ban_decay: ban_decay.into(),
            ban_time: ban_time.into(),
            forbid_unauthorized_pipelining: true,
            tarpit_from: tarpit.from_error,
            tarpit_delay: tarpit.delay.into(),
            handshake_time: times.handshake.into(),
            session_time: times.session.into(),
            line_time: times.line.into(),
            message_time: times.message.into(),
            content_rate: times.floor.octets_per_second,
            content_window: times.floor.window.into(),
            proxy_time: times.proxy.into(),
        }
    }
}

impl Limits {
    /// These settings under these limits. Nobody has used up anything; what is made of it is to be given to all listeners of
    /// an agent, after telemetry was installed.
    #[must_use]
    pub fn apply(&self, settings: server::Settings) -> server::Settings {
        server::Settings {
            limits: Arc::new(server::Limits::new(self.visits())),
            forbid_unauthorized_pipelining: self.forbid_unauthorized_pipelining,
            tarpit: Tarpit { from_error: self.tarpit_from, delay: self.tarpit_delay.get() },
            timeouts: Timeouts {
                handshake: self.handshake_time.get(),
                session: self.session_time.get(),
                line: self.line_time.get(),
                message: self.message_time.get(),
                floor: Floor { octets_per_second: self.content_rate, window: self.content_window.get() },
                data: settings.timeouts.command.min(self.content_window.get()),
                proxy: self.proxy_time.get(),
                ..settings.timeouts
            },
            ..settings
        }
    }

    /// Those by address, network and account.
    fn visits(&self) -> limits::Settings {
        limits::Settings {
            exempt: self.exempt.to_vec(),
            ipv4_network: self.ipv4_network,
            ipv6_network: self.ipv6_network,
            ipv6_address: self.ipv6_address,
            tracked: self.tracked,
            sessions_per_address: self.sessions_per_address,
            sessions_per_network: self.sessions_per_network,
            sessions_per_account: self.sessions_per_account,
            new_sessions_per_address: self.new_sessions_per_address,
            new_sessions_per_network: self.new_sessions_per_network,
            messages_per_address: self.messages_per_address,
            recipients_per_address: self.recipients_per_address,
            errors_per_address: self.errors_per_address,
            auth_failures_per_address: self.auth_failures_per_address,
            auth_failures_per_account: self.auth_failures_per_account,
            memory_percent: self.memory_percent,
            known_for: self.known_for.get(),
            ban_score: self.ban_score,
            ban_decay: self.ban_decay.get(),
            ban_time: self.ban_time.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let (ours, theirs) =
            (Limits::default().apply(server::Settings::default()), server::Settings::default());
        let shown = |settings: &server::Settings| format!("{:?} {:?}", settings.timeouts, settings.tarpit);
        assert_eq!(shown(&ours), shown(&theirs));
        assert_eq!(ours.forbid_unauthorized_pipelining, theirs.forbid_unauthorized_pipelining);
        assert_eq!(format!("{:?}", Limits::default().visits()), format!("{:?}", limits::Settings::default()));
    }

    #[test]
    fn every_key_arrives() {
        let limits = Limits {
            tarpit_from: 7,
            line_time: Duration::from_secs(8),
            content_window: Duration::from_secs(9),
            ban_score: 10,
            ..Limits::default()
        };
        let settings = limits.apply(server::Settings::default());
        assert_eq!(settings.tarpit.from_error, 7);
        assert_eq!(settings.timeouts.line.as_secs(), 8);
        assert_eq!((settings.timeouts.data.as_secs(), settings.timeouts.floor.window.as_secs()), (9, 9));
        assert_eq!(limits.visits().ban_score, 10);
    }
}
