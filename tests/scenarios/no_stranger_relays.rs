//! Port 25 takes mail for recipients here and for nobody else; submission takes mail from whoever logs in over TLS, in their
//! own name only.

use tests::{Client, Together};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

async fn together() -> Together {
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .account(BOB, "geheim")
        .arguments(&["--relay"])
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_port_25() {
    let together = together().await;
    let mut client = Client::greeted(together.mx()).await;
    client.ok("MAIL FROM:<stranger@elsewhere.test>").await;
    for (recipient, code, status) in [
        ("victim@elsewhere.test", 550, "5.7.1"),
        ("victim%elsewhere.test@[127.0.0.1]", 550, "5.7.1"),
        ("\"victim@elsewhere.test\"@other.test", 550, "5.7.1"),
        ("nobody@example.test", 550, "5.1.1"),
        ("victim%elsewhere.test@example.test", 550, "5.1.1"),
        ("\"victim@elsewhere.test\"@example.test", 550, "5.1.1"),
    ] {
        let reply = client.command(&format!("RCPT TO:<{recipient}>")).await;
        assert_eq!((reply.code, reply.has(status)), (code, true), "{recipient}: {reply:?}");
    }
    let reply = client.command("DATA").await;
    assert!(reply.code >= 500, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_port_25_by_a_source_route_the_last_hop_counts() {
    let together = together().await;
    let mut client = Client::greeted(together.mx()).await;
    client.ok("MAIL FROM:<stranger@elsewhere.test>").await;
    let reply = client.command("RCPT TO:<@example.test:victim@elsewhere.test>").await;
    assert_eq!(reply.code, 550, "{reply:?}");
    client.ok("RCPT TO:<@elsewhere.test:alice@example.test>").await;
    client.ok("RCPT TO:<Postmaster>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_submission_without_tls_and_login() {
    let together = together().await;
    let mut client = Client::greeted(together.submission()).await;
    assert_eq!(client.command("MAIL FROM:<alice@example.test>").await.code, 530);
    let reply = client.authenticate(ALICE, "secret").await;
    assert!(reply.code >= 500, "a password in clear text: {reply:?}");
    let mut client = client.starttls().await;
    client.ok("EHLO client.test").await;
    assert_eq!(client.command("MAIL FROM:<alice@example.test>").await.code, 530);
    for (login, password) in [(ALICE, "wrong"), ("nobody@example.test", "secret"), ("", ""), (BOB, "secret")]
    {
        let reply = client.authenticate(login, password).await;
        assert_eq!((reply.code, reply.has("5.7.8")), (535, true), "{login}: {reply:?}");
        if login.is_empty() {
            client = Client::greeted(together.submission()).await.starttls().await;
            client.ok("EHLO client.test").await;
        }
    }
    assert_eq!(client.command("MAIL FROM:<alice@example.test>").await.code, 530);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_submission_in_the_name_of_others() {
    let together = together().await;
    let mut client = Client::logged_in(together.submission(), ALICE, "secret").await;
    for sender in [BOB, "ceo@elsewhere.test"] {
        let reply = client.command(&format!("MAIL FROM:<{sender}>")).await;
        assert_eq!((reply.code, reply.has("5.7.1")), (550, true), "{sender}: {reply:?}");
    }
    let forged = b"From: <bob@example.test>\r\nTo: <alice@example.test>\r\nSubject: it is me\r\n\r\nbob\r\n";
    let reply = client.transact(ALICE, &[ALICE], forged).await;
    assert_eq!((reply.code, reply.has("5.7.1")), (550, true), "{reply:?}");
    let reply = client
        .transact("alice+list@example.test", &[ALICE], b"From: <alice@example.test>\r\n\r\nhi\r\n")
        .await;
    assert_eq!(reply.code, 250, "{reply:?}");
    together.maildir(ALICE).holds(1).await;
}
