//! Each service, there and back, in plaintext and over mutual TLS.

use std::num::NonZeroU64;
use std::sync::Arc;

use mail::quota::{Charged, Cost, LimitChange, Room};
use mail::{
    Content, Credentials, DeliverBy, DeliverByMode, Hold, Limit, Notify, OriginalRecipient, Outcome,
    Priority, Resolution, Ret, ScramProof, Summary, Timestamp, TraceContext,
};
use protocol::client::{
    DeliveryClient, DirectoryAdminClient, DirectoryClient, MailboxesClient, Peers, QueueAdminClient,
    QueueSummaryClient, QuotasClient, RelayClient,
};
use protocol::server::{self, Builder};
use protocol::{
    Authentication, Delivery, DeliveryRequest, Directory, DirectoryAdmin, ErrorKind, Mailboxes, QueueAdmin,
    QueueSummary, Quotas, Relay, SetupError, Submitted,
};

use crate::support::agents::{self, Mda, Mta, Queue, Script};
use crate::support::certificates::Authority;
use crate::support::{Server, id, key, null, recipient, serve_with, settings, soon, submission};

/// The same server in plaintext and over TLS, with peers that call it as `client`.
async fn both(client: &str, add: impl Fn(Builder) -> Result<Builder, SetupError>) -> [(Server, Peers); 2] {
    let authority = Authority::new();
    let plain = serve_with(server::Settings::default(), None, &add).await;
    let peers = Peers::new(settings(&[plain.address]), None).unwrap();
    let secure = serve_with(server::Settings::default(), Some(authority.credentials("server")), &add).await;
    let mut over_tls = settings(&[]);
    over_tls.endpoints.push(format!("https://localhost:{}", secure.address.port()));
    let over_tls = Peers::new(over_tls, Some(&authority.credentials(client))).unwrap();
    [(plain, peers), (secure, over_tls)]
}

#[tokio::test]
async fn a_submission_arrives_whole() {
    for content in [Content::default(), Content::from("Subject: x\r\n\r\ny\r\n"), agents::large()] {
        let queue = Arc::new(Queue::default());
        let mta = Mta::new(&queue, Script::Take);
        for (_server, peers) in both("msa", |builder| builder.relay(mta.clone())).await {
            queue.taken.lock().unwrap().clear();
            let mut submission = submission(content.clone());
            submission.envelope.smtputf8 = true;
            submission.envelope.ret = Some(Ret::Headers);
            submission.envelope.envid = Some("QQ 314159".to_owned());
            submission.envelope.deliver_by =
                Some(DeliverBy { seconds: -120, mode: DeliverByMode::Notify, trace: true });
            submission.envelope.hold = Some(Hold::Until(Timestamp::from_millis(1_795_455_845_123)));
            submission.envelope.priority = Priority::new(-9).unwrap();
            submission.envelope.require_tls = true;
            let mut never = recipient("<Postmaster>");
            never.notify = Notify::NEVER;
            never.original = Some(OriginalRecipient {
                address_type: "rfc822".to_owned(),
                address: "a+b@example.test".to_owned(),
            });
            submission.envelope.recipients.push(never);
            let submitted = soon(RelayClient::new(peers).enqueue(submission.clone())).await.unwrap();
            let (id, taken) = queue.only();
            assert_eq!(id, submitted.id);
            assert_eq!(taken.envelope, submission.envelope);
            assert_eq!(taken.content.to_bytes(), content.to_bytes());
            assert_eq!((taken.tls, taken.by), (submission.tls, submission.by));
        }
    }
}

#[tokio::test]
async fn an_mta_can_be_asked_for_a_message() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    for (_server, peers) in both("msa", |builder| builder.relay(mta.clone())).await {
        let relay = RelayClient::new(peers);
        let submitted = soon(relay.enqueue(submission("x"))).await.unwrap();
        assert_eq!(soon(relay.resolve(submitted.id)).await, Ok(true));
        assert_eq!(soon(relay.resolve(id(999))).await, Ok(false));
    }
}

#[tokio::test]
async fn a_submission_under_a_known_key_is_answered_as_the_first() {
    let queue = Arc::new(Queue::default());
    let mta = Mta::new(&queue, Script::Take);
    for (_server, peers) in both("msa", |builder| builder.relay(mta.clone())).await {
        queue.taken.lock().unwrap().clear();
        let relay = RelayClient::new(peers);
        assert_eq!(soon(relay.recall(&key(1))).await, Ok(None));
        let mut keyed = submission(agents::large());
        keyed.envelope.recipients.push(recipient("<c@example.test>"));
        keyed.key = Some(key(1));
        let first = soon(relay.enqueue(keyed.clone())).await.unwrap();
        assert_eq!((first.numbers.as_slice(), &first.repeated), (&[0, 2][..], &None));
        let again = Submitted { repeated: Some("a note".into()), ..first.clone() };
        assert_eq!(soon(relay.enqueue(keyed.clone())).await, Ok(again.clone()));
        assert_eq!(soon(relay.recall(&key(1))).await, Ok(Some(again)));
        assert_eq!(queue.only().0, first.id);
        keyed.key = Some(key(2));
        assert_eq!(soon(relay.enqueue(keyed)).await.unwrap_err().kind, ErrorKind::AlreadyExists);
        assert_eq!(soon(relay.recall(&key(2))).await.unwrap_err().kind, ErrorKind::AlreadyExists);
    }
}

