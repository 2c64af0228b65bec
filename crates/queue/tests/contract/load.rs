//! Finding what waits.

use std::collections::BTreeSet;

use mail::Priority;
use queue::{Backlog, DueCursor, RecipientKey};

use crate::support::{Database, Running, at, delayed, key, to};

crate::contracts![
    due_recipients_come_in_order_and_in_pages,
    the_backlog_tells_what_waits_for_whom,
    expired_recipients_are_found,
    parked_recipients_become_due,
    a_recipient_that_cannot_be_read_keeps_no_other_from_being_found,
    old_history_and_orphans_go,
    what_is_held_waits_until_its_time_and_keeps_its_priority,
    who_waits_for_another_attempt_is_made_due,
];

/// Messages with one recipient each, delayed until `minute(n)`.
async fn delay(
    running: &Running,
    destination: &str,
    times: impl IntoIterator<Item = i64>,
) -> Vec<RecipientKey> {
    let mut keys = Vec::new();
    for time in times {
        let mut message = running.message("x", &[]);
        message.deliveries.push(to(destination, "<a@remote.test>"));
        let key = key(message.id, 0);
        running.queue.accept(message).await.unwrap();
        running.queue.report(delayed(key, 1, at(time))).await.unwrap();
        keys.push(key);
    }
    keys
}

async fn due_recipients_come_in_order_and_in_pages(database: Database) {
    let running = database.run().await;
    // Many with the same time, in no order, over several lanes.
    let keys = delay(&running, "remote", (0..200).map(|n| (n * 37 % 50) * 1000)).await;
    let strangers = delay(&running, "elsewhere", [0, 1000]).await;
    assert_eq!(strangers.len(), 2);
    for limit in [1u32, 3, 64, 500] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = running.queue.due("remote", at(40_000), limit, after).await.unwrap();
            let is_last = page.len() < usize::try_from(limit).unwrap();
            after = page.last().and_then(DueCursor::behind).or(after);
            found.extend(page);
            if is_last {
                break;
            }
        }
        let cursors: Vec<_> = found.iter().filter_map(DueCursor::behind).collect();
        assert!(cursors.is_sorted(), "limit {limit}");
        let expected: BTreeSet<_> =
            (0..200i64).zip(&keys).filter(|(n, _)| n * 37 % 50 <= 40).map(|(_, key)| *key).collect();
        assert_eq!(found.len(), expected.len(), "limit {limit}: each once");
        assert_eq!(found.iter().map(|delivery| delivery.key).collect::<BTreeSet<_>>(), expected);
    }
    running.stop().await;
}

async fn what_is_held_waits_until_its_time_and_keeps_its_priority(database: Database) {
    let running = database.run().await;
    let mut message = running.message("later", &["<a@remote.test>"]);
    message.deliveries[0].held_until = Some(at(60_000));
    message.envelope.priority = Priority::new(4).unwrap();
    let id = message.id;
    running.queue.accept(message).await.unwrap();
    assert!(running.fresh(id).await.is_empty(), "it is not to be tried yet");
    running.stop().await;

    let running = database.run().await;
    assert!(running.queue.due("remote", at(59_999), 10, None).await.unwrap().is_empty());
    let due = running.queue.due("remote", at(60_000), 10, None).await.unwrap();
    assert_eq!(due.iter().map(|delivery| delivery.key.id).collect::<Vec<_>>(), [id]);
    assert_eq!((due[0].attempts, due[0].priority.get()), (0, 4));
    running.stop().await;
}

async fn the_backlog_tells_what_waits_for_whom(database: Database) {
    let running = database.run().await;
    delay(&running, "one", [5000, 3000, 9000]).await;
    delay(&running, "two", [7000]).await;
    running.accept("fresh", &["<a@remote.test>"]).await;
    let mut backlog: Vec<Backlog> = Vec::new();
    for lane in running.lanes() {
        backlog.extend(running.queue.backlog(lane).await.unwrap());
    }
    let of = |name: &str| {
        let rows: Vec<_> = backlog.iter().filter(|row| row.destination.as_ref() == name).collect();
        (rows.iter().map(|row| row.count).sum::<u64>(), rows.iter().map(|row| row.earliest).min())
    };
    assert_eq!(of("one"), (3, Some(at(3000))));
    assert_eq!(of("two"), (1, Some(at(7000))));
    assert_eq!(of("remote"), (0, None), "fresh ones are no backlog");
    let depth = running.queue.depth().await.unwrap();
    assert_eq!((depth.fresh, depth.deferred, depth.oldest_due), (1, 4, Some(at(3000))));
    running.stop().await;
}

