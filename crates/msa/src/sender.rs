//! Whose addresses are whose (RFC 6409 6.1): an account sends as its own addresses and what it was granted, and as nobody else.

use mail::{Account, Domain, Host, Mailbox, SenderPattern};

/// The addresses that an account may send as.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    account: &'a Account,
    detail_separator: Option<char>,
}

impl<'a> Sender<'a> {
    /// The account's rights; what stands behind the separator in a local part makes no other address of it.
    pub(crate) fn new(account: &'a Account, detail_separator: Option<char>) -> Self {
        Self { account, detail_separator }
    }

    /// Whether the address is the account's own, one of its aliases, or one that it was granted, each with or without a
    /// detail; or one of a domain, or of all, that it was granted. Local parts compare without case, as the directory
    /// compares them.
    pub(crate) fn owns(&self, address: &Mailbox) -> bool {
        let Some(given) = Comparable::of(address) else { return false };
        let base = self
            .detail_separator
            .and_then(|separator| given.local_part.split_once(separator))
            .map(|(base, _)| base)
            .filter(|base| !base.is_empty());
        let is = |own: &Mailbox| {
            let own_local_part = own.local_part().as_str().to_lowercase();
            let named = own_local_part == given.local_part || base == Some(own_local_part.as_str());
            named && domain_of(own.host()).as_deref() == Some(given.domain.as_str())
        };
        is(&self.account.address)
            || self.account.may_send_as.iter().any(is)
            || self.account.granted.iter().any(|granted| match granted {
                SenderPattern::Address(own) => is(own),
                SenderPattern::Domain(domain) => ascii(domain).as_deref() == Some(given.domain.as_str()),
                SenderPattern::Anybody => true,
            })
    }
}

/// An address in the form that is compared.
struct Comparable {
    local_part: String,
    domain: String,
}

impl Comparable {
    /// Nobody here has an address with an address literal, and nobody is granted one.
    fn of(address: &Mailbox) -> Option<Self> {
        let local_part = address.local_part().as_str().to_lowercase();
        Some(Self { local_part, domain: domain_of(address.host())? })
    }
}

fn domain_of(host: &Host) -> Option<String> {
    ascii(host.domain()?)
}

/// A domain of UTF-8 labels and its A-labels are the same.
fn ascii(domain: &Domain) -> Option<String> {
    domain.to_ascii().ok()
}

#[cfg(test)]
mod tests {
    use mail::Timestamp;

    use super::*;

    fn account() -> Account {
        Account {
            may_send_as: ["sales@bücher.example", "al+shop@example.test"]
                .map(|a| a.parse().unwrap())
                .to_vec(),
            ..Account::new("alice@example.test".parse().unwrap(), Timestamp::from_millis(0))
        }
    }

    #[test]
    fn an_account_owns_its_address_its_aliases_and_their_details() {
        let account = account();
        let sender = Sender::new(&account, Some('+'));
        for address in [
            "alice@example.test",
            "Alice@EXAMPLE.test",
            "alice+news@example.test",
            "sales@bücher.example",
            "sales@xn--bcher-kva.example",
            "al+shop@example.test",
        ] {
            assert!(sender.owns(&address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_account_owns_nothing_else() {
        let account = account();
        let sender = Sender::new(&account, Some('+'));
        for address in [
            "bob@example.test",
            "alice@other.test",
            "alice@sub.example.test",
            "al@example.test",
            "al+other@example.test",
            "+alice@example.test",
            "alice-news@example.test",
            "alice@[127.0.0.1]",
            "\"alice@example.test\"@other.test",
        ] {
            assert!(!sender.owns(&address.parse().unwrap()), "{address}");
        }
        assert!(!Sender::new(&account, None).owns(&"alice+news@example.test".parse().unwrap()));
    }

    #[test]
    fn an_account_owns_what_it_was_granted() {
        for (granted, owned, strange) in [
            (
                "News@shop.example",
                &["news@shop.example", "NEWS+7@SHOP.example"][..],
                &["old-news@shop.example", "news@sub.shop.example", "other@shop.example"][..],
            ),
            (
                "*@bücher.example",
                &["any@bücher.example", "any+x@xn--bcher-kva.example", "\"a b\"@BÜCHER.example"],
                &["any@sub.bücher.example", "any@cher.example", "\"a@bücher.example\"@other.test"],
            ),
            ("*@*", &["any@other.test", "any@bücher.example"], &["any@[127.0.0.1]", "any@[IPv6:::1]"]),
        ] {
            let account = Account { granted: vec![granted.parse().unwrap()], ..account() };
            let sender = Sender::new(&account, Some('+'));
            for address in owned.iter().chain(&["alice@example.test"]) {
                assert!(sender.owns(&address.parse().unwrap()), "{granted}: {address}");
            }
            for address in strange {
                assert!(!sender.owns(&address.parse().unwrap()), "{granted}: {address}");
            }
        }
    }
}
