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

/// The server; it ends with this value.
pub struct Dns {
    /// Where it answers.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server<Answers>,
}

#[derive(Default)]
struct Shared {
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
        let mut catalog = Catalog::new();
        for (origin, records) in zones {
            let name = Name::from_ascii(format!("{origin}.")).expect("an origin");
            let handler: Arc<dyn ZoneHandler> = Arc::new(zone(&name, records));
            catalog.upsert(LowerName::new(&name), vec![handler]);
        }
        let shared = Arc::new(Shared::default());
        let answers = Answers { catalog, shared: Arc::clone(&shared) };
        let mut server = Server::new(answers);
        let (tcp, udp) = one_port().await;
        let address = tcp.local_addr().expect("an address");
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(30), 16);
        Self { address, shared, _server: server }
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

struct Answers {
    catalog: Catalog,
    shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut reply: R,
    ) -> ResponseInfo {
        if self.shared.silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let question =
            request.request_info().ok().map(|info| (info.query.name().to_string(), info.query.query_type()));
        let mut fail = self.shared.failing.load(Ordering::SeqCst);
        if let Some((name, kind)) = question {
            fail |= self.shared.broken.lock().unwrap().contains(&name);
            self.shared.asked.lock().unwrap().push(format!("{name} {kind}"));
        }
        if fail {
            let answer = MessageResponseBuilder::from_message_request(request)
                .error_msg(&request.metadata, ResponseCode::ServFail);
            if let Ok(info) = reply.send_response(answer).await {
                return info;
            }
        }
        self.catalog.handle_request::<R, T>(request, reply).await
    }
}
