//! How much an account may submit: by message, recipient and octet, over an hour and a day. What is counted and what it comes
//! to is decided where the counts are kept; these are the words for it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Messages.
    Messages,
    /// Recipients, each in each message.
    Recipients,
    /// Octets of content, once for each message whatever its recipients.
    Octets,
}

/// How long a time is looked back over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// An hour.
    Hour,
    /// A day of 24 hours.
    Day,
}

impl Period {
    /// Its length.
    #[must_use]
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }
}

/// One of the limits that an account can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit {
    /// What it counts.
    pub measure: Measure,
    /// Over how long.
    pub period: Period,
}

impl Limit {
    /// All there are, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self { measure: Measure::Messages, period: Period::Hour },
        Self { measure: Measure::Messages, period: Period::Day },
        Self { measure: Measure::Recipients, period: Period::Hour },
        Self { measure: Measure::Recipients, period: Period::Day },
        Self { measure: Measure::Octets, period: Period::Hour },
        Self { measure: Measure::Octets, period: Period::Day },
    ];

    /// Its name in configuration, storage and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.measure, self.period) {
            (Measure::Messages, Period::Hour) => "messages_per_hour",
            (Measure::Messages, Period::Day) => "messages_per_day",
            (Measure::Recipients, Period::Hour) => "recipients_per_hour",
            (Measure::Recipients, Period::Day) => "recipients_per_day",
            (Measure::Octets, Period::Hour) => "octets_per_hour",
            (Measure::Octets, Period::Day) => "octets_per_day",
        }
    }

    /// The limit of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// Its place in [`Limit::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.measure as usize * 2 + self.period as usize
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::of_name(&name).ok_or_else(|| de::Error::custom(format!("{name} is no limit")))
    }
}

/// How much is allowed by each limit; none for as much as one likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota([Option<NonZeroU64>; 6]);

impl Quota {
    /// Without any limit.
    pub const UNLIMITED: Self = Self([None; 6]);

    /// What this limit allows.
    #[must_use]
    pub fn get(&self, limit: Limit) -> Option<NonZeroU64> {
        self.0[limit.index()]
    }

    /// Lets this limit allow so much; zero stands for none, as everywhere.
    pub fn set(&mut self, limit: Limit, allowed: u64) {
        self.0[limit.index()] = NonZeroU64::new(allowed);
    }

    /// Whether there is any limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        *self != Self::UNLIMITED
    }

    /// The limits that there are, with what they allow.
    pub fn limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().filter_map(|limit| Some((limit, self.get(limit)?.get())))
    }

    /// The least that a measure is limited to.
    #[must_use]
    pub fn least(&self, measure: Measure) -> Option<(Limit, u64)> {
        self.limits().filter(|(limit, _)| limit.measure == measure).min_by_key(|(_, allowed)| *allowed)
    }
}

impl FromIterator<(Limit, u64)> for Quota {
    fn from_iter<T: IntoIterator<Item = (Limit, u64)>>(limits: T) -> Self {
        let mut quota = Self::UNLIMITED;
        for (limit, allowed) in limits {
            quota.set(limit, allowed);
        }
        quota
    }
}

/// A map of the limits that there are.
impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.limits())
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<Limit, u64>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// What an account is to have of its own for one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitChange {
    /// Nothing: what is configured for all holds again.
    Default,
    /// No limit, whatever is configured.
    Unlimited,
    /// So much.
    AtMost(NonZeroU64),
}

/// What one message takes of its account's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Its recipients.
    pub recipients: u64,
    /// The octets of its content.
    pub octets: u64,
}

impl Cost {
    /// By what is counted; a message is one message.
    #[must_use]
    pub const fn of(self, measure: Measure) -> u64 {
        match measure {
            Measure::Messages => 1,
            Measure::Recipients => self.recipients,
            Measure::Octets => self.octets,
        }
    }
}

/// Why a message does not fit into its account's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The limit that it would go beyond; with several the one that takes longest.
    pub limit: Limit,
    /// What that allows.
    pub allowed: u64,
    /// When there is room for it, if nothing else is sent; none where there never will be.
    pub until: Option<Timestamp>,
}

/// What became of a message that was to be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// It fits, and counts from now on.
    Taken {
        /// When that was, by the clock of whoever counts: it names the charge when it is to be given back.
        at: Timestamp,
    },
    /// It does not fit, and does not count.
    Over(Excess),
}

/// Whether there is room for a message, without it being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Left {
        /// So many recipients may still come; none for as many as one likes.
        recipients: Option<u64>,
    },
    /// There is not.
    Over(Excess),
}

/// One limit of an account, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Which one.
    pub limit: Limit,
    /// What it allows; none for as much as one likes.
    pub allowed: Option<u64>,
    /// Whether that is the account's own and not what is configured for all.
    pub own: bool,
    /// What counts towards it now. Accounts without any limit are not counted.
    pub used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_place_and_its_name() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!((limit.index(), Limit::of_name(limit.name())), (index, Some(limit)));
        }
        assert_eq!(Limit::of_name("messages"), None);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut quota: Quota =
            [(Limit::ALL[2], 50), (Limit::ALL[3], 20), (Limit::ALL[0], 0)].into_iter().collect();
        assert_eq!(quota.limits().collect::<Vec<_>>(), [(Limit::ALL[2], 50), (Limit::ALL[3], 20)]);
        assert_eq!(quota.least(Measure::Recipients), Some((Limit::ALL[3], 20)));
        assert_eq!(quota.least(Measure::Octets), None);
        quota.set(Limit::ALL[2], 0);
        quota.set(Limit::ALL[3], 0);
        assert!(!quota.is_limited());
    }
}
