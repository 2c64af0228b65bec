//! The way to other servers: where to, over which connection, and what to try next when one of them fails.

pub mod conversion;
pub mod failure;
pub mod pool;
pub mod resolve;
pub mod security;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail::{Content, DeliverBy, DeliverByMode, Envelope, Outcome, Recipient, Status};
use queue::Delivery;
use smtp::client::{self, Connection};
use smtp::extension::Capabilities;

use crate::config;
use crate::memory::Loaded;
use crate::report::{Attempted, PassedOn};
use crate::route::NextHop;
use crate::scheduler::Verdict;
use conversion::Conversions;
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
    conversions: Conversions,
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
            securities: Securities::new(settings.authority_file.as_deref())?,
            client: Arc::new(client),
            conversions: Conversions::new(settings.content_memory.as_usize() / 2),
            settings: Arc::new(settings.clone()),
        })
    }

    /// Sends one message, with what is left of its time to deliver by, to recipients that share a next hop; one outcome for
    /// each, in their order. Who keeps us for longer than an attempt may last is left.
    pub async fn deliver(
        &self,
        hop: &NextHop,
        loaded: &Loaded,
        deliver_by: Option<DeliverBy>,
        deliveries: &[&Delivery],
        may_commit: MayCommit<'_>,
    ) -> (Vec<Attempted>, Verdict) {
        let envelope = &loaded.message.envelope;
        let message = Outgoing {
            key: pool_key(hop, envelope),
            envelope: match deliver_by {
                Some(_) => Cow::Owned(Envelope { deliver_by, ..envelope.clone() }),
                None => Cow::Borrowed(envelope),
            },
            recipients: deliveries.iter().map(|delivery| delivery.recipient.clone()).collect(),
            content: &loaded.content,
            may_commit,
        };
        let limit = self.settings.attempt_time.get();
        // What a server has taken counts, whatever happens to the rest.
        let mut attempted = Vec::with_capacity(deliveries.len());
        let ended = tokio::time::timeout(limit, self.attempt(hop, &message, &mut attempted)).await;
        let ended = ended.unwrap_or_else(|_| {
            let text =
                format!("the attempt was given up: it had not come to an end after {} s", limit.as_secs());
            Err((Status::new(451, (4, 4, 2), text), None, Verdict::Silent))
        });
        match ended {
            Ok(()) => (attempted, Verdict::Answered),
            Err((status, remote, verdict)) => {
                message.refuse_rest(&status, remote.as_ref(), &mut attempted);
                (attempted, verdict)
            }
        }
    }

    /// Adds what became of the recipients, as far as a server said it. The error is for those who are left.
    async fn attempt(
        &self,
        hop: &NextHop,
        message: &Outgoing<'_>,
        attempted: &mut Vec<Attempted>,
    ) -> Result<(), (Status, Option<String>, Verdict)> {
        let candidates = self.candidates(hop).await.map_err(|status| {
            let verdict = if status.is_transient() { Verdict::Silent } else { Verdict::Answered };
            (status, None, verdict)
        })?;
        let plan = self.securities.plan(hop, message.envelope.require_tls);
        let plan = plan.map_err(|status| (status, None, Verdict::Answered))?;
        let mut last = Failure::nobody_tried();
        for candidate in &candidates {
            match self.try_candidate(&plan, candidate, message, attempted).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.stage == Stage::Final => {
                    return Err((failure.status, failure.remote, Verdict::Answered));
                }
                Err(failure) => {
                    tracing::debug!(host = candidate.name, address = %candidate.address, status = %failure.status, "trying the next server");
                    last = failure;
                }
            }
        }
        let verdict = if attempted.is_empty() { Verdict::Silent } else { Verdict::Answered };
        Err((last.status, last.remote, verdict))
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

    /// As many transactions with one address as its limits ask for, over connections at hand or new ones. A connection at hand
    /// that the server has closed meanwhile is no failure of the server.
    async fn try_candidate(
        &self,
        plan: &Plan,
        candidate: &Candidate,
        message: &Outgoing<'_>,
        attempted: &mut Vec<Attempted>,
    ) -> Result<(), Failure> {
        while attempted.len() < message.recipients.len() {
            if let Some(open) = self.pool.take(&message.key, candidate.address) {
                match self.transact(candidate.address, open, message, attempted).await {
                    Err(failure) if failure.stage == Stage::Connection => {}
                    Err(failure) => return Err(failure),
                    Ok(()) => continue,
                }
            }
            let open = self.open(plan, candidate).await?;
            self.transact(candidate.address, open, message, attempted).await?;
        }
        Ok(())
    }

    /// One transaction, for as many of those who are left as the server takes in one.
    async fn transact(
        &self,
        address: SocketAddr,
        mut open: Open,
        message: &Outgoing<'_>,
        attempted: &mut Vec<Attempted>,
    ) -> Result<(), Failure> {
        let Outgoing { key, envelope, recipients, .. } = message;
        let offered = open.connection.capabilities();
        let passed_on = PassedOn { dsn: offered.dsn, deliver_by: offered.deliver_by.is_some() };
        if let Some(status) = too_slow(envelope, offered) {
            message.refuse_rest(&status, Some(&open.remote), attempted);
            self.pool.give(key, address, open);
            return Ok(());
        }
        let left = &recipients[attempted.len()..];
        let left = &left[..left.len().min(open.connection.recipients_per_transaction())];
        let statuses = self.send(&mut open, message, left).await;
        let statuses =
            statuses.map_err(|error| Failure::in_transaction(&error, Some(open.remote.clone())))?;
        attempted.extend(statuses.into_iter().map(|status| {
            let outcome =
                if status.is_success() { Outcome::Relayed(status) } else { Outcome::refused(status) };
            Attempted { outcome, remote: Some(open.remote.clone()), passed_on }
        }));
        open.messages += 1;
        if open.connection.is_usable() && open.messages < self.settings.messages_per_connection {
            self.pool.give(key, address, open);
        } else {
            quit(open);
        }
        Ok(())
    }

    /// The message as it is, or in a form that this server takes.
    async fn send(
        &self,
        open: &mut Open,
        message: &Outgoing<'_>,
        recipients: &[Recipient],
    ) -> Result<Vec<Status>, client::Error> {
        let Outgoing { envelope, content, may_commit, .. } = message;
        let connection = &mut open.connection;
        match self.conversions.convert(connection.capabilities(), envelope, content).await {
            Ok(None) => connection.transact(envelope, recipients, content, *may_commit).await,
            Ok(Some(converted)) => {
                connection.transact(&converted.envelope, recipients, &converted.content, *may_commit).await
            }
            Err(status) => Ok(vec![status; recipients.len()]),
        }
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
        let tls = connection.tls().map(|tls| tls.version.clone());
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

/// One message on its way to one next hop.
struct Outgoing<'a> {
    /// What it may share connections with.
    key: Arc<str>,
    envelope: Cow<'a, Envelope>,
    recipients: Vec<Recipient>,
    content: &'a Content,
    may_commit: MayCommit<'a>,
}

