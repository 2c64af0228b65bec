//! Logins with tokens, against an issuer in this process.

mod introspection;
mod issuer;
mod keys;
mod signatures;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use issuer::{Answer, Issuer, Key};
use mail::Credentials;
use mda::OauthSettings;
use protocol::{Authentication, ErrorKind};
use serde_json::{Value, json};
use service::clock::{Clock, ManualClock};
use service::config::ByteSize;

use crate::support::{House, mailbox};

/// An mda that takes an issuer's tokens, at a time that the test moves.
struct Gate {
    house: House,
    clock: Arc<ManualClock>,
}

impl Gate {
    async fn new(change: impl FnOnce(&mut OauthSettings)) -> Self {
        let clock = Arc::new(ManualClock::new(SystemTime::now()));
        let house = House::at(clock.clone(), |config| {
            let oauth = &mut config.mda.oauth;
            oauth.issuer = "https://id.example".to_owned();
            oauth.audience = "mail.example.org".to_owned();
            change(oauth);
        });
        Self { house: house.await, clock }
    }

    /// One that verifies tokens by the keys that are published there.
    async fn by_keys(issuer: &Issuer) -> Self {
        Self::new(|oauth| oauth.jwks_url = issuer.url()).await
    }

    /// One that asks there.
    async fn by_introspection(issuer: &Issuer) -> Self {
        Self::new(|oauth| oauth.introspection_url = issuer.url()).await
    }

    /// What a login with a token comes to.
    async fn tries(&self, login: &str, token: &str) -> String {
        let credentials = Credentials::Token { login: login.to_owned(), token: token.to_owned() };
        match self.house.mda.directory.authenticate(&credentials).await {
            Ok(Authentication::Accepted(account)) => account.address.to_string(),
            Ok(Authentication::Refused) => "refused".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(error) if error.kind == ErrorKind::Unavailable => "later".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// The same without a login.
    async fn takes(&self, token: &str) -> String {
        self.tries("", token).await
    }

    /// Good claims, but for one.
    fn claims_but(&self, name: &str, value: Value) -> Value {
        let mut claims = json!({
            "iss": "https://id.example",
            "aud": "mail.example.org",
            "email": "alice@example.org",
            "exp": self.seconds() + 300,
        });
        claims[name] = value;
        claims
    }

    fn claims(&self) -> Value {
        self.claims_but("sub", json!("a"))
    }

    fn seconds(&self) -> u64 {
        self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

const ALICE: &str = "alice@example.org";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_a_login_to_the_account_that_it_names() {
    let key = Key::ed25519("a");
    let gate = Gate::by_keys(&Issuer::publishing(&[&key]).await).await;
    let token = key.token(&gate.claims());
    for (login, expected) in [
        ("", ALICE),
        ("alice@example.org", ALICE),
        ("alice@EXAMPLE.ORG", ALICE),
        ("bob@example.org", "refused"),
        ("nobody@example.org", "refused"),
        ("alice", "refused"),
    ] {
        assert_eq!(gate.tries(login, &token).await, expected, "{login}");
    }
    for named in ["nobody@example.org", "alice@far.example", "alice", ""] {
        let token = key.token(&gate.claims_but("email", json!(named)));
        assert_eq!(gate.takes(&token).await, "refused", "{named}");
    }
    gate.house.mda.admin.remove_account(&mailbox(ALICE)).await.unwrap();
    assert_eq!(gate.takes(&token).await, "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_issuer_no_token_is_taken() {
    let (house, key) = (House::new().await, Key::ed25519("a"));
    let gate = Gate { house, clock: Arc::new(ManualClock::new(SystemTime::now())) };
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_misbehaves_refuses_nobody() {
    let key = Key::ed25519("a");
    let issuer = Issuer::new(Answer::HangsUp).await;
    let limits = |oauth: &mut OauthSettings| {
        oauth.timeout = Duration::from_millis(500).into();
        oauth.answer_size = ByteSize::kib(64);
    };
    for answer in [
        Answer::HangsUp,
        Answer::Silence,
        Answer::Endless,
        Answer::Status("500 Internal Server Error"),
        Answer::Status("302 Found\r\nLocation: /elsewhere"),
        Answer::Says(json!("no set of keys, and no answer about a token")),
    ] {
        issuer.answers(answer.clone());
        for introspects in [false, true] {
            let gate = Gate::new(|oauth| {
                limits(oauth);
                if introspects {
                    oauth.introspection_url = issuer.url();
                } else {
                    oauth.jwks_url = issuer.url();
                }
            });
            let gate = gate.await;
            let started = std::time::Instant::now();
            assert_eq!(gate.takes(&key.token(&gate.claims())).await, "later", "{answer:?} {introspects}");
            assert!(started.elapsed() < Duration::from_secs(10), "{answer:?}");
        }
    }
    assert_eq!(issuer.asked(), 12, "no redirect is followed, and nobody is asked twice");
    // What the kernels hold between both comes on top of what was read.
    assert!((64 * 1024..16 * 1024 * 1024).contains(&issuer.octets()), "{}", issuer.octets());
}
