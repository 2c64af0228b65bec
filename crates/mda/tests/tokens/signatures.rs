//! Which tokens are taken for a published key's.

use serde_json::json;

use super::issuer::{Answer, Issuer, Key, unsigned};
use super::{ALICE, Gate};

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_is_checked() {
    let key = Key::p256("a");
    let gate = Gate::by_keys(&Issuer::publishing(&[&key]).await).await;
    let now = gate.seconds();
    for (name, value, expected) in [
        ("sub", json!("a"), ALICE),
        ("aud", json!(["other", "mail.example.org"]), ALICE),
        ("exp", json!(now - 59), ALICE),
        ("exp", json!(now - 61), "refused"),
        ("exp", json!(null), "refused"),
        ("nbf", json!(now + 59), ALICE),
        ("nbf", json!(now + 61), "refused"),
        ("iss", json!("https://id.example.evil.example"), "refused"),
        ("aud", json!("www.example.org"), "refused"),
        ("email_verified", json!(false), "refused"),
        ("cnf", json!({"jkt": "x"}), "refused"),
    ] {
        let token = key.token(&gate.claims_but(name, value.clone()));
        assert_eq!(gate.takes(&token).await, expected, "{name} {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_issuers_own_signatures_are_taken() {
    let (ed, ec, rsa) = (Key::ed25519("ed"), Key::p256("ec"), Key::rsa("rsa"));
    let (stranger, foreign) = (Key::ed25519("ed"), Key::rsa("rsa"));
    let gate = Gate::by_keys(&Issuer::publishing(&[&ed, &ec, &rsa]).await).await;
    let claims = gate.claims();
    for (key, header, expected) in [
        (&ed, json!({"alg": "EdDSA", "kid": "ed"}), ALICE),
        (&ec, json!({"alg": "ES256", "kid": "ec", "typ": "JWT"}), ALICE),
        (&rsa, json!({"alg": "RS256", "kid": "rsa", "typ": "application/at+jwt"}), ALICE),
        (&rsa, json!({"alg": "PS256", "kid": "rsa"}), ALICE),
        (&rsa, json!({"alg": "RS256"}), ALICE),
        // Keys of others, by the right names.
        (&stranger, json!({"alg": "EdDSA", "kid": "ed"}), "refused"),
        (&foreign, json!({"alg": "RS256", "kid": "rsa"}), "refused"),
        (&foreign, json!({"alg": "PS256"}), "refused"),
        // A key that comes along with the token.
        (&stranger, json!({"alg": "EdDSA", "kid": "ed", "jwk": stranger.jwk()}), "refused"),
        (&stranger, json!({"alg": "EdDSA", "jku": "https://id.example/other"}), "refused"),
        // What is public taken for a shared secret.
        (&rsa, json!({"alg": "HS256", "kid": "rsa"}), "refused"),
        (&ed, json!({"alg": "HS256", "kid": "ed"}), "refused"),
        // Signed in another way than it says, or for another purpose.
        (&ed, json!({"alg": "RS256", "kid": "rsa"}), "refused"),
        (&rsa, json!({"alg": "PS256", "kid": "ec"}), "refused"),
        (&rsa, json!({"alg": "RS512", "kid": "rsa"}), "refused"),
        (&ed, json!({"alg": "EdDSA", "kid": "ed", "typ": "logout+jwt"}), "refused"),
        (&ed, json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false}), "refused"),
    ] {
        assert_eq!(gate.takes(&key.sign(&header, &claims)).await, expected, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_or_no_token_is_refused() {
    let key = Key::ed25519("a");
    let gate = Gate::by_keys(&Issuer::publishing(&[&key]).await).await;
    let good = key.token(&gate.claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let none = |alg: &str| unsigned(&json!({"alg": alg, "kid": "a"}), &gate.claims());
    let (header, payload) = head.split_once('.').unwrap();
    let bobs = key.token(&gate.claims_but("email", json!("bob@example.org")));
    let (bob, _) = bobs.rsplit_once('.').unwrap();
    for token in [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        "x".repeat(100_000),
        format!("{good} "),
        format!("{good}\r\n"),
        format!("{good}=="),
        format!("{good}.x"),
        head.to_owned(),
        format!("{head}."),
        format!("{head}.{}", &signature[1..]),
        format!("{bob}.{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{}.", none("none")),
        format!("{}.", none("None")),
        none("none"),
        format!("{}.{signature}", none("none")),
    ] {
        assert_eq!(gate.takes(&token).await, "refused", "{token}");
    }
    assert_eq!(gate.takes(&good).await, ALICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_used_do_no_harm_to_others() {
    let key = Key::ed25519("a");
    let broken = [
        json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": ""}),
        json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": "*", "y": "*"}),
        json!({"kty": "RSA", "kid": "rsa", "n": "", "e": ""}),
        json!({"kty": "RSA", "kid": "rsa", "n": "AQ", "e": "AQ"}),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": ""}),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA"}),
        json!({"kty": "oct", "kid": "a", "k": "AAAA"}),
        json!({"kid": "a"}),
    ];
    let keys: Vec<_> = broken.into_iter().chain([key.jwk()]).collect();
    let gate = Gate::by_keys(&Issuer::new(Answer::Says(json!({"keys": keys}))).await).await;
    assert_eq!(gate.takes(&key.token(&gate.claims())).await, ALICE);
    for (key, header) in [
        (Key::p256("ec"), json!({"alg": "ES256", "kid": "ec"})),
        (Key::rsa("rsa"), json!({"alg": "RS256", "kid": "rsa"})),
        (Key::ed25519("a"), json!({"alg": "EdDSA", "kid": "a"})),
    ] {
        assert_eq!(gate.takes(&key.sign(&header, &gate.claims())).await, "refused", "{header}");
    }
}
