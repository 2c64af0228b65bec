//! Commands that not everybody may give, on the submission ports: what listed networks hear, and others do not.

use protocol::ErrorKind;
use service::config::Networks;

use crate::fixture::Fixture;

fn local() -> Networks {
    Networks::loopback()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_nobody_may() {
    let fixture = Fixture::start().await;
    let mut client = fixture.raw("submission").await;
    client.line().await;
    let offered = client.ask("EHLO client.test").await;
    for keyword in ["VRFY", "EXPN", "ETRN", "XCLIENT", "XFORWARD", "QUEU"] {
        assert!(!offered.contains(keyword), "{offered}");
    }
    assert!(client.ask("VRFY alice@example.test").await.starts_with("252 2.5.2 "));
    for command in ["EXPN sales@example.test", "ETRN example.test", "QUEU", "TICK x", "VERB ON"] {
        assert!(client.ask(command).await.starts_with("502 5.5.1 "), "{command}");
    }
    for command in ["XCLIENT ADDR=192.0.2.1", "XFORWARD ADDR=192.0.2.1"] {
        assert!(client.ask(command).await.starts_with("550 5.7.0 "), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_networks_hear_who_is_here() {
    let fixture = Fixture::start_with(|settings| settings.verify_from = local()).await;
    let mut client = fixture.raw("submission").await;
    client.line().await;
    for (command, reply) in [
        ("VRFY alice@example.test", "250 2.1.5 <alice@example.test>\r\n"),
        ("VRFY sales@example.test", "250 2.1.5 <sales@example.test>\r\n"),
        ("VRFY bob@example.test", "550 5.1.1 "),
        ("VRFY bob@elsewhere.test", "251 2.1.5 User not local; will forward to <bob@elsewhere.test>\r\n"),
        ("VRFY alice", "553 5.1.4 "),
        ("EXPN sales@example.test", "250 2.1.5 <alice@example.test>\r\n"),
        ("EXPN alice@example.test", "550 5.1.1 "),
    ] {
        let said = client.ask(command).await;
        assert!(said.starts_with(reply), "{command}: {said}");
    }
    fixture.directory.fail(true);
    assert!(client.ask("VRFY alice@example.test").await.starts_with("451 4.3.0 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_hear_how_much_waits() {
    let fixture = Fixture::start_with(|settings| settings.verbs_from = local()).await;
    let mut client = fixture.raw("submission").await;
    client.line().await;
    let head = "250-2.0.0 Recipients that wait, by domain\r\n250 2.0.0";
    let counts = "active=1 queued=2 retry=3 held=4";
    assert_eq!(client.ask("QUEU").await, format!("{head} example.test {counts}\r\n"));
    assert_eq!(client.ask("QUEU DATE b.test").await, format!("{head} b.test {counts} age=3600\r\n"));
    fixture.relay.fail(Some(ErrorKind::Unavailable));
    assert!(client.ask("QUEU").await.starts_with("451 4.3.0 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_proxy_speaks_for_its_client() {
    let fixture = Fixture::start_with(|settings| settings.xclient_from = local()).await;
    let mut client = fixture.raw("submission").await;
    client.line().await;
    assert!(client.ask("EHLO proxy.test").await.contains("XCLIENT NAME REVERSE_NAME ADDR "));
    assert!(client.ask("XCLIENT LOGIN=alice@example.test").await.starts_with("501 "), "LOGIN is not offered");
    assert!(client.ask("XCLIENT ADDR=192.0.2.1 PORT=7").await.starts_with("220 msa.example.test "));
    assert!(client.ask("MAIL FROM:<alice@example.test>").await.starts_with("503 5.5.1 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_who_has_authenticated() {
    let fixture = Fixture::start_with(|settings| {
        settings.xclient_from = local();
        settings.xclient_login = true;
        settings.administrators = vec!["alice@example.test".parse().unwrap()];
    })
    .await;
    let mut client = fixture.raw("submission").await;
    client.line().await;
    client.ask("EHLO proxy.test").await;
    assert!(client.ask("XCLIENT LOGIN=nobody@example.test").await.starts_with("535 5.7.8 "), "no account");
    let mut client = fixture.raw("submission").await;
    client.line().await;
    client.ask("EHLO proxy.test").await;
    assert!(client.ask("XCLIENT LOGIN=alice@example.test HELO=client.test").await.starts_with("220 "));
    assert!(client.ask("TICK order-7").await.starts_with("250 2.0.0 "), "alice is an administrator");
    let heard = client.ask("MAIL FROM:<alice@example.test>").await;
    assert!(heard.starts_with("530 5.7.0 "), "whoever is known, TLS is needed: {heard}");
}
