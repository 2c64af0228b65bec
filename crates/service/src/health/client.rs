//! The other end of `/readyz`: the `healthcheck` verb, for containers that have no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No healthy process takes longer to say so.
const TIMEOUT: Duration = Duration::from_secs(3);

/// More than any report of ours.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Asks the process whose health is served at `address` whether it is ready. An error says what is not.
pub async fn healthcheck(address: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(address);
    let answer = tokio::time::timeout(TIMEOUT, ask(address))
        .await
        .map_err(|_| anyhow::anyhow!("no answer from {address} within {TIMEOUT:?}"))?
        .with_context(|| format!("cannot ask {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("{address} is not ready: {}", body.split_whitespace().collect::<Vec<_>>().join(" "));
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Who listens on all addresses is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Readiness, serve};
    use crate::net::bind;
    use crate::telemetry::Metrics;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_check_tells_ready_from_not_ready_and_from_dead() {
        let readiness = Readiness::default();
        let listener = bind("127.0.0.1:0".parse().unwrap(), "service.listen.health").unwrap();
        let address = listener.local_addr().unwrap();
        let end = CancellationToken::new();
        let server = tokio::spawn(serve(listener, readiness.clone(), Metrics::default(), end.clone()));

        let condition = readiness.condition("mta.queue");
        let error = healthcheck(address).await.unwrap_err().to_string();
        assert!(error.contains("is not ready") && error.contains("mta.queue"), "{error}");
        condition.ready();
        healthcheck(address).await.unwrap();

        end.cancel();
        server.await.unwrap().unwrap();
        assert!(healthcheck(address).await.unwrap_err().to_string().starts_with("cannot ask "));
    }
}
