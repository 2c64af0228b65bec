//! The tokio driver of sessions: accepts, reads and writes, keeps time, lets TLS happen, and puts a session's questions to
//! its [`Agent`]. Knows no SMTP beyond that; what is said when is `session`'s business.

mod budget;
mod connection;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::agent::{Agent, SessionInfo};
pub use budget::{Budget, Reservation};
pub use settings::{Settings, Timeouts};

use crate::reply;
use crate::tls::ServerTls;

/// How long accepting pauses after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// How a listener comes to TLS.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// By STARTTLS (RFC 3207).
    StartTls(Arc<ServerTls>),
    /// At once (RFC 8314 3.3).
    Implicit(Arc<ServerTls>),
}

/// Binds a listener whose backlog takes bursts: a peer that is not accepted at once comes back only after a second.
///
/// # Errors
/// When the address is not ours or taken.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last sessions' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a listener until `shutdown`, then refuses new peers by closing the listener, tells the sessions that wait for a
/// command 421, lets those that are within content finish, and returns when the last one is over. The caller bounds that
/// time.
pub async fn serve(
    listener: TcpListener,
    settings: Arc<Settings>,
    agent: Arc<dyn Agent>,
    tls: TlsMode,
    shutdown: CancellationToken,
) {
    let sessions = TaskTracker::new();
    let places = Arc::new(Semaphore::new(settings.max_sessions.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                let server = connection::Server {
                    settings: Arc::clone(&settings),
                    agent: Arc::clone(&agent),
                    tls: tls.clone(),
                    shutdown: shutdown.clone(),
                };
                sessions.spawn(session(server, stream, peer, place));
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a peer left before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, trying again shortly");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    sessions.close();
    sessions.wait().await;
}

async fn session(
    server: connection::Server,
    mut stream: TcpStream,
    peer: SocketAddr,
    place: Option<OwnedSemaphorePermit>,
) {
    // Replies are written whole, so nothing is gained by waiting for more (RFC 896), and 40 ms are lost.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "the peer is gone");
        return;
    }
    if place.is_none() {
        tracing::warn!(%peer, limit = server.settings.max_sessions, "refused a session: too many are open");
        if !matches!(server.tls, TlsMode::Implicit(_)) {
            refuse(&mut stream).await;
        }
        return;
    }
    match connection::run(server, stream, peer).await {
        Ok(()) => tracing::debug!(%peer, "the session ended"),
        Err(error) => tracing::debug!(%peer, %error, "the session broke"),
    }
    drop(place);
}

async fn refuse(stream: &mut TcpStream) {
    let mut output = bytes::BytesMut::new();
    reply::too_many_sessions().encode(&mut output);
    // A few octets into an empty socket buffer; who is gone already does not hear it.
    if let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&output)).await {
        let _ = stream.shutdown().await;
    }
}

/// Errors of accept(2) that concern a connection that is gone again, and no other.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    /// A session that waits must be cheap: ten thousand of them are held at once. Here its task, without TLS.
    #[test]
    fn a_waiting_session_is_small() {
        assert!(size_of::<Stream>() <= 128);
        let size = size_of_future(&session);
        assert!(size < 3 * 1024, "{size} octets");
    }

    fn size_of_future<F>(
        _: &impl Fn(connection::Server, TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) -> F,
    ) -> usize {
        size_of::<F>()
    }
}
