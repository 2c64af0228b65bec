//! Tokens that the issuer is asked about.

use serde_json::{Value, json};
use service::config::Secret;

use super::issuer::{Answer, Issuer};
use super::{ALICE, Gate};

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_is_asked_as_a_client_of_it() {
    let issuer = Issuer::new(Answer::Says(json!({"active": false}))).await;
    let gate = Gate::new(|oauth| {
        oauth.introspection_url = issuer.url();
        oauth.client_id = "post rider".to_owned();
        oauth.client_secret = Some(Secret::new("a:b&c"));
    });
    assert_eq!(gate.await.takes("a+b/c=&x=y").await, "refused");
    let asked = issuer.requests().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "token=a%2Bb%2Fc%3D%26x%3Dy&token_type_hint=access_token");
    assert!(head.starts_with("POST /ask HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{head}");
    // post%20rider:a%3Ab%26c
    let basic = "authorization: basic cG9zdCUyMHJpZGVyOmElM0FiJTI2Yw==".to_ascii_lowercase();
    assert!(head.contains(&basic), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_checked_like_any_claims() {
    let issuer = Issuer::new(Answer::HangsUp).await;
    let gate = Gate::by_introspection(&issuer).await;
    let now = gate.seconds();
    for (number, (name, value, expected)) in [
        ("active", json!(true), ALICE),
        ("active", json!(false), "refused"),
        ("active", json!("true"), "refused"),
        ("active", json!(1), "refused"),
        ("exp", json!(now - 61), "refused"),
        ("aud", json!("www.example.org"), "refused"),
        ("iss", json!("https://other.example"), "refused"),
        ("email", json!("bob@example.org"), "bob@example.org"),
        ("email", json!("nobody@example.org"), "refused"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut said = gate.claims_but("active", json!(true));
        said[name] = value.clone();
        issuer.answers(Answer::Says(said));
        assert_eq!(gate.takes(&format!("token-{number}")).await, expected, "{name} {value}");
    }
    issuer.answers(Answer::Says(json!({"active": true, "email": ALICE})));
    assert_eq!(gate.takes("for-whom").await, "refused", "nobody says that it is for us");
    issuer.answers(Answer::Says(Value::Null));
    assert_eq!(gate.takes("nothing").await, "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_are_remembered_for_a_moment_and_bad_ones_not() {
    let issuer = Issuer::new(Answer::HangsUp).await;
    let gate = Gate::by_introspection(&issuer).await;
    let good = |gate: &Gate| Answer::Says(gate.claims_but("active", json!(true)));
    issuer.answers(good(&gate));
    for _ in 0..3 {
        assert_eq!(gate.takes("token").await, ALICE);
        assert_eq!(gate.tries("bob@example.org", "token").await, "refused");
    }
    assert_eq!(issuer.asked(), 1);
    issuer.answers(Answer::HangsUp);
    gate.advance(59);
    assert_eq!(gate.takes("token").await, ALICE);
    assert_eq!(gate.takes("another").await, "later");
    gate.advance(1);
    assert_eq!(gate.takes("token").await, "later");
    issuer.answers(Answer::Says(json!({"active": false})));
    let asked = issuer.asked();
    for _ in 0..3 {
        assert_eq!(gate.takes("token").await, "refused");
    }
    assert_eq!(issuer.asked(), asked + 3);
    issuer.answers(good(&gate));
    assert_eq!(gate.takes("token").await, ALICE, "a refusal is not remembered");
}