impl Outgoing<'_> {
    /// The same for every recipient of whom nothing is known yet.
    fn refuse_rest(&self, status: &Status, remote: Option<&String>, attempted: &mut Vec<Attempted>) {
        let one = Attempted {
            outcome: Outcome::refused(status.clone()),
            remote: remote.cloned(),
            passed_on: PassedOn::default(),
        };
        attempted.resize(self.recipients.len(), one);
    }
}

/// A connection with a verified certificate is one of its own: what requires none must not be what it was opened for.
fn pool_key(hop: &NextHop, envelope: &Envelope) -> Arc<str> {
    let key = hop.key();
    if envelope.require_tls { format!("verified:{key}").into() } else { key }
}

/// Why a message that is to come back rather than late must not go to this server (RFC 2852 4): it knows nothing of the time,
/// or takes longer than is left.
fn too_slow(envelope: &Envelope, offered: &Capabilities) -> Option<Status> {
    let by = envelope.deliver_by.filter(|by| by.mode == DeliverByMode::Return)?;
    match offered.deliver_by {
        None => Some(Status::new(554, (5, 4, 7), "the next server knows no time to deliver by (DELIVERBY)")),
        Some(Some(least)) if by.seconds < i64::from(least) => {
            let text = format!("the next server takes at least {least} s, and {} s are left", by.seconds);
            Some(Status::new(554, (5, 4, 7), text))
        }
        Some(_) => None,
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
