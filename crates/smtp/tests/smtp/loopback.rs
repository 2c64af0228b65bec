//! Our client against our server over loopback, and raw sockets against both where they are to misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mail::{BodyType, Content, Envelope, ForwardPath, Origin, Recipient};
use smtp::client::{Connection, Direction, Error, Security, Settings as ClientSettings};
use smtp::dialogue::Step;
use smtp::sasl::Mechanism;
use smtp::server::{Settings, TlsMode, bind, serve};
use smtp::tls::{ClientTls, ServerTls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::Rules;

const DEADLINE: Duration = Duration::from_secs(20);

/// Takes whole dialogues at once, as these tests like to send them; `defence` has the tests of turns.
fn patient() -> Settings {
    Settings { forbid_unauthorized_pipelining: false, ..Settings::default() }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    rules: Arc<Rules>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(settings: Settings, tls: TlsMode) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (rules, shutdown) = (Arc::new(Rules::default()), CancellationToken::new());
        let agent = Arc::clone(&rules);
        let task = tokio::spawn(serve(listener, Arc::new(settings), agent, tls, shutdown.clone()));
        Self { address, rules, shutdown, task }
    }

    pub(crate) async fn stop(self) -> Vec<(Envelope, Bytes)> {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("all sessions end").unwrap();
        std::mem::take(&mut self.rules.taken.lock().unwrap())
    }

    pub(crate) async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// A server's certificate, and a client that believes it.
pub(crate) fn certificate(name: &str) -> (Arc<ServerTls>, ClientTls) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = ServerTls::from_pem_files(&certificate, &key).unwrap();
    server.reload(&certificate, &key).unwrap();
    assert!(server.reload(&key, &key).is_err(), "a key is no certificate");
    (Arc::new(server), ClientTls::verified(Some(&certificate)).unwrap())
}

pub(crate) fn envelope() -> Envelope {
    Envelope::new("<demo@a.example>".parse().unwrap(), Origin::default())
}

pub(crate) fn recipients(paths: &[&str]) -> Vec<Recipient> {
    paths.iter().map(|path| path.parse::<ForwardPath>().unwrap().into()).collect()
}

pub(crate) fn client() -> ClientSettings {
    ClientSettings::new("client.example")
}

/// Until the server closes.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut said = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut said)).await.expect("an end").unwrap();
    said
}

