//! All replicas of another agent, as one that can be called.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::Settings;
use super::backend::Backend;
use super::endpoint::Source;
use crate::status::Failure;
use crate::tls::Credentials;
use crate::{Error, ErrorKind, SetupError, trace};

/// The replicas of another agent; a clone shares their connections.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    backends: watch::Receiver<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    lookups: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(lookups) = &self.lookups {
            lookups.abort();
        }
    }
}

/// Whether a call may be made again that may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Harmless,
    Never,
}

/// What the making of one call needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) until: Instant,
}

impl Call {
    /// The request with deadline and trace context.
    pub(super) fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.until.saturating_duration_since(Instant::now()));
        trace::inject(request.metadata_mut());
        request
    }
}

impl Peers {
    /// Connects to nobody yet: agents start in any order. Needs a tokio runtime, in which names are looked up from now on.
    ///
    /// # Errors
    /// When addresses or certificates cannot be used.
    pub fn new(settings: Settings, credentials: Option<&Credentials>) -> Result<Self, SetupError> {
        if settings.endpoints.is_empty() {
            return Err(SetupError::NoEndpoint);
        }
        let parse = |endpoint: &String| Source::parse(endpoint, &settings, credentials);
        let sources: Vec<Source> = settings.endpoints.iter().map(parse).collect::<Result<_, _>>()?;
        let (sender, backends) = watch::channel(Vec::new());
        let addresses = |source: &Source| source.host.parse::<IpAddr>().ok();
        let lookups = if sources.iter().all(|source| addresses(source).is_some()) {
            let fixed = |source: &Source| Some(SocketAddr::new(addresses(source)?, source.port));
            let fixed = sources.iter().map(|source| (source, fixed(source).into_iter().collect())).collect();
            sender.send_replace(refreshed(&[], fixed, &settings));
            None
        } else {
            Some(tokio::spawn(keep_looking_up(sources, settings.clone(), sender)))
        };
        let shared = Shared { settings, backends, turn: AtomicUsize::new(0), lookups };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Makes a call that looks something up: repeating it is harmless.
    pub(super) async fn look_up<T, F, A>(&self, make: F) -> Result<T, Error>
    where
        F: Fn(Channel, Call) -> A,
        A: Future<Output = Result<T, Status>>,
    {
        self.call(Repeat::Harmless, Instant::now() + self.settings().deadline(), make).await
    }

    /// Makes a call that changes something.
    pub(super) async fn change<T, F, A>(&self, make: F) -> Result<T, Error>
    where
        F: Fn(Channel, Call) -> A,
        A: Future<Output = Result<T, Status>>,
    {
        self.call(Repeat::Never, Instant::now() + self.settings().deadline(), make).await
    }

    /// Makes a call to one replica after the other, until one answers; to a single one twice, since its connection may
    /// have been stale.
    pub(super) async fn call<T, F, A>(&self, repeat: Repeat, until: Instant, make: F) -> Result<T, Error>
    where
        F: Fn(Channel, Call) -> A,
        A: Future<Output = Result<T, Status>>,
    {
        let backends = self.in_order(until).await?;
        let mut last = Error::new(ErrorKind::Unavailable, "no answer in time");
        for backend in backends.iter().cycle().take(backends.len().max(2)) {
            let channel = match timeout_at(until, backend.channel()).await {
                Ok(Ok(channel)) => channel,
                Ok(Err(error)) => {
                    last = error;
                    continue;
                }
                Err(_) => return Err(last),
            };
            let _busy = backend.busy();
            let Ok(answer) = timeout_at(until, make(channel, Call { until })).await else {
                return Err(Error::new(
                    ErrorKind::Unknown,
                    format_args!("no answer from {} in time", backend.address),
                ));
            };
            let failure = match answer {
                Ok(answer) => {
                    backend.answered();
                    return Ok(answer);
                }
                Err(status) => Failure::from(status),
            };
            if failure.said {
                backend.answered();
            } else {
                backend.broke().await;
            }
            match failure.error.kind {
                ErrorKind::Unavailable => last = failure.error,
                ErrorKind::Unknown if repeat == Repeat::Harmless => last = failure.error,
                _ => return Err(failure.error),
            }
        }
        Err(last)
    }

    /// The replicas, best first, taking turns; waits a little where no name has been looked up yet.
    async fn in_order(&self, until: Instant) -> Result<Vec<Arc<Backend>>, Error> {
        let mut known = self.shared.backends.clone();
        let patience = Instant::now() + Duration::from_millis(self.settings().connect_timeout_ms);
        let some = timeout_at(until.min(patience), known.wait_for(|backends| !backends.is_empty())).await;
        let Ok(Ok(backends)) = some.map(|known| known.map(|backends| backends.clone())) else {
            let names = self.settings().endpoints.join(", ");
            let message = format!("no address is known for {names}; does the name exist in DNS?");
            return Err(Error::new(ErrorKind::Unavailable, message));
        };
        let mut backends = backends;
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn % backends.len().max(1);
        backends.rotate_left(first);
        backends.sort_by_cached_key(|backend| backend.rank());
        Ok(backends)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("endpoints", &self.shared.settings.endpoints).finish_non_exhaustive()
    }
}

/// Follows DNS, so that replicas that come and go are noticed. A name that cannot be looked up now keeps its addresses.
async fn keep_looking_up(sources: Vec<Source>, settings: Settings, sender: watch::Sender<Vec<Arc<Backend>>>) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); sources.len()];
    loop {
        for (source, known) in sources.iter().zip(&mut known) {
            match tokio::net::lookup_host((source.host.as_str(), source.port)).await {
                Ok(addresses) => {
                    *known = addresses.collect();
                    // In an order of our own: DNS rotates them.
                    known.sort_unstable();
                }
                Err(error) => {
                    tracing::debug!(host = source.host, %error, "an agent's name cannot be looked up");
                }
            }
        }
        let found = sources.iter().zip(known.iter().cloned()).collect();
        let before = sender.borrow().clone();
        let after = refreshed(&before, found, &settings);
        let same = before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            sender.send_replace(after);
        }
        // While nothing is known somebody may be waiting.
        let pause = if sender.borrow().is_empty() { 200 } else { settings.resolve_interval_ms };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// The backends of these addresses; those that were there stay, with their connections.
fn refreshed(
    before: &[Arc<Backend>],
    found: Vec<(&Source, Vec<SocketAddr>)>,
    settings: &Settings,
) -> Vec<Arc<Backend>> {
    let mut after: Vec<Arc<Backend>> = Vec::new();
    for (source, addresses) in found {
        for address in addresses {
            if after.iter().any(|backend| backend.address == address) {
                continue;
            }
            if let Some(known) = before.iter().find(|backend| backend.address == address) {
                after.push(Arc::clone(known));
            } else if let Ok(endpoint) = source.endpoint(address, settings) {
                after.push(Arc::new(Backend::new(address, endpoint)));
            }
        }
    }
    after
}
