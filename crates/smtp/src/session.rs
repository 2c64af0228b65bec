//! The server's side of SMTP as a state machine without I/O: octets go in as they arrive, in any split; replies come out;
//! and between them it says what it needs. Knows the order of commands and the limits; what needs knowledge of accounts,
//! domains or queues it asks, and the driver (`server`) puts the question to the `Agent`.
//!
//! ```text
//!                 EHLO, HELO                 MAIL ✓                DATA ✓
//!  Connected ────────────────▶ Greeted ────────────▶ Transaction ────────▶ Data
//!      ▲                        │ ▲  ▲                 │   ▲  │ RCPT        │
//!      └──── STARTTLS, TLS ─────┘ │  └─── RSET, EHLO ──┘   └──┘             │ end of data
//!                          AUTH ▼ │                                         │
//!                      Authenticating        Greeted ◀──────────────────────┘
//!
//!                BDAT          its octets            BDAT … LAST, its octets
//!  Transaction ───────▶ Chunk ───────────▶ Chunked ──────────▶ Chunk ─────────▶ Greeted
//! ```
//! A peer that is refused for good in place of the greeting is `Refused` until its QUIT. A BDAT out of turn is a `RefusedChunk` until its octets have passed.
//! While a question is open the session is `Asked`; after QUIT, 421 and injection it is `Closing`.

mod auth;
mod check;
mod chunks;
mod ehlo;
mod guarded;
mod lines;
mod mail_from;
mod step;
mod turns;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use mail::{BodyType, Envelope};

use crate::agent::{Inquiry, SessionInfo};
use crate::command::guarded::Attributes;
use crate::command::{Command, CommandError};
use crate::data::{Chunks, Decoder, Fault, Fed};
use crate::reply::{self, Reply};
use crate::sasl::scram;
use crate::sasl::{Exchange, Judgement};
use crate::server::Settings;
use crate::tls::TlsInfo;
use chunks::{Chunk, Refused};
use lines::{Line, Lines};
use turns::Turns;

pub use step::{Answer, Question, Step};

/// Memory that a message gets first where MAIL gave no SIZE.
const FIRST_RESERVATION: usize = 64 * 1024;
/// Memory on top of SIZE, which is an estimate (RFC 1870 5).
const SIZE_SLACK: usize = 4 * 1024;
/// Replies that wait at most, but for the one that goes over it: short commands have long replies, and who sends many of them
/// and reads nothing is not to hold memory.
const OUTPUT_LIMIT: usize = 8 * 1024;

/// A mail transaction after MAIL was accepted.
#[derive(Debug)]
struct Transaction {
    envelope: Box<Envelope>,
    declared_size: Option<usize>,
}

impl Transaction {
    /// Whether MAIL said BODY=BINARYMIME.
    fn is_binary(&self) -> bool {
        self.envelope.body == BodyType::BinaryMime
    }
}

/// What is valid when; see the diagram at the head of the module.
#[derive(Debug)]
enum State {
    /// The greeting refused the peer: QUIT is all that it may say (RFC 5321 3.1).
    Refused,
    Connected,
    Greeted,
    Authenticating(Exchange),
    Transaction(Transaction),
    Data(Transaction, Decoder),
    Chunk(Transaction, Chunks, Chunk),
    Chunked(Transaction, Chunks),
    RefusedChunk(Box<Refused>),
    Asked(Asked),
    Handshake,
    Closing,
}

impl State {
    fn is_in_transaction(&self) -> bool {
        match self {
            Self::Asked(Asked::Authenticate(_) | Asked::ChallengeScram(_) | Asked::Connect) => false,
            Self::Asked(Asked::Inquire(state)) => state.is_in_transaction(),
            Self::Transaction(_) | Self::Data(..) | Self::Chunk(..) | Self::Chunked(..) | Self::Asked(_) => {
                true
            }
            _ => false,
        }
    }
}

