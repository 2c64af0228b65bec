//! Storing what attempts came to.

use futures_util::future::join_all;
use queue::{Reported, StoreError};

use crate::support::{Database, at, delayed, failed, key, relayed};

crate::contracts![
    a_message_goes_with_its_last_recipient,
    a_delay_sets_the_next_attempt,
    a_result_reported_twice_counts_once,
    a_notice_is_stored_once_whoever_reports,
    a_delay_can_bring_a_notice,
    a_retry_without_a_delay_is_refused,
    many_results_share_commits,
];

async fn a_message_goes_with_its_last_recipient(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>", "<b@remote.test>", "<c@remote.test>"]).await;
    let other = running.accept("y", &["<a@remote.test>"]).await;
    assert_eq!(running.queue.report(relayed(key(id, 0), 1)).await.unwrap(), Reported::Stored);
    assert_eq!(running.fresh(id).await.iter().filter(|delivery| delivery.key.id == id).count(), 2);
    let (one, two) = tokio::join!(
        running.queue.report(relayed(key(id, 1), 1)),
        running.queue.report(failed(key(id, 2), 1, vec![]))
    );
    assert_eq!((one.unwrap(), two.unwrap()), (Reported::Stored, Reported::Stored));
    assert!(running.queue.message(id).await.unwrap().is_none());
    assert!(running.queue.message(other).await.unwrap().is_some());
    assert_eq!((database.count("message").await, database.count("history").await), (1, 3));
    running.stop().await;
}

async fn a_delay_sets_the_next_attempt(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    running.queue.report(delayed(key(id, 0), 1, at(60_000))).await.unwrap();
    assert!(running.fresh(id).await.is_empty());
    assert!(running.queue.due("remote", at(59_999), 10, None).await.unwrap().is_empty());
    let due = running.queue.due("remote", at(60_000), 10, None).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].key, due[0].attempts), (key(id, 0), 1));
    assert_eq!((due[0].next_attempt_at, due[0].delay_notice_at), (Some(at(60_000)), None));
    // An answer to the first attempt that comes again, or late, moves nothing.
    assert_eq!(running.queue.report(delayed(key(id, 0), 1, at(90_000))).await.unwrap(), Reported::Already);
    assert_eq!(running.queue.due("remote", at(60_000), 10, None).await.unwrap().len(), 1);
    running.queue.report(delayed(key(id, 0), 2, at(120_000))).await.unwrap();
    assert!(running.queue.due("remote", at(60_000), 10, None).await.unwrap().is_empty());
    running.queue.report(relayed(key(id, 0), 3)).await.unwrap();
    assert_eq!((database.count("message").await, database.count("history").await), (0, 3));
    running.stop().await;
}

async fn a_result_reported_twice_counts_once(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    assert_eq!(running.queue.report(relayed(key(id, 0), 1)).await.unwrap(), Reported::Stored);
    assert_eq!(running.queue.report(relayed(key(id, 0), 1)).await.unwrap(), Reported::Already);
    assert_eq!(database.count("history").await, 1);
    running.stop().await;
}

async fn a_notice_is_stored_once_whoever_reports(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    let first = running.message("dsn one", &["<sender@example.org>"]);
    let second = running.message("dsn two", &["<sender@example.org>"]);
    let report = failed(key(id, 0), 1, vec![first.clone()]);
    assert_eq!(running.queue.report(report.clone()).await.unwrap(), Reported::Stored);
    assert_eq!(running.queue.report(report).await.unwrap(), Reported::Stored, "the same notice is there");
    let other = failed(key(id, 0), 1, vec![second.clone()]);
    assert_eq!(running.queue.report(other).await.unwrap(), Reported::Already);
    assert_eq!(running.queue.content(first.id).await.unwrap().unwrap().to_bytes(), "dsn one");
    assert!(running.queue.message(second.id).await.unwrap().is_none());
    assert_eq!(running.fresh(first.id).await.len(), 1);
    assert_eq!((database.count("message").await, database.count("history").await), (1, 1));
    running.stop().await;
}

async fn a_delay_can_bring_a_notice(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    let notice = running.message("still waiting", &["<sender@example.org>"]);
    let mut report = delayed(key(id, 0), 1, at(60_000));
    report.notices.push(notice.clone());
    assert_eq!(running.queue.report(report).await.unwrap(), Reported::Stored);
    assert!(running.queue.message(notice.id).await.unwrap().is_some());
    assert_eq!(database.count("delivery").await, 2);
    running.stop().await;
}

async fn a_retry_without_a_delay_is_refused(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    let mut report = delayed(key(id, 0), 1, at(60_000));
    report.retry = None;
    assert!(matches!(running.queue.report(report).await, Err(StoreError::Rejected(_))));
    assert_eq!(running.fresh(id).await.len(), 1);
    running.stop().await;
}

async fn many_results_share_commits(database: Database) {
    let running = database.run().await;
    let recipients: Vec<String> = (0..300).map(|number| format!("<r{number}@remote.test>")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let id = running.accept("x", &recipients).await;
    let reports = (0..300u16).map(|number| match number % 3 {
        0 => delayed(key(id, number), 1, at(i64::from(number))),
        1 => failed(key(id, number), 1, vec![]),
        _ => relayed(key(id, number), 1),
    });
    let answers = join_all(reports.map(|report| running.queue.report(report))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Reported::Stored))), "{answers:?}");
    assert_eq!((database.count("delivery").await, database.count("history").await), (100, 300));
    let reports = (0..300u16).step_by(3).map(|number| relayed(key(id, number), 2));
    join_all(reports.map(|report| running.queue.report(report))).await;
    assert_eq!((database.count("message").await, database.count("history").await), (0, 400));
    running.stop().await;
}
