//! The header that a load balancer puts before the first octet of a connection: the PROXY protocol, versions 1 and 2
//! (`doc/proxy-protocol.txt` of haproxy). [`parse`] is pure; it says how many octets surely belong to the header, so that none
//! beyond is taken from the socket: what follows may be a TLS handshake.
//!
//! Strict: whatever the specification does not say is an error, for the peer's address decides what it may do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longest header of version 1, CRLF included.
pub const TEXT_LIMIT: usize = 107;
/// Longest header of version 2 that is read, with its additions (TLV), which are passed over.
pub const BINARY_LIMIT: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` and CRLF.
const TEXT_SHORTEST: usize = 15;
/// Signature, version, family, length.
const BINARY_SHORTEST: usize = 16;

/// What stands at the front of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// No whole header; at least so many octets more belong to it.
    Incomplete(usize),
    /// A header of so many octets.
    Complete {
        /// The octets.
        length: usize,
        /// Whose connection it is; `None` where it is the proxy's own (`LOCAL`) or the proxy does not know (`UNKNOWN`).
        addresses: Option<Addresses>,
    },
}

/// Both ends of the connection that the proxy took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
}

/// These octets are no header, and no beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// They begin like neither version.
    #[error("there is no PROXY header")]
    Missing,
    /// They begin like a header and do not go on like one.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// The header is longer than it may be.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads the header at the front of these octets.
///
/// # Errors
/// When they are no beginning of one.
pub fn parse(octets: &[u8]) -> Result<Header, ProxyError> {
    if octets.is_empty() {
        // The shortest header of all.
        Ok(Header::Incomplete(TEXT_SHORTEST))
    } else if begins_with(octets, SIGNATURE) {
        parse_binary(octets)
    } else if begins_with(octets, TEXT) {
        parse_text(octets)
    } else {
        Err(ProxyError::Missing)
    }
}

/// As far as there are octets.
fn begins_with(octets: &[u8], start: &[u8]) -> bool {
    octets.iter().zip(start).all(|(octet, expected)| octet == expected)
}

fn parse_text(octets: &[u8]) -> Result<Header, ProxyError> {
    let window = &octets[..octets.len().min(TEXT_LIMIT)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if window.len() == TEXT_LIMIT {
            return Err(ProxyError::TooLong);
        }
        let least = if window.ends_with(b"\r") { 1 } else { 2 };
        return Ok(Header::Incomplete(TEXT_SHORTEST.saturating_sub(window.len()).max(least)));
    };
    let line = str::from_utf8(&window[TEXT.len()..end]).map_err(|_| ProxyError::Malformed)?;
    let complete = |addresses| Header::Complete { length: end + 2, addresses };
    // What stands behind UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(complete(None));
    }
    let fields: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = fields[..] else {
        return Err(ProxyError::Malformed);
    };
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let end = |text, port| Some(SocketAddr::new(address(text)?, decimal(port)?));
    let addresses = end(source, source_port)
        .zip(end(destination, destination_port))
        .map(|(source, destination)| Addresses { source, destination });
    addresses.map(|addresses| complete(Some(addresses))).ok_or(ProxyError::Malformed)
}

/// Digits alone, and no zero before others.
fn decimal(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn parse_binary(octets: &[u8]) -> Result<Header, ProxyError> {
    let Some(&[version, family, high, low]) = octets.get(SIGNATURE.len()..BINARY_SHORTEST) else {
        return Ok(Header::Incomplete(BINARY_SHORTEST - octets.len()));
    };
    let length = BINARY_SHORTEST + usize::from(u16::from_be_bytes([high, low]));
    if length > BINARY_LIMIT {
        return Err(ProxyError::TooLong);
    }
    let local = match version {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed),
    };
    // Stream over IPv4, over IPv6, or unspecified; mail comes over no other.
    let size = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        _ if local => 0,
        _ => return Err(ProxyError::Malformed),
    };
    if length - BINARY_SHORTEST < size {
        return Err(ProxyError::Malformed);
    }
    let Some(block) = octets.get(BINARY_SHORTEST..length) else {
        return Ok(Header::Incomplete(length - octets.len()));
    };
    let addresses = if local { None } else { block.get(..size).and_then(addresses) };
    Ok(Header::Complete { length, addresses })
}

/// Source and destination, then both ports.
fn addresses(block: &[u8]) -> Option<Addresses> {
    let port = |at: usize| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    let [source, destination]: [IpAddr; 2] = match block.len() {
        12 => [0, 4].map(|at| <[u8; 4]>::try_from(&block[at..at + 4]).unwrap_or_default().into()),
        36 => [0, 16].map(|at| <[u8; 16]>::try_from(&block[at..at + 16]).unwrap_or_default().into()),
        _ => return None,
    };
    let ports = block.len() - 4;
    Some(Addresses {
        source: SocketAddr::new(source, port(ports)?),
        destination: SocketAddr::new(destination, port(ports + 2)?),
    })
}

/// Takes the header off a connection, and not one octet more.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<Addresses>> {
    let mut octets = Vec::with_capacity(TEXT_LIMIT);
    loop {
        match parse(&octets) {
            Ok(Header::Complete { addresses, .. }) => return Ok(addresses),
            Ok(Header::Incomplete(more)) => {
                let start = octets.len();
                octets.resize(start + more, 0);
                stream.read_exact(&mut octets[start..]).await?;
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

#[cfg(test)]
mod tests;
