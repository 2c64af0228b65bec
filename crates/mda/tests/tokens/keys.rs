//! When the issuer's keys are fetched, and what happens while they cannot be.

use serde_json::json;
use tokio::task::JoinSet;

use super::issuer::{Answer, Issuer, Key, novelty, published};
use super::{ALICE, Gate};
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_unknown_keys_fetches_them_once_a_while() {
    let key = Key::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    let gate = std::sync::Arc::new(Gate::by_keys(&issuer).await);
    let claims = gate.claims();
    assert_eq!(gate.takes(&key.token(&claims)).await, ALICE);
    assert_eq!(issuer.asked(), 1);
    for (later, fetched) in [(0, 1), (59, 1), (1, 2), (0, 2), (59, 2), (1, 3)] {
        gate.advance(later);
        let mut storm = JoinSet::new();
        for _ in 0..50 {
            let token = Key::ed25519("b").sign(&json!({"alg": "EdDSA", "kid": novelty()}), &claims);
            let gate = gate.clone();
            storm.spawn(async move { gate.takes(&token).await });
        }
        assert!(storm.join_all().await.iter().all(|said| said == "refused"));
        assert_eq!(issuer.asked(), fetched);
        assert_eq!(gate.takes(&key.token(&claims)).await, ALICE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_may_change_its_keys() {
    let (old, new) = (Key::rsa("old"), Key::p256("new"));
    let issuer = Issuer::publishing(&[&old]).await;
    let gate = Gate::by_keys(&issuer).await;
    let claims = gate.claims();
    assert_eq!(gate.takes(&old.token(&claims)).await, ALICE);
    issuer.answers(published(&[&old, &new]));
    gate.advance(60);
    assert_eq!(gate.takes(&new.token(&claims)).await, ALICE, "a new key is looked for at once");
    assert_eq!(gate.takes(&old.token(&claims)).await, ALICE);
    assert_eq!(issuer.asked(), 2);
    issuer.answers(published(&[&new]));
    gate.advance(1799);
    let claims = gate.claims();
    assert_eq!(gate.takes(&old.token(&claims)).await, ALICE, "the keys that are known are young");
    gate.advance(1);
    assert_eq!(
        gate.takes(&old.token(&claims)).await,
        ALICE,
        "nobody waits for the look that this one starts"
    );
    let refused = async || gate.takes(&old.token(&claims)).await == "refused";
    let started = std::time::Instant::now();
    while !refused().await {
        assert!(started.elapsed().as_secs() < 20, "the key that was withdrawn is still taken");
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.takes(&new.token(&claims)).await, ALICE);
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_outlast_an_issuer_that_is_away_for_a_while() {
    let key = Key::ed25519("a");
    let issuer = Issuer::new(Answer::HangsUp).await;
    let gate = Gate::by_keys(&issuer).await;
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, "later");
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, "later");
    assert_eq!(issuer.asked(), 1, "it is left alone for a moment");
    gate.advance(5);
    issuer.answers(published(&[&key]));
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
    issuer.answers(Answer::HangsUp);
    gate.advance(1800);
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
    until("it is asked in the background", || issuer.asked() == 3).await;
    gate.advance(1799);
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
    until("it is asked again", || issuer.asked() == 4).await;
    gate.advance(5);
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, "later", "its keys are too old");
    issuer.answers(published(&[&key]));
    gate.advance(5);
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_of_an_issuer_that_is_away_may_be_good_later() {
    let (key, new) = (Key::ed25519("a"), Key::ed25519("new"));
    let issuer = Issuer::publishing(&[&key]).await;
    let gate = Gate::by_keys(&issuer).await;
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
    gate.advance(60);
    issuer.answers(Answer::Silence);
    assert_eq!(gate.takes(&new.token(&gate.claims())).await, "later");
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE, "whose key is known is taken");
    issuer.answers(published(&[&key, &new]));
    gate.advance(5);
    assert_eq!(gate.takes(&new.token(&gate.claims())).await, ALICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_file_are_read_again() {
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let write = |key: &Key| std::fs::write(&file, json!({"keys": [key.jwk()]}).to_string()).unwrap();
    let gate = Gate::new(|oauth| oauth.jwks_file = Some(file.clone())).await;
    assert_eq!(gate.takes(&old.token(&gate.claims())).await, "later", "there is no file yet");
    write(&old);
    gate.advance(5);
    assert_eq!(gate.takes(&old.token(&gate.claims())).await, ALICE);
    write(&new);
    assert_eq!(gate.takes(&new.token(&gate.claims())).await, "refused");
    gate.advance(60);
    assert_eq!(gate.takes(&new.token(&gate.claims())).await, ALICE);
    assert_eq!(gate.takes(&old.token(&gate.claims())).await, "refused");
    std::fs::write(&file, " ".repeat(1024 * 1024)).unwrap();
    gate.advance(3600);
    assert_eq!(gate.takes(&new.token(&gate.claims())).await, "later", "it is too long");
}
