//! Mail that flows in over several sessions while agents come and go. Whoever hears a refusal for now, or loses the
//! connection, comes back and tries the same message again under a new Message-ID; a ledger keeps what was said to each
//! attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{Client, plain, stuffed};
use crate::maildir::{body, field};
use crate::wait::within;

/// Before a source tries again; a real one waits for minutes.
const PAUSE: Duration = Duration::from_millis(50);

/// A client that sends one message after the other over one session, as long as it holds.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it connects to.
    pub address: SocketAddr,
    /// With TLS and as whom, where it is to log in.
    pub login: Option<(&'static str, &'static str)>,
    /// MAIL FROM.
    pub from: &'static str,
    /// The recipients of its messages, in turns.
    pub recipients: &'static [&'static [&'static str]],
}

/// What was said to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// 250: it must arrive.
    Accepted,
    /// It may not have been accepted, by this code.
    Refused(u16),
    /// The connection broke before the answer: it may arrive or not.
    Nothing,
}

#[derive(Debug)]
struct Attempt {
    number: usize,
    recipients: &'static [&'static str],
    told: Told,
}

struct Shared {
    total: usize,
    next: AtomicUsize,
    accepted: AtomicUsize,
    attempts: Mutex<BTreeMap<String, Attempt>>,
    /// Refusals before there was a message: at connecting, logging in, or for the envelope.
    refusals: Mutex<BTreeMap<u16, usize>>,
    connections: AtomicUsize,
    slowest: Mutex<Duration>,
}

/// The sources at work; they end with this value.
pub struct Flow {
    shared: Arc<Shared>,
    sources: JoinSet<()>,
}

impl Flow {
    /// Lets the sources send this many messages together.
    #[must_use]
    pub fn start(total: usize, sources: Vec<Source>) -> Self {
        let shared = Arc::new(Shared {
            total,
            next: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
            connections: AtomicUsize::default(),
            slowest: Mutex::default(),
        });
        let mut running = JoinSet::new();
        for source in sources {
            running.spawn(source.run(Arc::clone(&shared)));
        }
        Self { shared, sources: running }
    }

    /// Waits until this many messages have been accepted.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub async fn accepts(&self, number: usize, limit: Duration) {
        let what = format!("{number} messages accepted");
        let accepted = async || (self.shared.accepted.load(Ordering::SeqCst) >= number).then_some(());
        within(limit, &what, accepted).await;
    }

    /// Waits until every message has been accepted.
    ///
    /// # Panics
    /// When that takes longer than `limit`, or a source has panicked.
    pub async fn ends(mut self, limit: Duration) -> Ledger {
        self.accepts(self.shared.total, limit).await;
        while let Some(ended) = self.sources.join_next().await {
            ended.expect("a source has not panicked");
        }
        Ledger { shared: self.shared }
    }
}