/// Until the server said this, to the end of its line.
pub(crate) async fn read_until(stream: &mut TcpStream, what: &str) -> String {
    let mut said = Vec::new();
    let reading = async {
        while !(String::from_utf8_lossy(&said).contains(what) && said.ends_with(b"\r\n")) {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "closed before it said {what}");
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("never said {what}"));
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn messages_go_through_one_after_the_other() {
    let server = Server::start(Settings::default(), TlsMode::None);
    let mut connection =
        Connection::connect(server.address, &client(), Security::Plain, "localhost").await.unwrap();
    assert!(connection.capabilities().pipelining && connection.tls().is_none());
    let some = recipients(&["<a@b.example>", "<nobody@b.example>", "<trouble@b.example>"]);
    let content = Content::from("Subject: one\r\n\r\n.dot\r\nä\r\n");
    let statuses = connection.transact(&envelope(), &some, &content, &|| true).await.unwrap();
    let codes: Vec<u16> = statuses.iter().map(|status| status.code).collect();
    assert_eq!(codes, [250, 550, 451]);
    let none = recipients(&["<nobody@b.example>"]);
    let statuses = connection.transact(&envelope(), &none, &content, &|| true).await.unwrap();
    assert_eq!(statuses[0].enhanced.to_string(), "5.1.1");
    // Large, in segments, without a line end at its end.
    let mut large = Content::from("x".repeat(998).into_bytes());
    for _ in 0..3000 {
        large.prepend(format!(".{}\r\n", "y".repeat(1000)));
    }
    let statuses = connection.transact(&envelope(), &some[..1], &large, &|| true).await.unwrap();
    assert_eq!(statuses[0].code, 250, "{statuses:?}");
    connection.quit().await;
    let taken = server.stop().await;
    assert_eq!(taken.len(), 2);
    let (first, octets) = &taken[0];
    assert_eq!(*octets, content.to_bytes());
    assert_eq!(first.recipients, some[..1]);
    assert_eq!((first.origin.helo.as_str(), first.origin.protocol.as_str()), ("client.example", "ESMTP"));
    assert_eq!(taken[1].1, [&large.to_bytes()[..], b"\r\n"].concat());
}

#[tokio::test]
async fn binary_messages_arrive_octet_for_octet() {
    let server = Server::start(Settings::default(), TlsMode::None);
    let mut connection =
        Connection::connect(server.address, &client(), Security::Plain, "localhost").await.unwrap();
    let offered = connection.capabilities();
    assert!(offered.chunking && offered.binary_mime && offered.recipients == Some(1000));
    let binary = Envelope { body: BodyType::BinaryMime, ..envelope() };
    let some = recipients(&["<a@b.example>", "<nobody@b.example>"]);
    let mut contents = Vec::new();
    for size in [0, 100, 3_000_000] {
        let octets: Vec<u8> = b"\r\n.\r\n\n\r\0\xff".iter().copied().cycle().take(size).collect();
        let mut content = Content::from(octets);
        content.prepend("Subject: binary\r\n\r\n\n");
        let statuses = connection.transact(&binary, &some, &content, &|| true).await.unwrap();
        assert_eq!(statuses.iter().map(|status| status.code).collect::<Vec<_>>(), [250, 550]);
        contents.push(content.to_bytes());
    }
    // Bare line breaks in the header section: the server refuses, and the next message goes through all the same.
    let bad = Content::from("Subject: x\nFrom: y\r\n\r\n\n");
    let statuses = connection.transact(&binary, &some[..1], &bad, &|| true).await.unwrap();
    assert_eq!(statuses[0].enhanced.to_string(), "5.6.0");
    let text = Content::from("Subject: text\r\n\r\n.\r\n");
    connection.transact(&binary, &some[..1], &text, &|| true).await.unwrap();
    contents.push(text.to_bytes());
    let withdrawn = connection.transact(&binary, &some[..1], &bad, &|| false).await.unwrap_err();
    assert!(matches!(withdrawn, Error::Withdrawn), "{withdrawn}");
    let taken = server.stop().await;
    assert_eq!(taken.len(), contents.len());
    for ((envelope, octets), content) in taken.iter().zip(&contents) {
        assert!(octets == content, "{} octets", content.len());
        assert_eq!(envelope.recipients.len(), 1);
    }
    assert_eq!(taken[0].0.body, BodyType::BinaryMime);
}

#[tokio::test]
async fn submission_over_starttls_and_over_implicit_tls() {
    let settings = Settings {
        mechanisms: Mechanism::OF_PASSWORDS.into(),
        require_authentication: true,
        require_tls: true,
        ..Settings::default()
    };
    let (tls, trust) = certificate("localhost");
    for (mode, security) in [
        (TlsMode::StartTls(Arc::clone(&tls)), Security::StartTls(trust.clone())),
        (TlsMode::StartTls(Arc::clone(&tls)), Security::Opportunistic),
        (TlsMode::Implicit(Arc::clone(&tls)), Security::Implicit(trust.clone())),
    ] {
        let server = Server::start(settings.clone(), mode);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let observer = move |direction: Direction, line: &str| {
            seen.lock().unwrap().push(format!("{direction:?} {line}"));
        };
        let observed = ClientSettings { observer: Some(Arc::new(observer)), ..client() };
        let mut connection =
            Connection::connect(server.address, &observed, security, "localhost").await.unwrap();
        assert_eq!(connection.tls().unwrap().version, "TLSv1.3");
        let refused = connection.authenticate("demo@a.example", "wrong").await.unwrap_err();
        assert!(
            matches!(&refused, Error::Refused { step: Step::Auth, status } if status.code == 535),
            "{refused}"
        );
        connection.authenticate("demo@a.example", "secret").await.unwrap();
        let recipients = recipients(&["<a@b.example>"]);
        let large = Content::from("line of text\r\n".repeat(100_000));
        let statuses = connection.transact(&envelope(), &recipients, &large, &|| true).await.unwrap();
        assert_eq!(statuses[0].code, 250);
        connection.quit().await;
        let taken = server.stop().await;
        assert_eq!(taken[0].0.origin.protocol, "ESMTPSA");
        assert_eq!(taken[0].0.origin.account, Some("demo@a.example".parse().unwrap()));
        assert_eq!(taken[0].1, large.to_bytes());
        let dialogue = shown.lock().unwrap().join("\n");
        assert!(
            dialogue.contains("Client AUTH SCRAM-SHA-256-PLUS ***") && dialogue.contains("Server 235 2.7.0"),
            "{dialogue}"
        );
        assert!(!dialogue.contains("c2VjcmV0"), "{dialogue}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_and_the_error_says_so() {
    let (tls, trust) = certificate("other.example");
    let server = Server::start(Settings::default(), TlsMode::StartTls(tls));
    let error =
        Connection::connect(server.address, &client(), Security::StartTls(trust.clone()), "localhost")
            .await
            .unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error}");
    let plain = Server::start(Settings::default(), TlsMode::None);
    let error = Connection::connect(plain.address, &client(), Security::StartTls(trust), "localhost").await;
    assert!(matches!(error, Err(Error::TlsNotOffered)));
    let connection =
        Connection::connect(plain.address, &client(), Security::Opportunistic, "localhost").await.unwrap();
    assert!(connection.tls().is_none());
    connection.quit().await;
    server.stop().await;
    plain.stop().await;
}

#[tokio::test]
async fn login_is_used_where_plain_is_not_offered() {
    let replies = [
        "220 x\r\n",
        "250-x\r\n250 AUTH LOGIN\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "334 UGFzc3dvcmQ6\r\n",
        "235 2.7.0 ok\r\n",
    ];
    let (address, said) = scripted(&replies).await;
    let mut connection = Connection::connect(address, &client(), Security::Plain, "x").await.unwrap();
    connection.authenticate("a", "b").await.unwrap();
    drop(connection);
    assert_eq!(said.await.unwrap(), "EHLO client.example\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\n");
}

#[tokio::test]
async fn what_is_withdrawn_before_its_end_is_not_taken() {
    let server = Server::start(Settings::default(), TlsMode::None);
    for content in [Content::from("a\r\n"), Content::from("line\r\n".repeat(100_000))] {
        let mut connection =
            Connection::connect(server.address, &client(), Security::Plain, "localhost").await.unwrap();
        let recipients = recipients(&["<a@b.example>"]);
        let error = connection.transact(&envelope(), &recipients, &content, &|| false).await.unwrap_err();
        assert!(matches!(error, Error::Withdrawn), "{error}");
        assert!(!connection.is_usable());
    }
    assert!(server.stop().await.is_empty());
}

/// A server that sends its next line whenever something came, then closes; returns what it heard.
async fn scripted(replies: &[&'static str]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let replies = replies.to_vec();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for (place, reply) in replies.iter().enumerate() {
            if place > 0 && stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                break;
            }
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
        // One more word may come, to which nothing is said.
        let _ = stream.read_buf(&mut heard).await;
        String::from_utf8(heard).unwrap()
    });
    (address, task)
}

