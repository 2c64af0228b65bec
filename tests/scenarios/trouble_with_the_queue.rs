//! When the queue, its database, its disk or another agent is away, clients hear so soon, keep their mail, and everything goes
//! on by itself once the trouble is over.

use std::time::Duration;

use tests::aloud::say;
use tests::client::Reply;
use tests::maildir::field;
use tests::peer::{Act, Script};
use tests::wait::within;
use tests::{Apart, Client, Disk, Maildir, Peer, Together, eventually};
use tokio::time::Instant;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const DAVE: &str = "dave@elsewhere.test";
/// How long a refusal for now may take. Databases and agents in trouble may be silent instead of saying no.
const SOON: Duration = Duration::from_secs(15);

fn content(subject: &str) -> Vec<u8> {
    format!("From: <{ALICE}>\r\nSubject: {subject}\r\n\r\nhello\r\n").into_bytes()
}

fn subjects(mailbox: &Maildir) -> Vec<String> {
    let mut subjects: Vec<_> =
        mailbox.messages().iter().map(|message| field(message, "Subject").unwrap_or_default()).collect();
    subjects.sort();
    subjects
}

/// A session that has come to the end of a transaction: only the content is missing.
async fn before_the_end(mut client: Client, from: &str) -> Client {
    client.ok(&format!("MAIL FROM:<{from}>")).await;
    client.ok(&format!("RCPT TO:<{BOB}>")).await;
    client.ok("DATA").await;
    client
}

async fn end(client: &mut Client, subject: &str) -> Reply {
    client.send([content(subject), b".\r\n".to_vec()].concat()).await.unwrap();
    client.reply().await
}

fn is_for_now(reply: &Reply, code: u16, status: &str) {
    assert!(reply.code == code && reply.has(status), "{code} {status}: {reply:?}");
}

/// Tries over and over, as a client does, until the message is taken.
async fn is_taken_again(client: &mut Client, from: &str, subject: &str) {
    eventually("mail is taken again", async || {
        client.ok("RSET").await;
        client.ok(&format!("MAIL FROM:<{from}>")).await;
        if client.command(&format!("RCPT TO:<{BOB}>")).await.code != 250 {
            return None;
        }
        client.ok("DATA").await;
        let reply = end(client, subject).await;
        assert!([250, 451].contains(&reply.code), "{reply:?}");
        (reply.code == 250).then_some(())
    })
    .await;
}

