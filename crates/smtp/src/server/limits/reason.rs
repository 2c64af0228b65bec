//! Why somebody is refused, for metrics and logs, and how much of an offence it is.

use crate::reply::{self, Reply};

/// Why somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Too many sessions of the listener.
    Sessions,
    /// Too many sessions from the address.
    AddressSessions,
    /// Too many sessions from the network.
    NetworkSessions,
    /// Too many new sessions from the address.
    AddressRate,
    /// Too many new sessions from the network.
    NetworkRate,
    /// Too many sessions of the account.
    AccountSessions,
    /// Too many messages from the address.
    Messages,
    /// Too many recipients from the address.
    Recipients,
    /// Too many errors of the address.
    Errors,
    /// Too many failed authentications of the address or for the account.
    Authentication,
    /// It took a reserved place and did not authenticate.
    Reserve,
    /// The address is banned.
    Banned,
    /// It talked before the greeting.
    EarlyTalker,
    /// It did not wait for its turn.
    OutOfTurn,
    /// A command or content came too slowly, or nothing came for too long.
    TooSlow,
    /// Its message found no memory.
    Memory,
    /// A proxy sent no header, or one that cannot be read.
    Proxy,
}

impl Reason {
    /// As in the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::AddressSessions => "address_sessions",
            Self::NetworkSessions => "network_sessions",
            Self::AddressRate => "address_rate",
            Self::NetworkRate => "network_rate",
            Self::AccountSessions => "account_sessions",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Errors => "errors",
            Self::Authentication => "authentication",
            Self::Reserve => "reserve",
            Self::Banned => "banned",
            Self::EarlyTalker => "early_talker",
            Self::OutOfTurn => "out_of_turn",
            Self::TooSlow => "too_slow",
            Self::Memory => "memory",
            Self::Proxy => "proxy",
        }
    }

    /// What is said to whom a limit of [`Limits`](super::Limits) refuses.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::AddressSessions => reply::too_many_sessions_from("address"),
            Self::NetworkSessions => reply::too_many_sessions_from("network"),
            Self::AddressRate => reply::sessions_too_fast("address"),
            Self::NetworkRate => reply::sessions_too_fast("network"),
            Self::AccountSessions => reply::too_many_sessions_of_account(),
            Self::Messages => reply::messages_too_fast(),
            Self::Recipients => reply::recipients_too_fast(),
            Self::Errors => reply::too_many_errors_from_address(),
            Self::Authentication => reply::authentication_limited(),
            Self::Reserve => reply::authenticate_sooner(),
            Self::Banned => reply::banned(),
            Self::EarlyTalker => reply::talked_too_early(),
            Self::OutOfTurn => reply::out_of_turn(),
            Self::TooSlow => reply::idle_too_long(),
            Self::Memory => reply::no_memory(),
            Self::Sessions | Self::Proxy => reply::too_many_sessions(),
        }
    }

    /// What it adds to the score of an address. What others may have caused (a network's limit, a full server) is nothing.
    pub(super) fn weight(self) -> u32 {
        match self {
            Self::EarlyTalker => 25,
            Self::OutOfTurn => 10,
            Self::AddressSessions
            | Self::AddressRate
            | Self::Messages
            | Self::Recipients
            | Self::Errors
            | Self::Authentication
            | Self::Reserve
            | Self::TooSlow => 1,
            Self::Sessions
            | Self::NetworkSessions
            | Self::NetworkRate
            | Self::AccountSessions
            | Self::Banned
            | Self::Memory
            | Self::Proxy => 0,
        }
    }
}

/// A refused command.
pub(super) const ERROR_WEIGHT: u32 = 1;
/// A failed authentication, beside the error that it is.
pub(super) const FAILURE_WEIGHT: u32 = 4;
