//! The server: serves any implementations of the contracts on one listener. It guards what they need not think of: who may
//! call, memory for content, deadlines, trace context, health, and an end in which calls in flight are finished.

mod admission;
mod content;
mod delivery;
mod directory;
mod directory_admin;
mod incoming;
mod mailboxes;
mod memory;
mod queue_admin;
mod queue_summary;
mod quotas;
mod relay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tracing::{Instrument, Span};

use crate::client::unusable;
use crate::generated as wire;
use crate::tls::Credentials;
use crate::wire::REQUEST_LIMIT;
use crate::{
    Delivery, Directory, DirectoryAdmin, Error, Intake, Mailboxes, QueueAdmin, QueueSummary, Quotas,
    SetupError, status, trace,
};
use admission::Admission;
pub use admission::Clients;
use content::Transfers;

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How to serve other agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Allows plaintext beyond loopback, where the network itself is trusted.
    pub insecure: bool,
    /// Largest content of a message in bytes.
    pub content_limit_bytes: u64,
    /// Memory for content that is on its way in, over all calls, in bytes.
    pub message_memory_bytes: u64,
    /// How long a call waits for a share of that memory.
    pub memory_wait_ms: u64,
    /// How long a call may take that looks something up or changes a little.
    pub deadline_ms: u64,
    /// How long a call may take to bring its message.
    pub transfer_deadline_ms: u64,
    /// Calls at a time on one connection.
    pub concurrent_streams: u32,
    /// How long a connection may be silent before we ask whether the other side is still there.
    pub keep_alive_ms: u64,
    /// How long the other side has to answer that.
    pub keep_alive_timeout_ms: u64,
    /// How long calls in flight may take to finish once the server is told to stop.
    pub drain_ms: u64,
    /// Who may call which service, by the name in the client's certificate.
    pub clients: Clients,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: false,
            content_limit_bytes: 128 * 1024 * 1024,
            message_memory_bytes: 512 * 1024 * 1024,
            memory_wait_ms: 10_000,
            deadline_ms: 30_000,
            transfer_deadline_ms: 120_000,
            concurrent_streams: 1_024,
            keep_alive_ms: 10_000,
            keep_alive_timeout_ms: 5_000,
            drain_ms: 20_000,
            clients: Clients::default(),
        }
    }
}

/// Collects what is to be served.
pub struct Builder {
    settings: Settings,
    credentials: Option<Credentials>,
    transfers: Transfers,
    routes: RoutesBuilder,
    names: Vec<&'static str>,
}

/// Adds one service behind its admission.
macro_rules! add {
    ($builder:ident, $clients:ident, $server:path, $service:expr) => {{
        let admission = $builder.admission(&$builder.settings.clients.$clients)?;
        let server = <$server>::new($service).max_decoding_message_size(REQUEST_LIMIT);
        $builder.names.push(name_of(&server));
        $builder.routes.add_service(InterceptedService::new(server, admission));
        Ok($builder)
    }};
}

impl Builder {
    /// A server without services yet; without credentials it speaks plaintext.
    #[must_use]
    pub fn new(settings: Settings, credentials: Option<Credentials>) -> Self {
        let transfers = Transfers::new(&settings);
        Self { settings, credentials, transfers, routes: RoutesBuilder::default(), names: Vec::new() }
    }

    /// Takes mail.
    ///
    /// # Errors
    /// When a client's name is malformed; so for all others.
    pub fn relay(mut self, intake: Arc<dyn Intake>) -> Result<Self, SetupError> {
        let service = relay::Service::new(intake, self.transfers.clone());
        add!(self, relay, wire::relay_server::RelayServer<_>, service)
    }

