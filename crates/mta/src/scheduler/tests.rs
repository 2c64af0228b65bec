use super::*;
use mail::{ForwardPath, Priority, Recipient};

fn limits() -> Limits {
    Limits {
        ready: 4,
        attempts: 10,
        attempts_per_destination: 8,
        local_deliveries: 8,
        recipients_per_transaction: 2,
        failures_before_suspension: 2,
        suspensions: vec![Duration::from_secs(10), Duration::from_secs(60)],
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn delivery(number: u64, recipient: u16, destination: &str) -> Delivery {
    Delivery {
        priority: Priority::NORMAL,
        key: RecipientKey { id: QueueId { shard: 0, lane: (number % 2) as u8, number }, number: recipient },
        recipient: Recipient::from("<a@b.test>".parse::<ForwardPath>().unwrap()),
        destination: destination.into(),
        attempts: 0,
        next_attempt_at: None,
        expires_at: at(1000),
        delay_notice_at: None,
    }
}

fn job(number: u64, recipients: u16, destination: &str) -> Job {
    let deliveries: Vec<_> = (0..recipients).map(|r| delivery(number, r, destination)).collect();
    Job { id: deliveries[0].key.id, destination: destination.into(), deliveries, message: None }
}

fn drain(scheduler: &mut Scheduler, now: Timestamp) -> Vec<(String, u64)> {
    std::iter::from_fn(|| scheduler.next(now)).map(|j| (j.destination.to_string(), j.id.number)).collect()
}

#[test]
fn destinations_take_turns() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..3 {
        assert!(scheduler.offer(job(number, 1, "a"), at(0)).is_none());
    }
    assert!(scheduler.offer(job(9, 1, "b"), at(0)).is_none());
    let order: Vec<_> = drain(&mut scheduler, at(0)).into_iter().map(|(d, _)| d).collect();
    assert_eq!(order, ["a", "b", "a", "a"]);
}

#[test]
fn many_recipients_make_several_transactions_and_a_full_lineup_gives_back() {
    let mut scheduler = Scheduler::new(limits());
    assert!(scheduler.offer(job(1, 5, "a"), at(0)).is_none());
    assert_eq!(scheduler.ready(), 3);
    assert!(scheduler.offer(job(2, 1, "a"), at(0)).is_none());
    assert!(scheduler.offer(job(3, 1, "a"), at(0)).is_some());
}

#[test]
fn a_recipient_in_memory_is_not_lined_up_twice() {
    let mut scheduler = Scheduler::new(limits());
    assert!(scheduler.offer(job(1, 1, "a"), at(0)).is_none());
    let started = scheduler.next(at(0)).unwrap();
    assert!(scheduler.offer(job(1, 1, "a"), at(0)).is_none());
    assert_eq!(scheduler.ready(), 0);
    scheduler.release(&started.destination, Verdict::Answered, at(0));
    scheduler.settle(started.deliveries.iter().map(|d| &d.key));
    assert!(scheduler.offer(job(1, 1, "a"), at(0)).is_none());
    assert_eq!(scheduler.ready(), 1);
}

#[test]
fn silence_suspends_a_destination_and_one_probe_opens_it() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..4 {
        scheduler.offer(job(number, 1, "a"), at(0));
    }
    for _ in 0..2 {
        let started = scheduler.next(at(0)).unwrap();
        scheduler.release(&started.destination, Verdict::Silent, at(0));
    }
    assert!(scheduler.next(at(5)).is_none());
    assert_eq!(scheduler.wake_at(), Some(at(10)));
    assert!(scheduler.loads(at(10)).is_empty());
    let probe = scheduler.next(at(10)).unwrap();
    assert!(scheduler.next(at(10)).is_none(), "one probe alone");
    scheduler.release(&probe.destination, Verdict::Silent, at(10));
    assert_eq!(scheduler.wake_at(), Some(at(70)));
    scheduler.loads(at(70));
    let probe = scheduler.next(at(70)).unwrap();
    scheduler.release(&probe.destination, Verdict::Answered, at(70));
    assert!(scheduler.next(at(70)).is_none(), "all four were tried");
    assert_eq!(scheduler.wake_at(), None);
}

