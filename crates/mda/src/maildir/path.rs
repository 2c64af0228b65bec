//! Names of folders for addresses: readable, one for each address, and never a way out of the folder they are in.

use std::path::PathBuf;

use mail::{Host, Mailbox};

/// `DOMAIN/LOCALPART/Maildir`. Addresses that compare equal in the directory have the same folder: lower case, domains as
/// A-labels.
pub(super) fn folder_of(address: &Mailbox) -> PathBuf {
    let domain = match address.host() {
        Host::Domain(domain) => domain.to_ascii().unwrap_or_else(|_| domain.to_string()),
        literal @ Host::Literal(_) => literal.to_string(),
    };
    let local_part = address.local_part().as_str().to_lowercase();
    [safe(&domain), safe(&local_part), "Maildir".to_owned()].iter().collect()
}

/// Percent-encodes whatever is not plain in a file name, and a dot in front, so that `..` and hidden folders cannot be made.
/// `%` is among it, so no two names become one. What DNS and RFC 5321 allow stays below the 255 octets of a file name: 64
/// octets of a local part become 192 at most, and a domain that has A-labels needs no encoding.
fn safe(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+@=-".contains(&byte);
        if plain || (byte == b'.' && at > 0) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Component;

    fn folder(address: &str) -> String {
        folder_of(&Mailbox::parse(address).unwrap()).display().to_string()
    }

    #[test]
    fn plain_addresses_are_readable_and_strange_ones_harmless() {
        for (address, expected) in [
            ("alice@example.org", "example.org/alice/Maildir"),
            ("Alice+Tag@Example.ORG", "example.org/alice+tag/Maildir"),
            ("\"../x\"@example.org", "example.org/%2E.%2Fx/Maildir"),
            ("\"..\"@example.org", "example.org/%2E./Maildir"),
            ("\".\"@example.org", "example.org/%2E/Maildir"),
            ("\"a/b\"@d", "d/a%2Fb/Maildir"),
            ("a%2Fb@d", "d/a%252fb/Maildir"),
            ("\"a b\"@d", "d/a%20b/Maildir"),
            ("é@bücher.example", "xn--bcher-kva.example/%C3%A9/Maildir"),
            ("a@[192.0.2.1]", "%5B192.0.2.1%5D/a/Maildir"),
        ] {
            assert_eq!(folder(address), expected, "{address}");
        }
        assert_ne!(folder("\"a/b\"@d"), folder("a%2Fb@d"));
        let longest = format!("{}@d", "é".repeat(32));
        assert!(folder(&longest).split('/').all(|name| name.len() <= 255));
    }

    #[test]
    fn every_folder_lies_three_levels_below_the_root() {
        for local_part in ["..", "../..", "/etc", "a/../..", "~", "-rf", "\u{202e}x", "con", "*"] {
            let quoted = format!("\"{local_part}\"@example.org");
            let path = folder_of(&Mailbox::parse(&quoted).unwrap());
            let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
            assert!(plain && path.components().count() == 3, "{}", path.display());
        }
    }
}
