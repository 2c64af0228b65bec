//! QUEU says how much waits, TICK marks messages, VERB tells more, and ETRN has mail tried at once: for those who are listed.

use tests::peer::{Act, Script};
use tests::{Client, Collector, Peer, Together, eventually};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CONTENT: &[u8] =
    b"From: <alice@example.test>\r\nTo: <carol@remote.test>\r\nSubject: out\r\n\r\nhello\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_delay_to_the_delivery() {
    let peer = Peer::start(Script::default().always("RCPT", Act::say("450 4.2.1 not now"))).await;
    // Without somebody to send them to there are no traces.
    let collector = Collector::start().await;
    let together = Together::setup()
        .collector(&collector)
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"1h\"]")
        .set("mta.etrn_from=[\"127.0.0.0/8\"]")
        .set("mta.verbs_from=[\"127.0.0.0/8\"]")
        .set("msa.administrators=[\"alice@example.test\"]")
        .start()
        .await;

    let mut alice = Client::logged_in(together.submission(), ALICE, "secret").await;
    let help = alice.command("HELP").await;
    assert!(help.text().contains("QUEU [DATE] [domain]"), "{help:?}");
    alice.ok("TICK order-17").await;
    alice.ok("VERB ON").await;
    let reply = alice.transact(ALICE, &["carol@remote.test"], CONTENT).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let text = reply.text();
    let value = |name: &str| {
        let mut words = text.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    };
    let id = value("queue-id");
    assert_eq!(value("trace-id").len(), 32, "{text}");
    let shown = together.postrider(&["queue", "show", &id]).await;
    assert!(shown.contains("order-17") && shown.contains(&value("trace-id")), "{shown}");

    eventually("a message that waits", async || {
        let reply = alice.command("QUEU").await;
        reply.text().contains("remote.test active=0 queued=0 retry=1 held=0").then_some(())
    })
    .await;
    assert!(alice.command("QUEU elsewhere.test").await.text().contains("Nobody waits"));

    let mut bob = Client::logged_in(together.submission(), BOB, "geheim").await;
    assert_eq!(bob.command("QUEU").await.code, 502);

    let mut server = Client::greeted(together.mx()).await;
    let listed = server.command("QUEU DATE remote.test").await;
    assert!(listed.text().contains("retry=1 held=0 age="), "{listed:?}");
    assert_eq!(server.command("ETRN elsewhere.test").await.code, 251);
    peer.script(Script::default());
    let started = server.command("ETRN remote.test").await;
    assert_eq!(started.code, 253, "{started:?}");
    peer.accepts(1).await;
    eventually("an empty queue", async || {
        server.command("QUEU").await.text().contains("Nobody waits").then_some(())
    })
    .await;
}