#[test]
fn stored_work_is_loaded_when_due_and_while_there_is_room() {
    let mut scheduler = Scheduler::new(limits());
    let a: Arc<str> = "a".into();
    scheduler.stored(&a, at(5), at(0));
    assert_eq!((scheduler.wake_at(), scheduler.loads(at(4))), (Some(at(5)), vec![]));
    assert_eq!(scheduler.loads(at(5)), [LoadRequest { destination: a.clone(), rows: 4 }]);
    assert!(scheduler.loads(at(6)).is_empty(), "one load at a time");
    scheduler.loaded(
        &a,
        vec![delivery(1, 0, "a"), delivery(1, 1, "a"), delivery(2, 0, "a")],
        Some(at(9)),
        at(6),
    );
    assert_eq!(drain(&mut scheduler, at(6)).len(), 2);
    assert_eq!(scheduler.wake_at(), Some(at(9)));
}

#[test]
fn work_that_arrives_while_a_load_runs_is_not_forgotten() {
    let mut scheduler = Scheduler::new(limits());
    let a: Arc<str> = "a".into();
    scheduler.stored(&a, at(5), at(0));
    scheduler.loads(at(5));
    scheduler.stored(&a, at(7), at(5));
    scheduler.loaded(&a, vec![], None, at(5));
    assert_eq!(scheduler.wake_at(), Some(at(7)));
}

#[test]
fn a_lost_lane_leaves_memory_and_expired_jobs_come_out() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..4 {
        scheduler.offer(job(number, 1, "a"), at(0));
    }
    scheduler.forget_lane(1, at(0));
    assert_eq!(scheduler.ready(), 2);
    for _ in 0..2 {
        let started = scheduler.next(at(0)).unwrap();
        scheduler.release(&started.destination, Verdict::Silent, at(0));
        scheduler.offer(job(started.id.number + 10, 1, "a"), at(0));
    }
    assert!(scheduler.expired(at(9)).is_empty());
    let mut late = Scheduler::new(Limits { suspensions: vec![Duration::from_secs(5000)], ..limits() });
    for number in 0..3 {
        late.offer(job(number, 1, "a"), at(0));
    }
    for _ in 0..2 {
        let started = late.next(at(0)).unwrap();
        late.release(&started.destination, Verdict::Silent, at(0));
    }
    assert_eq!(late.expired(at(1000)).len(), 1);
}

#[test]
fn room_that_a_lost_lane_makes_is_filled_from_the_queue() {
    let mut scheduler = Scheduler::new(limits());
    let a: Arc<str> = "a".into();
    for number in 0..4 {
        scheduler.offer(job(number * 2 + 1, 1, "a"), at(0));
    }
    scheduler.stored(&a, at(0), at(0));
    assert!(scheduler.loads(at(0)).is_empty(), "there is no room");
    scheduler.forget_lane(1, at(0));
    assert_eq!(scheduler.loads(at(0)), [LoadRequest { destination: a, rows: 4 }]);
    assert!(scheduler.next(at(0)).is_none());
}

#[test]
fn a_suspended_destination_holds_no_content() {
    let mut scheduler = Scheduler::new(limits());
    let memory = crate::memory::ContentMemory::new(4096);
    let with_message = |number| {
        let job = job(number, 1, "a");
        let envelope = mail::Envelope::new(mail::ReversePath::Null, mail::Origin::default());
        let message = queue::Message {
            id: job.id,
            accepted_at: at(0),
            envelope,
            trace: mail::TraceContext::default(),
            size: 2048,
        };
        Job { message: memory.try_keep(message, mail::Content::from(vec![0; 2048])), ..job }
    };
    let first = with_message(0);
    assert!(first.message.is_some());
    for number in 1..3 {
        scheduler.offer(job(number, 1, "a"), at(0));
    }
    scheduler.offer(first, at(0));
    assert!(with_message(7).message.is_none(), "all of it is taken");
    for _ in 0..2 {
        let started = scheduler.next(at(0)).unwrap();
        scheduler.release(&started.destination, Verdict::Silent, at(0));
    }
    let another = with_message(8);
    assert!(another.message.is_some(), "what waits for hours gave it back");
    scheduler.offer(another, at(1));
    assert!(with_message(9).message.is_some());
    assert_eq!(scheduler.ready(), 2);
}

#[test]
fn our_own_mailboxes_are_probed_again_soon() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..4 {
        scheduler.offer(job(number, 1, crate::route::LOCAL), at(0));
    }
    for now in [0, 0, 10, 20] {
        let started = scheduler.next(at(now)).unwrap();
        scheduler.release(&started.destination, Verdict::Silent, at(now));
        scheduler.loads(at(now + 10));
    }
}

