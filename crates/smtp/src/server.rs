//! The tokio driver of sessions: accepts, reads and writes, keeps time, lets TLS happen, and puts a session's questions to
//! its [`Agent`]. Knows no SMTP beyond that; what is said when is `session`'s business.

mod budget;
mod clock;
mod connection;
mod guard;
pub mod limits;
mod pace;
mod places;
pub mod proxy;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::agent::{Agent, SessionInfo};
pub use budget::{Budget, Reservation};
pub use limits::Limits;
pub use pace::Floor;
pub use settings::{Settings, Tarpit, Timeouts};

use crate::reply::{self, Reply};
use crate::tls::ServerTls;
use limits::Reason;
use places::{Place, Places};
use proxy::Addresses;

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
    let places = Places::new(&settings);
    let server = Arc::new(connection::Server { settings, agent, tls, shutdown });
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = places.take();
                sessions.spawn(session(Arc::clone(&server), stream, peer, place));
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
    server: Arc<connection::Server>,
    mut stream: TcpStream,
    peer: SocketAddr,
    place: Option<Place>,
) {
    // Replies are written whole, so nothing is gained by waiting for more (RFC 896), and 40 ms are lost.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "the peer is gone");
        return;
    }
    let Some(place) = place else {
        tracing::warn!(%peer, limit = server.settings.max_sessions, "refused a session: too many are open");
        server.settings.limits.count_refusal(Reason::Sessions);
        return refuse(&server, &mut stream, &reply::too_many_sessions()).await;
    };
    // Boxed, so that a session does not hold room for it all its life.
    let ends = match Box::pin(ends(&server, &mut stream, peer)).await {
        Ok(ends) => ends,
        Err(error) => {
            server.settings.limits.count_refusal(Reason::Proxy);
            tracing::info!(%peer, %error, "refused a connection without a PROXY header");
            return;
        }
    };
    let visit = match server.settings.limits.enter(ends.source.ip(), tokio::time::Instant::now().into_std()) {
        Ok(visit) => visit,
        Err(refusal) => return refuse(&server, &mut stream, &refusal).await,
    };
    let peer = ends.source;
    let mut connection = connection::Connection::new(server, stream, ends, visit, place);
    match connection.serve().await {
        Ok(()) => tracing::debug!(%peer, "the session ended"),
        Err(error) => tracing::debug!(%peer, %error, "the session broke"),
    }
}

/// Both ends of the connection: of the client's, where a load balancer is before us.
async fn ends(
    server: &connection::Server,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> io::Result<Addresses> {
    let own = Addresses { source: peer, destination: stream.local_addr()? };
    let address = peer.ip().to_canonical();
    if !server.settings.proxy_from.iter().any(|network| network.contains(&address)) {
        return Ok(own);
    }
    let header = tokio::time::timeout(server.settings.timeouts.proxy, proxy::read(stream)).await??;
    Ok(header.unwrap_or(own))
}

async fn refuse(server: &connection::Server, stream: &mut TcpStream, reply: &Reply) {
    // Before a handshake nothing can be said.
    if matches!(server.tls, TlsMode::Implicit(_)) {
        return;
    }
    let mut output = bytes::BytesMut::new();
    reply.encode(&mut output);
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
        println!("a waiting session is {size} octets");
        assert!(size < 3 * 1024, "{size} octets");
    }

    fn size_of_future<F>(
        _: &impl Fn(Arc<connection::Server>, TcpStream, SocketAddr, Option<Place>) -> F,
    ) -> usize {
        size_of::<F>()
    }
}
