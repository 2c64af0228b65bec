//! Where a recipient's mail goes: accounts, details, aliases, catch-alls and the postmaster. The table in the crate's head
//! says who gets what.

use std::collections::HashSet;

use mail::{ForwardPath, Mailbox, Resolution};

use crate::key::{CATCH_ALL, Key, mailbox};
use crate::store::{Entry, Lookup};
use crate::{Directory, Error};

/// How deep aliases of aliases are followed.
const DEPTH_LIMIT: usize = 10;
/// How many addresses one recipient may lead to.
pub const MEMBER_LIMIT: usize = 1000;
/// Names that every domain of ours has to answer to (RFC 5321 4.5.1, RFC 2142).
const DUTIES: [&str; 2] = ["postmaster", "abuse"];

/// What a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expansion {
    /// The domain is not ours.
    NotLocal,
    /// The domain is ours, the user is not.
    UnknownUser,
    /// Ours, and these are who gets the mail; at least one.
    Members(Vec<Member>),
}

/// One of those that a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An account of ours.
    Here {
        /// The account's own address, which names its mailbox.
        account: Mailbox,
        /// The address that led to it, with its detail.
        address: Mailbox,
    },
    /// An address that is not ours.
    Elsewhere(Mailbox),
    /// An alias leads to this address of ours, and nobody has it.
    Missing(Mailbox),
}

impl Directory {
    /// Says where mail for a recipient goes. A member of an alias whom nobody knows stays among the others, so that its
    /// mail fails aloud and not in silence; an alias that leads to nobody else is an unknown user.
    ///
    /// # Errors
    /// When the storage cannot be asked or an alias leads to too many addresses.
    pub async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        let members = match self.expand(forward_path).await? {
            Expansion::NotLocal => return Ok(Resolution::NotLocal),
            Expansion::UnknownUser => return Ok(Resolution::UnknownUser),
            Expansion::Members(members) => members,
        };
        if members.iter().all(|member| matches!(member, Member::Missing(_))) {
            return Ok(Resolution::UnknownUser);
        }
        let address = |member| match member {
            Member::Here { address, .. } | Member::Elsewhere(address) | Member::Missing(address) => address,
        };
        Ok(Resolution::Deliverable(members.into_iter().map(address).collect()))
    }

    /// Says who gets a recipient's mail, each with the account whose mailbox it is.
    ///
    /// # Errors
    /// When the storage cannot be asked or an alias leads to too many addresses.
    pub async fn expand(&self, forward_path: &ForwardPath) -> Result<Expansion, Error> {
        let mailbox = match forward_path {
            ForwardPath::Mailbox(mailbox) => mailbox.clone(),
            ForwardPath::Postmaster => match self.bare_postmaster().await? {
                Some(mailbox) => mailbox,
                None => return Ok(Expansion::UnknownUser),
            },
        };
        let mut walk = Walk::default();
        match self.step(&mailbox).await? {
            Step::NotLocal => return Ok(Expansion::NotLocal),
            Step::Unknown => return Ok(Expansion::UnknownUser),
            first => walk.take(mailbox.clone(), first, 0),
        }
        while let Some((target, depth)) = walk.waiting.pop() {
            if depth > DEPTH_LIMIT {
                walk.members.push(Member::Missing(target));
            } else if walk.is_new(&target) {
                let step = self.step(&target).await?;
                walk.take(target, step, depth);
            }
            if walk.members.len() + walk.waiting.len() > MEMBER_LIMIT {
                return Err(Error::TooManyMembers(mailbox.to_string()));
            }
        }
        // Only a circle of aliases leads to nobody at all.
        Ok(if walk.members.is_empty() { Expansion::UnknownUser } else { Expansion::Members(walk.members) })
    }

    /// What stands directly behind one address.
    async fn step(&self, address: &Mailbox) -> Result<Step, Error> {
        let Some(key) = Key::of(address) else { return Ok(Step::NotLocal) };
        let base = key.without_detail(self.detail_separator);
        let Some(Lookup { shown_domain, entries }) = self.store.look_up(&key, base.as_ref()).await? else {
            return Ok(Step::NotLocal);
        };
        let names = [Some(key.local_part.as_str()), base.as_ref().map(|base| base.local_part.as_str())];
        for name in names.into_iter().flatten().filter(|name| *name != CATCH_ALL) {
            match entries.get(name) {
                Some(Entry::Account) => return Ok(Step::Account(mailbox(name, &shown_domain)?)),
                Some(Entry::Alias(targets)) => return Ok(Step::Alias(targets.clone())),
                None => {}
            }
        }
        if let Some(Entry::Alias(targets)) = entries.get(CATCH_ALL) {
            return Ok(Step::Alias(targets.clone()));
        }
        if DUTIES.contains(&key.local_part.as_str()) {
            return self.keeper_of(&key).await;
        }
        Ok(Step::Unknown)
    }

    /// Who minds a domain's postmaster and abuse mail where nobody was named for it.
    async fn keeper_of(&self, key: &Key) -> Result<Step, Error> {
        if let Some(postmaster) = &self.postmaster
            && Key::of(postmaster).as_ref() != Some(key)
        {
            return Ok(Step::Alias(vec![postmaster.clone()]));
        }
        let oldest = self.store.oldest_account(&key.domain).await?;
        Ok(oldest.map_or(Step::Unknown, |account| Step::Alias(vec![account])))
    }

    async fn bare_postmaster(&self) -> Result<Option<Mailbox>, Error> {
        if let Some(postmaster) = &self.postmaster {
            return Ok(Some(postmaster.clone()));
        }
        match self.store.oldest_domain().await? {
            Some(domain) => mailbox("postmaster", &domain).map(Some),
            None => Ok(None),
        }
    }
}

enum Step {
    NotLocal,
    Unknown,
    Account(Mailbox),
    Alias(Vec<Mailbox>),
}

/// The way through aliases: who was found, who still has to be looked at, who was seen already.
#[derive(Default)]
struct Walk {
    members: Vec<Member>,
    waiting: Vec<(Mailbox, usize)>,
    seen: HashSet<Key>,
}

impl Walk {
    /// Whether the address was not met before; an address literal is nowhere looked up, so it is always new.
    fn is_new(&mut self, address: &Mailbox) -> bool {
        Key::of(address).is_none_or(|key| self.seen.insert(key))
    }

    fn take(&mut self, address: Mailbox, step: Step, depth: usize) {
        match step {
            Step::NotLocal => self.members.push(Member::Elsewhere(address)),
            Step::Unknown => self.members.push(Member::Missing(address)),
            Step::Account(account) => self.members.push(Member::Here { account, address }),
            Step::Alias(targets) => {
                self.seen.extend(Key::of(&address));
                // The last one waiting is looked at first: reversed, the members come in the alias's order.
                self.waiting.extend(targets.into_iter().rev().map(|target| (target, depth + 1)));
            }
        }
    }
}
