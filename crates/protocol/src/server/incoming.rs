//! Connections as they are accepted; a failed accept (too many open files, say) is waited out and ends nothing.

use std::io;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};

const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY cannot be set");
                    }
                    return Some((Ok(connection), listener));
                }
                Err(error) => {
                    tracing::warn!(%error, "another agent's connection cannot be accepted now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}
