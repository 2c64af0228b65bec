//! The life of a process from start to end, with a collector that is away. One test, since telemetry is installed once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use service::config::{LogFormat, Service, ServiceListen, Telemetry};
use service::health::healthcheck;
use service::host::{Host, run};
use service::net::bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_starts_serves_drains_and_ends_while_the_collector_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready.json");
    std::fs::write(&ready_file, "of an earlier process").unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    // An address that refuses: bound once, and closed again.
    let away = bind(local, "test").unwrap().local_addr().unwrap();
    let host = Host {
        program: "test",
        service: Service { listen: ServiceListen { health: Some(local) }, ..Service::default() },
        telemetry: Telemetry {
            endpoint: Some(format!("http://{away}")),
            log_format: LogFormat::Json,
            ..Telemetry::default()
        },
        ready_file: Some(ready_file.clone()),
    };
    let (send, receive) = tokio::sync::oneshot::channel();
    let process = tokio::spawn(run(host, async move |context: service::Context| {
        let listener = bind(local, "mta.listen.mx")?;
        context.listening.add("mx", listener.local_addr()?);
        let queue = context.readiness.condition("mta.queue");
        let token = context.shutdown.token();
        context.shutdown.spawn("the agent", async move {
            token.cancelled().await;
            drop(listener);
            Ok(())
        });
        let counter = opentelemetry::global::meter("postrider").u64_counter("mail.received").build();
        counter.add(3, &[]);
        tracing::info_span!("smtp.transaction").in_scope(|| tracing::info!("a record within a span"));
        let _ = send.send((context, queue));
        Ok(())
    }));
    let (context, queue) = receive.await.unwrap();
    let health = context.listening.get("health").unwrap();
    assert!(!ready_file.exists(), "the old ready file is gone and the new one waits for readiness");
    assert!(get(health, "/livez").await.unwrap().starts_with("HTTP/1.1 200 "));
    assert!(healthcheck(health).await.unwrap_err().to_string().contains("mta.queue"));

    queue.ready();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ready_file.exists() {
        assert!(Instant::now() < deadline, "no ready file");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let addresses: BTreeMap<String, SocketAddr> =
        serde_json::from_str(&std::fs::read_to_string(&ready_file).unwrap()).unwrap();
    assert_eq!(addresses.keys().collect::<Vec<_>>(), ["health", "mx"]);
    healthcheck(health).await.unwrap();
    let metrics = get(health, "/metrics").await.unwrap();
    assert!(metrics.contains("mail_received_total 3"), "{metrics}");

    // The end does not wait for the collector longer than the limit for flushing.
    let stopped = Instant::now();
    context.shutdown.begin();
    process.await.unwrap().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(9), "{:?}", stopped.elapsed());
    assert!(TcpStream::connect(addresses["mx"]).await.is_err());
}
