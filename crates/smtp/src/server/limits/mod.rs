//! What one address, one network and one account may do, shared by all listeners of an agent. No I/O, and the time is passed
//! in. It knows addresses and names of accounts, no commands and no content.
//!
//! All tables are bounded: of each kind [`Settings::tracked`] are remembered, and whoever was not seen for longest is
//! forgotten, but those with an open session. An attacker with more addresses than that can have old ones forgotten, which
//! gives him nothing that a fresh address would not.
//!
//! Offences make a score that decays; an address whose score reaches [`Settings::ban_score`] is not served for a while.

mod logins;
mod metrics;
mod rate;
mod reason;
mod settings;
mod table;
mod visit;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use reason::Reason;
pub use settings::Settings;
pub use visit::Visit;

use super::Budget;
use crate::reply::Reply;
use logins::Logins;
use metrics::Metrics;
use rate::Level;
use table::Table;

/// How often the log tells of refusals to one address at level info.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The limits of an agent, and who has used up how much of them.
#[derive(Debug)]
pub struct Limits {
    settings: Settings,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    addresses: Table<IpAddr, Address>,
    networks: Table<IpAddr, Network>,
    logins: Logins,
}

/// What is remembered of an address.
#[derive(Debug, Default)]
struct Address {
    sessions: u32,
    opened: Level,
    messages: Level,
    recipients: Level,
    errors: Level,
    failures: Level,
    score: Level,
    banned_until: Option<Instant>,
    known_until: Option<Instant>,
    /// When the log last told of a refusal.
    told: Option<Instant>,
    /// Its share of the memory for messages, for as long as it has sessions.
    memory: Option<Budget>,
}

#[derive(Debug, Default)]
struct Network {
    sessions: u32,
    opened: Level,
}

/// What became of an offence, for the log.
#[derive(Debug, Default, Clone, Copy)]
struct Consequence {
    banned: bool,
    tell: bool,
}

impl Address {
    fn is_in_use(&self) -> bool {
        self.sessions > 0
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    /// Raises the score; a ban begins where it is full.
    fn offend(&mut self, weight: u32, settings: &Settings, now: Instant) -> Consequence {
        let full = weight > 0 && self.score.add(weight, settings.score(), now);
        let banned = full && !self.is_banned(now);
        if banned {
            self.banned_until = Some(now + settings.ban_time);
            self.known_until = None;
        }
        let tell = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if tell {
            self.told = Some(now);
        }
        Consequence { banned, tell }
    }

    /// Counts a session in, where nothing is against it.
    fn open(&mut self, settings: &Settings, now: Instant) -> Result<(), Reason> {
        if self.is_banned(now) {
            return Err(Reason::Banned);
        }
        if !self.errors.has_room(settings.errors(), now) {
            return Err(Reason::Errors);
        }
        if is_full(self.sessions, settings.sessions_per_address) {
            return Err(Reason::AddressSessions);
        }
        if !self.opened.take(settings.new_sessions_of_address(), now) {
            return Err(Reason::AddressRate);
        }
        Ok(())
    }
}

impl Network {
    fn open(&mut self, settings: &Settings, now: Instant) -> Result<(), Reason> {
        if is_full(self.sessions, settings.sessions_per_network) {
            return Err(Reason::NetworkSessions);
        }
        if !self.opened.take(settings.new_sessions_of_network(), now) {
            return Err(Reason::NetworkRate);
        }
        Ok(())
    }
}

fn is_full(count: u32, most: u32) -> bool {
    most > 0 && count >= most
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Limits {
    /// Nobody has used up anything. To be made after telemetry was installed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let tracked = settings.tracked;
        let state = State {
            addresses: Table::new(tracked),
            networks: Table::new(tracked),
            logins: Logins::new(tracked),
        };
        Self { settings, state: Mutex::new(state), metrics: Metrics::new() }
    }

    /// Lets a peer in, or says why not. The session counts until the visit is dropped.
    ///
    /// # Errors
    /// The reply in place of the greeting.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Visit, Reply> {
        let exempt = self.settings.is_exempt(peer);
        let (address, network) = (self.settings.address(peer), self.settings.network(peer));
        if !exempt {
            self.count_in(address, network, now).map_err(|reason| self.refuse(address, reason, now))?;
        }
        Ok(Visit::new(Arc::clone(self), address, network, exempt))
    }

    fn count_in(&self, address: IpAddr, network: IpAddr, now: Instant) -> Result<(), Reason> {
        let mut state = self.state();
        let State { addresses, networks, .. } = &mut *state;
        let address = addresses.see(address, Address::is_in_use);
        address.open(&self.settings, now)?;
        let network = networks.see(network, |network| network.sessions > 0);
        network.open(&self.settings, now)?;
        address.sessions += 1;
        network.sessions += 1;
        Ok(())
    }

    /// Counts a refusal that no limit of these caused.
    pub fn count_refusal(&self, reason: Reason) {
        self.metrics.refused(reason);
    }

    /// Counts a refusal, remembers the offence, and tells of it.
    fn refuse(&self, address: IpAddr, reason: Reason, now: Instant) -> Reply {
        self.metrics.refused(reason);
        let consequence = self.offend(address, reason.weight(), now);
        let reply = reason.reply();
        let (peer, reason) = (address, reason.as_str());
        // A flood of refusals must not become a flood of lines.
        if consequence.tell {
            tracing::info!(%peer, reason, %reply, "refused by a limit");
        } else {
            tracing::debug!(%peer, reason, %reply, "refused by a limit");
        }
        reply
    }

    /// Remembers an offence; whether the address is banned with it.
    fn offend(&self, address: IpAddr, weight: u32, now: Instant) -> Consequence {
        let consequence =
            self.state().addresses.see(address, Address::is_in_use).offend(weight, &self.settings, now);
        if consequence.banned {
            self.metrics.banned();
            let seconds = self.settings.ban_time.as_secs();
            tracing::warn!(peer = %address, seconds, "banned an address for its errors");
        }
        consequence
    }

    /// A panic while it was locked would have been a bug; the counts are still the best that is known.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