/// Which question is open, with what the answer needs.
#[derive(Debug)]
enum Asked {
    Authenticate(Judgement),
    ChallengeScram(Box<scram::Server>),
    Connect,
    Inquire(Box<State>),
    Mail { declared_size: Option<usize>, lowered: bool },
    Rcpt { declared_size: Option<usize> },
    ReserveFirst(Transaction, usize),
    ReserveMore(Transaction, Decoder),
    ReserveChunk(Transaction, Chunks, Chunk, usize),
    Data,
}

/// One session, from the greeting to the end.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    info: SessionInfo,
    /// The address behind the connection, whoever the peer says to speak for.
    client: IpAddr,
    /// What XFORWARD said of the next message.
    forwarded: Option<Box<Attributes>>,
    starttls: bool,
    input: BytesMut,
    output: BytesMut,
    lines: Lines,
    state: State,
    turns: Turns,
    errors: u32,
    auth_failures: u32,
}

impl Session {
    /// A session whose peer has been greeted with nothing yet; `starttls` says whether STARTTLS can be had.
    #[must_use]
    pub fn new(settings: Arc<Settings>, info: SessionInfo, starttls: bool) -> Self {
        Self {
            settings,
            client: info.peer.ip(),
            info,
            forwarded: None,
            starttls,
            input: BytesMut::new(),
            output: BytesMut::new(),
            lines: Lines::default(),
            state: State::Connected,
            turns: Turns::default(),
            errors: 0,
            auth_failures: 0,
        }
    }

    /// Says the greeting, or in its place why the peer is not served.
    pub fn greet(&mut self, admitted: Result<(), Reply>) {
        match admitted {
            Ok(()) => self.say(&reply::greeting(&self.settings.hostname), State::Connected),
            Err(refusal) => self.say(&refusal, State::Refused),
        }
    }

    /// Who speaks.
    #[must_use]
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Where arriving octets are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Replies that wait to be written; the driver takes them out.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether content is being read (between 354 and the end of data, or within a chunk).
    #[must_use]
    pub fn is_in_data(&self) -> bool {
        let in_chunk = matches!(self.state, State::Chunk(..) | State::RefusedChunk(_));
        in_chunk || matches!(self.state, State::Data(..) | State::Asked(Asked::ReserveMore(..)))
    }

