//! Taking messages in.

use futures_util::future::join_all;
use mail::{BodyType, Content, Notify, OriginalRecipient, Ret};
use queue::{AcceptError, OpenError, Queue};

use crate::support::{Database, at, key, message, relayed};

crate::contracts![
    a_message_comes_back_as_it_went_in,
    content_of_every_size_survives_byte_for_byte,
    many_messages_share_commits_and_none_is_lost,
    a_guilty_message_does_not_harm_its_neighbours,
    a_message_that_was_never_accepted_is_made_void,
    a_message_that_was_accepted_is_found_by_its_id_even_after_its_end,
    an_id_is_accepted_once,
    a_stopped_queue_accepts_nothing,
    a_storage_without_tables_says_what_to_do,
];

async fn a_message_comes_back_as_it_went_in(database: Database) {
    let running = database.run().await;
    let mut sent = running.message("Subject: a\r\n\r\nbody\r\n", &["<a@remote.test>", "<Postmaster>"]);
    sent.envelope.body = BodyType::EightBitMime;
    sent.envelope.smtputf8 = true;
    sent.envelope.ret = Some(Ret::Headers);
    sent.envelope.envid = Some("QQ314159".to_owned());
    sent.deliveries[0].recipient.notify =
        Notify { success: true, failure: false, delay: true, explicit: true };
    sent.deliveries[0].recipient.original =
        Some(OriginalRecipient { address_type: "rfc822".to_owned(), address: "A;b@Remote.test".to_owned() });
    sent.deliveries[1].destination = "mda".into();
    running.queue.accept(sent.clone()).await.unwrap();

    let message = running.queue.message(sent.id).await.unwrap().unwrap();
    assert_eq!(message.envelope, sent.envelope);
    assert_eq!((message.id, message.accepted_at, message.size), (sent.id, sent.accepted_at, 20));
    assert_eq!(message.trace, sent.trace);
    assert_eq!(running.queue.content(sent.id).await.unwrap().unwrap().to_bytes(), sent.content.to_bytes());

    let fresh = running.fresh(sent.id).await;
    assert_eq!(fresh.len(), 2);
    for (number, (delivery, sent_delivery)) in (0u16..).zip(fresh.iter().zip(&sent.deliveries)) {
        assert_eq!(delivery.key, key(sent.id, number));
        assert_eq!(delivery.recipient, sent_delivery.recipient);
        assert_eq!(delivery.destination, sent_delivery.destination);
        assert_eq!((delivery.attempts, delivery.next_attempt_at), (0, None));
        assert_eq!(delivery.expires_at, sent_delivery.expires_at);
        assert_eq!(delivery.delay_notice_at, sent_delivery.delay_notice_at);
    }
    running.stop().await;
}

async fn content_of_every_size_survives_byte_for_byte(database: Database) {
    let running = database.run().await;
    let ten_mebibytes = 10 * 1024 * 1024;
    for size in [0, 1, 7_499, 7_500, 7_501, 8_000, 8_001, 16_000, 65_536, 65_537, 300 * 1024, ten_mebibytes] {
        let octets: Vec<u8> = (0..size).map(|at: usize| u8::try_from(at * 7 % 251).unwrap()).collect();
        // In segments that fit no part, as it arrives from the network.
        let mut content = Content::default();
        octets.chunks(5_003).for_each(|segment| content.append(segment.to_vec()));
        content.prepend("Received: by test\r\n");
        let sent = message(running.queue.allocate().unwrap(), Vec::<u8>::new(), &["<a@remote.test>"]);
        running
            .queue
            .accept(queue::MailTransaction { content: content.clone(), ..sent.clone() })
            .await
            .unwrap();
        let stored = running.queue.content(sent.id).await.unwrap().unwrap();
        assert!(stored.to_bytes() == content.to_bytes(), "{size} octets came back changed");
        running.queue.report(relayed(key(sent.id, 0), 1)).await.unwrap();
        assert!(running.queue.content(sent.id).await.unwrap().is_none());
    }
    assert_eq!(database.count("content_part").await, 0, "parts go with their message");
    running.stop().await;
}