#[tokio::test]
async fn an_end_of_data_without_an_answer_is_of_unknown_outcome() {
    let (address, _) = scripted(&["220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"]).await;
    let mut connection = Connection::connect(address, &client(), Security::Plain, "x").await.unwrap();
    let recipients = recipients(&["<a@b.example>"]);
    let error =
        connection.transact(&envelope(), &recipients, &Content::from("a\r\n"), &|| true).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error}");
}

#[tokio::test]
async fn troubles_of_the_greeting_are_told_apart() {
    let connect = async |replies: &[&'static str], settings: ClientSettings| {
        let (address, _) = scripted(replies).await;
        Connection::connect(address, &settings, Security::Opportunistic, "x").await.unwrap_err()
    };
    let error = connect(&["554 5.7.1 go away\r\n"], client()).await;
    assert_eq!(error.to_string(), "refused while receiving the initial server greeting: 554 5.7.1 go away");
    let error = connect(&["hello\r\n"], client()).await;
    assert!(matches!(error, Error::Protocol { step: Step::Greeting, .. }), "{error}");
    let error = connect(&["220 x\r\n"], client()).await;
    assert!(matches!(error, Error::Closed { step: Step::Ehlo, .. }), "{error}");
    let injected = ["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"];
    let error = connect(&injected, client()).await;
    assert!(matches!(error, Error::Protocol { step: Step::StartTls, .. }), "{error}");
    let error = connect(&["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n", "garbage"], client()).await;
    assert!(matches!(error, Error::Tls(_)), "{error}");
    let mut hasty = client();
    hasty.timeouts.greeting = Duration::from_millis(20);
    let error = connect(&[""], hasty).await;
    assert_eq!(error.to_string(), "timed out while receiving the initial server greeting");
}

