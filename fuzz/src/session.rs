//! A whole session, fed with whatever a peer may send, whole and in pieces. The same is said both times; every reply is
//! well-formed and answers one line; a message that is handed over holds what its peer was allowed to send and no more; and
//! when the session is over it says nothing.

use std::sync::Arc;

use ipnet::IpNet;
use mail::{Account, BodyType, Envelope, Priority, ScramChallenge, Timestamp};
use smtp::command::LINE_LIMIT_AUTH;
use smtp::policy::{FutureRelease, Now, Policy};
use smtp::reply::{self, Reply};
use smtp::sasl::Mechanism;
use smtp::server::Settings;
use smtp::session::{Answer, Question, Session, Step};
use smtp::{Login, SessionInfo, TlsInfo};

use crate::wire;

/// `flags, limits, seed, octets…`
pub(crate) fn check(octets: &[u8]) {
    let ([flags, limits, seed], octets) = wire::controls(octets);
    let mut whole = Play::new(flags, limits);
    whole.feed(octets);
    let mut split = Play::new(flags, limits);
    wire::pieces(octets, seed).into_iter().for_each(|piece| split.feed(piece));
    // Behind STARTTLS it matters what is there already: that is injection.
    if whole.handshakes == 0 && split.handshakes == 0 && flags & STARTTLS == 0 {
        assert_eq!(
            split.said.escape_ascii().to_string(),
            whole.said.escape_ascii().to_string(),
            "in pieces, and whole"
        );
        assert_eq!(split.taken, whole.taken);
    }
    whole.interrupt();
    split.interrupt();
}

const TLS: u8 = 1;
const STARTTLS: u8 = 2;
const AUTHENTICATION: u8 = 4;
const NEEDS_AUTHENTICATION: u8 = 8;
const NEEDS_TLS: u8 = 16;
const SCARCE: u8 = 32;
const LISTED: u8 = 64;
const HOLDS: u8 = 128;

/// A session with an agent of simple rules.
struct Play {
    session: Session,
    settings: Arc<Settings>,
    scarce: bool,
    lines: usize,
    last: u8,
    said: Vec<u8>,
    answered: usize,
    closed: bool,
    handshakes: usize,
    taken: Vec<(Envelope, Vec<u8>)>,
}

impl Play {
    fn new(flags: u8, limits: u8) -> Self {
        let settings = Arc::new(Settings {
            hostname: "mx.example".to_owned(),
            max_size: 16 << (limits & 7),
            max_recipients: 1 + usize::from(limits >> 3 & 3),
            max_errors: 3 + u32::from(limits >> 5) * 8,
            max_auth_failures: 2,
            mechanisms: if flags & AUTHENTICATION > 0 { Mechanism::ALL.into() } else { Vec::new() },
            require_authentication: flags & NEEDS_AUTHENTICATION > 0,
            require_tls: flags & NEEDS_TLS > 0,
            policy: policy(flags),
            ..Settings::default()
        });
        let address = "192.0.2.1:2525".parse().unwrap();
        let info = SessionInfo::new(address, address);
        let mut session = Session::new(Arc::clone(&settings), info, flags & STARTTLS > 0);
        if flags & TLS > 0 {
            session.secured(tls());
        }
        session.greet(Ok(()));
        let mut play = Self {
            session,
            settings,
            scarce: flags & SCARCE > 0,
            lines: 0,
            last: 0,
            said: Vec::new(),
            answered: 0,
            closed: false,
            handshakes: 0,
            taken: Vec::new(),
        };
        play.go_on();
        assert_eq!(play.answered, 1, "the greeting");
        play
    }

    fn feed(&mut self, octets: &[u8]) {
        if self.closed {
            return;
        }
        for octet in octets {
            self.lines += usize::from(self.last == b'\r' && *octet == b'\n');
            self.last = *octet;
        }
        self.session.input().extend_from_slice(octets);
        self.go_on();
        assert!(self.answered <= 1 + self.lines, "{} answers to {} lines", self.answered, self.lines);
        assert!(self.session.input().len() <= LINE_LIMIT_AUTH, "nothing is held but part of a line");
    }

    fn go_on(&mut self) {
        // Each octet takes a few steps at most.
        for _ in 0..self.session.input().len() * 4 + 16 {
            match self.session.step() {
                Step::Read => return self.listen(),
                Step::Write => self.listen(),
                Step::Ask(question) => {
                    let answer = self.answer(question);
                    self.session.answer(answer);
                }
                Step::Handshake => {
                    self.listen();
                    assert!(self.session.input().is_empty(), "octets from before TLS are kept");
                    self.handshakes += 1;
                    self.session.secured(tls());
                    assert!(self.session.info().account.is_none() && !self.session.is_in_transaction());
                }
                Step::Close => {
                    self.listen();
                    self.closed = true;
                    assert!(matches!(self.session.step(), Step::Close));
                    return assert!(self.session.output().is_empty(), "something behind the last reply");
                }
            }
        }
        panic!("the session does not come to an end");
    }