#[tokio::test]
async fn a_message_is_shown_to_its_account_alone() {
    let mta = Mta::new(&Arc::default(), Script::Take);
    for (_server, peers) in both("msa", |builder| builder.relay(mta.clone())).await {
        let relay = RelayClient::new(peers);
        let shown = soon(relay.show(&"alice@example.test".parse().unwrap(), id(9))).await;
        assert_eq!(shown, Ok(agents::view()));
        let of_another = soon(relay.show(&"mallory@example.test".parse().unwrap(), id(9))).await;
        assert_eq!(of_another.unwrap_err().kind, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_delivery_has_an_outcome_for_each_recipient() {
    for content in [Content::default(), Content::from("x\r\n"), agents::large()] {
        let mda = Arc::new(Mda::default());
        for (_server, peers) in both("mta", |builder| builder.delivery(mda.clone())).await {
            let request = DeliveryRequest {
                id: id(3),
                reverse_path: null(),
                recipients: ["<a@b.test>", "<c@d.test>", "<e@f.test>", "<g@h.test>"].map(recipient).to_vec(),
                content: content.clone(),
                trace: TraceContext { traceparent: "00-x".to_owned(), tracestate: "a=b".to_owned() },
            };
            let outcomes = soon(DeliveryClient::new(peers).deliver(request.clone())).await.unwrap();
            let texts: Vec<_> = outcomes.iter().map(|outcome| outcome.status().text.as_str()).collect();
            assert_eq!(texts, ["in", "nobody", "full", "on"]);
            assert!(matches!(outcomes[1], Outcome::Failed(_)));
            let delivered = mda.delivered.lock().unwrap().pop().unwrap();
            assert_eq!(delivered.content.to_bytes(), content.to_bytes());
            assert_eq!((delivered.id, delivered.reverse_path), (request.id, request.reverse_path));
            assert_eq!((delivered.recipients, delivered.trace), (request.recipients, request.trace));
        }
    }
}

#[tokio::test]
async fn the_directory_answers() {
    let mda = Arc::new(Mda::default());
    for (_server, peers) in both("mta", |builder| builder.directory(mda.clone())).await {
        let directory = DirectoryClient::new(peers);
        let accepted = soon(directory.authenticate(&Credentials::password("alice@example.test", "pässword")))
            .await
            .unwrap();
        assert_eq!(accepted, Authentication::Accepted(agents::account()));
        let refused = soon(directory.authenticate(&Credentials::password("alice@example.test", "wrong")))
            .await
            .unwrap();
        assert_eq!(refused, Authentication::Refused);
        let error = soon(directory.authenticate(&Credentials::password("broken", ""))).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unavailable, "the store is down"));
        let proof =
            ScramProof { login: "alice@example.test".into(), auth_message: "n=,r=".into(), proof: [7; 32] };
        let proven = soon(directory.authenticate(&Credentials::Scram(proof))).await.unwrap();
        assert_eq!(proven, Authentication::Proven(agents::account(), [7; 32]));
        for (credentials, answer) in [
            (
                Credentials::Token { login: String::new(), token: "good".into() },
                Authentication::Accepted(agents::account()),
            ),
            (Credentials::Token { login: String::new(), token: "bad".into() }, Authentication::Refused),
            (
                Credentials::Certificate {
                    login: String::new(),
                    addresses: vec!["alice@example.test".into()],
                },
                Authentication::Accepted(agents::account()),
            ),
        ] {
            assert_eq!(soon(directory.authenticate(&credentials)).await.unwrap(), answer);
        }
        let challenge = soon(directory.challenge_scram("salt")).await.unwrap();
        assert_eq!((challenge.salt.as_slice(), challenge.iterations), (b"salt".as_slice(), 4096));
        for (path, resolution) in [
            ("<postmaster>", Resolution::Deliverable(vec![agents::account().address])),
            ("<bob@example.test>", Resolution::UnknownUser),
            ("<bob@[192.0.2.1]>", Resolution::NotLocal),
        ] {
            assert_eq!(soon(directory.resolve(&path.parse().unwrap())).await, Ok(resolution), "{path}");
        }
    }
}

#[tokio::test]
async fn the_directory_is_changed() {
    let mda = Arc::new(Mda::default());
    for (_server, peers) in both("postrider", |builder| builder.directory_admin(mda.clone())).await {
        let admin = DirectoryAdminClient::new(peers);
        let domain = "example.test".parse().unwrap();
        let address = agents::account().address;
        soon(async {
            admin.add_domain(&domain).await.unwrap();
            admin.remove_domain(&domain).await.unwrap();
            admin.add_account(&address, "secret").await.unwrap();
            admin.set_password(&address, "other").await.unwrap();
            admin.remove_account(&address).await.unwrap();
            assert_eq!(admin.account(&address).await, Ok(agents::account_view()));
            admin.grant(&address, &"*@Shop.test".parse().unwrap()).await.unwrap();
            admin.revoke(&address, &"*@*".parse().unwrap()).await.unwrap();
            let [first, second, third, ..] = Limit::ALL;
            let most = LimitChange::AtMost(NonZeroU64::MAX);
            let changes = [(first, LimitChange::Default), (second, LimitChange::Unlimited), (third, most)];
            admin.set_limits(&address, &changes).await.unwrap();
            admin.set_alias(&agents::alias()).await.unwrap();
            admin.remove_alias("*@example.test").await.unwrap();
            assert_eq!(admin.domains().await, Ok(vec![domain.clone()]));
            assert_eq!(admin.accounts(None).await, Ok(vec![agents::account()]));
            assert_eq!(admin.accounts(Some(&domain)).await, Ok(vec![]));
            assert_eq!(admin.aliases(Some(&domain)).await, Ok(vec![agents::alias()]));
            let error = admin.add_domain(&"twice.test".parse().unwrap()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::AlreadyExists);
        })
        .await;
        let told = std::mem::take(&mut *mda.told.lock().unwrap());
        assert_eq!(
            told,
            [
                "add example.test",
                "remove example.test",
                "add alice@example.test secret",
                "change alice@example.test other",
                "remove alice@example.test",
                "grant alice@example.test *@shop.test",
                "revoke alice@example.test *@*",
                "limit alice@example.test messages_per_day Unlimited, messages_per_hour Default, \
                 recipients_per_hour AtMost(18446744073709551615)",
                "alias *@example.test alice@example.test",
                "remove alias *@example.test",
            ]
        );
    }
}

#[tokio::test]
async fn quotas_are_charged() {
    let mda = Arc::new(Mda::default());
    for (_server, peers) in both("msa", |builder| builder.quotas(mda.clone())).await {
        let quotas = QuotasClient::new(peers);
        let account = agents::account().address;
        let cost = |recipients| Cost { recipients, octets: 1 << 40 };
        let (at, until) = (Timestamp::from_millis(4), Timestamp::from_millis(5));
        soon(async {
            assert_eq!(quotas.room(&account, cost(1)).await, Ok(Room::Left { recipients: None }));
            assert_eq!(quotas.room(&account, cost(7)).await, Ok(Room::Left { recipients: Some(0) }));
            assert_eq!(quotas.room(&account, cost(8)).await, Ok(Room::Over(agents::excess(None))));
            assert_eq!(quotas.charge(&account, cost(7)).await, Ok(Charged::Taken { at }));
            assert_eq!(
                quotas.charge(&account, cost(8)).await,
                Ok(Charged::Over(agents::excess(Some(until))))
            );
            quotas.give_back(&account, cost(7), at).await.unwrap();
        })
        .await;
        let told = std::mem::take(&mut *mda.told.lock().unwrap());
        assert_eq!(
            told,
            [
                "charge alice@example.test 7 1099511627776",
                "charge alice@example.test 8 1099511627776",
                "give back alice@example.test 7 1099511627776 of 4",
            ]
        );
    }
}

#[tokio::test]
async fn the_queue_is_shown() {
    let mta = Mta::new(&Arc::default(), Script::Take);
    for (_server, peers) in both("postrider", |builder| builder.queue_admin(mta.clone())).await {
        let admin = QueueAdminClient::new(peers);
        let views = soon(admin.list(&agents::filter_of_tests())).await.unwrap();
        assert_eq!(views, [agents::view(), agents::view()]);
        assert_eq!(soon(admin.show(id(9))).await, Ok(agents::view()));
        assert_eq!(soon(admin.show(id(1))).await.unwrap_err().kind, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn how_much_is_queued_is_told() {
    let mta = Mta::new(&Arc::default(), Script::Take);
    for (_server, peers) in both("msa", |builder| builder.queue_summary(mta.clone())).await {
        let queue = QueueSummaryClient::new(peers);
        let domain = |name: &str| name.parse().unwrap();
        assert_eq!(soon(queue.summarize(Some(&domain("büro.test")), 9)).await, Ok(agents::summary()));
        assert_eq!(soon(queue.summarize(None, 0)).await, Ok(Summary::default()));
        let error = soon(queue.summarize(Some(&domain("b.test")), 9)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn mailboxes_are_read() {
    let mda = Arc::new(Mda::default());
    for (_server, peers) in both("postrider", |builder| builder.mailboxes(mda.clone())).await {
        let mailboxes = MailboxesClient::new(peers);
        let account = agents::account().address;
        assert_eq!(soon(mailboxes.messages(&account, 3)).await, Ok(vec![agents::mailbox_message()]));
        let large = soon(mailboxes.message(&account, "large")).await.unwrap();
        assert_eq!(large.to_bytes(), agents::large().to_bytes());
        assert!(soon(mailboxes.message(&account, "empty")).await.unwrap().is_empty());
        let error = soon(mailboxes.message(&account, "none")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}