#[tokio::test]
async fn a_server_that_knows_only_helo_is_spoken_to() {
    let (address, said) = scripted(&["220 x\r\n", "502 what\r\n", "250 x\r\n"]).await;
    let connection = Connection::connect(address, &client(), Security::Plain, "x").await.unwrap();
    assert!(!connection.capabilities().pipelining);
    drop(connection);
    assert_eq!(said.await.unwrap(), "EHLO client.example\r\nHELO client.example\r\n");
}

#[tokio::test]
async fn a_pipelined_batch_is_answered_and_a_huge_line_does_no_harm() {
    let server = Server::start(patient(), TlsMode::None);
    let mut stream = server.raw().await;
    stream.write_all(b"EHLO a\r\n").await.unwrap();
    stream.write_all(&vec![b'x'; 10 * 1024 * 1024]).await.unwrap();
    stream.write_all(b"\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n").await.unwrap();
    let said = read_until(&mut stream, "354").await;
    assert!(said.contains("500 5.5.6"), "{said}");
    stream.write_all(b"x\n.\n\r\n.\r\nQUIT\r\n").await.unwrap();
    let said = read_all(&mut stream).await;
    assert_eq!(
        said,
        "554 5.6.0 The message holds a bare LF: lines end in CRLF and nothing else\r\n221 2.0.0 Goodbye\r\n"
    );
    assert!(server.stop().await.is_empty());
}

