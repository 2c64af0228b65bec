//! Addresses as they are stored and compared. Knows nothing of what lies behind them.

use mail::{Domain, Mailbox};

use crate::Error;

/// The local part of a catch-all.
pub(crate) const CATCH_ALL: &str = "*";

/// An address in the form that is compared: the domain as A-labels, the local part in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) domain: String,
    pub(crate) local_part: String,
}

impl Key {
    /// The key of a mailbox; none where the host is an address literal or the domain is no name that DNS could hold, which
    /// cannot be ours.
    pub(crate) fn of(mailbox: &Mailbox) -> Option<Self> {
        Some(Self {
            domain: domain_key(mailbox.domain()?).ok()?,
            local_part: mailbox.local_part().as_str().to_lowercase(),
        })
    }

    /// The key without its detail: what stands before the first separator, unless that is nothing.
    pub(crate) fn without_detail(&self, separator: Option<char>) -> Option<Self> {
        let (base, _) = self.local_part.split_once(separator?)?;
        (!base.is_empty()).then(|| Self { domain: self.domain.clone(), local_part: base.to_owned() })
    }

    /// As text that differs for different keys: no domain holds an `@`.
    pub(crate) fn to_text(&self) -> String {
        format!("{}@{}", self.local_part, self.domain)
    }
}

/// A domain in the form that is compared.
pub(crate) fn domain_key(domain: &Domain) -> Result<String, Error> {
    domain.to_ascii().map_err(|_| Error::Rejected(format!("{domain} cannot be a name in DNS")))
}

/// A mailbox from its stored parts.
pub(crate) fn mailbox(local_part: &str, shown_domain: &str) -> Result<Mailbox, Error> {
    let domain = Domain::parse(shown_domain).map_err(|_| Error::Corrupt("domain"))?;
    Mailbox::new(local_part, domain).map_err(|_| Error::Corrupt("local part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        Key::of(&Mailbox::parse(text).unwrap()).map(|key| key.to_text())
    }

    #[test]
    fn addresses_compare_without_case_and_across_forms_of_a_domain() {
        assert_eq!(key("Alice@Example.ORG"), key("aLICE@example.org"));
        assert_eq!(key("a@Bücher.example"), key("a@xn--bcher-kva.example"));
        assert_ne!(key("\"a@b\"@c"), key("a@b"));
        assert_eq!(key("a@[192.0.2.1]"), None);
    }

    #[test]
    fn a_detail_starts_at_the_first_separator() {
        let base = |text, separator| {
            let key = Key::of(&Mailbox::parse(text).unwrap()).unwrap();
            key.without_detail(separator).map(|key| key.local_part)
        };
        assert_eq!(base("alice+a+b@c", Some('+')).as_deref(), Some("alice"));
        assert_eq!(base("alice-a@c", Some('-')).as_deref(), Some("alice"));
        assert_eq!(base("alice@c", Some('+')), None);
        assert_eq!(base("+a@c", Some('+')), None);
        assert_eq!(base("alice+a@c", None), None);
    }
}
