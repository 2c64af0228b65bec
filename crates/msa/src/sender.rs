//! Whose addresses are whose (RFC 6409 6.1): an account sends as its own addresses and as nobody else.

use mail::{Account, Host, Mailbox};

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

    /// Whether the address is the account's own or one of its aliases, with or without a detail. Local parts of our
    /// domains compare without case, as the directory compares them.
    pub(crate) fn owns(&self, address: &Mailbox) -> bool {
        let Some(host) = comparable(address.host()) else { return false };
        let local_part = address.local_part().as_str().to_lowercase();
        let base = self
            .detail_separator
            .and_then(|separator| local_part.split_once(separator))
            .map(|(base, _)| base)
            .filter(|base| !base.is_empty());
        std::iter::once(&self.account.address).chain(&self.account.may_send_as).any(|own| {
            let own_local_part = own.local_part().as_str().to_lowercase();
            let named = own_local_part == local_part || base == Some(own_local_part.as_str());
            named && comparable(own.host()).as_deref() == Some(host.as_str())
        })
    }
}

/// A domain of UTF-8 labels and its A-labels are the same. Nobody here has an address with an address literal.
fn comparable(host: &Host) -> Option<String> {
    host.domain()?.to_ascii().ok()
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
}