#[tokio::test]
async fn limits_of_time_and_number_are_said_with_421() {
    let mut settings = Settings { max_sessions: 1, ..Settings::default() };
    settings.timeouts.command = Duration::from_millis(200);
    let server = Server::start(settings, TlsMode::None);
    let mut first = server.raw().await;
    read_until(&mut first, "220").await;
    let mut second = server.raw().await;
    assert_eq!(read_all(&mut second).await, "421 4.3.2 Too many sessions, try again later\r\n");
    assert_eq!(read_all(&mut first).await, "421 4.4.2 Waited too long, closing the connection\r\n");
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn shutdown_ends_sessions_between_commands_and_lets_content_finish() {
    let server = Server::start(patient(), TlsMode::None);
    let mut idle = server.raw().await;
    let mut busy = server.raw().await;
    read_until(&mut idle, "220").await;
    busy.write_all(b"HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n").await.unwrap();
    read_until(&mut busy, "354").await;
    server.shutdown.cancel();
    assert!(read_all(&mut idle).await.starts_with("421 4.3.2"));
    busy.write_all(b"text\r\n.\r\n").await.unwrap();
    let said = read_all(&mut busy).await;
    assert!(said.starts_with("250 2.0.0 Queued") && said.contains("\r\n421 4.3.2"), "{said}");
    drop((idle, busy));
    assert_eq!(server.stop().await.len(), 1);
}

/// One message, in many chunks or behind DATA.
async fn send_without_size(stream: &mut TcpStream, content: &[u8], chunked: bool) {
    stream.write_all(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\n").await.unwrap();
    if chunked {
        for chunk in content.chunks(50_000) {
            stream.write_all(format!("BDAT {}\r\n", chunk.len()).as_bytes()).await.unwrap();
            stream.write_all(chunk).await.unwrap();
        }
        stream.write_all(b"BDAT 0 LAST\r\n").await.unwrap();
    } else {
        stream.write_all(b"DATA\r\n").await.unwrap();
        read_until(stream, "354").await;
        stream.write_all(content).await.unwrap();
        stream.write_all(b".\r\n").await.unwrap();
    }
    read_until(stream, "250 2.0.0 Queued").await;
}

#[tokio::test]
async fn a_message_holds_no_memory_of_the_one_before_it() {
    let settings = Settings { max_size: 100_000, ..patient() };
    let budget = settings.message_memory.clone();
    let before = budget.available();
    let server = Server::start(settings, TlsMode::None);
    let mut one = server.raw().await;
    // All in one, so that no command is waited for in between.
    let large = "x".repeat(90_000);
    let batch = format!(
        "HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nBDAT 90000 LAST\r\n{large}\
         MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nNOOP\r\nEXPN x\r\n"
    );
    one.write_all(batch.as_bytes()).await.unwrap();
    read_until(&mut one, "502").await;
    assert_eq!(budget.available(), before);
    one.write_all(b"BDAT 10\r\n1234567890NOOP\r\nEXPN x\r\n").await.unwrap();
    read_until(&mut one, "502").await;
    assert_eq!(before - budget.available(), 64 * 1024);
    one.write_all(b"RSET\r\nMAIL FROM:<a@b.example>\r\nEXPN x\r\n").await.unwrap();
    read_until(&mut one, "502").await;
    assert_eq!(budget.available(), before);
    drop(one);
    server.stop().await;
}

#[tokio::test]
async fn a_chunk_that_is_under_way_may_end_although_the_service_goes_down() {
    let server = Server::start(patient(), TlsMode::None);
    let mut one = server.raw().await;
    one.write_all(
        b"HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nBDAT 1\r\nabdat 2 last\r\nb",
    )
    .await
    .unwrap();
    read_until(&mut one, "octets received").await;
    server.shutdown.cancel();
    one.write_all(b"c").await.unwrap();
    let said = read_all(&mut one).await;
    assert!(said.starts_with("250 2.0.0 Queued as 1 recipients, 3 octets\r\n421 4.3.2"), "{said}");
    assert_eq!(server.stop().await[0].1, "abc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_messages_share_a_small_budget_and_all_arrive() {
    let settings = Settings {
        max_size: 1024 * 1024,
        message_memory: smtp::server::Budget::new(4 * 1024 * 1024),
        ..patient()
    };
    let budget = settings.message_memory.clone();
    let before = budget.available();
    let server = Server::start(settings, TlsMode::None);
    let content = Content::from("line of text\r\n".repeat(70_000));
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let (address, content) = (server.address, content.clone());
            tokio::spawn(async move {
                if number % 3 == 0 {
                    let mut one =
                        Connection::connect(address, &client(), Security::Plain, "x").await.unwrap();
                    let to = recipients(&["<a@b.example>"]);
                    let statuses = one.transact(&envelope(), &to, &content, &|| true).await.unwrap();
                    assert_eq!(statuses[0].code, 250, "{statuses:?}");
                    one.quit().await;
                } else {
                    // Without SIZE: memory is asked for as the content grows.
                    let mut one = TcpStream::connect(address).await.unwrap();
                    one.write_all(b"HELO a\r\n").await.unwrap();
                    send_without_size(&mut one, &content.to_bytes(), number % 3 == 1).await;
                }
            })
        })
        .collect();
    for client in clients {
        tokio::time::timeout(DEADLINE, client).await.expect("nobody waits for ever").unwrap();
    }
    assert_eq!(server.stop().await.len(), 20);
    assert_eq!(budget.available(), before);
}
