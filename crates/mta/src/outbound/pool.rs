//! Connections kept open for the next message to the same place, for a short time and within limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::client::Connection;
use tokio::time::Instant;

/// An open session with a server.
#[derive(Debug)]
pub struct Open {
    /// The session, between transactions.
    pub connection: Connection,
    /// Who is at the other end: name, address and TLS version, as timelines show it.
    pub remote: String,
    /// Messages that it carried.
    pub messages: usize,
}

struct Idle {
    open: Open,
    since: Instant,
}

type IdleConnections = HashMap<(Arc<str>, SocketAddr), Vec<Idle>>;

/// Idle connections by next hop and address.
#[derive(Clone)]
pub struct Pool {
    idle: Arc<Mutex<IdleConnections>>,
    keep: Duration,
    limit: usize,
}

impl Pool {
    /// Keeps at most `limit` connections, each for at most `keep` without use.
    #[must_use]
    pub fn new(keep: Duration, limit: usize) -> Self {
        Self { idle: Arc::default(), keep, limit }
    }

    /// A connection to this address, opened for this next hop, if one is at hand.
    #[must_use]
    pub fn take(&self, hop: &Arc<str>, address: SocketAddr) -> Option<Open> {
        let key = (Arc::clone(hop), address);
        let found = {
            let mut idle = self.lock();
            let connections = idle.get_mut(&key)?;
            let found = connections.pop();
            if connections.is_empty() {
                idle.remove(&key);
            }
            found?
        };
        if found.since.elapsed() < self.keep {
            return Some(found.open);
        }
        quit(found.open);
        None
    }

    /// Keeps a connection for the next message, or ends it where there is no room.
    pub fn give(&self, hop: &Arc<str>, address: SocketAddr, open: Open) {
        let refused = {
            let mut idle = self.lock();
            if idle.values().map(Vec::len).sum::<usize>() >= self.limit {
                Some(open)
            } else {
                let key = (Arc::clone(hop), address);
                idle.entry(key).or_default().push(Idle { open, since: Instant::now() });
                None
            }
        };
        if let Some(open) = refused {
            quit(open);
        }
    }

    /// Ends the connections that nobody used for too long.
    pub fn reap(&self) {
        let mut overdue = Vec::new();
        self.lock().retain(|_, connections| {
            let (old, young) = connections.drain(..).partition(|idle| idle.since.elapsed() >= self.keep);
            *connections = young;
            let old: Vec<Idle> = old;
            overdue.extend(old);
            !connections.is_empty()
        });
        overdue.into_iter().for_each(|idle| quit(idle.open));
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says QUIT without anybody waiting for it (RFC 5321 4.1.1.10); the client's own time limits end it.
pub fn quit(open: Open) {
    tokio::spawn(open.connection.quit());
}
