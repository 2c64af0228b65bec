//! The way to other servers: where to, over which connection, and what to try next when one of them fails.

pub mod failure;
pub mod pool;
pub mod resolve;
pub mod security;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail::{Outcome, Recipient, Status};
use queue::Delivery;
use smtp::client::{self, Connection};

use crate::config;
use crate::memory::Loaded;
use crate::report::{Attempted, PassedOn};
use crate::route::NextHop;
use crate::scheduler::Verdict;
use failure::{Failure, Stage};
use pool::{Open, Pool, quit};
use resolve::{Destination, Resolver};
use security::{Plan, Securities};

/// Whether the lease on the message still holds; asked before the final dot.
pub type MayCommit<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Sends messages to other servers.
#[derive(Clone)]
pub struct Outbound {
    resolver: Resolver,
    pool: Pool,
    securities: Securities,
    client: Arc<client::Settings>,
    settings: Arc<config::Outbound>,
}

/// One address to try.
struct Candidate {
    name: String,
    address: SocketAddr,
}

impl Outbound {
    /// The way to other servers under this name.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        resolver: Resolver,
        settings: &config::Outbound,
        hostname: &str,
    ) -> Result<Self, smtp::tls::TlsError> {
        let mut client = client::Settings::new(hostname);
        client.timeouts.connect = settings.connect_timeout.get();
        Ok(Self {
            resolver,
            pool: Pool::new(settings.connection_idle.get(), settings.idle_connections),
            securities: Securities::new()?,
            client: Arc::new(client),
            settings: Arc::new(settings.clone()),
        })
    }

    /// Sends one message to recipients that share a next hop; one outcome for each, in their order.
    pub async fn deliver(
        &self,
        hop: &NextHop,
        loaded: &Loaded,
        deliveries: &[&Delivery],
        may_commit: MayCommit<'_>,
    ) -> (Vec<Attempted>, Verdict) {
        let all = |status: Status, remote: Option<String>| {
            let outcome = Outcome::refused(status);
            let one = Attempted { outcome, remote, passed_on: PassedOn::default() };
            vec![one; deliveries.len()]
        };
        let candidates = match self.candidates(hop).await {
            Ok(candidates) => candidates,
            Err(status) => {
                let verdict = if status.is_transient() { Verdict::Silent } else { Verdict::Answered };
                return (all(status, None), verdict);
            }
        };
        let plan = match self.securities.plan(hop) {
            Ok(plan) => plan,
            Err(status) => return (all(status, None), Verdict::Answered),
        };
        let recipients: Vec<Recipient> =
            deliveries.iter().map(|delivery| delivery.recipient.clone()).collect();
        let mut last = Failure::nobody_tried();
        for candidate in &candidates {
            match self.try_candidate(hop, &plan, candidate, loaded, &recipients, may_commit).await {
                Ok(attempted) => return (attempted, Verdict::Answered),
                Err(failure) if failure.stage == Stage::Final => {
                    return (all(failure.status, failure.remote), Verdict::Answered);
                }
                Err(failure) => {
                    tracing::debug!(host = candidate.name, address = %candidate.address, status = %failure.status, "trying the next server");
                    last = failure;
                }
            }
        }
        (all(last.status, last.remote), Verdict::Silent)
    }

    /// Ends connections that nobody uses any more, from time to time, until the process ends.
    pub async fn reap(&self) {
        let mut tick =
            tokio::time::interval(self.settings.connection_idle.get().max(Duration::from_millis(500)));
        loop {
            tick.tick().await;
            self.pool.reap();
        }
    }

    /// The addresses to try, best first.
    async fn candidates(&self, hop: &NextHop) -> Result<Vec<Candidate>, Status> {
        let (destinations, port) = match hop {
            NextHop::Local => (Vec::new(), 0),
            NextHop::Relay(host) => (vec![self.resolver.host(&host.host).await?], host.port),
            NextHop::Exchangers(domain) => (self.resolver.exchangers(domain).await?, self.settings.port),
            NextHop::Address(address) => {
                (vec![Destination { name: literal(*address), addresses: vec![*address] }], self.settings.port)
            }
        };
        // A limit for each: one server with many dead addresses does not hide the next.
        let addresses_per_host = self.settings.addresses_per_host;
        let candidates = destinations.into_iter().take(self.settings.hosts).flat_map(|destination| {
            let Destination { name, addresses } = destination;
            addresses
                .into_iter()
                .take(addresses_per_host)
                .map(move |address| Candidate { name: name.clone(), address: SocketAddr::new(address, port) })
        });
        Ok(candidates.collect())
    }

    /// One transaction with one address, over a connection at hand or a new one. A connection at hand that the server has closed
    /// meanwhile is no failure of the server.
    async fn try_candidate(
        &self,
        hop: &NextHop,
        plan: &Plan,
        candidate: &Candidate,
        loaded: &Loaded,
        recipients: &[Recipient],
        may_commit: MayCommit<'_>,
    ) -> Result<Vec<Attempted>, Failure> {
        let key = hop.key();
        if let Some(open) = self.pool.take(&key, candidate.address) {
            match self.transact(&key, candidate.address, open, loaded, recipients, may_commit).await {
                Err(failure) if failure.stage == Stage::Connection => {}
                answered => return answered,
            }
        }
        let open = self.open(plan, candidate).await?;
        self.transact(&key, candidate.address, open, loaded, recipients, may_commit).await
    }

    async fn transact(
        &self,
        key: &Arc<str>,
        address: SocketAddr,
        mut open: Open,
        loaded: &Loaded,
        recipients: &[Recipient],
        may_commit: MayCommit<'_>,
    ) -> Result<Vec<Attempted>, Failure> {
        let envelope = &loaded.message.envelope;
        let statuses = match open.connection.transact(envelope, recipients, &loaded.content, may_commit).await
        {
            Ok(statuses) => statuses,
            Err(error) => return Err(Failure::in_transaction(&error, Some(open.remote.clone()))),
        };
        let passed_on = PassedOn { dsn: open.connection.capabilities().dsn, deliver_by: false };
        let attempted = statuses
            .into_iter()
            .map(|status| {
                let outcome =
                    if status.is_success() { Outcome::Relayed(status) } else { Outcome::refused(status) };
                Attempted { outcome, remote: Some(open.remote.clone()), passed_on }
            })
            .collect();
        open.messages += 1;
        if open.connection.is_usable() && open.messages < self.settings.messages_per_connection {
            self.pool.give(key, address, open);
        } else {
            quit(open);
        }
        Ok(attempted)
    }

    /// A new session: TCP, greeting, EHLO, TLS as planned, AUTH where configured. Opportunistic TLS that fails is left out on a
    /// second connection, for mail in clear text is what the server would have got without it (RFC 7435).
    async fn open(&self, plan: &Plan, candidate: &Candidate) -> Result<Open, Failure> {
        let connected = self.connect(plan.security(), candidate).await;
        let mut connection = match connected {
            Err(client::Error::Tls(error)) if plan.may_fall_back() => {
                tracing::info!(host = candidate.name, address = %candidate.address, %error, "TLS failed; sending in clear text");
                self.connect(client::Security::Plain, candidate).await
            }
            connected => connected,
        }
        .map_err(|error| Failure::in_connection(&error, &remote_name(candidate, None)))?;
        let tls = connection.tls().map(|tls| tls.version);
        let remote = remote_name(candidate, tls.as_deref());
        if let Some((login, password)) = plan.credentials() {
            let answer = connection.authenticate(login, password).await;
            answer.map_err(|error| Failure::in_connection(&error, &remote))?;
        }
        Ok(Open { connection, remote, messages: 0 })
    }

    async fn connect(
        &self,
        security: client::Security,
        candidate: &Candidate,
    ) -> Result<Connection, client::Error> {
        Connection::connect(candidate.address, &self.client, security, &candidate.name).await
    }
}

fn literal(address: IpAddr) -> String {
    address.to_string()
}

fn remote_name(candidate: &Candidate, tls: Option<&str>) -> String {
    let Candidate { name, address } = candidate;
    match tls {
        Some(version) => format!("{name} [{}]:{} {version}", address.ip(), address.port()),
        None => format!("{name} [{}]:{}", address.ip(), address.port()),
    }
}
