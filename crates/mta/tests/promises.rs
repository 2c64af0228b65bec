//! What was accepted is attempted until it ends, once, whatever goes wrong in between.

#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mail::{Notify, Recipient, Timestamp};
use mta::scheduler::Limits;
use queue::{RecipientKey, Report, Retry};
use service::clock::ManualClock;
use support::{Addresses, Script, Setup, World, delayed, delivered, failed, path};

/// As when the database went down within the commit of a delay: the writer repeats it and finds it done.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_made_though_the_answer_to_its_commit_was_lost() {
    let answer = |number, request: &protocol::DeliveryRequest, _: &queue::Queue| {
        if number > 1 {
            return Script::Say(delivered());
        }
        let now = Timestamp::from(SystemTime::now());
        let retry = Retry { next_attempt_at: now + Duration::from_millis(50), delay_notice_at: None };
        let report = Report {
            key: RecipientKey { id: request.id, number: 0 },
            attempt: 1,
            at: now,
            forward_path: request.recipients[0].forward_path.clone(),
            outcome: delayed(),
            remote: None,
            retry: Some(retry),
            notices: Vec::new(),
        };
        Script::ReportThenSay(Box::new(report), delayed())
    };
    let world = World::new(Setup { answer: Box::new(answer), ..Setup::default() }).await;
    let id = world.send(path("<a@here.test>"), 10).await;
    world.until("it was tried again", || world.mailboxes.count(id, "<a@here.test>") == 2).await;
    world.until_empty().await;
}

/// The directory goes away with the first delivery and comes back after `refusals` questions.
async fn with_the_directory_away(outcome: mail::Outcome, refusals: usize) -> (World, mail::QueueId) {
    let directory = Arc::new(Addresses::default());
    let away = Arc::clone(&directory);
    let answer = move |number, request: &protocol::DeliveryRequest, _: &queue::Queue| {
        if request.reverse_path.is_null() {
            return Script::Say(delivered());
        }
        if number == 1 {
            away.set_away(true);
        }
        Script::Say(outcome.clone())
    };
    let setup = Setup { answer: Box::new(answer), directory: Arc::clone(&directory), ..Setup::default() };
    let world = World::new(setup).await;
    let notify = Notify { success: true, failure: true, delay: false, explicit: true };
    let id = world.send(Recipient { notify, ..path("<a@here.test>").into() }, 10).await;
    world.until("the notice found nobody to ask", || directory.refusals() >= refusals).await;
    directory.set_away(false);
    world.until_empty().await;
    (world, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_not_delivered_again_because_nobody_can_be_told() {
    let (world, id) = with_the_directory_away(delivered(), 2).await;
    assert_eq!(world.mailboxes.count(id, "<a@here.test>"), 1);
    assert_eq!(world.mailboxes.count_to("<sender@here.test>"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_waits_until_the_sender_can_be_told() {
    let (world, _) = with_the_directory_away(failed(), 2).await;
    assert_eq!(world.mailboxes.count_to("<sender@here.test>"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_breaks_off_gives_its_place_back_and_is_made_again() {
    let clock = Arc::new(ManualClock::new(SystemTime::now()));
    let limits = Limits { attempts: 1, ..Setup::default().limits };
    let answer = |number, request: &protocol::DeliveryRequest, _: &queue::Queue| match (
        number,
        request.recipients[0].forward_path.to_string().as_str(),
    ) {
        (1, "<a@here.test>") => Script::Panic,
        _ => Script::Say(delivered()),
    };
    let setup = Setup { clock: clock.clone(), limits, answer: Box::new(answer), ..Setup::default() };
    let world = World::new(setup).await;
    let broken = world.send(path("<a@here.test>"), 10).await;
    world.until("it broke off", || world.mailboxes.count(broken, "<a@here.test>") == 1).await;
    let other = world.send(path("<b@here.test>"), 10).await;
    world.until("the other is delivered", || world.mailboxes.count(other, "<b@here.test>") == 1).await;
    world.until_depth("it waits in the queue", |depth| (depth.fresh, depth.deferred) == (0, 1)).await;
    clock.advance(Duration::from_mins(15));
    world.until_empty().await;
    assert_eq!(world.mailboxes.count(broken, "<a@here.test>"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_memory_takes_waits_in_the_queue_and_comes_once() {
    let limits = Limits { ready: 2, local_deliveries: 1, ..Setup::default().limits };
    let world = World::new(Setup { limits, ..Setup::default() }).await;
    let sending = (0..200).map(|_| world.send(path("<a@here.test>"), 10));
    let ids = futures_util::future::join_all(sending).await;
    world.until_empty().await;
    for id in ids {
        assert_eq!(world.mailboxes.count(id, "<a@here.test>"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_dead_host_does_not_keep_other_mail_from_memory() {
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let routes = BTreeMap::from([("dead.test".to_owned(), dead.to_string().parse().unwrap())]);
    let delays = vec![Duration::from_hours(1)];
    let world = World::new(Setup { routes, delays, content_memory: 128 * 1024, ..Setup::default() }).await;
    for _ in 0..20 {
        world.send(path("<x@dead.test>"), 30 * 1024).await;
    }
    for _ in 0..5 {
        let id = world.send(path("<a@here.test>"), 60 * 1024).await;
        world.until("it is delivered", || world.mailboxes.count(id, "<a@here.test>") == 1).await;
    }
}

/// As when an HTTP client hangs up while its message is made durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_attempted_though_nobody_waits_for_its_acceptance() {
    let world = World::new(Setup::default()).await;
    tokio::select! {
        biased;
        _ = world.send(path("<a@here.test>"), 10) => {}
        () = std::future::ready(()) => {}
    }
    world.until("it was attempted", || world.mailboxes.count_to("<a@here.test>") == 1).await;
    world.until_empty().await;
}
