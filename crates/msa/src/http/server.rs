//! Connections: accepts them, lets TLS happen, and gives each to hyper within its limits. Knows no message and no account.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use smtp::server::limits::Visit;
use smtp::server::{Budget, Limits};
use smtp::tls::ServerTls;
use smtp::{Login, Reply};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::Http;

/// How long accepting pauses after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Octets of a request's header section: room for several hundred recipients in its query.
const HEADER_OCTETS: usize = 32 * 1024;
/// Fields of a request.
const HEADER_FIELDS: usize = 64;

/// What all connections of a listener share.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) settings: Http,
    /// The same as those of SMTP sessions.
    pub(crate) limits: Arc<Limits>,
    /// None serves in the clear.
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) shutdown: CancellationToken,
}

/// The other end of a connection, as requests see it, and what it owes to the limits that it shares with SMTP sessions.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The version of TLS, where it is spoken.
    pub(crate) tls: Option<String>,
    /// Requests that may still come.
    left: AtomicUsize,
    visit: Mutex<Visit>,
    /// Ends the connection behind the request that is at work.
    end: CancellationToken,
}

impl Peer {
    /// Whether credentials for this login are looked at.
    pub(crate) fn may_authenticate(&self, login: &str) -> Result<(), Reply> {
        self.visit().may_authenticate(login, now())
    }

    /// Remembers what came of it. A 4yz is our trouble and tells nothing about the credentials.
    pub(crate) fn authenticated(&self, login: &str, answer: Result<Login, Reply>) -> Result<Login, Reply> {
        match &answer {
            Ok(granted) => {
                self.visit().authenticated(login, &granted.account.address.to_string(), now())?;
            }
            Err(refusal) if refusal.is_permanent() => self.visit().authentication_failed(login, now()),
            Err(_) => {}
        }
        answer
    }

    /// Whether another message may come.
    pub(crate) fn message(&self) -> Result<(), Reply> {
        self.visit().message(now())
    }

    /// Whether another recipient may come.
    pub(crate) fn recipient(&self) -> Result<(), Reply> {
        self.visit().recipient(now())
    }

    /// The part of the memory for messages that is this address's, enough for a request that needs `largest` octets.
    pub(crate) fn memory(&self, whole: &Budget, largest: usize) -> Budget {
        self.visit().memory(whole, largest)
    }

    /// Counts a refused request; failed logins are counted already. Who had too many has to connect again, if he is let.
    pub(crate) fn refused(&self, status: StatusCode) {
        let counts = status.is_client_error()
            && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
        if counts && self.visit().errors(1, now()).is_err() {
            self.left.store(0, Ordering::Relaxed);
            self.end.cancel();
        }
    }

    /// A panic while it was locked would have been a bug; the visit is still what it was.
    fn visit(&self) -> MutexGuard<'_, Visit> {
        self.visit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime's clock, which a test can move.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Counts a request; the last one of its connection is told to be, so that nobody sends another behind it.
pub(crate) async fn count(Extension(peer): Extension<Arc<Peer>>, request: Request, next: Next) -> Response {
    let is_last = peer.left.fetch_sub(1, Ordering::Relaxed) <= 1;
    let mut response = next.run(request).await;
    if is_last || peer.end.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        peer.end.cancel();
    }
    response
}

/// Serves a listener until shutdown; then requests that are at work are finished. The caller bounds that time.
pub(crate) async fn serve(listener: TcpListener, server: Server) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(server.settings.connections.min(Semaphore::MAX_PERMITS)));
    let server = Arc::new(server);
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    let limit = server.settings.connections;
                    tracing::warn!(peer = %address, limit, "refused an HTTP connection: too many are open");
                    continue;
                };
                connections.spawn(connection(Arc::clone(&server), stream, address, place));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept HTTP connections, trying again shortly");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    server: Arc<Server>,
    stream: TcpStream,
    address: SocketAddr,
    _place: OwnedSemaphorePermit,
) {
    // Answers are written whole: nothing is gained by waiting for more (RFC 896).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %address, %error, "the HTTP client is gone");
        return;
    }
    // Whoever is refused here is told nothing, as by SMTP with TLS at once; the log tells.
    let Ok(visit) = server.limits.enter(address.ip(), now()) else { return };
    let Some(tls) = &server.tls else {
        return exchange(&server, stream, address, None, visit).await;
    };
    match timeout(server.settings.handshake.get(), tls.accept(stream)).await {
        Ok(Ok((stream, info))) => {
            Box::pin(exchange(&server, stream, address, Some(info.version), visit)).await;
        }
        Ok(Err(error)) => tracing::debug!(peer = %address, %error, "the TLS handshake failed"),
        Err(_) => tracing::debug!(peer = %address, "the TLS handshake took too long"),
    }
}

/// Requests and answers, until the client goes or the connection's time or number of requests is used up.
async fn exchange<S>(server: &Server, stream: S, address: SocketAddr, tls: Option<String>, visit: Visit)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = server.shutdown.child_token();
    let left = AtomicUsize::new(server.settings.requests_per_connection);
    let peer = Arc::new(Peer { address, tls, left, visit: Mutex::new(visit), end: end.clone() });
    let service = TowerToHyperService::new(server.router.clone().layer(Extension(peer)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(server.settings.header_timeout.get())
        .max_headers(HEADER_FIELDS)
        .max_buf_size(HEADER_OCTETS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let lifetime = server.settings.connection_lifetime.get();
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = end.cancelled() => None,
        () = tokio::time::sleep(lifetime) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        let Ok(ended) = timeout(lifetime, connection).await else {
            tracing::debug!(peer = %address, "the HTTP connection took too long to end");
            return;
        };
        ended
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %address, %error, "the HTTP connection broke");
    }
}
