//! Opening listening sockets, and saying what to change when that fails.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the system holds while the agent is busy. The system's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on. Exit code 78: the sentence says what to change.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}; {}", advice(source))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The configuration key that names it.
    pub key: String,
    /// What the system says.
    pub source: io::Error,
}

/// Listens on `address`, which the configuration key `key` names. Must be called within the runtime.
pub fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| BindError { address, key: key.to_owned(), source })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "choose a port above 1023 or grant CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrInUse => "stop the program that listens there or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine, or 0.0.0.0 for all of them",
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_with_its_key_and_a_way_out() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "msa.listen.submission").unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, "mta.listen.mx").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} (mta.listen.mx): ")), "{error}");
        assert!(error.ends_with("; stop the program that listens there or choose another port"), "{error}");
    }

    #[test]
    fn a_refused_port_comes_with_advice() {
        let error = BindError {
            address: SocketAddr::from(([127, 0, 0, 1], 25)),
            key: "msa.listen.submission".to_owned(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            error.to_string(),
            "cannot listen on 127.0.0.1:25 (msa.listen.submission): permission denied; \
             choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
        );
    }
}
