//! What a server offers beyond what it offers to everybody, and to whom: the limits of RFC 2852, 4865 and 6710, and who may
//! give the commands that tell or change something. Knows no session.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mail::{DeliverBy, DeliverByMode, Hold, Mailbox, Priority, Timestamp};

use crate::extension::MaxHold;
use crate::reply::{self, Reply};

/// What time it is. Passed in, like all time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is offered, and to whom. By default nobody may do what not everybody may do.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The fewest seconds that BY may give with by-mode R (RFC 2852 3, min-by-time).
    pub min_deliver_by: u32,
    /// FUTURERELEASE; only a submission server may offer it (RFC 4865 4.2).
    pub future_release: Option<FutureRelease>,
    /// The highest MT-PRIORITY that somebody who has authenticated may ask for (RFC 6710 4.1). Others may not raise it, and
    /// everybody may lower it.
    pub max_priority: Priority,
    /// Whether VRFY and EXPN answer those who have authenticated.
    pub verify_authenticated: bool,
    /// Networks that VRFY and EXPN answer.
    pub verify_from: Vec<IpNet>,
    /// Networks that may start the queue by ETRN (RFC 1985).
    pub etrn_from: Vec<IpNet>,
    /// Networks that may say by XCLIENT and XFORWARD whom they speak for.
    pub xclient_from: Vec<IpNet>,
    /// Whether XCLIENT may also say who has authenticated (LOGIN): nobody here has seen a password then.
    pub xclient_login: bool,
    /// Networks that may give QUEU, TICK and VERB.
    pub verbs_from: Vec<IpNet>,
    /// Accounts that may give QUEU, TICK and VERB.
    pub administrators: Vec<Mailbox>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_deliver_by: 60,
            future_release: None,
            max_priority: Priority::NORMAL,
            verify_authenticated: false,
            verify_from: Vec::new(),
            etrn_from: Vec::new(),
            xclient_from: Vec::new(),
            xclient_login: false,
            verbs_from: Vec::new(),
            administrators: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether a message may have these times (RFC 2852 4, RFC 4865 4.2).
    ///
    /// # Errors
    /// The refusal.
    pub fn check_times(&self, deliver_by: Option<DeliverBy>, hold: Option<Hold>) -> Result<(), Reply> {
        let least = self.min_deliver_by;
        if deliver_by.is_some_and(|by| by.mode == DeliverByMode::Return && by.seconds < i64::from(least)) {
            return Err(reply::deliver_by_too_soon(least));
        }
        match (&self.future_release, hold) {
            (_, None) => Ok(()),
            (None, Some(_)) => Err(reply::parameter_unknown()),
            (Some(offer), Some(hold)) => offer.check(hold, deliver_by.map(|by| by.seconds)),
        }
    }
}

/// How long messages are held (RFC 4865).
#[derive(Clone)]
pub struct FutureRelease {
    /// The longest, in seconds.
    pub max_seconds: u32,
    /// What time it is.
    pub now: Now,
}

impl FutureRelease {
    /// What EHLO says: the interval and the date.
    #[must_use]
    pub fn limits(&self) -> MaxHold {
        let seconds = self.max_seconds;
        let until = (self.now)() + std::time::Duration::from_secs(seconds.into());
        MaxHold { seconds, until: until.whole_seconds() }
    }

    /// What RFC 4865 4.2 and 5.2.2 want of a hold. HOLDFOR and BY are compared as they stand, HOLDUNTIL by the clock.
    fn check(&self, hold: Hold, deliver_by: Option<i64>) -> Result<(), Reply> {
        let millis = match hold {
            Hold::For(seconds) => i64::from(seconds) * 1000,
            Hold::Until(time) => time.as_millis().saturating_sub((self.now)().as_millis()),
        };
        if millis <= 0 {
            return Err(reply::hold_is_over());
        }
        if millis > i64::from(self.max_seconds) * 1000 {
            return Err(reply::hold_too_long(self.max_seconds));
        }
        if deliver_by.is_some_and(|seconds| millis > seconds.saturating_mul(1000)) {
            return Err(reply::hold_beyond_deliver_by());
        }
        Ok(())
    }
}

impl fmt::Debug for FutureRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutureRelease").field("max_seconds", &self.max_seconds).finish_non_exhaustive()
    }
}

/// Whether an address is in one of these networks; an IPv4 address in IPv6 form is an IPv4 address.
#[must_use]
pub fn is_listed(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}
