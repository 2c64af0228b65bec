//! One session's dealings with the limits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::logins::Name;
use super::reason::{ERROR_WEIGHT, FAILURE_WEIGHT};
use super::{Address, Budget, Limits, Reason};
use crate::reply::Reply;

/// A session that was let in; it counts until this is dropped. Where the address is exempt nothing is counted.
#[derive(Debug)]
pub struct Visit {
    limits: Arc<Limits>,
    address: IpAddr,
    network: IpAddr,
    exempt: bool,
    account: Option<Name>,
}

impl Visit {
    pub(super) fn new(limits: Arc<Limits>, address: IpAddr, network: IpAddr, exempt: bool) -> Self {
        Self { limits, address, network, exempt, account: None }
    }

    /// Whether no limits apply.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.exempt
    }

    /// Whether the address waited for the greeting, or authenticated, not long ago.
    #[must_use]
    pub fn is_known(&self, now: Instant) -> bool {
        self.exempt
            || self.with(|address| address.known_until.is_some_and(|until| now < until)).unwrap_or(false)
    }

    /// The address waited for the greeting.
    pub fn greeted(&self, now: Instant) {
        let until = now + self.limits.settings.known_for;
        self.with(|address| address.known_until = Some(until));
    }

    /// Whether another message may come.
    ///
    /// # Errors
    /// The reply to MAIL.
    pub fn message(&self, now: Instant) -> Result<(), Reply> {
        let rate = self.limits.settings.messages();
        self.take(now, Reason::Messages, |address| address.messages.take(rate, now))
    }

    /// Whether another recipient may come.
    ///
    /// # Errors
    /// The reply to RCPT.
    pub fn recipient(&self, now: Instant) -> Result<(), Reply> {
        let rate = self.limits.settings.recipients();
        self.take(now, Reason::Recipients, |address| address.recipients.take(rate, now))
    }

    /// So many commands were refused.
    ///
    /// # Errors
    /// The reply that ends the session: there were too many of them, or the address is banned.
    pub fn errors(&self, count: u32, now: Instant) -> Result<(), Reply> {
        if self.exempt || count == 0 {
            return Ok(());
        }
        let rate = self.limits.settings.errors();
        let full = self.with(|address| address.errors.add(count, rate, now)).unwrap_or(false);
        self.limits.offend(self.address, count.saturating_mul(ERROR_WEIGHT), now);
        let reason = match self.with(|address| address.is_banned(now)) {
            Some(true) => Reason::Banned,
            _ if full => Reason::Errors,
            _ => return Ok(()),
        };
        Err(self.limits.refuse(self.address, reason, now))
    }

    /// The peer is refused for bad manners.
    pub fn offend(&self, reason: Reason, now: Instant) {
        if self.exempt {
            self.limits.count_refusal(reason);
        } else {
            self.limits.refuse(self.address, reason, now);
        }
    }

    /// Whether credentials for this account are looked at.
    ///
    /// # Errors
    /// The reply to AUTH.
    pub fn may_authenticate(&self, login: &str, now: Instant) -> Result<(), Reply> {
        let settings = &self.limits.settings;
        let (of_address, of_account) = (settings.failures_of_address(), settings.failures_of_account());
        let network = self.network;
        let mut may = self.exempt;
        if !self.exempt {
            let mut state = self.limits.state();
            let name = state.logins.name(login);
            // A token or a certificate may name no account: then the address alone counts, or all such would share a limit.
            may = (login.is_empty() || state.logins.may_try(name, network, of_account, now))
                && state
                    .addresses
                    .get(&self.address)
                    .is_none_or(|address| address.failures.has_room(of_address, now));
        }
        if may { Ok(()) } else { Err(self.limits.refuse(self.address, Reason::Authentication, now)) }
    }

    /// The credentials were wrong.
    pub fn authentication_failed(&self, login: &str, now: Instant) {
        if self.exempt {
            return;
        }
        let settings = &self.limits.settings;
        let (of_address, of_account) = (settings.failures_of_address(), settings.failures_of_account());
        {
            let mut state = self.limits.state();
            let name = state.logins.name(login);
            if !login.is_empty() {
                state.logins.failed(name, self.network, of_account, now);
            }
            state.addresses.see(self.address, Address::is_in_use).failures.add(1, of_address, now);
        }
        self.limits.offend(self.address, FAILURE_WEIGHT, now);
    }

    /// They were right: address and network are known from now on, and the session counts as the account's.
    ///
    /// # Errors
    /// The reply to AUTH: the account has too many sessions.
    pub fn authenticated(&mut self, login: &str, account: &str, now: Instant) -> Result<(), Reply> {
        if self.exempt {
            return Ok(());
        }
        let until = now + self.limits.settings.known_for;
        let entered = {
            let mut state = self.limits.state();
            let (login, name) = (state.logins.name(login), state.logins.name(account));
            state.logins.succeeded(login, self.network, until);
            state.logins.succeeded(name, self.network, until);
            state.addresses.see(self.address, Address::is_in_use).known_until = Some(until);
            if let Some(before) = self.account.take() {
                state.logins.leave(before);
            }
            let entered = state.logins.enter(name, self.limits.settings.sessions_per_account);
            self.account = entered.then_some(name);
            entered
        };
        if entered { Ok(()) } else { Err(self.limits.refuse(self.address, Reason::AccountSessions, now)) }
    }

    /// The part of the memory for messages that this session takes from: its address's share, which is enough for one
    /// message of `largest` octets.
    #[must_use]
    pub fn memory(&self, whole: &Budget, largest: usize) -> Budget {
        let share = whole.part(self.limits.settings.memory_percent).max(largest.saturating_mul(4) / 3);
        let own = self
            .with(|address| address.memory.get_or_insert_with(|| whole.share(share)).clone())
            .filter(|own| own.is_share_of(whole));
        own.unwrap_or_else(|| whole.clone())
    }

    fn take(
        &self,
        now: Instant,
        reason: Reason,
        take: impl FnOnce(&mut Address) -> bool,
    ) -> Result<(), Reply> {
        match self.with(take) {
            Some(false) => Err(self.limits.refuse(self.address, reason, now)),
            _ => Ok(()),
        }
    }

    /// Does something with what is remembered of the address; nothing is where it is exempt.
    fn with<T>(&self, then: impl FnOnce(&mut Address) -> T) -> Option<T> {
        if self.exempt {
            return None;
        }
        Some(then(self.limits.state().addresses.see(self.address, Address::is_in_use)))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.exempt {
            return;
        }
        let mut state = self.limits.state();
        if let Some(address) = state.addresses.get(&self.address) {
            address.sessions = address.sessions.saturating_sub(1);
            if address.sessions == 0 {
                address.memory = None;
            }
        }
        if let Some(network) = state.networks.get(&self.network) {
            network.sessions = network.sessions.saturating_sub(1);
        }
        if let Some(account) = self.account {
            state.logins.leave(account);
        }
    }
}
