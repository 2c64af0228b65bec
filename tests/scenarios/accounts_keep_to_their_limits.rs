//! What an account may submit, and as whom, is the same at every msa, and outlives a restart of whoever counts.

use std::net::SocketAddr;

use tests::client::Reply;
use tests::wait::eventually;
use tests::{Apart, Client};
use tokio::task::JoinSet;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const CONTENT: &[u8] = b"Subject: Hello\r\n\r\nHi\r\n";

/// The reply to the end of a message, or to whichever command refused it.
async fn submit(client: &mut Client, from: &str) -> Reply {
    let mail = client.command(&format!("MAIL FROM:<{from}>")).await;
    if mail.code != 250 {
        return mail;
    }
    client.ok(&format!("RCPT TO:<{BOB}>")).await;
    client.command("DATA").await;
    client.send(tests::client::stuffed(CONTENT)).await.unwrap();
    client.reply().await
}

fn is_over(reply: &Reply) {
    let text = "4.7.1 The account has reached its limit of 10 messages an hour, try again after ";
    assert!(reply.code == 450 && reply.has(text) && reply.text().ends_with(" UTC"), "{reply:?}");
}

async fn limited() -> (Apart, [SocketAddr; 2]) {
    let apart = Apart::setup().msas(2).account(ALICE, "secret").account(BOB, "geheim").start().await;
    apart.postrider(&["account", "limit", ALICE, "--messages-per-hour", "10"]).await;
    let addresses = [apart.submission(), apart.other_msas[0].address("submission")];
    (apart, addresses)
}

#[tokio::test(flavor = "multi_thread")]
async fn together_at_all_msas() {
    let (mut apart, addresses) = limited().await;
    let mut clients = JoinSet::new();
    for number in 0..6 {
        clients.spawn(async move {
            let mut client = Client::logged_in(addresses[number % 2], ALICE, "secret").await;
            let mut replies = Vec::new();
            for _ in 0..4 {
                replies.push(submit(&mut client, ALICE).await);
            }
            replies
        });
    }
    let replies: Vec<Reply> = clients.join_all().await.into_iter().flatten().collect();
    let (taken, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.code == 250);
    assert_eq!((taken.len(), refused.len()), (10, 14), "{replies:?}");
    refused.into_iter().for_each(is_over);
    assert_eq!(apart.maildir(BOB).holds(10).await.len(), 10);
    let mut bob = Client::logged_in(addresses[1], BOB, "geheim").await;
    assert_eq!(submit(&mut bob, BOB).await.code, 250, "who has no limit");

    apart.mda.kill();
    apart.mda.start().await;
    for address in addresses {
        eventually("a login after the restart", async || {
            let mut client = Client::greeted(address).await.starttls().await;
            client.ok("EHLO client.test").await;
            if client.authenticate(ALICE, "secret").await.code != 235 {
                return None;
            }
            let reply = submit(&mut client, ALICE).await;
            (reply.code != 451).then(|| is_over(&reply))
        })
        .await;
    }
    let shown = apart.postrider(&["account", "show", ALICE, "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let limit = &shown["limits"][0];
    assert_eq!((limit["allowed"].as_u64(), limit["used"].as_u64()), (Some(10), Some(10)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn and_get_more_at_once() {
    let (apart, addresses) = limited().await;
    let mut alice = Client::logged_in(addresses[0], ALICE, "secret").await;
    for _ in 0..10 {
        assert_eq!(submit(&mut alice, ALICE).await.code, 250);
    }
    is_over(&submit(&mut alice, ALICE).await);
    apart.postrider(&["account", "limit", ALICE, "--messages-per-hour", "11"]).await;
    assert_eq!(submit(&mut alice, ALICE).await.code, 250, "in the same session");
    assert_eq!(submit(&mut alice, ALICE).await.code, 450);
    apart.postrider(&["account", "limit", ALICE, "--messages-per-hour", "none"]).await;
    assert_eq!(submit(&mut alice, ALICE).await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn and_send_as_what_they_were_granted() {
    let apart = Apart::setup().account(ALICE, "secret").account(BOB, "geheim").start().await;
    let mut before = Client::logged_in(apart.submission(), ALICE, "secret").await;
    assert_eq!(submit(&mut before, "news@shop.test").await.code, 550);
    apart.postrider(&["account", "grant", ALICE, "*@shop.test"]).await;
    let mut granted = Client::logged_in(apart.submission(), ALICE, "secret").await;
    assert_eq!(submit(&mut granted, "news@shop.test").await.code, 250);
    assert_eq!(submit(&mut granted, "news@sub.shop.test").await.code, 550);
    assert!(apart.postrider(&["account", "list"]).await.contains("*@shop.test"));
    apart.postrider(&["account", "revoke", ALICE, "*@shop.test"]).await;
    let mut after = Client::logged_in(apart.submission(), ALICE, "secret").await;
    assert_eq!(submit(&mut after, "news@shop.test").await.code, 550);
}
