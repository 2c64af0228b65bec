//! Addresses and paths: what is read prints as something that is read as the same, and nothing in it can leave its place on
//! a command line or in a header field.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use mail::address::{DOMAIN_LIMIT, Host, LOCAL_PART_LIMIT};
use mail::{Domain, ForwardPath, Mailbox, ReversePath};

pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else { return };
    if let Ok((path, rest)) = ReversePath::parse_prefix(text) {
        assert!(text.ends_with(rest));
        again(&path);
        path.mailbox().into_iter().for_each(mailbox);
    }
    if let Ok((path, rest)) = ForwardPath::parse_prefix(text) {
        assert!(text.ends_with(rest));
        again(&path);
        path.mailbox().into_iter().for_each(mailbox);
        // What may be a forward-path may be a reverse-path too, but for the bare postmaster.
        if path.mailbox().is_some() {
            assert!(ReversePath::parse_prefix(text).is_ok());
        }
    }
    if let Ok((found, rest)) = Mailbox::parse_prefix(text) {
        assert!(text.ends_with(rest));
        mailbox(&found);
    }
    if let Ok(found) = Domain::parse(text) {
        domain(&found);
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host));
    }
}

fn mailbox(mailbox: &Mailbox) {
    again(mailbox);
    let local = mailbox.local_part().as_str();
    assert!((1..=LOCAL_PART_LIMIT).contains(&local.len()), "{mailbox:?}");
    mailbox.domain().into_iter().for_each(domain);
    assert_eq!(mailbox.is_ascii(), mailbox.to_string().is_ascii());
    let path = ForwardPath::Mailbox(mailbox.clone());
    assert_eq!(format!("<{mailbox}>"), path.to_string());
    again(&path);
}

fn domain(domain: &Domain) {
    again(domain);
    assert!(domain.as_str().len() <= DOMAIN_LIMIT);
    assert!(!domain.as_str().contains([' ', '<', '>', '@', '/', '\\', '"']), "{domain:?}");
    if let Ok(name) = domain.to_ascii() {
        assert!(name.is_ascii() && !name.is_empty());
        assert_eq!(Domain::parse(&name).map(|domain| domain.to_string()), Ok(name));
    }
}

/// Printed, it is read as itself, and holds nothing that ends a line.
fn again<T: Display + Debug + FromStr + PartialEq>(value: &T)
where
    T::Err: Debug + PartialEq,
{
    let text = value.to_string();
    assert!(!text.contains(char::is_control), "{value:?} prints as {text:?}");
    assert_eq!(text.parse::<T>().as_ref(), Ok(value), "{text:?}");
}
