//! DNS decides where mail goes, by the rules of RFC 5321 5.1 and RFC 7505: which servers, in which order, and when none.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tests::certificates::Authority;
use tests::maildir::body;
use tests::peer::{Act, Script};
use tests::{Client, Dns, Peer, Together, eventually};

const ALICE: &str = "alice@example.test";
const CONTENT: &[u8] = b"From: <alice@example.test>\r\nSubject: out\r\n\r\nhello\r\n";

/// A server of its own on each of 127.0.0.2, 127.0.0.3…, all on one port as mail servers are.
async fn peers(scripts: Vec<Script>) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for (number, script) in (2..).zip(scripts) {
        let port = peers.first().map_or(0, |first| first.address.port());
        peers.push(Peer::start_at(SocketAddr::from(([127, 0, 0, number], port)), script).await);
    }
    peers
}

async fn peer(script: Script) -> Peer {
    peers(vec![script]).await.remove(0)
}

/// Asks this DNS, and expects mail servers on the port of this peer.
async fn together(dns: &Dns, peer: &Peer) -> Together {
    let setup = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set("service.hostname=\"mail.example.test\"")
        .set(&format!("mta.dns.servers=[\"{}\"]", dns.address))
        .set("mta.dns.timeout=\"300ms\"")
        .set(&format!("mta.outbound.port={}", peer.address.port()))
        .set("mta.retry.delays=[\"200ms\"]");
    setup.start().await
}

/// Each in a transaction of its own; returns the queue id of the last.
async fn submit(together: &Together, recipients: &[&str]) -> String {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    let mut id = String::new();
    for recipient in recipients {
        let reply = client.transact(ALICE, &[recipient], CONTENT).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        id = reply.text().split_whitespace().last().unwrap().to_owned();
    }
    id
}