    /// Delivers into mailboxes.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn delivery(mut self, delivery: Arc<dyn Delivery>) -> Result<Self, SetupError> {
        let service = delivery::Service::new(delivery, self.transfers.clone());
        add!(self, delivery, wire::delivery_server::DeliveryServer<_>, service)
    }

    /// Knows who has a mailbox here.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Result<Self, SetupError> {
        add!(self, directory, wire::directory_server::DirectoryServer<_>, directory::Service(directory))
    }

    /// Counts what accounts submit.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn quotas(mut self, quotas: Arc<dyn Quotas>) -> Result<Self, SetupError> {
        add!(self, quotas, wire::quotas_server::QuotasServer<_>, quotas::Service(quotas))
    }

    /// Changes the directory.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn directory_admin(mut self, admin: Arc<dyn DirectoryAdmin>) -> Result<Self, SetupError> {
        let service = directory_admin::Service(admin);
        add!(self, directory_admin, wire::directory_admin_server::DirectoryAdminServer<_>, service)
    }

    /// Shows the queue.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn queue_admin(mut self, admin: Arc<dyn QueueAdmin>) -> Result<Self, SetupError> {
        add!(self, queue_admin, wire::queue_admin_server::QueueAdminServer<_>, queue_admin::Service(admin))
    }

    /// Says how much is in the queue.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn queue_summary(mut self, queue: Arc<dyn QueueSummary>) -> Result<Self, SetupError> {
        let service = queue_summary::Service(queue);
        add!(self, queue_summary, wire::queue_summary_server::QueueSummaryServer<_>, service)
    }

    /// Reads mailboxes.
    ///
    /// # Errors
    /// As [`Builder::relay`].
    pub fn mailboxes(mut self, mailboxes: Arc<dyn Mailboxes>) -> Result<Self, SetupError> {
        add!(self, mailboxes, wire::mailboxes_server::MailboxesServer<_>, mailboxes::Service(mailboxes))
    }

    /// Whether this address may be served as configured: plaintext stays on loopback.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, address: SocketAddr) -> Result<(), SetupError> {
        if self.credentials.is_none() && !self.settings.insecure && !address.ip().is_loopback() {
            return Err(SetupError::Plaintext { place: address.to_string() });
        }
        Ok(())
    }

    /// Serves until told to stop, then finishes what is in flight, for as long as the settings allow.
    ///
    /// # Errors
    /// When certificates cannot be used, or the address may not be served without them.
    pub async fn serve(mut self, listener: TcpListener, stop: CancellationToken) -> Result<(), SetupError> {
        let failed = |problem: String| SetupError::Serve { problem };
        self.check(listener.local_addr().map_err(|error| failed(error.to_string()))?)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in &self.names {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        self.routes.add_service(health_service);
        let drain = Duration::from_millis(self.settings.drain_ms);
        let tasks = self.transfers.tasks.clone();
        let server = self.transport()?.add_routes(self.routes.routes());
        let stopped = stop.clone().cancelled_owned();
        let serving = server.serve_with_incoming_shutdown(incoming::connections(listener), stopped);
        let ended = async {
            let served = serving.await;
            tasks.close();
            tasks.wait().await;
            served
        };
        let too_long = async {
            stop.cancelled().await;
            for name in self.names.iter().chain(&[""]) {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            served = ended => served.map_err(|error| failed(status::sentence(&error))),
            () = too_long => {
                tracing::warn!(drain_ms = self.settings.drain_ms, "calls of other agents were cut off by the end");
                Ok(())
            }
        }
    }

    fn transport(&self) -> Result<Server, SetupError> {
        let settings = &self.settings;
        let server = Server::builder()
            .timeout(Duration::from_millis(settings.deadline_ms))
            .max_concurrent_streams(settings.concurrent_streams)
            .http2_adaptive_window(Some(true))
            .http2_keepalive_interval(Some(Duration::from_millis(settings.keep_alive_ms)))
            .http2_keepalive_timeout(Some(Duration::from_millis(settings.keep_alive_timeout_ms)));
        match &self.credentials {
            Some(credentials) => server
                .tls_config(credentials.server().timeout(HANDSHAKE_LIMIT))
                .map_err(|error| unusable(&error)),
            None => Ok(server),
        }
    }

    fn admission(&self, names: &[String]) -> Result<Admission, SetupError> {
        Admission::new(names, self.credentials.is_some())
    }
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

/// Answers one call within its span, which continues the caller's trace.
async fn respond<T, R>(
    span: Span,
    request: Request<T>,
    answer: impl AsyncFnOnce(T) -> Result<R, Error>,
) -> Result<Response<R>, Status> {
    trace::follow(&span, request.metadata());
    let answer = answer(request.into_inner()).instrument(span).await?;
    Ok(Response::new(answer))
}
