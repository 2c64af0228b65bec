//! Whom a start finds or makes: the domains and accounts of the command line, or the demo account of a first start.

use std::str::FromStr;

use mail::{Domain, Mailbox};
use protocol::{DirectoryAdmin, ErrorKind};
use serde::Serialize;

use crate::password;
use crate::verbs::account;

/// The account that a first start without configuration makes.
const DEMO: &str = "demo@localhost";

/// `--account alice@example.test:PASSWORD`, or without the password, which is then made up.
#[derive(Clone)]
pub(super) struct NewAccount {
    address: Mailbox,
    password: Option<String>,
}

/// Without the password.
impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.address)
    }
}

impl FromStr for NewAccount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed =
            |error| format!("{error}; write it as ADDRESS:PASSWORD, as in alice@example.org:secret");
        let (address, rest) = Mailbox::parse_prefix(text).map_err(malformed)?;
        match rest.strip_prefix(':') {
            Some("") => Err("the password is empty; leave the colon away to have one made up".to_owned()),
            Some(password) => Ok(Self { address, password: Some(password.to_owned()) }),
            None if rest.is_empty() => Ok(Self { address, password: None }),
            None => Err(malformed(mail::AddressError::Trailing)),
        }
    }
}

/// An account after the start.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Prepared {
    pub(super) address: Mailbox,
    /// Whether this start has made it.
    pub(super) made: bool,
    /// The password, where this start has made it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,
}

impl Prepared {
    fn found(address: Mailbox) -> Self {
        Self { address, made: false, password: None }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) domains: Vec<Domain>,
    pub(super) accounts: Vec<NewAccount>,
    /// Whether a directory without any account gets one.
    pub(super) demo: bool,
}

/// Makes what is missing. What is there stays as it is, its password too.
pub(super) async fn prepare(admin: &dyn DirectoryAdmin, wanted: Wanted) -> anyhow::Result<Vec<Prepared>> {
    for domain in &wanted.domains {
        account::add_domain(admin, domain).await?;
    }
    let mut prepared = Vec::new();
    for new in wanted.accounts {
        prepared.push(add(admin, new).await?);
    }
    if !prepared.is_empty() {
        return Ok(prepared);
    }
    let accounts = admin.accounts(None).await?;
    if accounts.is_empty() && wanted.demo {
        let demo = NewAccount { address: Mailbox::parse(DEMO)?, password: None };
        prepared.push(add(admin, demo).await?);
    }
    prepared.extend(accounts.into_iter().map(|account| Prepared::found(account.address)));
    Ok(prepared)
}

async fn add(admin: &dyn DirectoryAdmin, new: NewAccount) -> anyhow::Result<Prepared> {
    let NewAccount { address, password } = new;
    let made_up = password.is_none().then(password::generate);
    let secret = password.as_ref().or(made_up.as_ref()).map_or("", String::as_str);
    match account::add(admin, &address, secret).await {
        Ok(()) => Ok(Prepared { address, made: true, password: made_up }),
        Err(error) => match error.downcast_ref::<protocol::Error>() {
            Some(known) if known.kind == ErrorKind::AlreadyExists => Ok(Prepared::found(address)),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_an_address_and_a_password() {
        let read = |text: &str| {
            let new: NewAccount = text.parse()?;
            Ok::<_, String>((new.address.to_string(), new.password.unwrap_or_default()))
        };
        for (text, address, password) in [
            ("alice@example.test:secret", "alice@example.test", "secret"),
            ("alice@example.test:a:b@c", "alice@example.test", "a:b@c"),
            ("\"a:b\"@example.test:x", "\"a:b\"@example.test", "x"),
            ("alice@example.test", "alice@example.test", ""),
        ] {
            assert_eq!(read(text).unwrap(), (address.to_owned(), password.to_owned()), "{text}");
        }
        for text in ["alice", "alice:secret", "alice@example.test:", "alice@example.test secret", ""] {
            assert!(read(text).is_err(), "{text}");
        }
        let new: NewAccount = "a@b.test:hush".parse().unwrap();
        assert!(!format!("{new:?}").contains("hush"));
    }
}
