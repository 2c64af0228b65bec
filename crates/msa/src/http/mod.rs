//! Submission over HTTP, for applications: a door beside SMTP that leads to the same functions of
//! [`Submissions`](crate::submission::Submissions). Here it is decided who may knock and what an answer looks like; never
//! what a message must be, or who may send what.

mod answer;
mod authentication;
mod body;
mod compose;
mod draft;
mod idempotency;
mod members;
mod metrics;
mod openapi;
mod problem;
mod raw;
mod request;
mod routes;
mod server;
mod settings;
mod submit;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};
use smtp::tls::ServerTls;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::submission::Submissions;
pub use settings::Http;

/// What all requests share.
pub(crate) struct Api {
    submissions: Arc<Submissions>,
    settings: Http,
    /// Limits, policy and memory, the same as those of SMTP sessions.
    sessions: Arc<smtp::server::Settings>,
    /// Requests that may be at work at once.
    requests: Semaphore,
    metrics: metrics::Metrics,
    description: String,
}

impl Api {
    pub(crate) fn new(
        submissions: Arc<Submissions>,
        settings: Http,
        sessions: Arc<smtp::server::Settings>,
    ) -> Self {
        let requests = Semaphore::new(settings.requests.min(Semaphore::MAX_PERMITS));
        let (metrics, description) = (metrics::Metrics::new(), openapi::description());
        Self { submissions, settings, sessions, requests, metrics, description }
    }
}

/// Serves the listener until shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    api: Api,
    tls: Option<Arc<ServerTls>>,
    shutdown: CancellationToken,
) {
    let (settings, limits) = (api.settings.clone(), Arc::clone(&api.sessions.limits));
    let router = Router::new()
        .route("/v1/messages", post(routes::submit_message))
        .route("/v1/messages/{id}", get(routes::show_message))
        .route("/v1/openapi.json", get(routes::describe))
        .fallback(routes::unknown)
        .method_not_allowed_fallback(routes::not_allowed)
        .layer(middleware::from_fn(server::count))
        .with_state(Arc::new(api));
    server::serve(listener, server::Server { router, settings, limits, tls, shutdown }).await;
}
