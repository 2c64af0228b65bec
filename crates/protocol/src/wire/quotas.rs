//! `quotas.proto`, and what `directory.proto` says of limits.

use std::collections::HashMap;
use std::num::NonZeroU64;

use mail::quota::{Charged, Excess, LimitChange, LimitView, Room};
use mail::{Account, AccountView, Limit, Quota, Timestamp};

use super::{malformed, required};
use crate::Error;
use crate::generated as wire;
use crate::generated::charge_response::Outcome;
use crate::generated::room_response::Room as Answer;

/// Limits by name.
pub(super) fn to_names(quota: &Quota) -> HashMap<String, u64> {
    quota.limits().map(|(limit, allowed)| (limit.name().to_owned(), allowed)).collect()
}

/// A limit of a name that only newer programs know is left to those that charge by it.
pub(super) fn from_names(limits: &HashMap<String, u64>) -> Quota {
    limits.iter().filter_map(|(name, allowed)| Some((Limit::of_name(name)?, *allowed))).collect()
}

fn limit(name: &str) -> Result<Limit, Error> {
    Limit::of_name(name).ok_or_else(|| malformed("limit", format_args!("{name} is none")))
}

impl From<Excess> for wire::Excess {
    fn from(excess: Excess) -> Self {
        Self {
            limit: excess.limit.name().to_owned(),
            allowed: excess.allowed,
            until: excess.until.map(Timestamp::as_millis),
        }
    }
}

impl TryFrom<wire::Excess> for Excess {
    type Error = Error;
    fn try_from(excess: wire::Excess) -> Result<Self, Error> {
        let until = excess.until.map(Timestamp::from_millis);
        Ok(Self { limit: limit(&excess.limit)?, allowed: excess.allowed, until })
    }
}

impl From<Room> for wire::RoomResponse {
    fn from(room: Room) -> Self {
        let room = match room {
            Room::Left { recipients } => Answer::Left(wire::RoomLeft { recipients }),
            Room::Over(excess) => Answer::Over(excess.into()),
        };
        Self { room: Some(room) }
    }
}

impl TryFrom<wire::RoomResponse> for Room {
    type Error = Error;
    fn try_from(answer: wire::RoomResponse) -> Result<Self, Error> {
        Ok(match required("room", answer.room)? {
            Answer::Left(wire::RoomLeft { recipients }) => Self::Left { recipients },
            Answer::Over(excess) => Self::Over(excess.try_into()?),
        })
    }
}

impl From<Charged> for wire::ChargeResponse {
    fn from(charged: Charged) -> Self {
        let outcome = match charged {
            Charged::Taken { at } => Outcome::TakenAt(at.as_millis()),
            Charged::Over(excess) => Outcome::Over(excess.into()),
        };
        Self { outcome: Some(outcome) }
    }
}

impl TryFrom<wire::ChargeResponse> for Charged {
    type Error = Error;
    fn try_from(answer: wire::ChargeResponse) -> Result<Self, Error> {
        Ok(match required("outcome", answer.outcome)? {
            Outcome::TakenAt(at) => Self::Taken { at: Timestamp::from_millis(at) },
            Outcome::Over(excess) => Self::Over(excess.try_into()?),
        })
    }
}

impl From<&AccountView> for wire::ShowAccountResponse {
    fn from(view: &AccountView) -> Self {
        let limits = view.limits.iter().map(|view| wire::LimitView {
            limit: view.limit.name().to_owned(),
            allowed: view.allowed,
            own: view.own,
            used: view.used,
        });
        Self { account: Some((&view.account).into()), limits: limits.collect() }
    }
}

impl TryFrom<wire::ShowAccountResponse> for AccountView {
    type Error = Error;
    fn try_from(answer: wire::ShowAccountResponse) -> Result<Self, Error> {
        let view = |view: wire::LimitView| {
            let limit = limit(&view.limit)?;
            Ok(LimitView { limit, allowed: view.allowed, own: view.own, used: view.used })
        };
        Ok(Self {
            account: Account::try_from(required("account", answer.account)?)?,
            limits: answer.limits.into_iter().map(view).collect::<Result<_, Error>>()?,
        })
    }
}

impl wire::SetLimitsRequest {
    pub(crate) fn new(address: String, changes: &[(Limit, LimitChange)]) -> Self {
        let mut request = Self { address, ..Self::default() };
        for (limit, change) in changes {
            let name = limit.name().to_owned();
            match change {
                LimitChange::Default => request.default.push(name),
                LimitChange::Unlimited => drop(request.own.insert(name, 0)),
                LimitChange::AtMost(allowed) => drop(request.own.insert(name, allowed.get())),
            }
        }
        request
    }

    pub(crate) fn changes(&self) -> Result<Vec<(Limit, LimitChange)>, Error> {
        let own = self.own.iter().map(|(name, allowed)| {
            let change = NonZeroU64::new(*allowed).map_or(LimitChange::Unlimited, LimitChange::AtMost);
            Ok((limit(name)?, change))
        });
        let default = self.default.iter().map(|name| Ok((limit(name)?, LimitChange::Default)));
        own.chain(default).collect()
    }
}
