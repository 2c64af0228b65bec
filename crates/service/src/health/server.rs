//! `/livez`, `/readyz` and `/metrics`.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Readiness;
use crate::telemetry::Metrics;

/// Serves until `end` is cancelled: to the very end of the process, so that `/readyz` can tell that it drains.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    end: CancellationToken,
) -> anyhow::Result<()> {
    let readyz = move || {
        let (ready, report) = readiness.report();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        std::future::ready((status, [(CONTENT_TYPE, "application/json")], report))
    };
    let metrics = move || {
        let text = metrics.render();
        std::future::ready(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
    };
    let router = Router::new()
        .route("/livez", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    // Not gracefully: that would wait for connections that scrapers keep open.
    tokio::select! {
        result = axum::serve(listener, router) => Ok(result?),
        () = end.cancelled() => Ok(()),
    }
}
