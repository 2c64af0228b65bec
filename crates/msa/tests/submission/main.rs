//! Submission over real sockets, with an mta and a directory that live in the test.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test itself")]

mod described;
mod fixture;
mod http;
mod inquiries;
mod quotas;

use fixture::{Fixture, MESSAGE, PASSWORD};
use mail::{BodyType, Domain, ReversePath};
use protocol::ErrorKind;

#[tokio::test(flavor = "multi_thread")]
async fn mail_needs_tls_and_authentication_first() {
    let fixture = Fixture::start().await;
    let mut clear = fixture.raw("submission").await;
    assert!(clear.line().await.starts_with("220 msa.example.test "));
    let offered = clear.ask("EHLO client.test").await;
    assert!(offered.contains("STARTTLS") && !offered.contains("AUTH"), "{offered}");
    assert!(clear.ask("AUTH PLAIN AGFsaWNlAHNlY3JldA==").await.starts_with("538 5.7.11 "));
    assert!(clear.ask("MAIL FROM:<alice@example.test>").await.starts_with("530 5.7.0 "));
    assert_eq!(fixture.relay.taken().len(), 0);

    let mut connection = fixture.connect("submission").await;
    let offered = ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
    assert_eq!(connection.capabilities().auth, offered);
    assert_eq!(connection.capabilities().size_limit(), Some(1024 * 1024));
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("530 5.7.0 "), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_the_mta_on_every_port_with_its_header_completed() {
    let fixture = Fixture::start().await;
    for port in ["submission", "submission_alt", "submissions"] {
        let mut connection = fixture.signed_in(port).await;
        let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", "Hi\r\n").await;
        let (submitted, id) = fixture.relay.taken().pop().unwrap();
        assert_eq!(heard, format!("250 2.0.0 Queued as {id}"));
        assert_eq!(submitted.by, Domain::parse("msa.example.test").unwrap());
        assert!(submitted.tls.unwrap().starts_with("TLSv1."));
        let origin = submitted.envelope.origin;
        assert_eq!(origin.account.unwrap().to_string(), "alice@example.test");
        assert_eq!((origin.helo.as_str(), origin.protocol.as_str()), ("client.test", "ESMTPSA"));
        let content = String::from_utf8(submitted.content.to_bytes().to_vec()).unwrap();
        let (header, body) = content.split_once("\r\n\r\n").unwrap();
        let fields: Vec<_> = header.split("\r\n").collect();
        assert_eq!(fields[..2], ["From: <alice@example.test>", "Date: Mon, 23 Nov 2026 17:44:00 +0000"]);
        assert!(
            fields[2].starts_with("Message-ID: <") && fields[2].ends_with("@msa.example.test>"),
            "{header}"
        );
        assert_eq!((fields.len(), body), (3, "Hi\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_message_arrives_octet_for_octet() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submissions").await;
    let mut message = MESSAGE.as_bytes().to_vec();
    for _ in 0..1000 {
        message.extend((1..=255u8).filter(|octet| !b"\r\n".contains(octet)));
        message.extend(b"\r\n.\r\n..\r\n");
    }
    let heard =
        fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", message.clone()).await;
    assert!(heard.starts_with("250 2.0.0 "), "{heard}");
    let (submitted, _) = fixture.relay.taken().pop().unwrap();
    assert!(submitted.content.to_bytes() == message, "{} octets", submitted.content.len());
    assert_eq!(submitted.envelope.body, BodyType::EightBitMime);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_takes_is_repaired_or_refused() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submissions").await;
    let long = format!("{MESSAGE}{}\r\n", "Grüße, ".repeat(1000));
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", long).await;
    assert!(heard.starts_with("250 2.0.0 "), "{heard}");
    let (submitted, _) = fixture.relay.taken().pop().unwrap();
    let content = String::from_utf8(submitted.content.to_bytes().to_vec()).unwrap();
    assert!(
        content.contains("charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"),
        "{content}"
    );
    assert!(content.lines().all(|line| line.len() <= 76), "{content}");
    let long = format!("X: {}\r\n{MESSAGE}", "x".repeat(1000));
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", long).await;
    assert!(heard.starts_with("554 5.6.0 The message cannot be sent: the X field has a line of "), "{heard}");
    assert_eq!(fixture.relay.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_refused_alike_and_not_without_end() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.connect("submission").await;
    for (login, password) in [("alice@example.test", "wrong"), ("nobody@example.test", PASSWORD)] {
        let error = connection.authenticate(login, password).await.unwrap_err().to_string();
        assert!(error.contains("535 5.7.8 "), "{error}");
    }
    let error = connection.authenticate("alice@example.test", "wrong again").await.unwrap_err().to_string();
    assert!(error.contains("421 4.7.0 "), "{error}");
    fixture.directory.fail(true);
    let mut connection = fixture.connect("submission").await;
    let error = connection.authenticate("alice@example.test", PASSWORD).await.unwrap_err().to_string();
    assert!(error.contains("454 4.7.0 "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sends_as_itself_and_as_nobody_else() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submission").await;
    for (sender, message, expected) in [
        ("alice@example.test", MESSAGE, "250 2.0.0 "),
        ("ALICE+list@example.test", MESSAGE, "250 2.0.0 "),
        ("sales@example.test", MESSAGE, "250 2.0.0 "),
        ("", MESSAGE, "250 2.0.0 "),
        ("bob@example.test", MESSAGE, "550 5.7.1 The sender's address "),
        ("alice@example.test", "From: Boss <boss@example.test>\r\n\r\nHi\r\n", "550 5.7.1 The From field "),
        (
            "alice@example.test",
            "From: alice@example.test\r\nSender: boss@example.test\r\n\r\nHi\r\n",
            "550 5.7.1 The Sender field ",
        ),
        (
            "alice@example.test",
            "From: alice@example.test\r\nFrom: alice@example.test\r\n\r\nHi\r\n",
            "550 5.6.0 The message has more than one From",
        ),
    ] {
        let heard = fixture.send(&mut connection, sender, "bob@elsewhere.test", message).await;
        assert!(heard.starts_with(expected), "{sender}: {heard}");
    }
    let taken = fixture.relay.taken();
    assert_eq!(taken.len(), 4);
    assert_eq!(taken[3].0.envelope.reverse_path, ReversePath::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_ours_must_be_there() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submission").await;
    let heard = fixture.send(&mut connection, "alice@example.test", "nobody@example.test", MESSAGE).await;
    assert!(heard.starts_with("550 5.1.1 "), "{heard}");
    fixture.directory.fail(true);
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("451 4.3.0 "), "{heard}");
    fixture.directory.fail(false);
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("250 2.0.0 "), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mta_does_not_take_is_not_taken() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submission").await;
    for (kind, expected) in [
        (ErrorKind::Unavailable, "451 4.3.0 The message cannot be queued now and was not accepted"),
        (ErrorKind::Unknown, "451 4.3.0 "),
        (ErrorKind::Internal, "451 4.3.0 "),
        (ErrorKind::Overloaded, "452 4.3.1 "),
        (ErrorKind::Rejected, "554 5.6.0 the reason"),
    ] {
        fixture.relay.fail(Some(kind));
        let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
        assert!(heard.starts_with(expected), "{kind:?}: {heard}");
    }
    fixture.relay.fail(None);
    let heard = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE).await;
    assert!(heard.starts_with("250 2.0.0 "), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_250_before_the_mta_has_taken_it() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.signed_in("submission").await;
    fixture.relay.hold(true);
    let sending = fixture.send(&mut connection, "alice@example.test", "bob@elsewhere.test", MESSAGE);
    tokio::pin!(sending);
    tokio::select! {
        biased;
        heard = &mut sending => panic!("answered before the mta did: {heard}"),
        () = fixture.relay.holds_one() => {}
    }
    // The mta has it in hand now; the session gets every chance to answer too early.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(poll_once(&mut sending).await.is_none());
    fixture.relay.hold(false);
    assert!(sending.await.starts_with("250 2.0.0 "));
}

/// Polls once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