impl Source {
    async fn run(self, shared: Arc<Shared>) {
        let mut session = None;
        loop {
            let number = shared.next.fetch_add(1, Ordering::SeqCst);
            if number >= shared.total {
                return;
            }
            let mut tries = 0;
            while !self.tries(&shared, &mut session, number, tries).await {
                tries += 1;
                sleep(PAUSE).await;
            }
            shared.accepted.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether the message has been accepted.
    async fn tries(
        &self,
        shared: &Shared,
        session: &mut Option<Client>,
        number: usize,
        tries: usize,
    ) -> bool {
        if session.is_none() {
            *session = self.session(shared).await.unwrap_or_default();
        }
        let Some(client) = session else { return false };
        let told = self.hand_over(shared, client, number, tries).await;
        let alive = match told {
            Ok(true) => return true,
            Ok(false) => client.try_command("RSET").await.is_ok_and(|reply| reply.code == 250),
            Err(_) => false,
        };
        if !alive {
            *session = None;
        }
        false
    }

    /// A session in which mail can be sent, unless something on the way to it is refused.
    async fn session(&self, shared: &Shared) -> io::Result<Option<Client>> {
        let mut client = Client::try_connect(self.address).await?;
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let greeting = client.try_reply().await?.code;
        if !shared.goes_on(greeting) || !shared.goes_on(client.try_command("EHLO client.test").await?.code) {
            return Ok(None);
        }
        let Some((login, password)) = self.login else { return Ok(Some(client)) };
        if !shared.goes_on(client.try_command("STARTTLS").await?.code) {
            return Ok(None);
        }
        let mut client = client.try_into_tls().await?;
        for command in ["EHLO client.test", &plain(login, password)] {
            if !shared.goes_on(client.try_command(command).await?.code) {
                return Ok(None);
            }
        }
        Ok(Some(client))
    }

    /// One attempt, and what was said to it.
    async fn hand_over(
        &self,
        shared: &Shared,
        client: &mut Client,
        number: usize,
        tries: usize,
    ) -> io::Result<bool> {
        let recipients = self.recipients[number % self.recipients.len()];
        let mut commands = vec![format!("MAIL FROM:<{}>", self.from)];
        commands.extend(recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            if !shared.goes_on(client.try_command(&command).await?.code) {
                return Ok(false);
            }
        }
        let id = format!("<{number}.{tries}@client.test>");
        let header = format!("From: <{}>\r\nMessage-ID: {id}\r\nSubject: {number}\r\n\r\n", self.from);
        let content = [header.into_bytes(), body_of(number)].concat();
        // From here on it is in the ledger, whatever happens.
        shared.note(&id, Attempt { number, recipients, told: Told::Nothing });
        let began = Instant::now();
        client.send(stuffed(&content)).await?;
        let code = client.try_reply().await?.code;
        let told = if code == 250 { Told::Accepted } else { Told::Refused(code) };
        shared.note(&id, Attempt { number, recipients, told });
        let mut slowest = shared.slowest.lock().unwrap();
        *slowest = began.elapsed().max(*slowest);
        Ok(code == 250)
    }
}

impl Shared {
    fn note(&self, id: &str, attempt: Attempt) {
        self.attempts.lock().unwrap().insert(id.to_owned(), attempt);
    }

    /// Whether a reply is no refusal; a refusal is counted.
    fn goes_on(&self, code: u16) -> bool {
        if code >= 400 {
            *self.refusals.lock().unwrap().entry(code).or_default() += 1;
        }
        code < 400
    }
}

/// Different for each message, so that two cannot be mixed up unnoticed; some lines begin with a dot.
fn body_of(number: usize) -> Vec<u8> {
    format!("message {number}\r\n.{number}\r\n").repeat(1 + number % 40).into_bytes()
}

/// What was said to all attempts.
pub struct Ledger {
    shared: Arc<Shared>,
}

/// What became of those to one recipient.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Accepted, and not there.
    pub lost: Vec<String>,
    /// There more than once, and how often.
    pub repeated: Vec<(String, usize)>,
    /// There, and not what was sent, or never sent.
    pub strange: Vec<String>,
    /// There once or more often, though their senders heard a refusal.
    pub refused: Vec<String>,
    /// Accepted, and there.
    pub accepted: usize,
    /// There, though their senders heard nothing.
    pub unanswered: usize,
}

impl Ledger {
    /// How many messages to this recipient were accepted.
    #[must_use]
    pub fn accepted_for(&self, recipient: &str) -> usize {
        let attempts = self.shared.attempts.lock().unwrap();
        attempts.values().filter(|a| a.told == Told::Accepted && a.recipients.contains(&recipient)).count()
    }

    /// Codes of the five hundreds: whoever hears one returns the message, and nothing that happened was the message's fault.
    #[must_use]
    pub fn refused_for_good(&self) -> BTreeSet<u16> {
        let attempts = self.shared.attempts.lock().unwrap();
        let codes = attempts.values().filter_map(|attempt| match attempt.told {
            Told::Refused(code) => Some(code),
            _ => None,
        });
        let before = self.shared.refusals.lock().unwrap();
        codes.chain(before.keys().copied()).filter(|code| *code >= 500).collect()
    }

