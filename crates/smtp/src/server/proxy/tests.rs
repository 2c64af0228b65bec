use super::*;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, block].concat()
}

fn ends(source: &str, destination: &str) -> Option<Addresses> {
    Some(Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// Reads as the connection does, and insists that no octet is asked for that is not the header's.
fn read_in_steps(header: &[u8]) -> Option<Addresses> {
    let mut taken = 0;
    loop {
        match parse(&header[..taken]).unwrap() {
            Header::Incomplete(more) => {
                assert!(more > 0 && taken + more <= header.len(), "{taken} + {more} of {}", header.len());
                taken += more;
            }
            Header::Complete { length, addresses } => {
                assert_eq!((length, taken), (header.len(), header.len()));
                return addresses;
            }
        }
    }
}

#[test]
fn both_versions_tell_both_ends() {
    let four = ends("192.0.2.1:56324", "198.51.100.2:25");
    let six = ends("[2001:db8::1]:65535", "[2001:db8::2]:587");
    assert_eq!(read_in_steps(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"), four);
    assert_eq!(read_in_steps(b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 587\r\n"), six);
    let block =
        [&[192, 0, 2, 1, 198, 51, 100, 2][..], &56324u16.to_be_bytes(), &25u16.to_be_bytes()].concat();
    assert_eq!(read_in_steps(&v2(0x21, 0x11, &block)), four);
    // Additions behind the addresses are passed over.
    assert_eq!(read_in_steps(&v2(0x21, 0x11, &[&block[..], &[4, 0, 1, 0]].concat())), four);
    let [one, two] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
    let block = [&one[..], &two, &65535u16.to_be_bytes(), &587u16.to_be_bytes()].concat();
    assert_eq!(read_in_steps(&v2(0x21, 0x21, &block)), six);
}

#[test]
fn a_proxy_that_speaks_for_itself_or_does_not_know() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &[0; 12]),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x00, b"something"),
    ] {
        assert_eq!(read_in_steps(&header), None, "{header:?}");
    }
}

#[test]
fn what_is_no_header_is_an_error() {
    use ProxyError::{Malformed, Missing, TooLong};
    for (octets, error) in [
        (b"EHLO client.example\r\n".to_vec(), Missing),
        (b"PROX ".to_vec(), Missing),
        (b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n".to_vec(), Missing),
        (b"\r\n\r\n\0\r\nQUIX\n".to_vec(), Missing),
        (b"\x16\x03\x01".to_vec(), Missing),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(), Malformed),
        (b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n".to_vec(), Malformed),
        (b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n".to_vec(), Malformed),
        (b"PROXY \r\n".to_vec(), Malformed),
        (b"PROXY UNKNOWNS\r\n".to_vec(), Malformed),
        ([&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(), TooLong),
        (v2(0x11, 0x11, &[0; 12]), Malformed),
        (v2(0x22, 0x11, &[0; 12]), Malformed),
        (v2(0x21, 0x11, &[0; 11]), Malformed),
        (v2(0x21, 0x21, &[0; 12]), Malformed),
        (v2(0x21, 0x12, &[0; 12]), Malformed),
        (v2(0x21, 0x31, &[0; 216]), Malformed),
        (v2(0x21, 0x11, &[0; 4096]), TooLong),
    ] {
        assert_eq!(parse(&octets), Err(error), "{:?}", String::from_utf8_lossy(&octets));
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic_or_ask_for_more_than_its_limits(octets in proptest::collection::vec(0u8.., 0..300)) {
        for start in [&b""[..], b"PROXY TCP4 ", SIGNATURE] {
            let octets = [start, &octets].concat();
            if let Ok(Header::Incomplete(more)) = parse(&octets) {
                proptest::prop_assert!(more > 0 && octets.len() + more <= BINARY_LIMIT);
            }
        }
    }
}
