//! DNS for one test: zones from text, on one port over UDP and TCP, and failures on demand.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::{LowerName, Name};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::RwLock;

/// The server; it ends with this value.
pub struct Dns {
    /// Where it answers.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server<Answers>,
}

struct Shared {
    catalog: RwLock<Catalog>,
    failing: AtomicBool,
    silent: AtomicBool,
    broken: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<String>>,
}

impl Dns {
    /// Serves zones, each an origin with its records in the form of RFC 1035 5.1; SOA and NS are added, and the TTL is 0.
    ///
    /// ```text
    /// ("remote.test", "@ MX 10 mx\nmx A 127.0.0.1")
    /// ```
    ///
    /// # Panics
    /// When a zone does not parse or no port is free.
    pub async fn start(zones: &[(&str, &str)]) -> Self {
        let shared = Arc::new(Shared {
            catalog: RwLock::new(Catalog::new()),
            failing: AtomicBool::default(),
            silent: AtomicBool::default(),
            broken: Mutex::default(),
            asked: Mutex::default(),
        });
        let mut server = Server::new(Answers(Arc::clone(&shared)));
        let (tcp, udp) = one_port().await;
        let address = tcp.local_addr().expect("an address");
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(30), 16);
        let dns = Self { address, shared, _server: server };
        for (origin, records) in zones {
            dns.serve(origin, records).await;
        }
        dns
    }

    /// Serves a zone from now on, in place of what it was before.
    ///
    /// # Panics
    /// When it does not parse.
    pub async fn serve(&self, origin: &str, records: &str) {
        let name = Name::from_ascii(format!("{origin}.")).expect("an origin");
        let handler: Arc<dyn ZoneHandler> = Arc::new(zone(&name, records));
        self.shared.catalog.write().await.upsert(LowerName::new(&name), vec![handler]);
    }

    /// Answers everything with SERVFAIL from now on, or no longer.
    pub fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::SeqCst);
    }

    /// Answers nothing from now on, or no longer.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// Answers questions about this name with SERVFAIL.
    ///
    /// # Panics
    /// Never.
    pub fn break_name(&self, name: &str) {
        self.shared.broken.lock().unwrap().insert(format!("{}.", name.to_ascii_lowercase()));
    }

    /// The questions so far, as in `remote.test. MX`.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn zone(origin: &Name, records: &str) -> InMemoryZoneHandler<TokioRuntimeProvider> {
    let text = format!(
        "$TTL 0\n@ IN SOA ns hostmaster 1 3600 600 86400 0\n@ IN NS ns\nns IN A 127.0.0.1\n{records}\n"
    );
    let parsed = Parser::new(text, None, Some(origin.clone())).parse();
    let (origin, records) = parsed.unwrap_or_else(|error| panic!("zone {origin}: {error}"));
    InMemoryZoneHandler::new(origin, records, ZoneType::Primary, AxfrPolicy::Deny)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The same number for TCP and UDP; somebody else may have one of them.
async fn one_port() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("an address");
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both TCP and UDP");
}

struct Answers(Arc<Shared>);

#[async_trait::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut reply: R,
    ) -> ResponseInfo {
        if self.0.silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let question =
            request.request_info().ok().map(|info| (info.query.name().to_string(), info.query.query_type()));
        let mut fail = self.0.failing.load(Ordering::SeqCst);
        if let Some((name, kind)) = question {
            fail |= self.0.broken.lock().unwrap().contains(&name);
            self.0.asked.lock().unwrap().push(format!("{name} {kind}"));
        }
        if fail {
            let answer = MessageResponseBuilder::from_message_request(request)
                .error_msg(&request.metadata, ResponseCode::ServFail);
            if let Ok(info) = reply.send_response(answer).await {
                return info;
            }
        }
        self.0.catalog.read().await.handle_request::<R, T>(request, reply).await
    }
}
