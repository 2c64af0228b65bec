//! What the directory promises of grants and quotas, asked of both storages.

use std::num::NonZeroU64;

use directory::{Directory, Error, GRANT_LIMIT, Settings};
use mail::quota::{Charged, Cost, Excess, LimitChange, LimitView, Room};
use mail::{Alias, Limit, Quota, SenderPattern, Timestamp};

use super::support::Database;
use super::{mailbox, populated, settings};

contracts![
    an_account_sends_as_what_it_was_granted,
    grants_are_for_accounts_and_have_an_end,
    limits_are_an_accounts_own_or_those_of_all,
    a_message_is_charged_until_the_limit_and_again_when_there_is_room,
    what_came_to_nothing_is_given_back,
    exactly_as_much_is_taken_as_allowed_by_all_together,
    many_accounts_are_charged_at_once,
    an_account_that_is_gone_is_charged_nothing,
    what_counts_no_more_is_swept,
];

const ONE: Cost = Cost { recipients: 2, octets: 1000 };
const MINUTE: i64 = 60_000;

/// 17:44:00 UTC, and minutes later.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(1_795_455_840_000 + minutes * MINUTE)
}

fn limit(name: &str) -> Limit {
    Limit::of_name(name).unwrap()
}

fn pattern(text: &str) -> SenderPattern {
    text.parse().unwrap()
}

fn at_most(name: &str, allowed: u64) -> (Limit, LimitChange) {
    (limit(name), LimitChange::AtMost(NonZeroU64::new(allowed).unwrap()))
}

/// The account as a session has it.
async fn login(directory: &Directory, address: &str) -> mail::Account {
    directory.authenticate(address, "secret").await.unwrap().unwrap()
}

async fn limited(directory: &Directory, address: &str, changes: &[(Limit, LimitChange)]) {
    directory.set_limits(&mailbox(address), changes, at(0)).await.unwrap();
}

async fn charge(directory: &Directory, address: &str, now: Timestamp) -> Charged {
    directory.charge(&mailbox(address), ONE, now).await.unwrap()
}

async fn limits_of(directory: &Directory, address: &str) -> Vec<LimitView> {
    directory.account_view(&mailbox(address), at(0)).await.unwrap().limits
}

async fn an_account_sends_as_what_it_was_granted(database: Database) {
    let directory = populated(&database).await;
    let alice = mailbox("alice@example.org");
    for granted in ["*@shop.example", "Bob@example.org", "*@*", "news@elsewhere.example"] {
        directory.grant(&alice, &pattern(granted), at(0)).await.unwrap();
    }
    // The same in other letters is the same.
    for again in ["*@SHOP.example", "bOB@Example.org"] {
        directory.grant(&alice, &pattern(again), at(1)).await.unwrap();
    }
    let sales = Alias { address: "sales@example.org".to_owned(), targets: vec![alice.clone()] };
    directory.set_alias(&sales, at(1)).await.unwrap();
    let account = login(&directory, "alice@example.org").await;
    let expected = ["*@*", "*@shop.example", "Bob@example.org", "news@elsewhere.example"].map(pattern);
    assert_eq!(account.granted, expected);
    assert_eq!(account.may_send_as, [mailbox("sales@example.org")]);
    assert_eq!(directory.accounts(None).await.unwrap()[0], account);
    assert_eq!(directory.account_view(&alice, at(1)).await.unwrap().account, account);
    let bob = login(&directory, "bob@example.org").await;
    assert!(bob.granted.is_empty());

    directory.revoke(&alice, &pattern("*@*")).await.unwrap();
    directory.revoke(&alice, &pattern("BOB@example.org")).await.unwrap();
    let account = login(&directory, "alice@example.org").await;
    assert_eq!(account.granted, ["*@shop.example", "news@elsewhere.example"].map(pattern));
    let again = directory.revoke(&alice, &pattern("*@*")).await.unwrap_err();
    assert_eq!(again.to_string(), "there is no grant of *@* to alice@example.org");
}

async fn grants_are_for_accounts_and_have_an_end(database: Database) {
    let directory = populated(&database).await;
    let sales = Alias { address: "sales@example.org".to_owned(), targets: vec![mailbox("bob@example.org")] };
    directory.set_alias(&sales, at(1)).await.unwrap();
    for nobody in ["sales@example.org", "nobody@example.org", "alice@elsewhere.example"] {
        let refused = directory.grant(&mailbox(nobody), &pattern("*@*"), at(1)).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{nobody}: {refused:?}");
    }
    let bob = mailbox("bob@example.org");
    let literal = directory.grant(&bob, &pattern("bob@[192.0.2.1]"), at(1)).await;
    assert!(matches!(literal, Err(Error::Rejected(_))), "{literal:?}");
    for number in 0..GRANT_LIMIT {
        directory.grant(&bob, &pattern(&format!("a{number}@example.net")), at(1)).await.unwrap();
    }
    let one_more = directory.grant(&bob, &pattern("one-more@example.net"), at(1)).await;
    assert!(matches!(one_more, Err(Error::Rejected(_))), "{one_more:?}");
    directory.grant(&bob, &pattern("a7@example.net"), at(1)).await.unwrap();
    // Who comes later under the same name has no share in them.
    directory.remove_account(&bob).await.unwrap();
    directory.add_account(&bob, "secret", at(2)).await.unwrap();
    assert!(login(&directory, "bob@example.org").await.granted.is_empty());
}

