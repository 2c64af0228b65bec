//! What an administrator does: domains, accounts and aliases made, changed, removed and listed.

use std::collections::HashMap;

use mail::{Account, Alias, Domain, Mailbox, Timestamp};

use crate::key::{CATCH_ALL, Key, domain_key, mailbox};
use crate::rights::account;
use crate::store::{self, AliasRow, AliasWrite, Rights, Secrets};
use crate::{Directory, Error};

/// Targets of one alias at most.
pub const TARGET_LIMIT: usize = 100;

impl Directory {
    /// Makes a domain ours.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], or the storage cannot be changed.
    pub async fn add_domain(&self, domain: &Domain, now: Timestamp) -> Result<(), Error> {
        let added = self.store.add_domain(&domain_key(domain)?, domain.as_str(), now).await?;
        if added { Ok(()) } else { Err(Error::AlreadyExists(format!("the domain {domain}"))) }
    }

    /// Gives a domain up.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Rejected`] while it has accounts or aliases, or the storage cannot be changed.
    pub async fn remove_domain(&self, domain: &Domain) -> Result<(), Error> {
        match self.store.remove_domain(&domain_key(domain)?).await? {
            Some(true) => Ok(()),
            Some(false) => Err(no_domain(domain)),
            None => {
                Err(Error::Rejected(format!("{domain} still has accounts or aliases; remove them first")))
            }
        }
    }

    /// All our domains by name.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn domains(&self) -> Result<Vec<Domain>, Error> {
        let parse = |name: String| Domain::parse(&name).map_err(|_| Error::Corrupt("domain"));
        self.store.domains().await?.into_iter().map(parse).collect()
    }

    /// Makes an account with a password.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotFound`] when the domain is not ours, [`Error::Rejected`] when the address cannot
    /// be an account's or the password is empty or too long, or the storage cannot be changed.
    pub async fn add_account(&self, address: &Mailbox, password: &str, now: Timestamp) -> Result<(), Error> {
        let key = own_key(address)?;
        if key.local_part == CATCH_ALL {
            return Err(Error::Rejected(format!("{address} can only be an alias: it catches everything")));
        }
        let secrets = self.secrets(&key, password).await?;
        match self.store.add_account(&key, &secrets, now).await? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::AlreadyExists(format!("an account or alias {address}"))),
            None => Err(Error::NotFound(format!("domain {} here; add it first", address.host()))),
        }
    }

    /// What is kept of a new password.
    async fn secrets(&self, key: &Key, password: &str) -> Result<Secrets, Error> {
        let (scram, key) = (self.scram.clone(), key.clone());
        let made = self.hasher.hash(password, move |password| scram.make(&key, password)).await?;
        let (password, scram) = made;
        Ok(Secrets { password, scram })
    }

    /// Changes an account's password. The old one is refused from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Rejected`] when the password is empty or too long, or the storage cannot be changed.
    pub async fn set_password(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        let key = own_key(address)?;
        let secrets = self.secrets(&key, password).await?;
        let found = self.store.set_password(&key, &secrets).await?;
        if found { Ok(()) } else { Err(no_account(address)) }
    }

    /// Removes an account. Its mail stays where it lies.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the storage cannot be changed.
    pub async fn remove_account(&self, address: &Mailbox) -> Result<(), Error> {
        let found = self.store.remove_account(&own_key(address)?).await?;
        if found { Ok(()) } else { Err(no_account(address)) }
    }

    /// The accounts by address, of one domain or all.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<Account>, Error> {
        let domain = domain.map(domain_key).transpose()?;
        let mut rights: HashMap<String, Rights> = HashMap::new();
        for AliasRow { local_part, shown_domain, target_key, .. } in self.store.aliases(None).await? {
            let alias = store::Alias { local_part, shown_domain };
            rights.entry(target_key).or_default().aliases.push(alias);
        }
        for (key, pattern) in self.store.grants(domain.as_deref()).await? {
            rights.entry(key.to_text()).or_default().granted.push(pattern);
        }
        let mut accounts = Vec::new();
        for row in self.store.accounts(domain.as_deref()).await? {
            let key = Key { domain: row.domain, local_part: row.local_part };
            let mut rights = rights.remove(&key.to_text()).unwrap_or_default();
            rights.own = row.own;
            accounts.push(account(&key, &row.shown_domain, rights, &self.quota, row.created_at)?);
        }
        Ok(accounts)
    }

    /// Makes an alias, or gives it other targets. A local part of `*` catches what nothing else of the domain takes.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the domain is not ours, [`Error::Rejected`] when an account has the address or the targets
    /// are none or too many, or the storage cannot be changed.
    pub async fn set_alias(&self, alias: &Alias, now: Timestamp) -> Result<(), Error> {
        let address = alias_address(&alias.address)?;
        let key = own_key(&address)?;
        if alias.targets.is_empty() || alias.targets.len() > TARGET_LIMIT {
            let text = format!("an alias has between 1 and {TARGET_LIMIT} targets");
            return Err(Error::Rejected(text));
        }
        let mut targets: Vec<(String, String)> = Vec::with_capacity(alias.targets.len());
        for target in &alias.targets {
            let compared = Key::of(target).map_or_else(|| target.to_string(), |key| key.to_text());
            if targets.iter().all(|(_, known)| *known != compared) {
                targets.push((target.to_string(), compared));
            }
        }
        match self.store.set_alias(&key, &targets, now).await? {
            AliasWrite::Done => Ok(()),
            AliasWrite::NoDomain => {
                Err(Error::NotFound(format!("domain {} here; add it first", address.host())))
            }
            AliasWrite::IsAccount => {
                Err(Error::Rejected(format!("{address} is an account; remove it before the alias is made")))
            }
        }
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the storage cannot be changed.
    pub async fn remove_alias(&self, address: &str) -> Result<(), Error> {
        let found = self.store.remove_alias(&own_key(&alias_address(address)?)?).await?;
        if found { Ok(()) } else { Err(Error::NotFound(format!("alias {address}"))) }
    }

    /// The aliases by address, of one domain or all.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, Error> {
        let domain = domain.map(domain_key).transpose()?;
        let mut aliases: Vec<Alias> = Vec::new();
        for row in self.store.aliases(domain.as_deref()).await? {
            let address = mailbox(&row.local_part, &row.shown_domain)?.to_string();
            match aliases.last_mut() {
                Some(last) if last.address == address => last.targets.push(row.target),
                _ => aliases.push(Alias { address, targets: vec![row.target] }),
            }
        }
        Ok(aliases)
    }
}

/// The key of an address that is to be ours.
pub(crate) fn own_key(address: &Mailbox) -> Result<Key, Error> {
    let no_name = || Error::Rejected(format!("{address} needs a domain that can be a name in DNS"));
    let key = Key::of(address).ok_or_else(no_name)?;
    // Some letters take more octets in lower case, and what is stored has to be read again.
    let too_long = |_| Error::Rejected(format!("{address} is too long in lower case"));
    mailbox(&key.local_part, &key.domain).map_err(too_long)?;
    Ok(key)
}

fn alias_address(address: &str) -> Result<Mailbox, Error> {
    Mailbox::parse(address).map_err(|error| Error::Rejected(format!("{address} is no address: {error}")))
}

fn no_domain(domain: &Domain) -> Error {
    Error::NotFound(format!("domain {domain} here"))
}

pub(crate) fn no_account(address: &Mailbox) -> Error {
    Error::NotFound(format!("account {address}"))
}
