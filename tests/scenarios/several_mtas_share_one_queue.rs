//! Several mtas on one queue: the work of one that dies is taken over by the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tests::aloud::say;
use tests::peer::{Act, Received, Script};
use tests::wait::within;
use tests::{Apart, Flow, Peer, Source, flow};
use tokio::time::Instant;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CAROL: &str = "carol@remote.test";
const MESSAGES: usize = 300;
const LANES: usize = 256;
const LIMIT: Duration = Duration::from_secs(60);
/// What a dead mta had is carried on within this time, by the defaults: a lease of 15 s, 2 s of grace, and a heartbeat.
const TAKEN_OVER: Duration = Duration::from_secs(22);
/// Until a busy machine lets us see it.
const TOLERANCE: Duration = Duration::from_secs(5);
/// The others' next heartbeat, and time to see it; less than the lease that would have to run out otherwise.
const AT_ONCE: Duration = Duration::from_secs(12);

fn source(address: SocketAddr) -> Source {
    let recipients: &[&[&str]] = &[&[BOB], &[CAROL], &[BOB, CAROL]];
    Source { address, login: Some((ALICE, "secret")), from: ALICE, recipients }
}

async fn three(peer: &Peer) -> Apart {
    Apart::setup()
        .mtas(3)
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set("mta", &format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta", "mta.retry.delays=[\"1s\"]")
        .start()
        .await
}

/// The instances that hold lanes, with how many each.
fn holders(apart: &Apart) -> BTreeMap<String, usize> {
    let ask = "select owner, count(*) from lane where owner is not null group by owner";
    let answer = apart.postgres.query(&apart.queue, ask);
    let line = |line: &str| line.split_once('|').map(|(who, lanes)| (who.to_owned(), lanes.parse().unwrap()));
    answer.lines().filter_map(line).collect()
}

/// Waits until this many mtas hold all lanes, with equal shares.
async fn shared_by(apart: &Apart, mtas: usize, limit: Duration) {
    let what = format!("{mtas} mtas hold all lanes");
    within(limit, &what, async || {
        let holders = holders(apart);
        let most = holders.values().max().copied().unwrap_or(0);
        let all = holders.values().sum::<usize>() == LANES;
        (holders.len() == mtas && all && most == LANES.div_ceil(mtas)).then_some(())
    })
    .await;
}

/// Everything accepted is where it belongs, in the mailbox once.
async fn all_arrives(apart: &Apart, ledger: &flow::Ledger, peer: &Peer, limit: Duration) -> String {
    let bob = apart.maildir(BOB);
    within(limit, "all mail delivered", async || {
        let there = bob.count() >= ledger.accepted_for(BOB);
        (there && peer.accepted().len() >= ledger.accepted_for(CAROL)).then_some(())
    })
    .await;
    within(LIMIT, "an empty queue", async || {
        (apart.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    let mailbox = bob.messages();
    let mailbox = ledger.compare(BOB, mailbox.iter().map(Vec::as_slice));
    let contents: Vec<_> = peer.accepted().iter().map(Received::content).collect();
    let at_peer = ledger.compare(CAROL, contents.iter().map(Vec::as_slice));
    for arrivals in [&mailbox, &at_peer] {
        assert!(arrivals.lost.is_empty() && arrivals.strange.is_empty(), "{arrivals:?}");
        assert!(arrivals.refused.is_empty() && arrivals.repeated.is_empty(), "{arrivals:?}");
    }
    assert!(ledger.refused_for_good().is_empty(), "{:?}", ledger.refused_for_good());
    assert_eq!(apart.maildir(ALICE).count(), 0, "nothing was returned to its sender");
    format!("{ledger}\n  mailbox: {mailbox}\n  peer: {at_peer}")
}

#[tokio::test(flavor = "multi_thread")]
async fn and_carry_on_what_a_killed_one_had() {
    // Mail for carol waits in the queue, in lanes of all three, until the peer takes it.
    let busy = Script::default().always("RCPT TO:<carol@", Act::say("450 4.2.1 busy"));
    let peer = Peer::start(busy).await;
    let mut apart = three(&peer).await;
    shared_by(&apart, 3, LIMIT).await;
    let flow = Flow::start(MESSAGES, vec![source(apart.submission()); 6]);
    flow.accepts(MESSAGES / 2, LIMIT).await;
    apart.mtas[0].kill();
    let killed = Instant::now();
    peer.script(Script::default());
    let ledger = flow.ends(LIMIT).await;
    let accepted = killed.elapsed();
    shared_by(&apart, 2, (TAKEN_OVER + TOLERANCE).saturating_sub(killed.elapsed())).await;
    let taken_over = killed.elapsed();
    let arrived = all_arrives(&apart, &ledger, &peer, LIMIT).await;
    say(&format!(
        "one of three mtas killed: all accepted {accepted:.1?} later, lanes taken over {taken_over:.1?}, all delivered \
         {:.1?}: {arrived}",
        killed.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn and_carry_on_at_once_what_a_stopped_one_had() {
    let busy = Script::default().always("RCPT TO:<carol@", Act::say("450 4.2.1 busy"));
    let peer = Peer::start(busy).await;
    let mut apart = three(&peer).await;
    shared_by(&apart, 3, LIMIT).await;
    let flow = Flow::start(MESSAGES, vec![source(apart.submission()); 6]);
    flow.accepts(MESSAGES / 2, LIMIT).await;
    assert!(apart.mtas[0].stop().await.success());
    let stopped = Instant::now();
    shared_by(&apart, 2, AT_ONCE).await;
    let taken_over = stopped.elapsed();
    peer.script(Script::default());
    let ledger = flow.ends(LIMIT).await;
    let arrived = all_arrives(&apart, &ledger, &peer, LIMIT).await;
    // It comes back and gets its share again.
    apart.mtas[0].start().await;
    shared_by(&apart, 3, LIMIT).await;
    say(&format!("one of three mtas stopped: lanes taken over {taken_over:.1?} later: {arrived}"));
}