async fn apart(settings: &[&str]) -> Apart {
    let mut setup = Apart::setup().account(ALICE, "secret").account(BOB, "geheim");
    for setting in settings {
        setup = setup.set("mta", setting);
    }
    setup.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_down() {
    let mut apart = apart(&["mta.retry.delays=[\"1s\"]"]).await;
    let mut idle = Client::logged_in(apart.submission(), ALICE, "secret").await;
    let submitting = Client::logged_in(apart.submission(), ALICE, "secret").await;
    let mut submitting = before_the_end(submitting, ALICE).await;
    let mut relaying = before_the_end(Client::greeted(apart.mx()).await, DAVE).await;

    apart.postgres.stop();
    let began = Instant::now();
    let at_the_end = tokio::join!(end(&mut submitting, "in vain"), end(&mut relaying, "in vain"));
    let took = began.elapsed();
    is_for_now(&at_the_end.0, 451, "4.3.0");
    is_for_now(&at_the_end.1, 451, "4.3.0");
    assert!(took < SOON, "{took:?}");
    idle.ok(&format!("MAIL FROM:<{ALICE}>")).await;
    let began = Instant::now();
    is_for_now(&idle.command(&format!("RCPT TO:<{BOB}>")).await, 451, "4.3.0");
    let recipient_took = began.elapsed();
    assert!(recipient_took < SOON, "{recipient_took:?}");
    let mut late = Client::greeted(apart.submission()).await.starttls().await;
    late.ok("EHLO client.test").await;
    let began = Instant::now();
    is_for_now(&late.authenticate(ALICE, "secret").await, 454, "4.7.0");
    let login_took = began.elapsed();
    assert!(login_took < SOON, "{login_took:?}");
    apart.postgres.restart();

    let began = Instant::now();
    is_taken_again(&mut submitting, ALICE, "submitted").await;
    is_taken_again(&mut relaying, DAVE, "relayed").await;
    let recovered = began.elapsed();
    apart.maildir(BOB).holds(2).await;
    assert_eq!(subjects(&apart.maildir(BOB)), ["relayed", "submitted"]);
    say(&format!(
        "Postgres down: end of data refused after {took:.1?}, RCPT {recipient_took:.1?}, AUTH {login_took:.1?}; taken again \
         {recovered:.1?} after it was back"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full() {
    let disk = match Disk::mount(96) {
        Ok(disk) => disk,
        Err(error) => {
            return say(&format!("SKIPPED: a full disk, since no tmpfs can be mounted: {error}"));
        }
    };
    let busy = Script::default().always("RCPT", Act::say("450 4.2.1 busy"));
    let peer = Peer::start(busy).await;
    let mut together = Together::setup()
        .below(disk.path())
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"500ms\"]")
        .start()
        .await;
    let bob = together.maildir(BOB);
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    assert_eq!(client.transact(ALICE, &[BOB, "carol@remote.test"], &content("before")).await.code, 250);
    bob.holds(1).await;

    disk.fill();
    let while_full = refused_when_full(&mut client).await;
    assert!(together.agent.process().ended().is_none());
    // What is delivered meanwhile is recorded, or it would be delivered again.
    peer.script(Script::default());
    peer.accepts(1).await;
    eventually("the outcome is recorded", async || {
        let queued = together.postrider(&["queue", "list", "--json"]).await;
        (!queued.contains("carol@remote.test")).then_some(())
    })
    .await;

    disk.relieve();
    let began = Instant::now();
    eventually("mail is taken again", async || {
        let reply = client.transact(ALICE, &[BOB], &large("behind")).await;
        assert!([250, 452].contains(&reply.code), "{reply:?}");
        (reply.code == 250).then_some(())
    })
    .await;
    let recovered = began.elapsed();
    let mut accepted = [vec!["before".to_owned(), "behind".to_owned()], while_full.clone()].concat();
    bob.holds(accepted.len()).await;
    eventually("an empty queue", async || {
        (together.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    accepted.sort();
    assert_eq!(subjects(&bob), accepted, "each once");
    assert_eq!(peer.accepted().len(), 1, "once");
    assert_eq!(together.maildir(ALICE).count(), 0, "nothing was returned");
    say(&format!(
        "disk full: {} × 250 into what the files had in reserve, then 452; taken again {recovered:.1?} after there was room",
        while_full.len()
    ));
}

/// Sends until ten were refused; the subjects of those that were taken, into the room that the files had.
async fn refused_when_full(client: &mut Client) -> Vec<String> {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    while refused < 10 {
        let subject = format!("while full {}", accepted.len());
        let began = Instant::now();
        let reply = client.transact(ALICE, &[BOB], &large(&subject)).await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        if reply.code == 250 {
            accepted.push(subject);
            assert!(accepted.len() < 200, "a full disk takes everything");
        } else {
            is_for_now(&reply, 452, "4.3.1");
            refused += 1;
        }
    }
    accepted
}

/// So large that its content stands in parts of its own.
fn large(subject: &str) -> Vec<u8> {
    [content(subject), b"0123456789 0123456789 0123456789 0123456789\r\n".repeat(3000)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mta_is_away() {
    let mut apart = apart(&[]).await;
    let client = Client::logged_in(apart.submission(), ALICE, "secret").await;
    apart.mtas[0].stop().await;
    let began = Instant::now();
    let mut client = before_the_end(client, ALICE).await;
    is_for_now(&end(&mut client, "in vain").await, 451, "4.3.0");
    let took = began.elapsed();
    assert!(took < SOON, "{took:?}");
    apart.mtas[0].start().await;
    is_taken_again(&mut client, ALICE, "taken").await;
    apart.maildir(BOB).holds(1).await;
    assert_eq!(subjects(&apart.maildir(BOB)), ["taken"]);
    say(&format!("mta away: refused after {took:.1?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mda_is_away() {
    let mut apart = apart(&["mta.retry.delays=[\"500ms\"]"]).await;
    let mut client = Client::logged_in(apart.submission(), ALICE, "secret").await;
    // Nothing can be put into the mailbox while a file is in its place.
    let mailbox = apart.maildir(BOB).path().parent().unwrap().to_owned();
    std::fs::create_dir_all(mailbox.parent().unwrap()).unwrap();
    std::fs::write(&mailbox, "in the way").unwrap();
    let reply = client.transact(ALICE, &[BOB], &content("waits")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let id = reply.text().split_whitespace().last().unwrap().to_owned();
    let delayed = async |apart: &Apart, times: usize| {
        let shown = apart.postrider(&["queue", "show", &id]).await;
        (shown.matches("delayed (").count() >= times).then_some(shown)
    };
    eventually("a first delay", async || delayed(&apart, 1).await).await;

    apart.mda.kill();
    std::fs::remove_file(&mailbox).unwrap();
    let shown = eventually("attempts in vain", async || delayed(&apart, 4).await).await;
    assert!(!shown.contains("failed ("), "{shown}");
    client.ok(&format!("MAIL FROM:<{ALICE}>")).await;
    let began = Instant::now();
    is_for_now(&client.command(&format!("RCPT TO:<{BOB}>")).await, 451, "4.3.0");
    let took = began.elapsed();
    assert!(took < SOON, "{took:?}");

    apart.mda.start().await;
    let began = Instant::now();
    apart.maildir(BOB).holds(1).await;
    let delivered = began.elapsed();
    is_taken_again(&mut client, ALICE, "taken").await;
    apart.maildir(BOB).holds(2).await;
    within(SOON, "an empty queue", async || {
        (apart.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    assert_eq!(subjects(&apart.maildir(BOB)), ["taken", "waits"]);
    say(&format!(
        "mda away: RCPT refused after {took:.1?}; queued mail delivered {delivered:.1?} after it was back"
    ));
}
