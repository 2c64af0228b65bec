//! What a server does against peers that take too much, talk out of turn or are somebody else: over loopback, where
//! 127.0.0.0/8 has an address for everybody.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smtp::client::{Connection, Security};
use smtp::server::{Budget, Floor, Limits, Settings, Tarpit, TlsMode, limits};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::loopback::{Server, certificate, client, envelope, read_all, read_until, recipients};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(1000);

/// Nobody is exempt.
fn limited(change: impl FnOnce(&mut limits::Settings)) -> Settings {
    let mut settings = limits::Settings { exempt: Vec::new(), ..limits::Settings::default() };
    change(&mut settings);
    Settings { limits: Arc::new(Limits::new(settings)), ..Settings::default() }
}

/// A peer at 127.0.0.N.
async fn peer(server: &Server, n: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, n], 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

async fn greeted(server: &Server, n: u8) -> TcpStream {
    let mut stream = peer(server, n).await;
    read_until(&mut stream, "220 ").await;
    stream
}

/// Says something and reads until this is said.
async fn say(stream: &mut TcpStream, octets: &str, until: &str) -> String {
    stream.write_all(octets.as_bytes()).await.unwrap();
    read_until(stream, until).await
}

#[tokio::test]
async fn an_address_has_its_share_of_sessions() {
    let server = Server::start(limited(|limits| limits.sessions_per_address = 1), TlsMode::None);
    let mut one = greeted(&server, 2).await;
    let refusal = "421 4.7.0 Too many sessions from your address at once, try again later\r\n";
    assert_eq!(read_all(&mut peer(&server, 2).await).await, refusal);
    let other = greeted(&server, 3).await;
    say(&mut one, "QUIT\r\n", "221 ").await;
    read_all(&mut one).await;
    drop((one, other));
    // Its place is free again once the session has ended.
    let mut again = peer(&server, 2).await;
    let said = say(&mut again, "QUIT\r\n", "2").await;
    assert!(said.starts_with("220 "), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn messages_and_recipients_are_refused_where_there_were_too_many() {
    let settings = limited(|limits| {
        limits.messages_per_address = 2;
        limits.recipients_per_address = 1;
    });
    let server = Server::start(settings, TlsMode::None);
    let mut one = greeted(&server, 2).await;
    say(&mut one, "EHLO a\r\n", "250 ").await;
    let said = say(
        &mut one,
        "MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<b@b.example>\r\n",
        "452 ",
    )
    .await;
    assert!(said.contains("452 4.5.3 Too many recipients from your address"), "{said}");
    let said = say(&mut one, "RSET\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n", "450 ").await;
    assert!(
        said.ends_with("450 4.7.1 Too many messages from your address within a minute, try again later\r\n"),
        "{said}"
    );
    let mut other = greeted(&server, 3).await;
    say(&mut other, "HELO a\r\n", "250 ").await;
    say(&mut other, "MAIL FROM:<>\r\n", "250 2.1.0").await;
    drop((one, other));
    server.stop().await;
}

#[tokio::test]
async fn who_talks_before_the_greeting_is_refused_and_who_waited_once_is_known() {
    let settings = Settings { greeting_delay: Duration::from_secs(15), ..limited(|_| ()) };
    let server = Server::start(settings, TlsMode::None);
    let mut early = peer(&server, 2).await;
    early.write_all(b"EHLO a\r\n").await.unwrap();
    let said = read_all(&mut early).await;
    assert_eq!(said, "554 5.5.1 You spoke before the greeting, closing the connection\r\n");
    server.stop().await;

    let server = Server::start(Settings { greeting_delay: SHORT, ..limited(|_| ()) }, TlsMode::None);
    let begun = Instant::now();
    let mut waits = greeted(&server, 2).await;
    assert!(begun.elapsed() >= SHORT);
    say(&mut waits, "QUIT\r\n", "221 ").await;
    let mut known = peer(&server, 2).await;
    let said = say(&mut known, "EHLO a\r\n", "250 ").await;
    assert!(said.starts_with("220 "), "{said}");
    drop((waits, known));
    server.stop().await;
    // Nor does anybody wait who is exempt.
    let settings = Settings { greeting_delay: LONG, ..Settings::default() };
    let server = Server::start(settings, TlsMode::None);
    drop(greeted(&server, 2).await);
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_wait_for_its_turn_is_refused() {
    let server = Server::start(limited(|limits| limits.ban_score = 20), TlsMode::None);
    for _ in 0..2 {
        let mut one = greeted(&server, 2).await;
        one.write_all(b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
            .await
            .unwrap();
        let said = read_all(&mut one).await;
        assert!(said.starts_with("503 5.5.1 You did not wait"), "{said}");
    }
    let said = read_all(&mut peer(&server, 2).await).await;
    assert!(said.starts_with("421 4.7.0 Your address made too many errors"), "{said}");
    drop(greeted(&server, 3).await);
    server.stop().await;
}

#[tokio::test]
async fn errors_ban_an_address_in_the_middle_of_its_session() {
    let settings =
        Settings { tarpit: Tarpit { from_error: 0, delay: LONG }, ..limited(|limits| limits.ban_score = 5) };
    let server = Server::start(settings, TlsMode::None);
    let mut one = greeted(&server, 2).await;
    let mut errors = 0;
    loop {
        let said = say(&mut one, "FROB\r\n", "\r\n").await;
        assert!(said.starts_with("500 "), "{said}");
        errors += 1;
        if said.contains("421 4.7.0 Your address made too many errors") {
            break;
        }
    }
    assert_eq!(errors, 5);
    assert_eq!(read_all(&mut one).await, "");
    server.stop().await;
}

/// Who says everything in one write and is thrown out for it is no better off.
#[tokio::test]
async fn errors_count_that_come_all_at_once() {
    let server = Server::start(limited(|limits| limits.ban_score = 40), TlsMode::None);
    for _ in 0..2 {
        let mut one = greeted(&server, 2).await;
        one.write_all("FROB\r\n".repeat(21).as_bytes()).await.unwrap();
        let said = read_all(&mut one).await;
        assert!(said.ends_with("421 4.7.0 Too many errors, closing the connection\r\n"), "{said}");
    }
    let said = read_all(&mut peer(&server, 2).await).await;
    assert!(said.starts_with("421 4.7.0 Your address made too many errors"), "{said}");
    server.stop().await;
}

/// The limits of whoever a listed proxy speaks for apply, and the proxy's no more.
#[tokio::test]
async fn a_proxy_that_says_whose_session_it_is_passes_the_limits_on() {
    let mut settings = limited(|limits| {
        limits.sessions_per_address = 1;
        limits.messages_per_address = 1;
    });
    settings.policy.xclient_from = vec![IpAddr::from([127, 0, 0, 2]).into()];
    let server = Server::start(settings, TlsMode::None);
    let claim = "XCLIENT ADDR=192.0.2.1\r\n";
    let mut one = greeted(&server, 2).await;
    say(&mut one, claim, "220 ").await;
    let mut two = greeted(&server, 2).await;
    let said = say(&mut two, claim, "421 ").await;
    assert!(said.contains("421 4.7.0 Too many sessions from your address at once"), "{said}");
    drop(two);
    say(&mut one, "HELO a\r\n", "250 ").await;
    say(&mut one, "MAIL FROM:<>\r\n", "250 2.1.0").await;
    say(&mut one, "RSET\r\n", "250 ").await;
    say(&mut one, "MAIL FROM:<>\r\n", "450 4.7.1").await;
    drop(one);
    server.stop().await;
}

#[tokio::test]
async fn errors_are_answered_later_and_later_on_from_the_one_that_is_set() {
    let settings = Settings { tarpit: Tarpit { from_error: 3, delay: SHORT }, ..limited(|_| ()) };
    let server = Server::start(settings, TlsMode::None);
    let mut one = greeted(&server, 2).await;
    say(&mut one, "FROB\r\nFROB\r\n", "500 ").await;
    let begun = Instant::now();
    say(&mut one, "FROB\r\nFROB\r\nEXPN x\r\n", "502 ").await;
    assert!(begun.elapsed() >= 3 * SHORT, "{:?}", begun.elapsed());
    drop(one);
    server.stop().await;
}

#[tokio::test]
async fn a_command_line_that_trickles_is_cut_off() {
    let mut settings = limited(|_| ());
    settings.timeouts.line = SHORT;
    let server = Server::start(settings, TlsMode::None);
    let mut one = greeted(&server, 2).await;
    let trickle = async {
        let (mut reader, mut writer) = one.split();
        let mut said = String::new();
        let reading = tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut said);
        let writing = async {
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        tokio::select! {
            read = reading => drop(read),
            () = writing => {}
        }
        said
    };
    let said = tokio::time::timeout(LONG / 50, trickle).await.expect("an end");
    assert_eq!(said, "421 4.4.2 The command line took too long, closing the connection\r\n");
    server.stop().await;
}

#[tokio::test]
async fn content_that_trickles_is_cut_off() {
    for message in [LONG, SHORT] {
        let mut settings = limited(|_| ());
        settings.timeouts.message = message;
        settings.timeouts.floor =
            Floor { octets_per_second: 1000, window: if message == LONG { SHORT } else { LONG } };
        let server = Server::start(settings, TlsMode::None);
        let mut one = greeted(&server, 2).await;
        say(&mut one, "EHLO a\r\n", "250 ").await;
        say(&mut one, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 100000\r\nabc", "250 2.1.5").await;
        assert_eq!(
            read_all(&mut one).await,
            "421 4.4.2 The message comes too slowly, closing the connection\r\n"
        );
        server.stop().await;
    }
}

/// Four sessions of one address say SIZE and send nothing; there is still memory for a message from elsewhere.
#[tokio::test]
async fn one_address_cannot_hold_all_memory_for_messages() {
    const MIB: usize = 1024 * 1024;
    let budget = Budget::new(4 * MIB);
    let settings = Settings {
        max_size: MIB,
        message_memory: budget.clone(),
        memory_wait: SHORT,
        ..limited(|limits| limits.memory_percent = 25)
    };
    let server = Server::start(settings, TlsMode::None);
    let mut greedy = Vec::new();
    let mut refused = 0;
    for _ in 0..4 {
        let mut one = greeted(&server, 2).await;
        say(&mut one, "EHLO a\r\n", "250 ").await;
        say(&mut one, "MAIL FROM:<> SIZE=1000000\r\nRCPT TO:<a@b.example>\r\n", "250 2.1.5").await;
        let said = say(&mut one, "DATA\r\n", " ").await;
        refused += usize::from(said.starts_with("452 4.3.1"));
        greedy.push(one);
    }
    assert_eq!(refused, 3);
    assert!(budget.available() > 2 * MIB);
    let mut other = greeted(&server, 3).await;
    say(&mut other, "EHLO a\r\n", "250 ").await;
    say(&mut other, "MAIL FROM:<> SIZE=1000000\r\nRCPT TO:<a@b.example>\r\n", "250 2.1.5").await;
    say(&mut other, "DATA\r\n", "354 ").await;
    drop((greedy, other));
    server.stop().await;
    assert_eq!(budget.available(), 4 * MIB);
}

#[tokio::test]
async fn strangers_leave_places_to_those_who_authenticate() {
    let (tls, trust) = certificate("localhost");
    let mut settings = Settings {
        max_sessions: 3,
        reserved_sessions: 2,
        mechanisms: vec![smtp::sasl::Mechanism::Plain],
        ..limited(|_| ())
    };
    settings.timeouts.authentication = Duration::from_millis(1500);
    let server = Server::start(settings, TlsMode::StartTls(tls));
    let mut stranger = greeted(&server, 2).await;
    let mut second = greeted(&server, 3).await;
    let security = Security::StartTls(trust);
    let mut owner = Connection::connect(server.address, &client(), security, "localhost").await.unwrap();
    owner.authenticate("demo@a.example", "secret").await.unwrap();
    assert_eq!(
        read_all(&mut second).await,
        "421 4.7.0 The places left are for those who authenticate at once, try again later\r\n"
    );
    // Longer than the time that was left to authenticate.
    let to = recipients(&["<a@b.example>"]);
    let statuses = owner.transact(&envelope(), &to, &mail::Content::from("x\r\n"), &|| true).await.unwrap();
    assert_eq!(statuses[0].code, 250);
    say(&mut stranger, "QUIT\r\n", "221 ").await;
    owner.quit().await;
    drop((stranger, second));
    server.stop().await;
}

fn proxied() -> Settings {
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let limited = limited(|limits| limits.sessions_per_address = 1);
    Settings { proxy_from: vec![loopback.into()], ..limited }
}

#[tokio::test]
async fn a_load_balancer_tells_whose_connection_it_is() {
    let server = Server::start(proxied(), TlsMode::None);
    for header in [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x02\xc6\x33\x64\x02\xdc\x04\0\x19".to_vec(),
    ] {
        let mut one = server.raw().await;
        one.write_all(&header).await.unwrap();
        read_until(&mut one, "220 ").await;
        say(&mut one, "EHLO a\r\n", "250 ").await;
        say(&mut one, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 1 LAST\r\nx", "Queued").await;
        // The limits are the client's, not the balancer's.
        let mut again = server.raw().await;
        again.write_all(&header).await.unwrap();
        assert!(read_all(&mut again).await.starts_with("421 4.7.0 Too many sessions from your address"));
    }
    let taken = server.stop().await;
    let addresses: Vec<_> =
        taken.iter().map(|(envelope, _)| envelope.origin.address.unwrap().to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
}

#[tokio::test]
async fn a_balancer_must_say_it_and_nobody_else_may() {
    let mut settings = proxied();
    settings.timeouts.proxy = SHORT;
    let server = Server::start(settings, TlsMode::None);
    for octets in
        [&b"EHLO a.example\r\nMAIL FROM:<>\r\n"[..], b"PROXY TCP4 192.0.2.1\r\n", b"PROXY TCP4 1", b""]
    {
        let mut silent = server.raw().await;
        silent.write_all(octets).await.unwrap();
        let mut said = String::new();
        // Closed, or reset where octets were left unread; and nothing said in either case.
        let reading = tokio::io::AsyncReadExt::read_to_string(&mut silent, &mut said);
        let _ = tokio::time::timeout(LONG / 50, reading).await.expect("an end");
        assert_eq!(said, "");
    }
    let mut other = greeted(&server, 2).await;
    say(&mut other, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", "500 5.5.1").await;
    // The balancer's own connection, as it checks that we live.
    let mut own = server.raw().await;
    own.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    read_until(&mut own, "220 ").await;
    drop((other, own));
    server.stop().await;
}

/// A balancer that puts a header before what one client says.
async fn balancer(to: SocketAddr, header: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        server.write_all(header).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    address
}

#[tokio::test]
async fn the_header_comes_before_the_handshake() {
    let (tls, trust) = certificate("localhost");
    for mode in [TlsMode::Implicit(Arc::clone(&tls)), TlsMode::StartTls(tls)] {
        let security = match mode {
            TlsMode::Implicit(_) => Security::Implicit(trust.clone()),
            _ => Security::StartTls(trust.clone()),
        };
        let server = Server::start(proxied(), mode);
        let through = balancer(server.address, b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 465\r\n").await;
        let mut one = Connection::connect(through, &client(), security, "localhost").await.unwrap();
        let to = recipients(&["<a@b.example>"]);
        one.transact(&envelope(), &to, &mail::Content::from("x\r\n"), &|| true).await.unwrap();
        one.quit().await;
        let taken = server.stop().await;
        assert_eq!(taken[0].0.origin.address, Some("2001:db8::1".parse().unwrap()));
    }
}

#[tokio::test]
async fn who_asks_much_at_once_hears_all_of_it() {
    let server = Server::start(limited(|_| ()), TlsMode::None);
    let mut one = greeted(&server, 2).await;
    say(&mut one, "EHLO a\r\n", "250 ").await;
    let (mut reader, mut writer) = one.split();
    let mut said = String::new();
    let asking = async {
        writer.write_all(&b"HELP\r\n".repeat(20_000)).await.unwrap();
        writer.write_all(b"QUIT\r\n").await.unwrap();
    };
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut said);
    let ((), read) = tokio::time::timeout(LONG / 50, async { tokio::join!(asking, reading) }).await.unwrap();
    read.unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("214 ")).count(), 20_000);
    assert!(said.contains("\r\n221 "));
    server.stop().await;
}

/// A peer that asks until the server, whose replies it does not read, takes no more.
async fn stuffed(server: &Server, n: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Little room, so that it is full soon.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, n], 0))).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    read_until(&mut stream, "220 ").await;
    say(&mut stream, "EHLO a\r\n", "250 ").await;
    let questions = b"HELP\r\n".repeat(2730);
    while let Ok(written) = tokio::time::timeout(5 * SHORT, stream.write_all(&questions)).await {
        if written.is_err() {
            break;
        }
    }
    stream
}

#[tokio::test]
async fn who_reads_no_replies_is_cut_off_when_its_session_is_over() {
    let (tls, _) = certificate("localhost");
    for reserved in [false, true] {
        let mut settings = limited(|_| ());
        if reserved {
            settings = Settings {
                max_sessions: 2,
                reserved_sessions: 1,
                mechanisms: vec![smtp::sasl::Mechanism::Plain],
                ..settings
            };
            settings.timeouts.authentication = 10 * SHORT;
        } else {
            settings.timeouts.session = 10 * SHORT;
        }
        let server = Server::start(settings, TlsMode::StartTls(Arc::clone(&tls)));
        let first = greeted(&server, 2).await;
        let mut second = stuffed(&server, 3).await;
        // What the server does not read makes a reset of the end.
        let ended = async { while second.write_all(b"HELP\r\n").await.is_ok() {} };
        tokio::time::timeout(LONG / 50, ended).await.expect("an end");
        drop(first);
        server.stop().await;
    }
}

#[tokio::test]
async fn who_reads_no_replies_does_not_hold_up_a_shutdown() {
    let server = Server::start(limited(|_| ()), TlsMode::None);
    let one = stuffed(&server, 2).await;
    server.stop().await;
    drop(one);
}
