//! `kill -9` while mail flows in: whatever was answered with 250 arrives, in a local mailbox exactly once.

use std::net::SocketAddr;
use std::time::Duration;

use tests::aloud::say;
use tests::peer::{Received, Script};
use tests::wait::within;
use tests::{Apart, Dice, Flow, Maildir, Peer, Source, Together, flow};
use tokio::time::{Instant, sleep};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CAROL: &str = "carol@remote.test";
const MESSAGES: usize = 2000;
/// The next kill is to come within this time, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);
/// Before a killed agent is started again, at most.
const AWAY: Duration = Duration::from_millis(500);

/// Mail that alice submits to both, and mail from elsewhere to bob.
fn sources(submission: SocketAddr, mx: SocketAddr) -> Vec<Source> {
    let alice = Source {
        address: submission,
        login: Some((ALICE, "secret")),
        from: ALICE,
        recipients: &[&[BOB], &[CAROL], &[BOB, CAROL]],
    };
    let stranger = Source { address: mx, login: None, from: "dave@elsewhere.test", recipients: &[&[BOB]] };
    [vec![alice; 6], vec![stranger; 2]].concat()
}

/// `kill -9` comes at these numbers of accepted messages.
fn times(dice: &mut Dice, kills: usize) -> Vec<usize> {
    let part = MESSAGES / (kills + 1);
    (1..=kills).map(|kill| kill * part - dice.below(part / 2)).collect()
}

fn check(what: &str, ledger: &flow::Ledger, mailboxes: [Maildir; 2], peer: &Peer) {
    let [alice, bob] = mailboxes;
    let in_mailbox = bob.messages();
    let in_mailbox = ledger.compare(BOB, in_mailbox.iter().map(Vec::as_slice));
    let contents: Vec<_> = peer.accepted().iter().map(Received::content).collect();
    let at_peer = ledger.compare(CAROL, contents.iter().map(Vec::as_slice));
    say(&format!("{what}: {ledger}\n  mailbox: {in_mailbox}\n  peer: {at_peer}"));
    assert!(
        in_mailbox.lost.is_empty() && at_peer.lost.is_empty(),
        "{:?}, {:?}",
        in_mailbox.lost,
        at_peer.lost
    );
    assert!(in_mailbox.repeated.is_empty(), "{:?}", in_mailbox.repeated);
    // Whoever hears a refusal sends it again.
    assert!(in_mailbox.refused.is_empty() && at_peer.refused.is_empty(), "{in_mailbox:?}, {at_peer:?}");
    assert!(in_mailbox.strange.is_empty() && at_peer.strange.is_empty(), "{in_mailbox:?}, {at_peer:?}");
    assert!(ledger.refused_for_good().is_empty(), "{:?}", ledger.refused_for_good());
    assert_eq!(alice.count(), 0, "nothing was returned to its sender");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_in_one_process_is_killed_again_and_again() {
    let began = Instant::now();
    let mut dice = Dice::new("kill -9 of postrider up");
    let peer = Peer::start(Script::default()).await;
    let mut together = Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set(&format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta.retry.delays=[\"1s\"]")
        .start()
        .await;
    let flow = Flow::start(MESSAGES, sources(together.submission(), together.mx()));
    let times = times(&mut dice, 6);
    for at in &times {
        flow.accepts(*at, LIMIT).await;
        together.agent.kill();
        sleep(dice.time(AWAY)).await;
        together.agent.start().await;
    }
    let ledger = flow.ends(LIMIT).await;
    let took = began.elapsed();
    let bob = together.maildir(BOB);
    within(LIMIT, "all mail in the mailbox", async || {
        (bob.count() >= ledger.accepted_for(BOB)).then_some(())
    })
    .await;
    within(LIMIT, "an empty queue", async || {
        (together.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    let what = format!("postrider up, killed at {times:?}, {took:.0?} + {:.0?}", began.elapsed() - took);
    check(&what, &ledger, [together.maildir(ALICE), bob], &peer);
    assert!(together.agent.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_agents_apart_are_killed_one_by_one_and_all_at_once() {
    let began = Instant::now();
    let mut dice = Dice::new("kill -9 of msa, mta and mda");
    let peer = Peer::start(Script::default()).await;
    let mut apart = Apart::setup()
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .set("mta", &format!("mta.routes.\"remote.test\"=\"{}\"", peer.address))
        .set("mta", "mta.retry.delays=[\"1s\"]")
        // The only mta comes back while the lease of the killed one still runs.
        .set("mta", "queue.lease_ms=3000")
        .set("mta", "queue.heartbeat_ms=500")
        .set("mta", "queue.margin_ms=1000")
        .start()
        .await;
    let flow = Flow::start(MESSAGES, sources(apart.submission(), apart.mx()));
    let mut victims = vec!["msa", "mta", "mda", "msa", "mta", "mda"];
    dice.shuffle(&mut victims);
    victims.push("all");
    let times = times(&mut dice, victims.len());
    for (at, victim) in times.iter().zip(&victims) {
        flow.accepts(*at, LIMIT).await;
        let Apart { msa, mtas, mda, .. } = &mut apart;
        let agents = [("msa", msa), ("mta", &mut mtas[0]), ("mda", mda)];
        let mut killed: Vec<_> = agents
            .into_iter()
            .filter(|(name, _)| [*name, "all"].contains(victim))
            .map(|(_, agent)| agent)
            .collect();
        killed.iter_mut().for_each(|agent| agent.kill());
        sleep(dice.time(AWAY)).await;
        for agent in killed {
            agent.start().await;
        }
    }
    let ledger = flow.ends(LIMIT).await;
    let took = began.elapsed();
    let bob = apart.maildir(BOB);
    within(LIMIT, "all mail in the mailbox", async || {
        (bob.count() >= ledger.accepted_for(BOB)).then_some(())
    })
    .await;
    within(LIMIT, "an empty queue", async || {
        (apart.postrider(&["queue", "list", "--json"]).await.trim() == "[]").then_some(())
    })
    .await;
    let kills: Vec<_> = victims.iter().zip(&times).collect();
    let what = format!("agents apart, killed {kills:?}, {took:.0?} + {:.0?}", began.elapsed() - took);
    check(&what, &ledger, [apart.maildir(ALICE), bob], &peer);
}
