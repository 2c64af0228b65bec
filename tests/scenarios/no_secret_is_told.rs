//! Neither a log line, however much is logged, nor a span holds a password or a body.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tests::{Client, Collector, Together};

const ALICE: &str = "alice@example.test";
const PASSWORD: &str = "correct-horse-battery";
const BODY: &str = "between-you-and-me";

#[tokio::test(flavor = "multi_thread")]
async fn in_a_log_line_or_a_span() {
    let collector = Collector::start().await;
    let mut together = Together::setup()
        .domain("example.test")
        .account(ALICE, PASSWORD)
        .set("telemetry.log_level=\"debug\"")
        .collector(&collector)
        .start()
        .await;
    let mut refused = Client::greeted(together.submission()).await.starttls().await;
    refused.ok("EHLO client.test").await;
    assert_eq!(refused.authenticate(ALICE, &format!("{PASSWORD}-not")).await.code, 535);
    let mut client = Client::logged_in(together.submission(), ALICE, PASSWORD).await;
    let content = format!("From: <{ALICE}>\r\nTo: <{ALICE}>\r\nSubject: s\r\n\r\n{BODY}\r\n");
    assert_eq!(client.transact(ALICE, &[ALICE], content.as_bytes()).await.code, 250);
    together.maildir(ALICE).holds(1).await;
    collector.span("the delivery's span", |span| span.name == "mailbox.deliver").await;
    let told = format!("{:?}\n{}", collector.spans(), together.agent.log());
    assert!(told.contains("message accepted"), "{told}");
    let response = BASE64_STANDARD.encode(format!("\0{ALICE}\0{PASSWORD}"));
    for secret in [PASSWORD, BODY, &response] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
