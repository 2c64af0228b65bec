//! Who may write: leases, fences, handing over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use queue::{AcceptError, OpenError, Queue, Reported, Settings, StoreError};
use sqlx::Connection as _;

use crate::support::{Database, Running, at, delayed, failed, key, relayed, until};

fn quick(database: &Database) -> Settings {
    Settings {
        lease_ms: 2000,
        heartbeat_ms: 100,
        margin_ms: 300,
        release_grace_ms: 200,
        ..database.settings()
    }
}

fn lanes(running: &Running) -> BTreeSet<u8> {
    running.lanes().into_iter().map(|grant| grant.lane).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_owner_is_fenced_but_its_final_results_count() {
    let database = Database::postgres().await;
    // It beats once and then seems to stand still: it goes on trusting its lease.
    let forever = Settings { lease_ms: 3_600_000, heartbeat_ms: 3_000_000, ..database.settings() };
    let paused = database.run_with(forever).await;
    let id = paused.accept("x", &["<a@remote.test>", "<b@remote.test>", "<c@remote.test>"]).await;
    let late = paused.message("late", &["<a@remote.test>"]);
    let notice = paused.message("dsn", &["<sender@example.org>"]);
    let queue = &paused.queue;

    database.execute("UPDATE mta_instance SET lease_until = now() - interval '1 hour'").await;
    let heir = database.run_with(quick(&database)).await;
    until("the heir owns all lanes", || heir.lanes().len() == 256).await;
    assert_eq!(heir.fresh(id).await.len(), 3, "it finds what was accepted before");

    assert_eq!(paused.lanes().len(), 256, "the paused one has not noticed");
    let refused = queue.accept(late.clone()).await;
    assert!(matches!(refused, Err(AcceptError::Fenced)), "{refused:?}");
    assert_eq!(database.count("message").await, 1);
    let refused = queue.report(delayed(key(id, 0), 1, at(60_000))).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let refused = queue.report(failed(key(id, 1), 1, vec![notice])).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let refused = queue.park(id.lane, &[key(id, 0)], at(0)).await;
    assert!(matches!(refused, Ok(0)), "{refused:?}");
    assert_eq!(heir.fresh(id).await.len(), 3, "nothing was changed");

    assert_eq!(queue.report(relayed(key(id, 0), 1)).await.unwrap(), Reported::Stored);
    assert_eq!(heir.queue.report(relayed(key(id, 0), 1)).await.unwrap(), Reported::Already);
    assert_eq!(heir.fresh(id).await.len(), 2);
    heir.stop().await;
    paused.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_the_lanes_and_give_them_back_at_once() {
    let database = Database::postgres().await;
    let first = database.run_with(quick(&database)).await;
    until("one owns all", || first.lanes().len() == 256).await;
    let id = first.accept("x", &["<a@remote.test>"]).await;
    let second = database.run_with(quick(&database)).await;
    until("each has its share", || first.lanes().len() == 128 && second.lanes().len() == 128).await;
    assert!(lanes(&first).is_disjoint(&lanes(&second)));
    let owner = if lanes(&first).contains(&id.lane) { &first } else { &second };
    assert!(owner.queue.may_commit(id));
    let before = Instant::now();
    first.stop().await;
    until("the other owns all", || second.lanes().len() == 256).await;
    assert!(before.elapsed().as_secs() < 2, "without waiting for a lease to run out");
    assert_eq!(second.fresh(id).await.len(), 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lanes_of_a_killed_instance_are_taken_over() {
    let database = Database::postgres().await;
    let killed = database.run_with(quick(&database)).await;
    let id = killed.accept("x", &["<a@remote.test>"]).await;
    killed.kill().await;
    let heir = database.run_with(quick(&database)).await;
    until("the heir owns all lanes", || heir.lanes().len() == 256).await;
    assert_eq!(heir.fresh(id).await.len(), 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    while database.count("mta_instance").await != 1 {
        assert!(Instant::now() < deadline, "the dead one is never forgotten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    heir.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_declared_dead_comes_back_under_another_name() {
    let database = Database::postgres().await;
    let running = database.run_with(quick(&database)).await;
    let before = running.lanes();
    database.execute("UPDATE mta_instance SET dead = true").await;
    until("it owns all lanes again, under later epochs", || {
        let now = running.lanes();
        now.len() == 256 && now.iter().zip(&before).all(|(now, before)| now.epoch > before.epoch)
    })
    .await;
    running.accept("x", &["<a@remote.test>"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_hang_keep_no_heartbeat_waiting() {
    let database = Database::postgres().await;
    let running = database.run_with(quick(&database)).await;
    until("one owns all", || running.lanes().len() == 256).await;
    let before = running.lanes();
    let ids: Vec<_> = (0..4).map(|_| running.queue.allocate().unwrap()).collect();
    // As an accept that is under way for long: whoever asks what became of it waits for its end.
    let mut accept = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let mut transaction = accept.begin().await.unwrap();
    sqlx::query("LOCK TABLE message IN EXCLUSIVE MODE").execute(&mut *transaction).await.unwrap();
    let asking: Vec<_> = ids
        .into_iter()
        .map(|id| {
            let queue = running.queue.clone();
            tokio::spawn(async move { queue.resolve(id).await })
        })
        .collect();
    database.execute("CREATE TABLE began AS SELECT max(lease_until) AS lease_until FROM mta_instance").await;
    let longer = "mta_instance i, began WHERE i.lease_until > began.lease_until + interval '3 s'";
    let deadline = Instant::now() + Duration::from_secs(60);
    while database.count(longer).await == 0 {
        assert!(Instant::now() < deadline, "the lease is not renewed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(running.lanes(), before, "it was lost and taken anew");
    transaction.rollback().await.unwrap();
    for asked in asking {
        let answer = asked.await.unwrap();
        assert!(matches!(answer, Ok(false) | Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_one_owner() {
    let database = Database::sqlite().await;
    let running = database.run().await;
    let second = Queue::open(database.settings(), std::sync::Arc::new(|| at(0))).await;
    let error = second.err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    running.stop().await;
    database.run().await.stop().await;
}
