//! What people are shown.

use mail::Action;
use mail::timeline::PendingState;
use queue::Views;

use crate::support::{Database, at, delayed, key, relayed};

crate::contracts![
    a_message_shows_where_it_is_and_what_happened,
    lists_are_newest_first_in_pages_and_can_be_narrowed,
    views_work_beside_a_running_owner_and_without_one,
    what_waits_is_counted_by_domain,
];

async fn a_message_shows_where_it_is_and_what_happened(database: Database) {
    let running = database.run().await;
    let mut message = running.message("hello", &["<a@remote.test>", "<b@remote.test>"]);
    message.envelope.origin.tick = Some("order-17".to_owned());
    let id = message.id;
    running.queue.accept(message).await.unwrap();
    running.queue.report(delayed(key(id, 0), 1, at(60_000))).await.unwrap();
    let views = Views::open(&database.url).await.unwrap();
    let view = views.show(id).await.unwrap().unwrap();
    assert_eq!((view.id, view.size, view.accepted_at), (id, 5, at(0)));
    assert_eq!(view.reverse_path.as_ref().unwrap().to_string(), "<sender@example.org>");
    assert_eq!(view.account.as_ref().unwrap().to_string(), "sender@example.org");
    assert_eq!(view.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(view.tick.as_deref(), Some("order-17"));
    assert_eq!(view.pending.len(), 2);
    let (deferred, fresh) = (&view.pending[0], &view.pending[1]);
    assert_eq!((deferred.state, deferred.attempts), (PendingState::Deferred, 1));
    assert_eq!(deferred.next_attempt_at, Some(at(60_000)));
    assert_eq!(deferred.last_status.as_ref().unwrap().to_string(), "450 4.2.0 busy");
    assert_eq!((fresh.state, fresh.last_status.is_none()), (PendingState::Fresh, true));
    assert_eq!(fresh.forward_path.to_string(), "<b@remote.test>");

    running.queue.report(relayed(key(id, 0), 2)).await.unwrap();
    running.queue.report(relayed(key(id, 1), 1)).await.unwrap();
    let view = views.show(id).await.unwrap().unwrap();
    assert!(view.pending.is_empty(), "it has ended");
    assert_eq!(view.tick.as_deref(), Some("order-17"));
    assert_eq!((view.size, view.accepted_at, view.account.is_some()), (5, at(0), true));
    let actions: Vec<_> =
        view.timeline.iter().map(|entry| (entry.number, entry.attempt, entry.action)).collect();
    assert_eq!(actions, [(0, 1, Action::Delayed), (1, 1, Action::Relayed), (0, 2, Action::Relayed)]);
    assert_eq!(view.timeline[0].remote.as_deref(), Some("mx.remote.test [192.0.2.1]"));
    assert!(views.list("", "", 10, None).await.unwrap().is_empty());
    assert!(views.show(running.queue.allocate().unwrap()).await.unwrap().is_none());
    running.stop().await;
}

async fn lists_are_newest_first_in_pages_and_can_be_narrowed(database: Database) {
    let running = database.run().await;
    let mut ids = Vec::new();
    for number in 0..30 {
        database.advance(1);
        ids.push(running.accept("x", &[&format!("<user{number}@remote.test>")]).await);
    }
    ids.reverse();
    let views = Views::open(&database.url).await.unwrap();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = views.list("", "", 7, before).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        found.extend(page.iter().map(|view| view.id));
        assert!(page.iter().all(|view| view.pending.len() == 1 && view.timeline.is_empty()));
    }
    assert_eq!(found, ids);
    assert_eq!(views.list("SENDER@", "", 100, None).await.unwrap().len(), 30);
    assert_eq!(views.list("nobody", "", 100, None).await.unwrap().len(), 0);
    assert_eq!(views.list("", "USER7@", 100, None).await.unwrap()[0].id, ids[22]);
    assert_eq!(views.list("", "%", 100, None).await.unwrap().len(), 0, "a percent sign is itself");
    running.stop().await;
}

async fn views_work_beside_a_running_owner_and_without_one(database: Database) {
    let running = database.run().await;
    let id = running.accept("x", &["<a@remote.test>"]).await;
    running.stop().await;
    let views = Views::open(&database.url).await.unwrap();
    assert!(views.show(id).await.unwrap().is_some());
    let running = database.run().await;
    let second = running.accept("y", &["<a@remote.test>"]).await;
    assert!(views.show(second).await.unwrap().is_some());
    running.stop().await;
}

async fn what_waits_is_counted_by_domain(database: Database) {
    let running = database.run().await;
    let first =
        running.accept("x", &["<a@b.test>", "<\"@\"@b.test>", "<a@[192.0.2.1]>", "<Postmaster>"]).await;
    database.advance(5000);
    running.accept("x", &["<a@b.test>", "<b@xb.test>", "<δ@büro.test>"]).await;
    let mut held = running.message("x", &["<a@b.test>"]);
    held.deliveries[0].held_until = Some(at(60_000));
    running.queue.accept(held).await.unwrap();
    running.queue.report(delayed(key(first, 0), 1, at(20_000))).await.unwrap();
    let views = Views::open(&database.url).await.unwrap();
    let summary = views.summary(None, at(10_000), 10).await.unwrap();
    let shown: Vec<_> = summary.domains.iter().map(|d| (&*d.domain, d.queued, d.retry, d.held)).collect();
    assert_eq!(shown[0], ("b.test", 2, 1, 1));
    assert_eq!(summary.domains[0].oldest, at(0));
    let mut rest = shown[1..].to_vec();
    rest.sort_unstable();
    let lone = ["Postmaster", "[192.0.2.1]", "büro.test", "xb.test"].map(|domain| (domain, 1, 0, 0));
    assert_eq!((rest, summary.more), (lone.to_vec(), 0));
    let later = views.summary(Some(&"b.test".parse().unwrap()), at(60_000), 10).await.unwrap();
    assert_eq!((later.domains.len(), later.domains[0].queued, later.domains[0].held), (1, 3, 0));
    let short = views.summary(None, at(0), 2).await.unwrap();
    assert_eq!((short.domains.len(), short.more), (2, 3));
    assert_eq!(
        views.summary(Some(&"c.test".parse().unwrap()), at(0), 2).await.unwrap(),
        mail::Summary::default()
    );
    running.stop().await;
}
