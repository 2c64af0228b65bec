//! One replica: its connection, whether it answers, and how many calls are on their way to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::status::causes;
use crate::{Error, ErrorKind};

const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
/// Short, so that an agent that comes back is soon used again.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);
/// While others answer: one call in this time finds out whether the replica is back.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    endpoint: Endpoint,
    connection: Mutex<Connection>,
    /// Set while the last thing that we know of it is a failure: until then others are asked first, and after that one
    /// call tries whether it is back.
    failing: std::sync::Mutex<Option<Instant>>,
    calls: AtomicUsize,
}

enum Connection {
    None,
    Up(Channel),
    /// Callers within the back-off hear the error of the attempt before.
    Failed {
        until: Instant,
        back_off: Duration,
        error: Error,
    },
}

impl Backend {
    pub(super) fn new(address: SocketAddr, endpoint: Endpoint) -> Self {
        Self {
            address,
            endpoint,
            connection: Mutex::new(Connection::None),
            failing: std::sync::Mutex::new(None),
            calls: AtomicUsize::new(0),
        }
    }

    /// What decides who is asked first: who answers before who does not, then who has less to do.
    pub(super) fn rank(&self) -> (bool, usize) {
        let now = Instant::now();
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let avoid = failing.is_some_and(|until| now < until);
        if failing.is_some() && !avoid {
            *failing = Some(now + TRIED_AGAIN_AFTER);
        }
        (avoid, self.calls.load(Ordering::Relaxed))
    }

    /// The connection, made when there is none. At most one attempt is under way at a time; the others wait for it.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let mut connection = self.connection.lock().await;
        let back_off = match &*connection {
            Connection::Up(channel) => return Ok(channel.clone()),
            Connection::Failed { until, error, .. } if Instant::now() < *until => return Err(error.clone()),
            Connection::Failed { back_off, .. } => (*back_off * 2).min(LONGEST_BACK_OFF),
            Connection::None => FIRST_BACK_OFF,
        };
        match self.endpoint.connect().await {
            Ok(channel) => {
                self.answered();
                *connection = Connection::Up(channel.clone());
                Ok(channel)
            }
            Err(error) => {
                self.failed();
                let reason = causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
                let message = format!("cannot connect to {}: {reason}", self.address);
                let error = Error::new(ErrorKind::Unavailable, message);
                *connection =
                    Connection::Failed { until: Instant::now() + back_off, back_off, error: error.clone() };
                Err(error)
            }
        }
    }

    /// A call broke: the next one gets a new connection. Calls that still run on the old one are left to end.
    pub(super) async fn broke(&self) {
        self.failed();
        let mut connection = self.connection.lock().await;
        if matches!(*connection, Connection::Up(_)) {
            *connection = Connection::None;
        }
    }

    /// A call was answered, were it with an error.
    pub(super) fn answered(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + TRIED_AGAIN_AFTER);
    }

    /// Counts a call for as long as the guard lives.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

pub(super) struct Busy(Arc<Backend>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