    /// Compares with what a recipient has got.
    #[must_use]
    pub fn compare<'a>(&self, recipient: &str, got: impl IntoIterator<Item = &'a [u8]>) -> Arrivals {
        let attempts = self.shared.attempts.lock().unwrap();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        let mut arrivals = Arrivals::default();
        for message in got {
            let id = field(message, "Message-ID").unwrap_or_default();
            match attempts.get_key_value(&id) {
                Some((id, attempt))
                    if attempt.recipients.contains(&recipient)
                        && body(message) == body_of(attempt.number) =>
                {
                    *times.entry(id).or_default() += 1;
                }
                _ => arrivals.strange.push(id),
            }
        }
        for (id, attempt) in attempts.iter().filter(|(_, attempt)| attempt.recipients.contains(&recipient)) {
            let times = times.get(id.as_str()).copied().unwrap_or(0);
            match (attempt.told, times) {
                (Told::Accepted, 0) => arrivals.lost.push(id.clone()),
                (Told::Accepted, _) => arrivals.accepted += 1,
                (_, 0) => {}
                (Told::Refused(_), _) => arrivals.refused.push(id.clone()),
                (Told::Nothing, _) => arrivals.unanswered += 1,
            }
            if times > 1 {
                arrivals.repeated.push((id.clone(), times));
            }
        }
        arrivals
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        let (mut accepted, mut nothing, mut refused) = (0, 0, BTreeMap::<u16, usize>::new());
        for attempt in shared.attempts.lock().unwrap().values() {
            match attempt.told {
                Told::Accepted => accepted += 1,
                Told::Nothing => nothing += 1,
                Told::Refused(code) => *refused.entry(code).or_default() += 1,
            }
        }
        write!(
            f,
            "{accepted} × 250 over {} connections, {nothing} without an answer, refused at the end {refused:?} and \
             before {:?}, slowest answer {:.1?}",
            shared.connections.load(Ordering::SeqCst),
            shared.refusals.lock().unwrap(),
            shared.slowest.lock().unwrap(),
        )
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted ones arrived, {} lost, {} repeated, {} strange; {} refused and {} unanswered ones arrived too",
            self.accepted,
            self.lost.len(),
            self.repeated.len(),
            self.strange.len(),
            self.refused.len(),
            self.unanswered,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger that never finds fault would prove nothing.
    #[test]
    fn what_is_lost_repeated_changed_or_refused_and_there_is_found() {
        let flow = Shared {
            total: 0,
            next: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
            connections: AtomicUsize::default(),
            slowest: Mutex::default(),
        };
        let told = [Told::Accepted, Told::Accepted, Told::Accepted, Told::Nothing, Told::Refused(451)];
        for (number, told) in told.into_iter().enumerate() {
            flow.note(&format!("<{number}>"), Attempt { number, recipients: &["bob"], told });
        }
        let ledger = Ledger { shared: Arc::new(flow) };
        let message = |id: usize, body: usize| {
            [format!("Message-ID: <{id}>\r\n\r\n").into_bytes(), body_of(body)].concat()
        };
        // 0 is lost, 1 there twice, 2 not what was sent, 9 never sent.
        let got = [(1, 1), (1, 1), (2, 3), (3, 3), (4, 4), (9, 9)].map(|(id, body)| message(id, body));
        let found = ledger.compare("bob", got.iter().map(Vec::as_slice));
        assert_eq!(found.lost, ["<0>", "<2>"]);
        assert_eq!(found.repeated, [("<1>".to_owned(), 2)]);
        assert_eq!(found.strange, ["<2>", "<9>"]);
        assert_eq!((found.refused, found.unanswered, found.accepted), (vec!["<4>".to_owned()], 1, 1));
        assert_eq!(ledger.accepted_for("bob"), 3);
        assert!(ledger.refused_for_good().is_empty());
    }
}