async fn limits_are_an_accounts_own_or_those_of_all(database: Database) {
    let directory = populated(&database).await;
    assert_eq!(login(&directory, "alice@example.org").await.quota, Quota::UNLIMITED);
    let quota: Quota = [(limit("messages_per_hour"), 10), (limit("octets_per_day"), 5)].into_iter().collect();
    let strict = Directory::open(Settings { quota, ..settings(&database) }).await.unwrap();
    assert_eq!(login(&strict, "alice@example.org").await.quota, quota);
    let changes = [
        at_most("messages_per_hour", 20),
        (limit("octets_per_day"), LimitChange::Unlimited),
        at_most("recipients_per_day", u64::MAX),
    ];
    limited(&directory, "alice@example.org", &changes).await;
    let largest = u64::try_from(i64::MAX).unwrap();
    let own =
        [(limit("messages_per_hour"), 20), (limit("recipients_per_day"), largest)].into_iter().collect();
    for directory in [&directory, &strict] {
        let account = login(directory, "alice@example.org").await;
        assert_eq!(account.quota, own);
        assert_eq!(directory.accounts(None).await.unwrap()[0], account);
    }
    let views = limits_of(&strict, "alice@example.org").await;
    assert_eq!(
        views.iter().map(|view| view.own).collect::<Vec<_>>(),
        [true, false, false, true, false, true]
    );
    assert_eq!((views[0].allowed, views[5].allowed, views[5].used), (Some(20), None, 0));
    let back =
        [(limit("messages_per_hour"), LimitChange::Default), (limit("octets_per_day"), LimitChange::Default)];
    limited(&strict, "alice@example.org", &back).await;
    let account = login(&strict, "alice@example.org").await;
    assert_eq!(account.quota.get(limit("messages_per_hour")), NonZeroU64::new(10));
    assert_eq!(account.quota.get(limit("octets_per_day")), NonZeroU64::new(5));
    let nobody = directory.set_limits(&mailbox("nobody@example.org"), &changes, at(0)).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))), "{nobody:?}");
}

async fn a_message_is_charged_until_the_limit_and_again_when_there_is_room(database: Database) {
    let directory = populated(&database).await;
    let alice = mailbox("alice@example.org");
    // Nobody without a limit is counted.
    assert_eq!(charge(&directory, "alice@example.org", at(0)).await, Charged::Taken { at: at(0) });
    assert!(limits_of(&directory, "alice@example.org").await.iter().all(|view| view.used == 0));
    limited(
        &directory,
        "alice@example.org",
        &[at_most("messages_per_hour", 2), at_most("recipients_per_day", 6)],
    )
    .await;
    let room = directory.room(&alice, ONE, at(0)).await.unwrap();
    assert_eq!(room, Room::Left { recipients: Some(6) });
    for minute in [0, 3] {
        assert!(matches!(charge(&directory, "alice@example.org", at(minute)).await, Charged::Taken { .. }));
    }
    let excess = Excess { limit: limit("messages_per_hour"), allowed: 2, until: Some(at(61)) };
    // Who opens the same storage later goes on with the same counts.
    let directory = Directory::open(settings(&database)).await.unwrap();
    assert_eq!(charge(&directory, "alice@example.org", at(10)).await, Charged::Over(excess));
    assert_eq!(directory.room(&alice, ONE, at(10)).await.unwrap(), Room::Over(excess));
    let used: Vec<_> =
        limits_of(&directory, "alice@example.org").await.iter().map(|view| view.used).collect();
    assert_eq!(used, [2, 2, 4, 4, 2000, 2000]);
    assert_eq!(
        directory.room(&alice, Cost { recipients: 1, ..ONE }, at(61)).await.unwrap(),
        Room::Left { recipients: Some(2) }
    );
    let small = directory.charge(&alice, Cost { recipients: 1, octets: 0 }, at(61)).await.unwrap();
    assert_eq!(small, Charged::Taken { at: at(61) });
    // What is allowed anew counts at once.
    limited(
        &directory,
        "alice@example.org",
        &[at_most("recipients_per_day", 7), at_most("messages_per_hour", 9)],
    )
    .await;
    assert!(matches!(charge(&directory, "alice@example.org", at(62)).await, Charged::Taken { .. }));
    let never = Cost { recipients: 8, octets: 0 };
    let never = directory.charge(&alice, never, at(62)).await.unwrap();
    assert!(matches!(never, Charged::Over(Excess { allowed: 7, until: None, .. })), "{never:?}");
    assert_eq!(charge(&directory, "bob@example.org", at(62)).await, Charged::Taken { at: at(62) });
}

