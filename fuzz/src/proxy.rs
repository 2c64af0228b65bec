//! PROXY headers: what is read in steps is what is read at once, no step asks for an octet behind the header or for more than
//! the limits, and what comes behind a header changes nothing.

use smtp::server::proxy::{BINARY_LIMIT, Header, parse};

pub(crate) fn check(octets: &[u8]) {
    let whole = parse(octets);
    let mut taken = 0;
    let stepwise = loop {
        match parse(&octets[..taken]) {
            Ok(Header::Incomplete(more)) => {
                assert!(more > 0 && taken + more <= BINARY_LIMIT, "{more} more behind {taken}");
                if taken + more > octets.len() {
                    return assert!(matches!(whole, Ok(Header::Incomplete(_)) | Err(_)), "{whole:?}");
                }
                taken += more;
            }
            end => break end,
        }
    };
    match (stepwise, whole) {
        (Ok(Header::Complete { length, addresses }), Ok(one)) => {
            assert_eq!(length, taken, "an octet too much");
            assert_eq!(one, Header::Complete { length, addresses });
            if let Some(ends) = addresses {
                assert_eq!(ends.source.is_ipv4(), ends.destination.is_ipv4());
            }
        }
        (Err(_), Err(_)) => {}
        (stepwise, whole) => panic!("in steps {stepwise:?}, at once {whole:?}"),
    }
}
