//! What a sender asks for with MAIL is kept to: not before a time (RFC 4865), not behind one (RFC 2852), and over TLS alone
//! (RFC 8689).

use std::fs;

use tests::certificates::Authority;
use tests::maildir::{body, field};
use tests::peer::{Act, Script};
use tests::{Client, Peer, Together, eventually};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CAROL: &str = "carol@remote.test";
const CONTENT: &str = "From: <alice@example.test>\r\nSubject: out\r\n\r\nhello\r\n";
const OFFERS: [&str; 4] = ["PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "DELIVERBY 10"];

async fn together(peer: &Peer, settings: &[&str]) -> Together {
    let mut setup = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "secret")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"200ms\"]");
    for setting in settings {
        setup = setup.set(setting);
    }
    setup.start().await
}

/// Returns the queue id.
async fn submit(together: &Together, to: &str, parameters: &str) -> String {
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    client.ok(&format!("MAIL FROM:<{ALICE}> {parameters}")).await;
    client.ok(&format!("RCPT TO:<{to}>")).await;
    client.command("DATA").await;
    client.send(format!("{CONTENT}.\r\n")).await.unwrap();
    let reply = client.expect(250).await;
    reply.text().split_whitespace().last().unwrap().to_owned()
}

async fn show(together: &Together, id: &str) -> serde_json::Value {
    serde_json::from_str(&together.postrider(&["queue", "show", id, "--json"]).await).unwrap()
}

/// The text of the only notice that Alice got.
async fn notice(together: &Together) -> String {
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    String::from_utf8_lossy(body(&notice)).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_held_waits_and_survives_a_restart() {
    let peer = Peer::start(Script::default()).await;
    let mut together = together(&peer, &[]).await;
    let ids = [submit(&together, BOB, "HOLDFOR=3").await, submit(&together, CAROL, "HOLDFOR=3").await];
    for id in &ids {
        let waits = &show(&together, id).await["pending"][0];
        assert_eq!(
            (waits["attempts"].as_u64(), waits["next_attempt_at"].is_string()),
            (Some(0), true),
            "{waits}"
        );
    }
    together.agent.kill();
    together.agent.start().await;
    together.maildir(BOB).holds(1).await;
    peer.accepts(1).await;
    for id in &ids {
        let shown = eventually("the end of the message", async || {
            let shown = show(&together, id).await;
            shown["timeline"].as_array().is_some_and(|timeline| !timeline.is_empty()).then_some(shown)
        })
        .await;
        let accepted: mail::Timestamp = serde_json::from_value(shown["accepted_at"].clone()).unwrap();
        let ended: mail::Timestamp = serde_json::from_value(shown["timeline"][0]["at"].clone()).unwrap();
        assert!(ended.since(accepted).as_secs() >= 3, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_back_when_its_time_is_over() {
    let peer =
        Peer::start(Script::default().offers(&OFFERS).always("RCPT", Act::say("450 4.2.0 not today"))).await;
    let together = together(&peer, &["msa.limits.deliver_by=\"1s\""]).await;
    submit(&together, CAROL, "BY=2;R").await;
    let text = notice(&together).await;
    assert!(text.contains("Action: failed") && text.contains("Status: 5.4.7"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sender_is_told_when_its_time_is_over_and_it_is_tried_on() {
    let refusals = vec![Act::say("450 4.2.0 not yet"); 12];
    let peer = Peer::start(Script::default().offers(&OFFERS).next("RCPT", refusals)).await;
    let together = together(&peer, &[]).await;
    submit(&together, CAROL, "BY=1;N").await;
    let text = notice(&together).await;
    assert!(text.contains("Action: delayed"), "{text}");
    let received = peer.accepts(1).await;
    let left: i64 =
        received[0].mail.split("BY=").nth(1).and_then(|by| by.split(';').next()).unwrap().parse().unwrap();
    assert!(left <= 0, "the time that went by is taken off: {}", received[0].mail);
    assert_eq!(together.maildir(ALICE).messages().len(), 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_late_does_not_go_where_nobody_knows_of_time() {
    let peer = Peer::start(Script::default()).await;
    let together = together(&peer, &[]).await;
    submit(&together, CAROL, "BY=1000;R").await;
    let text = notice(&together).await;
    assert!(text.contains("Status: 5.4.7") && text.contains("DELIVERBY"), "{text}");
    assert!(peer.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_requires_tls_goes_over_verified_tls_to_who_requires_it_too() {
    let authority = Authority::default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    fs::write(&file, &authority.pem).unwrap();
    let trust = format!("mta.outbound.authority_file={:?}", file.display().to_string());
    let certificate = authority.issue(&["127.0.0.1"]);
    let peer = Peer::start(Script::default().offers(&["REQUIRETLS", "DSN"]).tls(certificate.server())).await;
    let careless = Peer::start(Script::default().tls(certificate.server())).await;
    let careless_route = format!("mta.routes.\"careless.test\"=\"{}\"", careless.address);
    let unknown = Authority::default().issue(&["127.0.0.1"]);
    let forged = Peer::start(Script::default().offers(&["REQUIRETLS", "DSN"]).tls(unknown.server())).await;
    let forged_route = format!("mta.routes.\"forged.test\"=\"{}\"", forged.address);
    let together =
        together(&peer, &[&trust, &careless_route, &forged_route, "mta.retry.expire=\"3s\""]).await;

    submit(&together, CAROL, "REQUIRETLS").await;
    let received = peer.accepts(1).await;
    assert!(received[0].tls && received[0].mail.contains(" REQUIRETLS"), "{}", received[0].mail);

    submit(&together, "carol@careless.test", "REQUIRETLS").await;
    let notice = together.maildir(ALICE).holds(1).await.remove(0);
    let text = String::from_utf8_lossy(&notice).into_owned();
    assert!(text.contains("Status: 5.7.30"), "{text}");
    assert!(text.contains("text/rfc822-headers") && !text.contains("hello"), "the body is not told: {text}");

    submit(&together, "carol@forged.test", "REQUIRETLS").await;
    together.maildir(ALICE).holds(2).await;
    assert!(careless.received().is_empty() && forged.received().is_empty());
    assert!(field(&notice, "Return-Path").is_some());
}