async fn show(together: &Together, id: &str, until: &str) -> String {
    eventually(&format!("{until} in the timeline of {id}"), async || {
        let shown = together.postrider(&["queue", "show", id]).await;
        shown.contains(until).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_preference_is_tried_first_and_the_others_when_it_does_not_answer() {
    let peers = peers(vec![Script::default(), Script::default()]).await;
    let zone = "@ IN MX 20 b\n@ IN MX 10 a\n@ IN MX 5 gone\na IN A 127.0.0.2\nb IN A 127.0.0.3";
    let dns = Dns::start(&[("remote.test", zone)]).await;
    let together = together(&dns, &peers[0]).await;
    submit(&together, &["carol@remote.test"; 3]).await;
    peers[0].accepts(3).await;
    assert_eq!(peers[1].sessions(), 0);
    peers[0]
        .script(Script::default().always("CONNECT", Act::say("421 4.3.2 closed")).always("MAIL", Act::Close));
    submit(&together, &["carol@remote.test"]).await;
    peers[1].accepts(1).await;
    assert_eq!(peers[0].accepted().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_equal_preference_share_the_mail() {
    let peers = peers(vec![Script::default(), Script::default()]).await;
    let zone = "@ IN MX 10 a\n@ IN MX 10 b\na IN A 127.0.0.2\nb IN A 127.0.0.3";
    let dns = Dns::start(&[("remote.test", zone)]).await;
    let together = together(&dns, &peers[0]).await;
    submit(&together, &["carol@remote.test"; 24]).await;
    let shares = eventually("all messages at the peers", async || {
        let shares = [peers[0].accepted().len(), peers[1].accepted().len()];
        (shares.iter().sum::<usize>() == 24).then_some(shares)
    })
    .await;
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_mx_is_its_own_server_and_an_alias_leads_to_the_true_name() {
    let peer = peer(Script::default()).await;
    let zones = [
        ("remote.test", "@ IN A 127.0.0.2\nnick IN CNAME other.test."),
        ("other.test", "@ IN MX 10 nick\nnick IN CNAME mx\nmx IN A 127.0.0.2"),
    ];
    let dns = Dns::start(&zones).await;
    let together = together(&dns, &peer).await;
    submit(&together, &["carol@remote.test", "dave@nick.remote.test", "erin@other.test"]).await;
    let taken = peer.accepts(3).await;
    for recipient in ["<carol@remote.test>", "<dave@nick.remote.test>", "<erin@other.test>"] {
        assert!(
            taken.iter().any(|message| message.recipients[0].contains(recipient)),
            "{recipient}: {taken:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_address_of_a_server_is_tried() {
    let peer = peer(Script::default()).await;
    // On 127.0.0.9 nobody listens.
    let zone = "@ IN MX 10 mx\nmx IN A 127.0.0.9\nmx IN A 127.0.0.2\nmx IN AAAA ::1";
    let dns = Dns::start(&[("remote.test", zone)]).await;
    let together = together(&dns, &peer).await;
    submit(&together, &["carol@remote.test"; 4]).await;
    peer.accepts(4).await;
    let id = submit(&together, &["carol@remote.test"]).await;
    let shown = show(&together, &id, "relayed").await;
    assert!(shown.contains("relayed (1)") && shown.contains("mx.remote.test [127.0.0.2]"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dns_rules_out_comes_back_at_once() {
    let peer = peer(Script::default()).await;
    let zone = "null IN MX 0 .\n\
                loop IN MX 10 mail.example.test.\nloop IN MX 20 backup\nbackup IN A 127.0.0.2\n\
                homeless IN MX 10 nowhere\n\
                text IN TXT \"no address either\"";
    let dns = Dns::start(&[("remote.test", zone)]).await;
    let together = together(&dns, &peer).await;
    let cases = [
        ("carol@null.remote.test", "5.1.10", "556 5.1.10"),
        ("carol@nobody.remote.test", "5.1.2", "550 5.1.2"),
        ("carol@loop.remote.test", "5.4.6", "554 5.4.6"),
        ("carol@homeless.remote.test", "5.4.4", "550 5.4.4"),
        ("carol@text.remote.test", "5.4.4", "550 5.4.4"),
    ];
    submit(&together, &cases.map(|(recipient, ..)| recipient)).await;
    let notices = together.maildir(ALICE).holds(cases.len()).await;
    let notices: Vec<_> =
        notices.iter().map(|notice| String::from_utf8_lossy(body(notice)).into_owned()).collect();
    for (recipient, status, said) in cases {
        let notice = notices.iter().find(|notice| notice.contains(&format!("rfc822; {recipient}")));
        let notice = notice.unwrap_or_else(|| panic!("no notice for {recipient}: {notices:#?}"));
        assert!(notice.contains(&format!("Status: {status}\r\n")) && notice.contains(said), "{notice}");
    }
    assert_eq!(peer.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dns_fails_mail_waits() {
    let peer = peer(Script::default()).await;
    let dns = Dns::start(&[("remote.test", "@ IN MX 10 mx\nmx IN A 127.0.0.2")]).await;
    let together = together(&dns, &peer).await;
    dns.fail(true);
    let id = submit(&together, &["carol@remote.test"]).await;
    let shown = show(&together, &id, "delayed (2)").await;
    assert!(shown.contains("4.4.3"), "{shown}");
    dns.fail(false);
    peer.accepts(1).await;
    dns.silence(true);
    let id = submit(&together, &["carol@remote.test"]).await;
    let shown = show(&together, &id, "delayed").await;
    assert!(shown.contains("4.4.3"), "{shown}");
    dns.silence(false);
    peer.accepts(2).await;
    dns.break_name("mx.remote.test");
    let id = submit(&together, &["carol@remote.test"]).await;
    let shown = show(&together, &id, "delayed").await;
    assert!(shown.contains("4.4.3") && shown.contains("mx.remote.test"), "{shown}");
    // Nobody here serves that name, and a server that refuses to say so decides nothing.
    let id = submit(&together, &["carol@elsewhere.test"]).await;
    assert!(show(&together, &id, "delayed").await.contains("4.4.3"));
    assert!(together.maildir(ALICE).messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_lifetime_is_asked_for_again() {
    let moved = Script::default().always("MAIL", Act::say("450 4.3.2 we have moved"));
    let peers = peers(vec![moved, Script::default()]).await;
    let dns = Dns::start(&[("remote.test", "@ IN MX 10 mx\nmx IN A 127.0.0.2")]).await;
    let together = together(&dns, &peers[0]).await;
    let id = submit(&together, &["carol@remote.test"]).await;
    show(&together, &id, "delayed (1)").await;
    dns.serve("remote.test", "@ IN MX 10 new\nnew IN A 127.0.0.3").await;
    peers[1].accepts(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_literal_needs_no_dns() {
    let peer = peer(Script::default()).await;
    let dns = Dns::start(&[]).await;
    let together = together(&dns, &peer).await;
    submit(&together, &["carol@[127.0.0.2]"]).await;
    assert_eq!(peer.accepts(1).await[0].recipients[0].split(' ').nth(1), Some("TO:<carol@[127.0.0.2]>"));
    assert!(dns.asked().is_empty(), "{:?}", dns.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_found_there_gets_tls_where_it_offers_it_and_mail_in_any_case() {
    let certificate = Authority::default().issue(&["whoever.test"]);
    let plain =
        Script::default().tls(certificate.server()).always("STARTTLS", Act::say("454 4.7.0 not today"));
    let scripts = vec![Script::default().tls(certificate.server()), Script::default().tls(shy()), plain];
    let peers = peers(scripts).await;
    let zone = "a IN A 127.0.0.2\nb IN A 127.0.0.3\nc IN A 127.0.0.4";
    let dns = Dns::start(&[("remote.test", zone)]).await;
    let together = together(&dns, &peers[0]).await;
    let id = submit(&together, &["carol@a.remote.test"]).await;
    assert!(peers[0].accepts(1).await[0].tls);
    let shown = show(&together, &id, "relayed (1)").await;
    assert!(shown.contains("TLSv1.3"), "{shown}");
    for (name, peer) in [("b", &peers[1]), ("c", &peers[2])] {
        let id = submit(&together, &[&format!("carol@{name}.remote.test")]).await;
        assert!(!peer.accepts(1).await[0].tls);
        show(&together, &id, "relayed (1)").await;
    }
}

/// Offers TLS, and has no certificate to show.
fn shy() -> Arc<ServerConfig> {
    #[derive(Debug)]
    struct Nothing;
    impl ResolvesServerCert for Nothing {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }
    let builder =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Nothing)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_many_dead_addresses_does_not_hide_the_next() {
    let peers = peers(vec![Script::default()]).await;
    let dead: String = (50..60).map(|n| format!("a IN A 127.0.0.{n}\n")).collect();
    let zone = format!("@ IN MX 10 a\n@ IN MX 20 b\n{dead}b IN A 127.0.0.2");
    let dns = Dns::start(&[("remote.test", &zone)]).await;
    let together = together(&dns, &peers[0]).await;
    let id = submit(&together, &["carol@remote.test"]).await;
    peers[0].accepts(1).await;
    let shown = show(&together, &id, "relayed").await;
    assert!(shown.contains("relayed (1)"), "in the first attempt: {shown}");
}