async fn many_messages_share_commits_and_none_is_lost(database: Database) {
    let running = database.run().await;
    let sent: Vec<_> =
        (0..500).map(|_| running.message("x", &["<a@remote.test>", "<b@remote.test>"])).collect();
    let answers = join_all(sent.iter().map(|message| running.queue.accept(message.clone()))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(database.count("message").await, 500);
    let depth = running.queue.depth().await.unwrap();
    assert_eq!((depth.fresh, depth.deferred, depth.oldest_due), (1000, 0, None));
    let mut found = 0;
    for lane in running.lanes() {
        let mut after = None;
        loop {
            let page = running.queue.fresh(lane, after, 7).await.unwrap();
            found += page.len();
            assert!(page.is_sorted_by_key(|delivery| delivery.key));
            match page.last() {
                Some(last) => after = Some(last.key),
                None => break,
            }
        }
    }
    assert_eq!(found, 1000);
    running.stop().await;
}

async fn a_guilty_message_does_not_harm_its_neighbours(database: Database) {
    let running = database.run().await;
    let taken = running.message("first", &["<a@remote.test>"]);
    running.queue.accept(taken.clone()).await.unwrap();
    let mut sent: Vec<_> = (0..20).map(|_| running.message("x", &["<a@remote.test>"])).collect();
    sent.insert(7, taken);
    sent.insert(13, message(running.queue.allocate().unwrap(), "nobody", &[]));
    let answers = join_all(sent.iter().map(|message| running.queue.accept(message.clone()))).await;
    for (place, answer) in answers.iter().enumerate() {
        match place {
            7 => assert!(matches!(answer, Err(AcceptError::Taken)), "{answer:?}"),
            13 => assert!(matches!(answer, Err(AcceptError::Rejected(_))), "{answer:?}"),
            _ => assert!(answer.is_ok(), "{place}: {answer:?}"),
        }
    }
    assert_eq!(database.count("message").await, 21);
    running.stop().await;
}

async fn a_message_that_was_never_accepted_is_made_void(database: Database) {
    let running = database.run().await;
    let message = running.message("late", &["<a@remote.test>"]);
    assert!(!running.queue.resolve(message.id).await.unwrap());
    assert!(!running.queue.resolve(message.id).await.unwrap(), "asking again changes nothing");
    let refused = running.queue.accept(message.clone()).await;
    assert!(matches!(refused, Err(AcceptError::Taken)), "{refused:?}");
    assert!(running.queue.message(message.id).await.unwrap().is_none());
    assert!(running.queue.content(message.id).await.unwrap().is_none());
    assert_eq!(database.count("delivery").await, 0);
    running.stop().await;
}

async fn a_message_that_was_accepted_is_found_by_its_id_even_after_its_end(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    assert!(running.queue.resolve(id).await.unwrap());
    running.queue.report(relayed(key(id, 0), 1)).await.unwrap();
    assert!(running.queue.message(id).await.unwrap().is_none());
    assert!(running.queue.resolve(id).await.unwrap());
    assert_eq!(database.count("message").await, 0, "no void row is left behind");
    running.stop().await;
}

async fn an_id_is_accepted_once(database: Database) {
    let running = database.run().await;
    let first = running.message("first", &["<a@remote.test>"]);
    running.queue.accept(first.clone()).await.unwrap();
    let second = message(first.id, "second", &["<b@remote.test>"]);
    assert!(matches!(running.queue.accept(second).await, Err(AcceptError::Taken)));
    assert_eq!(running.queue.content(first.id).await.unwrap().unwrap().to_bytes(), "first");
    running.stop().await;
}

async fn a_stopped_queue_accepts_nothing(database: Database) {
    let running = database.run().await;
    let queue = running.queue.clone();
    let message = running.message("x", &["<a@remote.test>"]);
    running.stop().await;
    assert!(queue.allocate().is_err());
    assert!(queue.lanes().borrow().is_empty());
    assert!(queue.accept(message).await.is_err());
    let again = database.run().await;
    assert_eq!(database.count("message").await, 0);
    again.stop().await;
}

async fn a_storage_without_tables_says_what_to_do(database: Database) {
    let now = std::sync::Arc::new(|| at(0));
    let error = Queue::open(database.settings(), now).await.err().unwrap();
    assert!(matches!(error, OpenError::Schema { found: 0, needed: 4 }), "{error}");
    assert!(error.to_string().contains("run the migration first"));
    Queue::migrate(&database.url).await.unwrap();
    Queue::migrate(&database.url).await.unwrap();
}

#[tokio::test]
async fn an_url_of_no_storage_is_refused_with_a_sentence() {
    for url in ["", "mysql://x", "sqlite:", "sqlite::memory:"] {
        let error = Queue::migrate(url).await.err().unwrap();
        assert_eq!(error.to_string(), "queue.url must be postgres://… or sqlite:PATH");
    }
}
