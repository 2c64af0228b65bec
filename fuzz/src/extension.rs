//! Extensions of a server: whatever it says, what was understood of it is little, and says itself again.

use smtp::extension::Capabilities;

pub(crate) fn check(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let read = Capabilities::parse(&text);
    assert!(read.auth.len() <= 32);
    assert!(read.size_limit() != Some(0) && read.recipients != Some(0));
    let said = read.text("mx.example");
    assert!(said.starts_with("mx.example") && !said.contains('\r'), "{said:?}");
    assert_eq!(Capabilities::parse(&said), read, "{said:?}");
}
