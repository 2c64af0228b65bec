//! Runs each file of `tests/sessions` against the pure session, in the form of RFC 5321 appendix D:
//!
//! - `C: text` the client sends the text and CRLF; lines in a row are sent at once. `\r \n \0 \\ \xHH` are octets,
//!   `\` at the end leaves the CRLF out; `C*1000: text` sends it so many times.
//! - `S: text` the server answers exactly this line; `S:` lines in a row are all that it answers.
//! - `@ word …` before the greeting sets the session up: `tls`, `starttls`, `authentication` (PLAIN and LOGIN),
//!   `mechanisms=…`, `bindings` (the session can be bound to), `certificate=…` (the client's, of this address),
//!   `require_authentication`, `require_tls`, `no_memory`, `refused`, `max_size=…`, `max_recipients=…`, `max_errors=…`, `max_auth_failures=…`, `max_hold=…`,
//!   `max_priority=…`, `verify`, `verify_from=…`, `etrn_from=…`, `xclient_from=…`, `xclient_login`, `verbs_from=…`,
//!   `administrator=…`, `turns` (the server insists on them; such a dialogue is not cut into pieces, for the cut may be
//!   what matters).
//! - `@ handshake` the server waits for the TLS handshake, which happens; `@ close` it closes the connection.
//! - `#` a remark.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use mail::{Priority, Timestamp};
use smtp::policy::{FutureRelease, Now, Policy};
use smtp::reply::Reply;
use smtp::sasl::Mechanism;
use smtp::server::Settings;
use smtp::session::{Answer, Question, Session, Step};
use smtp::{SessionInfo, TlsInfo};

use super::agent::Rules;

/// The server's nonce in the example of RFC 7677.
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

pub(crate) struct Transcript {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) turns: Vec<Turn>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    settings: Settings,
    tls: bool,
    info: TlsInfo,
    starttls: bool,
    no_memory: bool,
    refused: bool,
    turns: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    Client(Vec<u8>),
    Server(String),
    Handshake,
    Close,
}

/// A session together with the agent's rules: octets in, text out.
pub(crate) struct Machine {
    session: Session,
    rules: Rules,
    no_memory: bool,
    info: TlsInfo,
    pub(crate) state: &'static str,
}

impl Machine {
    pub(crate) fn new(setup: &Setup) -> Self {
        let address = "192.0.2.1:2525".parse().unwrap();
        let mut session = Session::new(
            Arc::new(setup.settings.clone()),
            SessionInfo::new(address, address),
            setup.starttls,
        );
        if setup.turns {
            session.insist_on_turns();
        }
        if setup.tls {
            session.secured(setup.info.clone());
        }
        session.greet(if setup.refused { Err(Reply::new(554, (5, 7, 1), "Not you")) } else { Ok(()) });
        let (no_memory, info) = (setup.no_memory, setup.info.clone());
        Self { session, rules: Rules::default(), no_memory, info, state: "read" }
    }

    /// Feeds octets and returns what is said to them.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> String {
        if self.state != "close" {
            self.session.input().extend_from_slice(octets);
        }
        let mut said = Vec::new();
        loop {
            self.state = match self.session.step() {
                Step::Ask(question) => {
                    let answer = self.answer(question);
                    self.session.answer(answer);
                    continue;
                }
                Step::Write => {
                    said.extend(std::mem::take(self.session.output()));
                    continue;
                }
                Step::Read => "read",
                Step::Handshake => "handshake",
                Step::Close => "close",
            };
            said.extend(std::mem::take(self.session.output()));
            return String::from_utf8(said).unwrap();
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Authenticate(credentials) => {
                Answer::Authenticate(Rules::judge_credentials(&credentials))
            }
            Question::Connect(login) => Answer::Connect(Rules::judge_client(self.session.info(), login)),
            Question::Inquire(inquiry) => Answer::Inquire(Rules::judge_inquiry(&inquiry)),
            Question::ChallengeScram(login) => Answer::ChallengeScram(
                Rules::challenge(&login).map(|challenge| (challenge, NONCE.to_owned())),
            ),
            Question::Mail(envelope) => {
                let answer = Rules::judge_sender(&envelope);
                Answer::Mail(envelope, answer)
            }
            Question::Rcpt(envelope, recipient) => {
                let answer = Rules::judge_recipient(&recipient);
                Answer::Rcpt(envelope, recipient, answer)
            }
            Question::Reserve(_) => Answer::Reserve(!self.no_memory),
            Question::Data(envelope, content) => Answer::Data(self.rules.take(*envelope, content)),
        }
    }

    /// The contents of the messages that were taken.
    pub(crate) fn taken(&self) -> Vec<bytes::Bytes> {
        self.rules.taken.lock().unwrap().iter().map(|(_, content)| content.clone()).collect()
    }

    /// Whether what comes is content and no command.
    pub(crate) fn is_in_data(&self) -> bool {
        self.session.is_in_data()
    }

    /// Whether there is a mail transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.session.is_in_transaction()
    }

    pub(crate) fn handshake(&mut self) {
        self.session.secured(self.info.clone());
    }
}

pub(crate) fn all() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Transcript {
    let mut transcript = Transcript {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        setup: Setup::default(),
        turns: Vec::new(),
    };
    transcript.setup.settings.hostname = "mx.example".to_owned();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let turn = match line.split_once(' ').unwrap_or((line, "")) {
            ("" | "#", _) => continue,
            ("@", "handshake") => Turn::Handshake,
            ("@", "close") => Turn::Close,
            ("@", words) => {
                words.split(' ').for_each(|word| set_up(&mut transcript.setup, word));
                continue;
            }
            ("S:", text) => Turn::Server(format!("{text}\r\n")),
            (head, text) => Turn::Client(octets(text).repeat(times(head, &transcript.name))),
        };
        match (transcript.turns.last_mut(), turn) {
            (Some(Turn::Client(before)), Turn::Client(octets)) => before.extend(octets),
            (Some(Turn::Server(before)), Turn::Server(text)) => before.push_str(&text),
            (_, turn) => transcript.turns.push(turn),
        }
    }
    transcript
}