#[test]
fn a_destination_without_work_is_forgotten() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..2 {
        scheduler.offer(job(number, 1, "a"), at(0));
        let started = scheduler.next(at(0)).unwrap();
        scheduler.stored(&started.destination, at(5), at(0));
        scheduler.release(&started.destination, Verdict::Silent, at(0));
    }
    // Suspended, and what waited has expired meanwhile: the load finds nothing.
    scheduler.offer(job(9, 1, "b"), at(0));
    let other = scheduler.next(at(0)).unwrap();
    scheduler.release(&other.destination, Verdict::Answered, at(0));
    let request = scheduler.loads(at(10)).remove(0);
    scheduler.loaded(&request.destination, vec![], None, at(10));
    assert!(scheduler.lineups.is_empty() && scheduler.alarms.is_empty() && scheduler.turns.is_empty());

    let mut idle = Scheduler::new(Limits { failures_before_suspension: 1, ..limits() });
    idle.offer(job(1, 1, "a"), at(0));
    let started = idle.next(at(0)).unwrap();
    idle.release(&started.destination, Verdict::Silent, at(0));
    idle.settle(started.deliveries.iter().map(|d| &d.key));
    assert!(idle.loads(at(10)).is_empty());
    assert!(idle.lineups.is_empty() && idle.alarms.is_empty() && idle.held.is_empty());
}

fn of_priority(priority: i8, job: Job) -> Job {
    let deliveries = job.deliveries.into_iter();
    let deliveries =
        deliveries.map(|d| Delivery { priority: Priority::new(priority).unwrap(), ..d }).collect();
    Job { deliveries, ..job }
}

#[test]
fn higher_priority_goes_first_and_nobody_waits_for_ever() {
    let mut scheduler = Scheduler::new(Limits { ready: 100, ..limits() });
    for number in 0..10 {
        let priority = if number < 2 { -4 } else { 4 };
        assert!(scheduler.offer(of_priority(priority, job(number, 1, "a")), at(0)).is_none());
    }
    let mut order = Vec::new();
    while let Some(job) = scheduler.next(at(0)) {
        order.push(job.id.number);
        scheduler.release(&job.destination, Verdict::Answered, at(0));
    }
    assert_eq!(order, [2, 3, 4, 0, 5, 6, 7, 1, 8, 9], "each fourth turn is the oldest one's");
}

#[test]
fn a_full_lineup_makes_room_for_a_higher_priority() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..4 {
        assert!(scheduler.offer(job(number, 1, "a"), at(0)).is_none());
    }
    let displaced = scheduler.offer(of_priority(5, job(9, 1, "a")), at(0)).unwrap();
    assert_eq!(displaced.id.number, 3, "the youngest of the lowest");
    assert_eq!(scheduler.offer(of_priority(-1, job(10, 1, "a")), at(0)).unwrap().id.number, 10);
    assert_eq!(scheduler.next(at(0)).unwrap().id.number, 9);
    scheduler.stored(&displaced.destination, at(0), at(0));
    assert!(scheduler.offer(displaced, at(0)).is_none(), "it is held no more");
}

#[test]
fn a_suspension_ends_when_somebody_asks_for_those_who_wait() {
    let mut scheduler = Scheduler::new(limits());
    for number in 0..4 {
        scheduler.offer(job(number, 2, "a"), at(0));
    }
    let fail = |scheduler: &mut Scheduler, now| {
        let started = scheduler.next(now).unwrap();
        scheduler.release(&started.destination, Verdict::Silent, now);
    };
    assert_eq!(scheduler.revive(|_| true, |_| true, at(0)), 0, "nothing is suspended");
    fail(&mut scheduler, at(0));
    fail(&mut scheduler, at(0));
    assert_eq!(scheduler.revive(|_| false, |_| false, at(1)), 0);
    assert!(scheduler.next(at(1)).is_none(), "nobody asked for them");
    assert_eq!(scheduler.revive(|delivery| delivery.key.id.number == 3, |_| false, at(1)), 2);
    let probe = scheduler.next(at(1)).unwrap();
    assert!(scheduler.next(at(1)).is_none(), "one probe alone");
    scheduler.release(&probe.destination, Verdict::Silent, at(1));
    assert!(scheduler.next(at(2)).is_none(), "it is suspended again");
    assert_eq!(scheduler.revive(|_| false, |destination| destination.as_ref() == "a", at(2)), 0);
    let probe = scheduler.next(at(2)).unwrap();
    scheduler.release(&probe.destination, Verdict::Answered, at(2));
}