async fn what_came_to_nothing_is_given_back(database: Database) {
    let directory = populated(&database).await;
    let alice = mailbox("alice@example.org");
    limited(&directory, "alice@example.org", &[at_most("messages_per_day", 2)]).await;
    assert!(matches!(charge(&directory, "alice@example.org", at(0)).await, Charged::Taken { .. }));
    let Charged::Taken { at: when } = charge(&directory, "alice@example.org", at(0)).await else {
        panic!("there was room for two")
    };
    assert!(matches!(charge(&directory, "alice@example.org", at(1)).await, Charged::Over(_)));
    directory.give_back(&alice, ONE, when, at(2)).await.unwrap();
    assert!(matches!(charge(&directory, "alice@example.org", at(3)).await, Charged::Taken { .. }));
    assert!(matches!(charge(&directory, "alice@example.org", at(3)).await, Charged::Over(_)));
}

async fn exactly_as_much_is_taken_as_allowed_by_all_together(database: Database) {
    let directory = populated(&database).await;
    limited(&directory, "alice@example.org", &[at_most("messages_per_hour", 100)]).await;
    let handles = [directory.clone(), Directory::open(settings(&database)).await.unwrap()];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let directory = handles[task % 2].clone();
        tasks.spawn(async move {
            let mut taken = 0;
            for _ in 0..15 {
                match charge(&directory, "alice@example.org", at(0)).await {
                    Charged::Taken { .. } => taken += 1,
                    Charged::Over(excess) => assert_eq!(excess.allowed, 100),
                }
            }
            taken
        });
    }
    let taken: Vec<u64> = tasks.join_all().await;
    assert_eq!(taken.iter().sum::<u64>(), 100, "{taken:?}");
    assert_eq!(limits_of(&directory, "alice@example.org").await[0].used, 100);
}

async fn many_accounts_are_charged_at_once(database: Database) {
    let directory = populated(&database).await;
    let other = Directory::open(settings(&database)).await.unwrap();
    let who = ["alice@example.org", "bob@example.org"];
    for address in who {
        limited(&directory, address, &[at_most("octets_per_hour", 25_000)]).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let directory = if number % 4 < 2 { directory.clone() } else { other.clone() };
        tasks.spawn(async move {
            let address = ["alice@example.org", "bob@example.org"][number % 2];
            (address, matches!(charge(&directory, address, at(0)).await, Charged::Taken { .. }))
        });
    }
    let taken = tasks.join_all().await;
    for address in who {
        assert_eq!(
            taken.iter().filter(|(whose, taken)| *whose == address && *taken).count(),
            25,
            "{address}"
        );
    }
}

async fn an_account_that_is_gone_is_charged_nothing(database: Database) {
    let directory = populated(&database).await;
    limited(&directory, "alice@example.org", &[at_most("messages_per_day", 1)]).await;
    assert!(matches!(charge(&directory, "alice@example.org", at(0)).await, Charged::Taken { .. }));
    directory.remove_account(&mailbox("alice@example.org")).await.unwrap();
    let (gone, here) = (mailbox("alice@example.org"), mailbox("bob@example.org"));
    // One that is gone does not spoil the transaction for the others.
    let (gone, here) = tokio::join!(directory.charge(&gone, ONE, at(0)), directory.charge(&here, ONE, at(0)));
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    assert_eq!(here.unwrap(), Charged::Taken { at: at(0) });
    directory.add_account(&mailbox("alice@example.org"), "secret", at(2)).await.unwrap();
    let views = limits_of(&directory, "alice@example.org").await;
    assert!(views.iter().all(|view| !view.own && view.used == 0), "{views:?}");
}

async fn what_counts_no_more_is_swept(database: Database) {
    let quota = [(limit("messages_per_day"), 1)].into_iter().collect();
    populated(&database).await;
    let directory = Directory::open(Settings { quota, ..settings(&database) }).await.unwrap();
    limited(&directory, "alice@example.org", &[at_most("messages_per_day", 1)]).await;
    for address in ["alice@example.org", "bob@example.org"] {
        assert!(matches!(charge(&directory, address, at(0)).await, Charged::Taken { .. }));
        assert!(matches!(charge(&directory, address, at(0)).await, Charged::Over(_)));
    }
    directory.sweep(at(25 * 60)).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM directory_quotas WHERE ledger <> ''").await, 2);
    directory.sweep(at(27 * 60)).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM directory_quotas WHERE ledger <> ''").await, 0);
    // Of bob nothing is left; alice has a limit of her own.
    assert_eq!(database.count("SELECT count(*) FROM directory_quotas").await, 1);
    assert!(limits_of(&directory, "alice@example.org").await[1].own);
}