async fn expired_recipients_are_found(database: Database) {
    let running = database.run().await;
    let keys = delay(&running, "remote", [2_000_000]).await;
    running.accept("fresh", &["<a@remote.test>"]).await;
    let lane = running.lane_of(keys[0].id);
    assert!(running.queue.expired(lane, at(999_999), 10).await.unwrap().is_empty());
    let expired = running.queue.expired(lane, at(1_000_000), 10).await.unwrap();
    assert_eq!(expired.iter().map(|delivery| delivery.key).collect::<Vec<_>>(), keys);
    running.stop().await;
}

async fn parked_recipients_become_due(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>", "<b@remote.test>"]).await;
    let keys = [key(id, 1)];
    assert_eq!(running.queue.park(id.lane, &keys, at(10)).await.unwrap(), 1);
    assert_eq!(running.queue.park(id.lane, &keys, at(20)).await.unwrap(), 0);
    assert_eq!(running.fresh(id).await.len(), 1);
    let due = running.queue.due("remote", at(10), 10, None).await.unwrap();
    assert_eq!((due.len(), due[0].key, due[0].attempts), (1, key(id, 1), 0));
    running.stop().await;
}

async fn old_history_and_orphans_go(database: Database) {
    let mut settings = database.settings();
    settings.maintenance_interval_ms = 1000;
    let running = database.run_with(settings).await;
    let void = running.queue.allocate().unwrap();
    assert!(!running.queue.resolve(void).await.unwrap());
    let ended = running.accept("x", &["<a@remote.test>"]).await;
    running.queue.report(crate::support::relayed(key(ended, 0), 1)).await.unwrap();
    let waiting = running.accept("y", &["<a@remote.test>"]).await;
    assert_eq!((database.count("message").await, database.count("history").await), (2, 1));
    database.advance(8 * 24 * 3_600_000);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while database.count("history").await > 0 || database.count("message").await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "nothing was cleaned up");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(running.queue.message(waiting).await.unwrap().is_some(), "what waits stays, however old");
    running.stop().await;
}

async fn a_recipient_that_cannot_be_read_keeps_no_other_from_being_found(database: Database) {
    let running = database.run().await;
    let spoilt =
        running.message("x", &["<a@remote.test>", "<b@remote.test>", "<c@remote.test>", "<d@remote.test>"]);
    let id = spoilt.id;
    running.queue.accept(spoilt).await.unwrap();
    for number in [2, 3] {
        running.queue.report(delayed(key(id, number), 1, at(1000))).await.unwrap();
    }
    database.execute("UPDATE delivery SET forward_path = 'nobody reads this' WHERE rcpt_no IN (0, 2)").await;
    let numbers = |found: Vec<queue::Delivery>| found.iter().map(|d| d.key.number).collect::<Vec<_>>();
    assert_eq!(numbers(running.fresh(id).await), [1]);
    assert_eq!(numbers(running.queue.due("remote", at(2000), 10, None).await.unwrap()), [3]);
    let expired = running.queue.expired(running.lane_of(id), at(2_000_000), 10).await.unwrap();
    assert_eq!(numbers(expired), [3]);
    assert_eq!(database.count("delivery").await, 4);
    running.stop().await;
}

async fn who_waits_for_another_attempt_is_made_due(database: Database) {
    let running = database.run().await;
    let mut message = running.message("x", &["<a@remote.test>", "<b@sub.remote.test>", "<c@notremote.test>"]);
    message.deliveries.push(to("elsewhere", "<d@remote.test>"));
    let id = message.id;
    running.queue.accept(message).await.unwrap();
    for number in 0..4 {
        running.queue.report(delayed(key(id, number), 1, at(60_000))).await.unwrap();
    }
    let mut held = running.message("x", &["<a@remote.test>"]);
    held.deliveries[0].held_until = Some(at(60_000));
    running.queue.accept(held).await.unwrap();
    let remote = "remote.test".parse().unwrap();
    let found = running.queue.hasten(&"other.test".parse().unwrap(), true, 10).await.unwrap();
    assert!(found.is_empty());
    let found = running.queue.hasten(&remote, false, 10).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("elsewhere".into(), 1), ("remote".into(), 1)]);
    let due = running.queue.due("remote", at(0), 10, None).await.unwrap();
    assert_eq!(due.iter().map(|delivery| delivery.key).collect::<Vec<_>>(), [key(id, 0)]);
    assert!(running.queue.hasten(&remote, false, 10).await.unwrap().is_empty(), "they are due already");
    let found = running.queue.hasten(&remote, true, 10).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("remote".into(), 1)]);
    database.advance(-1000);
    let found = running.queue.hasten(&remote, true, 2).await.unwrap();
    assert_eq!(found.values().sum::<u64>(), 2, "no more than were asked for");
    running.stop().await;
}