    /// Whether there is a mail transaction.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        match &self.state {
            State::RefusedChunk(refused) => refused.next.is_in_transaction(),
            state => state.is_in_transaction(),
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self) -> Step {
        loop {
            let state = std::mem::replace(&mut self.state, State::Closing);
            let step = match state {
                State::Closing => return Step::Close,
                State::Handshake => {
                    self.state = State::Handshake;
                    return Step::Handshake;
                }
                State::Asked(asked) => {
                    // Stepped before it was answered: nothing can be done but wait.
                    self.state = State::Asked(asked);
                    return Step::Read;
                }
                state if self.output.len() > OUTPUT_LIMIT => {
                    self.state = state;
                    return Step::Write;
                }
                State::Data(transaction, decoder) => self.read_content(transaction, decoder),
                State::Chunk(transaction, chunks, chunk) => self.read_chunk(transaction, chunks, chunk),
                State::RefusedChunk(refused) => self.read_refused_chunk(refused),
                state => self.read_line(state),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Ends the session with a reply that nobody asked for: time is up, or the service goes down.
    pub fn interrupt(&mut self, reply: &Reply) {
        self.say(reply, State::Closing);
    }

    /// The handshake is done: all that was said before counts no more (RFC 3207 4.2).
    pub fn secured(&mut self, tls: TlsInfo) {
        let name = self.info.name.take();
        self.info = SessionInfo {
            tls: Some(Box::new(tls)),
            name,
            ..SessionInfo::new(self.info.peer, self.info.local)
        };
        self.forwarded = None;
        self.input.clear();
        self.lines = Lines::default();
        self.state = State::Connected;
    }

    /// Takes the answer to the question that is open.
    pub fn answer(&mut self, answer: Answer) {
        let state = std::mem::replace(&mut self.state, State::Closing);
        match (state, answer) {
            (State::Asked(Asked::Authenticate(judgement)), Answer::Authenticate(answer)) => {
                self.judged(judgement, answer);
            }
            (State::Asked(Asked::ChallengeScram(exchange)), Answer::ChallengeScram(answer)) => {
                self.challenged(exchange, answer);
            }
            (State::Asked(Asked::Connect), Answer::Connect(answer)) => self.adopted(answer),
            (State::Asked(Asked::Inquire(state)), Answer::Inquire(said)) => self.say(&said, *state),
            (State::Asked(Asked::Mail { declared_size, lowered }), Answer::Mail(envelope, Ok(()))) => {
                self.forwarded = None;
                let said =
                    if lowered { reply::priority_lowered(envelope.priority) } else { reply::sender_ok() };
                self.say(&said, State::Transaction(Transaction { envelope, declared_size }));
            }
            (State::Asked(Asked::Mail { .. }), Answer::Mail(_, Err(refusal))) => {
                self.say(&refusal, State::Greeted);
            }
            (State::Asked(Asked::Rcpt { declared_size }), Answer::Rcpt(mut envelope, recipient, answer)) => {
                if answer.is_ok() {
                    envelope.recipients.push(recipient);
                }
                let said = answer.err().unwrap_or_else(reply::recipient_ok);
                self.say(&said, State::Transaction(Transaction { envelope, declared_size }));
            }
            (State::Asked(Asked::ReserveFirst(transaction, allowed)), Answer::Reserve(true)) => {
                let decoder = Decoder::new(self.settings.max_size, allowed);
                self.say(&reply::start_mail_input(), State::Data(transaction, decoder));
            }
            (State::Asked(Asked::ReserveFirst(transaction, _)), Answer::Reserve(false)) => {
                self.say(&reply::no_memory(), State::Transaction(transaction));
            }
            (State::Asked(Asked::ReserveMore(transaction, mut decoder)), Answer::Reserve(granted)) => {
                if granted {
                    decoder.allow(self.settings.max_size);
                } else {
                    decoder.refuse(Fault::NoMemory);
                }
                self.state = State::Data(transaction, decoder);
            }
            (
                State::Asked(Asked::ReserveChunk(transaction, chunks, chunk, octets)),
                Answer::Reserve(granted),
            ) => self.reserved_for_chunk(transaction, chunks, chunk, granted.then_some(octets)),
            (State::Asked(Asked::Data), Answer::Data(said)) => {
                if said.is_success() {
                    self.errors = 0;
                }
                self.say(&said, State::Greeted);
            }
            // The driver answered what was not asked: end the session before more goes wrong.
            _ => self.say(&reply::local_trouble(), State::Closing),
        }
    }

    /// Writes a reply, counts it where it refuses, and goes to the next state, or to the end behind a 421.
    fn say(&mut self, reply: &Reply, next: State) {
        reply.encode(&mut self.output);
        if reply.is_permanent() {
            self.errors += 1;
        }
        self.state = if reply.closes() { State::Closing } else { next };
    }

    fn ask(&mut self, question: Question, asked: Asked) -> Option<Step> {
        self.state = State::Asked(asked);
        Some(Step::Ask(question))
    }

    fn read_line(&mut self, state: State) -> Option<Step> {
        let length = match self.lines.find(&mut self.input) {
            Line::Incomplete => {
                self.state = state;
                return Some(Step::Read);
            }
            line if self.errors >= self.settings.max_errors => {
                if let Line::Whole(length) = line {
                    self.lines.consume(&mut self.input, length);
                }
                self.say(&reply::too_many_errors(), State::Closing);
                return None;
            }
            Line::TooLong => {
                // An exchange of AUTH ends with it (RFC 4954 4).
                let next = if matches!(state, State::Authenticating(_)) { State::Greeted } else { state };
                self.say(&reply::line_too_long(), next);
                return None;
            }
            Line::Whole(length) => length,
        };
        if let State::Authenticating(exchange) = state {
            return if self.takes_turns(true, length) { self.respond(exchange, length) } else { None };
        }
        let command = Command::parse(&self.input[..length]);
        if !self.takes_turns(self.must_be_last(&command), length) {
            return None;
        }
        self.lines.consume(&mut self.input, length);
        let refusal = match command {
            Ok(command) => match (self.check(&command, &state), &command) {
                (Ok(()), _) => return self.proceed(command, state),
                (Err(refusal), Command::Bdat { size, .. }) => {
                    self.refuse_chunk(*size, refusal, state);
                    return None;
                }
                (Err(refusal), _) => refusal,
            },
            // How many octets of content follow nobody knows: they are not to be taken for commands.
            Err(error @ CommandError::ChunkSize) => {
                self.say(&error.reply(), State::Closing);
                return None;
            }
            Err(error) => error.reply(),
        };
        self.say(&refusal, state);
        None
    }

    /// Does what a checked command says.
    fn proceed(&mut self, command: Command, state: State) -> Option<Step> {
        match (command, state) {
            (Command::Helo(name), _) => self.greeted(name, false),
            (Command::Ehlo(name), _) => self.greeted(name, true),
            (Command::Mail(reverse_path, parameters), _) => return self.mail(reverse_path, parameters),
            (Command::Rcpt(recipient), State::Transaction(transaction)) => {
                let Transaction { envelope, declared_size } = transaction;
                return self.ask(Question::Rcpt(envelope, recipient), Asked::Rcpt { declared_size });
            }
            (Command::Data, State::Transaction(transaction)) => {
                let wanted = transaction.declared_size.map_or(FIRST_RESERVATION, |size| size + SIZE_SLACK);
                let wanted = wanted.min(self.settings.max_size);
                return self.ask(Question::Reserve(wanted), Asked::ReserveFirst(transaction, wanted));
            }
            (Command::Bdat { size, last }, State::Transaction(transaction)) => {
                return self.first_chunk(transaction, size, last);
            }
            (Command::Bdat { size, last }, State::Chunked(transaction, chunks)) => {
                self.next_chunk(transaction, chunks, size, last);
            }
            (Command::Rset, state) => {
                self.forwarded = None;
                let next = if matches!(state, State::Connected) { state } else { State::Greeted };
                self.say(&reply::ok(), next);
            }
            (Command::Quit, _) => self.say(&reply::goodbye(), State::Closing),
            (Command::StartTls, _) => self.start_tls(),
            (Command::Auth { mechanism, initial }, state) => {
                return self.auth(&mechanism, initial.as_deref(), state);
            }
            (Command::Help, state) => self.help(state),
            (Command::Noop, state) => self.say(&reply::ok(), state),
            // `check` lets none of these come here.
            (Command::Rcpt(_) | Command::Data | Command::Bdat { .. }, state) => {
                self.say(&reply::bad_sequence("Bad sequence of commands"), state);
            }
            (command, state) => return self.guarded(command, state),
        }
        None
    }

    fn start_tls(&mut self) {
        if self.input.is_empty() {
            self.say(&reply::ready_for_tls(), State::Handshake);
        } else {
            self.say(&reply::pipelined_starttls(), State::Closing);
        }
    }

    fn read_content(&mut self, transaction: Transaction, mut decoder: Decoder) -> Option<Step> {
        let (taken, fed) = decoder.feed(&self.input);
        self.input.advance(taken);
        match fed {
            Fed::More => {
                self.state = State::Data(transaction, decoder);
                Some(Step::Read)
            }
            Fed::Full => {
                self.ask(Question::Reserve(self.settings.max_size), Asked::ReserveMore(transaction, decoder))
            }
            Fed::End => match decoder.finish() {
                Ok(content) => self.ask(Question::Data(transaction.envelope, content), Asked::Data),
                Err(fault) => {
                    let refusal = self.refusal_of(fault);
                    self.say(&refusal, State::Greeted);
                    None
                }
            },
        }
    }

    /// What is said to a message with this fault. The agent never hears of it, so it is logged here.
    fn refusal_of(&self, fault: Fault) -> Reply {
        let SessionInfo { peer, account, .. } = &self.info;
        let account = account.as_ref().map(|account| account.address.to_string());
        let reply = fault.reply();
        tracing::info!(%peer, account, %reply, "refused a message");
        reply
    }
}

#[cfg(test)]
mod tests;
