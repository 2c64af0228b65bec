use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A limiter with small numbers, and a clock of its own.
struct Limiter {
    limits: Arc<Limits>,
    now: Instant,
}

impl Limiter {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        Self { limits: Arc::new(Limits::new(settings)), now: Instant::now() }
    }

    fn enter(&self, address: &str) -> Result<Visit, Reply> {
        self.limits.enter(address.parse().unwrap(), self.now)
    }

    fn refusal(&self, address: &str) -> String {
        let reply = self.enter(address).err().unwrap_or_else(|| panic!("{address} was let in"));
        assert!(reply.closes(), "{reply:?}");
        assert_eq!(reply.enhanced().unwrap().to_string(), "4.7.0");
        reply.text().to_owned()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn sessions_at_once_by_address_and_by_network() {
    let limiter = Limiter::new(|settings| {
        settings.sessions_per_address = 2;
        settings.sessions_per_network = 3;
    });
    let one = limiter.enter("192.0.2.1").unwrap();
    let two = limiter.enter("::ffff:192.0.2.1").unwrap();
    assert_eq!(limiter.refusal("192.0.2.1"), "Too many sessions from your address at once, try again later");
    let three = limiter.enter("192.0.2.2").unwrap();
    assert_eq!(limiter.refusal("192.0.2.3"), "Too many sessions from your network at once, try again later");
    let _elsewhere = limiter.enter("192.0.3.3").unwrap();
    drop((one, three));
    let _again = limiter.enter("192.0.2.1").unwrap();
    drop(two);
}

#[test]
fn an_ipv6_host_is_its_64_and_its_network_the_56() {
    let limiter = Limiter::new(|settings| {
        settings.sessions_per_address = 1;
        settings.sessions_per_network = 2;
    });
    let _one = limiter.enter("2001:db8:0:1::1").unwrap();
    assert!(limiter.refusal("2001:db8:0:1:ffff::2").contains("your address"));
    let _two = limiter.enter("2001:db8:0:2::1").unwrap();
    assert!(limiter.refusal("2001:db8:0:ff::1").contains("your network"));
    let _three = limiter.enter("2001:db8:0:100::1").unwrap();
}

#[test]
fn new_sessions_in_a_minute() {
    let mut limiter = Limiter::new(|settings| settings.new_sessions_per_address = 60);
    assert_eq!((0..100).filter(|_| limiter.enter("192.0.2.1").is_ok()).count(), 60);
    assert!(limiter.refusal("192.0.2.1").contains("new sessions from your address within a minute"));
    assert!(limiter.enter("192.0.2.2").is_ok());
    limiter.pass(30 * SECOND);
    assert_eq!((0..100).filter(|_| limiter.enter("192.0.2.1").is_ok()).count(), 30);
    let limiter = Limiter::new(|settings| settings.new_sessions_per_network = 10);
    let allowed = (0..100).filter(|n| limiter.enter(&format!("192.0.2.{n}")).is_ok()).count();
    assert_eq!(allowed, 10);
    assert!(limiter.refusal("192.0.2.200").contains("new sessions from your network"));
}

#[test]
fn messages_and_recipients_in_a_minute() {
    let limiter = Limiter::new(|settings| {
        settings.messages_per_address = 2;
        settings.recipients_per_address = 3;
    });
    let (one, other) = (limiter.enter("192.0.2.1").unwrap(), limiter.enter("192.0.2.1").unwrap());
    assert!(one.message(limiter.now).is_ok() && other.message(limiter.now).is_ok());
    let refusal = one.message(limiter.now).unwrap_err();
    assert_eq!((refusal.code(), refusal.enhanced().unwrap().to_string().as_str()), (450, "4.7.1"));
    assert!((0..3).all(|_| one.recipient(limiter.now).is_ok()));
    let refusal = other.recipient(limiter.now).unwrap_err();
    assert_eq!((refusal.code(), refusal.enhanced().unwrap().to_string().as_str()), (452, "4.5.3"));
    assert!(one.recipient(limiter.now + 20 * SECOND).is_ok());
}

#[test]
fn errors_of_all_sessions_of_an_address() {
    let mut limiter = Limiter::new(|settings| settings.errors_per_address = 10);
    let (one, other) = (limiter.enter("192.0.2.1").unwrap(), limiter.enter("192.0.2.1").unwrap());
    assert!(one.errors(5, limiter.now).is_ok());
    let refusal = other.errors(5, limiter.now).unwrap_err();
    assert!(refusal.closes() && refusal.text().contains("errors from your address"), "{refusal:?}");
    assert!(limiter.refusal("192.0.2.1").contains("errors from your address"));
    limiter.pass(60 * SECOND);
    assert!(limiter.enter("192.0.2.1").is_ok());
}

#[test]
fn a_score_bans_decays_and_bans_again() {
    let mut limiter = Limiter::new(|settings| {
        settings.ban_score = 100;
        settings.ban_decay = 1000 * SECOND;
        settings.ban_time = 300 * SECOND;
        settings.errors_per_address = 0;
    });
    let visit = limiter.enter("192.0.2.1").unwrap();
    visit.greeted(limiter.now);
    assert!(visit.errors(60, limiter.now).is_ok());
    limiter.pass(500 * SECOND);
    assert!(visit.errors(60, limiter.now).is_ok(), "what is long ago counts less");
    let refusal = visit.errors(60, limiter.now).unwrap_err();
    assert!(refusal.closes() && refusal.text().contains("too many errors"), "{refusal:?}");
    assert!(limiter.refusal("192.0.2.1").contains("not served for a while"));
    assert!(!visit.is_known(limiter.now), "a ban forgets that it once waited");
    assert!(limiter.enter("192.0.2.2").is_ok(), "a neighbour is not banned");
    limiter.pass(299 * SECOND);
    limiter.refusal("192.0.2.1");
    limiter.pass(SECOND);
    assert!(limiter.enter("192.0.2.1").is_ok());
    // The score has decayed to 70 meanwhile: who goes on is banned sooner than who begins.
    assert!(visit.errors(31, limiter.now).is_err());
}

#[test]
fn early_talkers_and_failed_logins_weigh_more() {
    let limiter = Limiter::new(|settings| settings.ban_score = 50);
    let visit = limiter.enter("192.0.2.1").unwrap();
    visit.offend(Reason::EarlyTalker, limiter.now);
    assert!(limiter.enter("192.0.2.1").is_ok());
    visit.offend(Reason::EarlyTalker, limiter.now);
    limiter.refusal("192.0.2.1");
    let visit = limiter.enter("192.0.2.2").unwrap();
    for number in 0..13 {
        visit.authentication_failed(&format!("login-{number}"), limiter.now);
    }
    limiter.refusal("192.0.2.2");
}

#[test]
fn no_limit_applies_to_who_is_exempt() {
    let limiter = Limiter::new(|settings| {
        settings.sessions_per_address = 1;
        settings.messages_per_address = 1;
        settings.errors_per_address = 1;
        settings.auth_failures_per_account = 1;
        settings.ban_score = 1;
    });
    let mut visits: Vec<_> = (0..10).map(|_| limiter.enter("127.0.0.2").unwrap()).collect();
    for visit in &mut visits {
        assert!(visit.is_exempt() && visit.is_known(limiter.now));
        assert!(visit.message(limiter.now).is_ok() && visit.errors(100, limiter.now).is_ok());
        visit.offend(Reason::EarlyTalker, limiter.now);
        visit.authentication_failed("demo", limiter.now);
        assert!(visit.may_authenticate("demo", limiter.now).is_ok());
        assert!(visit.authenticated("demo", "demo", limiter.now).is_ok());
    }
    assert!(limiter.enter("::1").is_ok());
}

#[test]
fn an_address_that_guesses_is_not_listened_to() {
    let mut limiter = Limiter::new(|settings| settings.auth_failures_per_address = 3);
    let visit = limiter.enter("192.0.2.1").unwrap();
    for login in ["one", "two", "three"] {
        assert!(visit.may_authenticate(login, limiter.now).is_ok());
        visit.authentication_failed(login, limiter.now);
    }
    let refusal = visit.may_authenticate("four", limiter.now).unwrap_err();
    assert_eq!((refusal.code(), refusal.enhanced().unwrap().to_string().as_str()), (454, "4.7.0"));
    let neighbour = limiter.enter("192.0.2.2").unwrap();
    assert!(neighbour.may_authenticate("four", limiter.now).is_ok());
    limiter.pass(1200 * SECOND);
    assert!(visit.may_authenticate("four", limiter.now).is_ok(), "one more after a third of an hour");
}

#[test]
fn guessing_from_many_addresses_is_slowed_down_and_the_owner_still_gets_in() {
    let limiter = Limiter::new(|settings| settings.auth_failures_per_account = 5);
    let mut owner = limiter.enter("203.0.113.7").unwrap();
    assert!(owner.authenticated("Alice@example.test", "alice@example.test", limiter.now).is_ok());
    let guesses = (0..100u32).filter(|number| {
        let stranger = limiter.enter(&format!("10.{number}.0.1")).unwrap();
        let may = stranger.may_authenticate("alice@example.test", limiter.now).is_ok();
        if may {
            stranger.authentication_failed("alice@example.test", limiter.now);
        }
        may
    });
    assert_eq!(guesses.count(), 5);
    assert!(owner.may_authenticate("alice@example.test", limiter.now).is_ok());
    // From anywhere in the network that the owner is known from, and as a stranger for another account.
    let near = limiter.enter("203.0.113.200").unwrap();
    assert!(near.may_authenticate("ALICE@example.test", limiter.now).is_ok());
    let far = limiter.enter("198.51.100.1").unwrap();
    assert!(far.may_authenticate("alice@example.test", limiter.now).is_err());
    assert!(far.may_authenticate("bob@example.test", limiter.now).is_ok());
    // After a while a stranger is listened to again, and the owner may come from a new place.
    let later = limiter.now + 720 * SECOND;
    assert!(far.may_authenticate("alice@example.test", later).is_ok());
    // Knowing lasts a day from the last time.
    assert!(near.may_authenticate("alice@example.test", limiter.now + Duration::from_secs(86_400)).is_ok());
}

#[test]
fn sessions_of_an_account_wherever_they_come_from() {
    let limiter = Limiter::new(|settings| settings.sessions_per_account = 2);
    let mut visits: Vec<_> = (1..=3).map(|n| limiter.enter(&format!("192.0.{n}.1")).unwrap()).collect();
    let mut authenticate = |n: usize| visits[n].authenticated("demo", "demo@a.example", limiter.now);
    assert!(authenticate(0).is_ok() && authenticate(1).is_ok());
    let refusal = authenticate(2).unwrap_err();
    assert!(refusal.closes() && refusal.text().contains("sessions of this account"), "{refusal:?}");
    visits.remove(0);
    assert!(visits[1].authenticated("demo", "demo@a.example", limiter.now).is_ok());
}

#[test]
fn who_waited_for_the_greeting_is_known_for_a_day() {
    let limiter = Limiter::new(|_| ());
    let visit = limiter.enter("192.0.2.1").unwrap();
    assert!(!visit.is_known(limiter.now));
    visit.greeted(limiter.now);
    assert!(visit.is_known(limiter.now + 86_399 * SECOND));
    assert!(!visit.is_known(limiter.now + 86_400 * SECOND));
    let mut other = limiter.enter("192.0.2.2").unwrap();
    assert!(other.authenticated("demo", "demo", limiter.now).is_ok() && other.is_known(limiter.now));
}

#[test]
fn what_is_remembered_is_bounded_and_open_sessions_stay() {
    let limiter = Limiter::new(|settings| {
        settings.tracked = 1000;
        settings.sessions_per_address = 1;
    });
    let _open = limiter.enter("192.0.2.1").unwrap();
    for number in 0..50_000u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number * 256).to_string();
        drop(limiter.enter(&address).unwrap());
        let state = limiter.limits.state();
        assert!(state.addresses.len() <= 1001 && state.networks.len() <= 1001);
    }
    assert!(limiter.refusal("192.0.2.1").contains("at once"));
}

#[tokio::test]
async fn an_address_holds_no_more_than_its_share_of_the_memory() {
    const MIB: usize = 1024 * 1024;
    let limiter = Limiter::new(|settings| settings.memory_percent = 25);
    let whole = Budget::new(256 * MIB);
    let greedy: Vec<_> = (0..4).map(|_| limiter.enter("192.0.2.1").unwrap()).collect();
    let mut held = Vec::new();
    for visit in &greedy {
        let memory = visit.memory(&whole, 50 * MIB);
        held.extend(memory.reserve(50 * MIB, Duration::from_millis(5)).await);
    }
    assert_eq!(held.len(), 1, "64 MiB of 256, and so one message of 50");
    let other = limiter.enter("192.0.2.2").unwrap().memory(&whole, 50 * MIB);
    let fits = other.reserve(50 * MIB, Duration::from_millis(5)).await;
    assert!(fits.is_some() && whole.available() > 100 * MIB);
    // One message fits, however small the share.
    let limiter = Limiter::new(|settings| settings.memory_percent = 1);
    let visit = limiter.enter("192.0.2.1").unwrap();
    assert!(visit.memory(&whole, 50 * MIB).available() >= 50 * MIB);
}
