//! Failed authentications by the name of the account, whether there is such an account or not. Guessing from many addresses
//! is slowed down without locking the owner out: once an account has its limit of failures from strangers, credentials from
//! networks that it did not authenticate from before are not looked at for a while; those from its own networks still are,
//! under the limit of each address alone.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::time::Instant;

use mail::Mailbox;

use super::rate::{Level, Rate};
use super::table::Table;

/// The name of an account in few octets, the same for no other name but by chance, and by no attacker's choice.
pub(super) type Name = u64;

/// What is remembered of accounts.
#[derive(Debug)]
pub(super) struct Logins {
    hasher: RandomState,
    /// Failures from strangers, by the name that they gave.
    failures: Table<Name, Level>,
    /// Until when a network is known as the account's own. Only who authenticates gets in here, so guessing forgets none.
    known: Table<(Name, IpAddr), Option<Instant>>,
    /// Sessions of accounts.
    sessions: Table<Name, u32>,
}

impl Logins {
    pub(super) fn new(tracked: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            failures: Table::new(tracked),
            known: Table::new(tracked),
            sessions: Table::new(tracked),
        }
    }

    /// An account has one name however its address is written, or each way to write it would be a limit of its own.
    pub(super) fn name(&self, login: &str) -> Name {
        self.hasher.hash_one(address(login).unwrap_or_else(|| (login.to_lowercase(), String::new())))
    }

    /// Whether credentials from there are looked at.
    pub(super) fn may_try(&mut self, name: Name, network: IpAddr, rate: Rate, now: Instant) -> bool {
        self.is_known(name, network, now)
            || self.failures.get(&name).is_none_or(|failures| failures.has_room(rate, now))
    }

    /// The credentials were wrong.
    pub(super) fn failed(&mut self, name: Name, network: IpAddr, rate: Rate, now: Instant) {
        if !self.is_known(name, network, now) {
            self.failures.see(name, |_| false).add(1, rate, now);
        }
    }

    /// They were right: the network is the account's own until then.
    pub(super) fn succeeded(&mut self, name: Name, network: IpAddr, until: Instant) {
        *self.known.see((name, network), |_| false) = Some(until);
    }

    /// Counts a session of the account in, unless it has so many.
    pub(super) fn enter(&mut self, name: Name, most: u32) -> bool {
        let sessions = self.sessions.see(name, |sessions| *sessions > 0);
        let room = most == 0 || *sessions < most;
        *sessions += u32::from(room);
        room
    }

    /// Counts it out.
    pub(super) fn leave(&mut self, name: Name) {
        if let Some(sessions) = self.sessions.get(&name) {
            *sessions = sessions.saturating_sub(1);
        }
    }

    fn is_known(&mut self, name: Name, network: IpAddr, now: Instant) -> bool {
        self.known.get(&(name, network)).is_some_and(|until| until.is_some_and(|until| now < until))
    }
}

/// The local part without quotes and case, and the domain as DNS has it: what an account is looked up by. None where the
/// login is no such address.
fn address(login: &str) -> Option<(String, String)> {
    let mailbox = Mailbox::parse(login).ok()?;
    let domain = mailbox.domain()?.to_ascii().ok()?;
    Some((mailbox.local_part().as_str().to_lowercase(), domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_name_however_it_is_written() {
        let logins = Logins::new(10);
        let name = |login: &str| logins.name(login);
        for spelling in [
            "ALICE@E.Test",
            "\"alice\"@e.test",
            "\"\\alice\"@e.test",
            "\"al\\iCe\"@e.test",
            "alice@\u{ff45}.test",
            "alice@e\u{3002}test",
        ] {
            assert_eq!(name(spelling), name("alice@e.test"), "{spelling}");
        }
        assert_eq!(name("a@Bücher.example"), name("A@xn--bcher-kva.example"));
        assert_eq!(name("Alice"), name("alice"));
        let others =
            ["alice@f.test", "alic@e.test", "alice", "\"a@b\"@c", "a@b@c", "a@b", "a@[192.0.2.1]", ""];
        let names: std::collections::HashSet<_> = others.into_iter().map(name).collect();
        assert_eq!(names.len(), others.len());
        assert!(!names.contains(&name("alice@e.test")));
    }
}
