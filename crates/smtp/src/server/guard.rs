//! What one session owes to the limits, with the time of day put in: [`limits`](super::limits) has none of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{Limits, Reason, Visit};
use super::places::Place;
use super::{Budget, Settings, Tarpit};
use crate::agent::Login;
use crate::reply::Reply;

/// The session's visit and its place.
#[derive(Debug)]
pub(super) struct Guard {
    visit: Visit,
    pub(super) place: Place,
    peer: Option<IpAddr>,
    /// Errors that are counted already.
    errors: u32,
}

impl Guard {
    pub(super) fn new(visit: Visit, place: Place) -> Self {
        Self { visit, place, peer: None, errors: 0 }
    }

    /// Whether the peer need not wait for the greeting.
    pub(super) fn knows_peer(&self) -> bool {
        self.visit.is_known(now())
    }

    pub(super) fn greeted(&self) {
        self.visit.greeted(now());
    }

    pub(super) fn offend(&self, reason: Reason) {
        self.visit.offend(reason, now());
    }

    pub(super) fn message(&self) -> Result<(), Reply> {
        self.visit.message(now())
    }

    pub(super) fn recipient(&self) -> Result<(), Reply> {
        self.visit.recipient(now())
    }

    /// A trusted proxy may say within the session whose it is: then that address's limits apply.
    pub(super) fn moved(&mut self, peer: IpAddr, limits: &Arc<Limits>) -> Result<(), Reply> {
        if self.peer.replace(peer).is_some_and(|before| before != peer) {
            self.visit = limits.enter(peer, now())?;
        }
        Ok(())
    }

    /// Counts the errors that are new.
    pub(super) fn errors(&self, errors: u32) -> Result<(), Reply> {
        self.visit.errors(errors.saturating_sub(self.errors), now())
    }

    /// How long the replies to new errors are held back.
    pub(super) fn tarpit(&self, errors: u32, tarpit: &Tarpit) -> Duration {
        if tarpit.from_error == 0 || self.visit.is_exempt() {
            return Duration::ZERO;
        }
        let first = self.errors.max(tarpit.from_error - 1);
        tarpit.delay.saturating_mul(errors.saturating_sub(first))
    }

    /// They are counted now.
    pub(super) fn seen(&mut self, errors: u32) {
        self.errors = errors;
    }

    pub(super) fn may_authenticate(&self, login: &str) -> Result<(), Reply> {
        self.visit.may_authenticate(login, now())
    }

    /// Remembers what came of it. A 4yz is our trouble and tells nothing about the credentials.
    pub(super) fn authenticated(
        &mut self,
        login: &str,
        answer: Result<Login, Reply>,
    ) -> Result<Login, Reply> {
        match answer {
            Ok(granted) => {
                self.visit.authenticated(login, &granted.account.address.to_string(), now())?;
                self.place.authenticated();
                Ok(granted)
            }
            Err(refusal) => {
                if refusal.is_permanent() {
                    self.visit.authentication_failed(login, now());
                }
                Err(refusal)
            }
        }
    }

    pub(super) fn memory(&self, settings: &Settings) -> Budget {
        self.visit.memory(&settings.message_memory, settings.max_size)
    }
}

/// The runtime's clock, which a test can move.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