fn times(head: &str, name: &str) -> usize {
    let count = head.strip_prefix('C').and_then(|rest| rest.strip_suffix(':'));
    match count.map(|count| count.strip_prefix('*')) {
        Some(None) => 1,
        Some(Some(count)) => count.parse().unwrap(),
        None => panic!("{name}: {head} is no turn"),
    }
}

/// Does what a word behind `@` says.
pub(crate) fn set_up(setup: &mut Setup, word: &str) {
    let settings = &mut setup.settings;
    match word.split_once('=').unwrap_or((word, "")) {
        ("tls", _) => setup.tls = true,
        ("refused", _) => setup.refused = true,
        ("starttls", _) => setup.starttls = true,
        ("turns", _) => setup.turns = true,
        ("no_memory", _) => setup.no_memory = true,
        ("authentication", _) => settings.mechanisms = vec![Mechanism::Plain, Mechanism::Login],
        ("mechanisms", names) => {
            settings.mechanisms = names.split(',').map(|name| name.parse().unwrap()).collect();
        }
        ("bindings", _) => {
            setup.info.exporter = Some([0x42; 32]);
            setup.info.end_point = Some(b"certificate".as_slice().into());
        }
        ("certificate", address) => setup.info.client_addresses = vec![address.to_owned()],
        ("require_authentication", _) => settings.require_authentication = true,
        ("require_tls", _) => settings.require_tls = true,
        ("max_size", value) => settings.max_size = value.parse().unwrap(),
        ("max_recipients", value) => settings.max_recipients = value.parse().unwrap(),
        ("max_errors", value) => settings.max_errors = value.parse().unwrap(),
        ("max_auth_failures", value) => settings.max_auth_failures = value.parse().unwrap(),
        (word, value) => set_policy(&mut settings.policy, word, value),
    }
}

/// The sessions are those of 192.0.2.1, at one moment of 2026.
fn set_policy(policy: &mut Policy, word: &str, value: &str) {
    let networks = || value.split(',').map(|network| network.parse().unwrap()).collect();
    match word {
        "max_hold" => {
            let now: Now = Arc::new(|| Timestamp::from_millis(1_795_455_845_123));
            policy.future_release = Some(FutureRelease { max_seconds: value.parse().unwrap(), now });
        }
        "max_priority" => policy.max_priority = Priority::new(value.parse().unwrap()).unwrap(),
        "verify" => policy.verify_authenticated = true,
        "verify_from" => policy.verify_from = networks(),
        "etrn_from" => policy.etrn_from = networks(),
        "xclient_from" => policy.xclient_from = networks(),
        "xclient_login" => policy.xclient_login = true,
        "verbs_from" => policy.verbs_from = networks(),
        "administrator" => policy.administrators = vec![value.parse().unwrap()],
        word => panic!("{word} is no setting"),
    }
}

fn octets(text: &str) -> Vec<u8> {
    let (text, end): (&str, &[u8]) = match text.strip_suffix('\\') {
        Some(text) => (text, b""),
        None => (text, b"\r\n"),
    };
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match (octet, octet == b'\\') {
            (octet, false) => octet,
            (_, true) => match rest.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b'0' => 0,
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
        });
    }
    octets.extend_from_slice(end);
    octets
}

/// Plays a transcript in pieces of `step` octets; the answer is the dialogue up to where it differs, if it does.
fn play(transcript: &Transcript, step: usize) -> Result<(), String> {
    let mut machine = Machine::new(&transcript.setup);
    let mut said = machine.feed(b"");
    let mut dialogue = String::new();
    for turn in &transcript.turns {
        let before = std::mem::take(&mut said);
        let _ = match turn {
            Turn::Client(octets) => writeln!(dialogue, "C: {}", octets.escape_ascii()),
            turn => writeln!(dialogue, "{turn:?}"),
        };
        let fits = match turn {
            Turn::Server(text) => *text == before,
            Turn::Handshake if machine.state == "handshake" => {
                machine.handshake();
                said = machine.feed(b"");
                before.is_empty()
            }
            Turn::Close => machine.state == "close" && before.is_empty(),
            Turn::Handshake => false,
            Turn::Client(octets) => {
                said = octets.chunks(step).map(|piece| machine.feed(piece)).collect();
                before.is_empty()
            }
        };
        if !fits {
            return Err(format!("{dialogue}but the server is at {:?} and said {before:?}", machine.state));
        }
    }
    if said.is_empty() { Ok(()) } else { Err(format!("{dialogue}and then the server said {said:?}")) }
}

#[test]
fn every_transcript_is_followed() {
    let mut faults = String::new();
    let transcripts = all();
    assert!(transcripts.len() >= 15, "only {} transcripts found", transcripts.len());
    for transcript in &transcripts {
        // At once, octet by octet, and in some other split; behind STARTTLS a split can be an injection, so not there.
        let whole = transcript.setup.starttls || transcript.setup.turns;
        let steps: &[usize] = if whole { &[usize::MAX] } else { &[usize::MAX, 1, 7] };
        for step in steps {
            if let Err(fault) = play(transcript, *step) {
                let _ = writeln!(faults, "\n{} in pieces of {step}:\n{fault}", transcript.name);
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
