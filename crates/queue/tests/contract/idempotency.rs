//! Under one idempotency key one message is accepted, whatever happens.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use mail::{IdempotencyKey, QueueId};
use queue::{AcceptError, Accepted, Kept, Queue, Settings};
use sqlx::Connection;
use tokio::time::{Instant, timeout};

use crate::support::{Database, Running, message, until};

crate::contracts![
    a_key_takes_one_message,
    of_many_at_once_one_is_stored,
    a_void_message_leaves_its_key_free,
    keys_are_forgotten_when_their_time_is_over,
    a_kill_in_the_middle_doubles_nothing,
];

fn key(account: &str, key: &str, note: &str) -> IdempotencyKey {
    let key = IdempotencyKey::new(account.parse().unwrap(), key, [7; 32]).unwrap();
    IdempotencyKey { note: Bytes::from(note.to_owned()), ..key }
}

/// One attempt, with a message of its own.
async fn once(queue: &Queue, key: &IdempotencyKey) -> Result<(QueueId, Accepted), AcceptError> {
    let id = queue.allocate()?;
    let accepted = queue.accept_once(message(id, "x", &["<a@remote.test>"]), key).await?;
    Ok((id, accepted))
}

async fn a_key_takes_one_message(database: Database) {
    let running = database.run().await;
    let queue = &running.queue;
    let first = key("alice@example.org", "k", "the first");
    assert_eq!(queue.recall(&first).await.unwrap(), None);
    let (id, accepted) = once(queue, &first).await.unwrap();
    assert_eq!(accepted, Accepted::Now);
    let kept = Kept { id, fingerprint: [7; 32], note: Bytes::from_static(b"the first") };
    let second = IdempotencyKey { fingerprint: [8; 32], ..key("alice@example.org", "k", "the second") };
    assert_eq!(once(queue, &second).await.unwrap().1, Accepted::Before(kept.clone()));
    assert_eq!(queue.recall(&second).await.unwrap(), Some(kept));
    // Another's key, another key, and none: three more messages.
    let others = [key("bob@example.org", "k", ""), key("alice@example.org", "l", "")];
    for other in &others {
        assert_eq!(once(queue, other).await.unwrap().1, Accepted::Now);
    }
    running.accept("x", &["<a@remote.test>"]).await;
    assert_eq!((database.count("message").await, database.count("idempotency_key").await), (4, 3));
    running.stop().await;
}

async fn of_many_at_once_one_is_stored(database: Database) {
    let mut running = vec![database.run().await];
    if database.is_postgres() {
        running.push(database.run().await);
    }
    for round in 0..5 {
        let key = key("alice@example.org", &format!("k{round}"), "");
        let attempts: Vec<_> = (0..20)
            .map(|number| {
                let (queue, key) = (running[number % running.len()].queue.clone(), key.clone());
                tokio::spawn(async move { once(&queue, &key).await.unwrap() })
            })
            .collect();
        let (mut stored, mut heard) = (Vec::new(), BTreeSet::new());
        for attempt in attempts {
            match attempt.await.unwrap() {
                (id, Accepted::Now) => stored.push(id),
                (_, Accepted::Before(kept)) => drop(heard.insert(kept.id)),
            }
        }
        assert_eq!(stored.len(), 1, "round {round}");
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), stored);
    }
    assert_eq!((database.count("message").await, database.count("delivery").await), (5, 5));
    for one in running {
        one.stop().await;
    }
}

async fn a_void_message_leaves_its_key_free(database: Database) {
    let running = database.run().await;
    let key = key("alice@example.org", "k", "");
    let id = running.queue.allocate().unwrap();
    assert!(!running.queue.resolve(id).await.unwrap());
    let refused = running.queue.accept_once(message(id, "x", &["<a@remote.test>"]), &key).await;
    assert!(matches!(refused, Err(AcceptError::Taken)), "{refused:?}");
    assert_eq!(running.queue.recall(&key).await.unwrap(), None);
    assert_eq!(once(&running.queue, &key).await.unwrap().1, Accepted::Now);
    running.stop().await;
}

async fn keys_are_forgotten_when_their_time_is_over(database: Database) {
    let settings =
        Settings { maintenance_interval_ms: 1000, idempotency_retention_hours: 24, ..database.settings() };
    let running = database.run_with(settings).await;
    let (old, new) = (key("alice@example.org", "old", ""), key("alice@example.org", "new", ""));
    once(&running.queue, &old).await.unwrap();
    database.advance(3_600_000);
    once(&running.queue, &new).await.unwrap();
    database.advance(23 * 3_600_000);
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.queue.recall(&old).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the old key is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(running.queue.recall(&new).await.unwrap().is_some());
    assert_eq!(once(&running.queue, &old).await.unwrap().1, Accepted::Now);
    running.stop().await;
}

async fn a_kill_in_the_middle_doubles_nothing(database: Database) {
    let keys: Vec<_> = (0..60).map(|n| key("alice@example.org", &format!("k{n}"), "")).collect();
    let quick = || Settings { lease_ms: 1000, heartbeat_ms: 100, margin_ms: 200, ..database.settings() };
    for round in 1..=2 {
        let running = database.run_with(quick()).await;
        let attempts: Vec<_> = keys
            .iter()
            .map(|key| {
                let (queue, key) = (running.queue.clone(), key.clone());
                tokio::spawn(async move { timeout(Duration::from_secs(30), once(&queue, &key)).await })
            })
            .collect();
        until("some are answered", || attempts.iter().filter(|one| one.is_finished()).count() >= round * 5)
            .await;
        running.kill().await;
        attempts.iter().for_each(tokio::task::JoinHandle::abort);
    }
    let running = database.run().await;
    for key in &keys {
        once(&running.queue, key).await.unwrap();
    }
    assert_eq!(database.count("message").await, 60);
    assert_eq!(database.count("idempotency_key").await, 60);
    running.stop().await;
}

async fn lose_lane(running: &Running, database: &Database, id: QueueId) {
    let sql = format!("UPDATE lane SET epoch = epoch + 1 WHERE lane_id = {}", id.lane);
    assert_eq!(database.execute(&sql).await, 1);
    assert!(running.queue.lanes().borrow().contains_key(&id.lane));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_message_gives_its_key_back() {
    let database = Database::postgres().await;
    let running = database.run().await;
    let key = key("alice@example.org", "k", "");
    let id = running.queue.allocate().unwrap();
    lose_lane(&running, &database, id).await;
    let refused = running.queue.accept_once(message(id, "x", &["<a@remote.test>"]), &key).await;
    assert!(matches!(refused, Err(AcceptError::Fenced)), "{refused:?}");
    assert_eq!(database.count("idempotency_key").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_with_a_key_holds_up_nobody_else() {
    let database = Database::postgres().await;
    let running = database.run().await;
    let mut stuck = sqlx::PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(
        "BEGIN; INSERT INTO idempotency_key (account, key, lane_id, queue_id, fingerprint, note, expires_at)
         VALUES ('alice@example.org', 'k', 0, 1, '', '', 0)",
    )
    .execute(&mut stuck)
    .await
    .unwrap();
    let key = key("alice@example.org", "k", "");
    let queue = running.queue.clone();
    let waiting = tokio::spawn({
        let key = key.clone();
        async move { once(&queue, &key).await }
    });
    for _ in 0..20 {
        timeout(Duration::from_secs(10), running.accept("x", &["<a@remote.test>"])).await.unwrap();
    }
    let refused = timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "{refused:?}");
    stuck.close_hard().await.unwrap();
    assert_eq!(once(&running.queue, &key).await.unwrap().1, Accepted::Now);
    running.stop().await;
}