    /// Reads what was said.
    fn listen(&mut self) {
        let output = std::mem::take(self.session.output());
        let codes = wire::replies(&output);
        if let Some((last, before)) = codes.split_last() {
            assert!(
                !before.iter().any(|code| matches!(code, 421 | 221)),
                "something behind the end: {codes:?}"
            );
            // A 421 or 221 is the end: the next step says so.
            let ends = matches!(last, 421 | 221);
            assert!(!ends || matches!(self.session.step(), Step::Close));
        }
        self.answered += codes.len();
        self.said.extend_from_slice(&output);
    }

    /// By rules that depend on the question alone; refusals repeat what the peer said.
    fn answer(&mut self, question: Question) -> Answer {
        let refusal = |who: String| match who.bytes().map(usize::from).sum::<usize>() % 8 {
            0 => Err(Reply::new(550, (5, 7, 1), format!("Not for {who}"))),
            1 => Err(Reply::new(450, (4, 2, 0), format!("Later:\r\n{who}\n250 OK"))),
            2 if who.len() > 20 => Err(reply::shutting_down()),
            _ => Ok(()),
        };
        match question {
            Question::Authenticate(credentials) => {
                assert!(!self.settings.mechanisms.is_empty() && self.session.info().tls.is_some());
                assert!(self.session.info().account.is_none());
                let server_signature = Some([1; 32]);
                let answer = refusal(credentials.login().to_owned());
                Answer::Authenticate(answer.map(|()| Login { account: account(), server_signature }))
            }
            Question::ChallengeScram(login) => {
                assert!(!self.settings.mechanisms.is_empty() && self.session.info().tls.is_some());
                let challenge = ScramChallenge { salt: vec![2; 16], iterations: 4096 };
                Answer::ChallengeScram(refusal(login).map(|()| (challenge, "nonce".to_owned())))
            }
            Question::Connect(login) => {
                assert!(self.session.info().account.is_none() && !self.session.is_in_transaction());
                let served = refusal(self.session.info().peer.to_string());
                Answer::Connect(served.map(|()| login.map(|_| account())))
            }
            Question::Inquire(inquiry) => {
                let said = refusal(format!("{inquiry:?}"));
                Answer::Inquire(said.err().unwrap_or_else(|| Reply::new(250, (2, 1, 5), "one\ntwo")))
            }
            Question::Mail(envelope) => {
                assert!(envelope.priority.is_normal() || envelope.priority < Priority::NORMAL);
                assert!(!envelope.require_tls || self.session.info().tls.is_some());
                let info = self.session.info();
                assert!(info.tls.is_some() || !self.settings.require_tls);
                assert!(info.account.is_some() || !self.settings.require_authentication);
                assert!(envelope.recipients.is_empty());
                let answer = refusal(envelope.reverse_path.to_string());
                Answer::Mail(envelope, answer)
            }
            Question::Rcpt(envelope, recipient) => {
                assert!(envelope.recipients.len() < self.settings.max_recipients);
                let answer = refusal(recipient.forward_path.to_string());
                Answer::Rcpt(envelope, recipient, answer)
            }
            Question::Reserve(octets) => {
                assert!(octets <= self.settings.max_size, "{octets} octets reserved");
                Answer::Reserve(!self.scarce || octets < 64)
            }
            Question::Data(envelope, content) => {
                self.take(*envelope, content.to_vec());
                Answer::Data(reply::queued("an id"))
            }
        }
    }

    fn take(&mut self, envelope: Envelope, content: Vec<u8>) {
        assert!((1..=self.settings.max_recipients).contains(&envelope.recipients.len()));
        assert!(content.len() <= self.settings.max_size, "{} octets taken", content.len());
        let binary = envelope.body == BodyType::BinaryMime;
        assert!(binary || !wire::has_bare_line_break(&content), "{:?}", content.escape_ascii().to_string());
        let international = envelope.reverse_path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii());
        assert!(envelope.smtputf8 || !international);
        self.taken.push((envelope, content));
    }

    fn interrupt(&mut self) {
        if !self.closed {
            self.session.interrupt(&reply::shutting_down());
            self.lines += 1;
            self.go_on();
            assert!(self.closed && self.said.ends_with(b"\r\n"));
        }
    }
}

/// Where the peer is listed it may give every command that there is.
fn policy(flags: u8) -> Policy {
    let listed: Vec<IpNet> =
        if flags & LISTED > 0 { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() };
    let now: Now = Arc::new(|| Timestamp::from_millis(1_795_455_845_000));
    Policy {
        future_release: (flags & HOLDS > 0).then_some(FutureRelease { max_seconds: 3600, now }),
        verify_from: listed.clone(),
        etrn_from: listed.clone(),
        xclient_from: listed.clone(),
        xclient_login: true,
        verbs_from: listed,
        ..Policy::default()
    }
}

fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        exporter: Some([3; 32]),
        client_addresses: vec!["demo@a.example".to_owned()],
        ..TlsInfo::default()
    }
}

fn account() -> Account {
    Account::new("demo@a.example".parse().unwrap(), Timestamp::from_millis(0))
}
