//! One connection: the loop that gives a session what it asks for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mail::Account;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use super::clock::{Clock, Reading};
use super::guard::Guard;
use super::limits::{Reason, Visit};
use super::places::Place;
use super::proxy::Addresses;
use super::{Agent, Reservation, SessionInfo, Settings, TlsMode};
use crate::reply::{self, Reply};
use crate::sasl::scram;
use crate::session::{Answer, Question, Session, Step};
use crate::stream::Stream;
use crate::tls::{ServerTls, TlsInfo};

/// Octets and time that a peer may still send after we closed, so that it reads our last reply before a reset; and the time
/// that it has at least to take any reply.
const LINGER_OCTETS: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// A buffer that grew over this is given back when it is empty.
const KEPT_BUFFER: usize = 1024;

/// What each session of a listener shares.
pub(super) struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) agent: Arc<dyn Agent>,
    pub(super) tls: TlsMode,
    pub(super) shutdown: CancellationToken,
}

/// One peer's connection, from the first octet to the end of its session.
pub(super) struct Connection {
    server: Arc<Server>,
    session: Session,
    /// Away only while a handshake happens.
    stream: Option<Stream>,
    clock: Clock,
    guard: Guard,
    memory: Option<Reservation>,
    span: Option<Span>,
}

impl Connection {
    pub(super) fn new(
        server: Arc<Server>,
        stream: TcpStream,
        ends: Addresses,
        visit: Visit,
        place: Place,
    ) -> Self {
        let info = SessionInfo::new(ends.source, ends.destination);
        let starttls = matches!(server.tls, TlsMode::StartTls(_));
        let clock = Clock::new(&server.settings.timeouts, place.is_reserved(), Instant::now());
        let mut session = Session::new(Arc::clone(&server.settings), info, starttls);
        if server.settings.forbid_unauthorized_pipelining {
            session.insist_on_turns();
        }
        let (stream, guard) = (Some(Stream::Plain(stream)), Guard::new(visit, place));
        Self { server, session, stream, clock, guard, memory: None, span: None }
    }

    /// Serves the peer to the end of its session.
    pub(super) async fn serve(&mut self) -> io::Result<()> {
        if matches!(self.server.tls, TlsMode::Implicit(_)) {
            self.handshake().await?;
        }
        let early = Box::pin(self.wait_before_greeting()).await?;
        if early {
            self.session.interrupt(&reply::talked_too_early());
        } else {
            let admitted = self.server.agent.connect(self.session.info()).await;
            self.session.greet(admitted);
        }
        loop {
            let step = self.session.step();
            if !self.session.is_in_transaction() {
                self.span = None;
                self.memory = None;
            }
            match step {
                Step::Ask(question) => self.ask(question).await,
                Step::Write => {
                    // Judged like those before a read: the command that the peer must wait behind may be the one that is
                    // answered here.
                    if self.judge().await? {
                        self.write().await?;
                        self.interrupt_where_over();
                    }
                }
                Step::Read => {
                    if !self.judge().await? {
                        continue;
                    }
                    self.write().await?;
                    if self.read().await? == 0 {
                        return Ok(());
                    }
                }
                Step::Handshake => {
                    self.write().await?;
                    self.handshake().await?;
                }
                Step::Close => {
                    if self.session.has_broken_turn() {
                        self.guard.offend(Reason::OutOfTurn);
                    }
                    // Those of the last batch were not judged. Whatever they lead to: the session is over.
                    let _ = self.guard.errors(self.session.errors());
                    self.write().await?;
                    return self.close().await;
                }
            }
        }
    }

    /// Lets a peer that is not known wait for the greeting; whether it talked meanwhile (RFC 5321 3.1: it must not).
    async fn wait_before_greeting(&mut self) -> io::Result<bool> {
        let delay = self.server.settings.greeting_delay;
        if delay.is_zero() || self.session.info().tls.is_some() || self.guard.knows_peer() {
            return Ok(false);
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let read = tokio::select! {
            biased;
            () = self.server.shutdown.cancelled() => return Ok(false),
            read = tokio::time::timeout(delay, stream.read(self.session.input())) => read,
        };
        let Ok(read) = read else {
            self.guard.greeted();
            return Ok(false);
        };
        if read? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.guard.offend(Reason::EarlyTalker);
        Ok(true)
    }

    /// Looks at how the peer behaves before it hears the replies that wait; whether the session goes on.
    async fn judge(&mut self) -> io::Result<bool> {
        if self.session.is_in_turn() {
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            if stream.read_now(self.session.input()).await? {
                self.session.break_turn();
                return Ok(false);
            }
        }
        let errors = self.session.errors();
        if self.session.info().account.is_some() {
            self.guard.place.authenticated();
        }
        let peer = self.session.info().peer.ip();
        let verdict = match self.guard.moved(peer, &self.server.settings.limits) {
            Ok(()) => self.guard.errors(errors),
            refused => refused,
        };
        if let Err(reply) = verdict {
            self.session.interrupt(&reply);
            return Ok(false);
        }
        let delay = self.guard.tarpit(errors, &self.server.settings.tarpit);
        self.guard.seen(errors);
        if !delay.is_zero() {
            let (end, _) = self.clock.end(self.guard.place.is_reserved());
            let until = end.min(Instant::now() + delay);
            Box::pin(async {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = self.server.shutdown.cancelled() => {}
                }
            })
            .await;
        }
        Ok(true)
    }

    async fn ask(&mut self, question: Question) {
        let answer = match question {
            Question::Mail(envelope) => {
                // Where commands come in a batch, what the message before it held is still held.
                self.memory = None;
                let info = self.session.info();
                let span = tracing::info_span!(
                    parent: None,
                    "smtp.transaction",
                    otel.kind = "server",
                    peer = %info.peer,
                    helo = %info.helo,
                    tick = info.tick,
                    reverse_path = %envelope.reverse_path,
                    recipients = field::Empty,
                    size = field::Empty,
                    queue_id = field::Empty,
                    code = field::Empty,
                );
                let answer = match self.guard.message() {
                    Ok(()) => self.server.agent.mail(info, &envelope).instrument(span.clone()).await,
                    refused => refused,
                };
                if let Err(refusal) = &answer {
                    span.record("code", refusal.code());
                    let (peer, account) = (info.peer, account_of(info));
                    let reverse_path = &envelope.reverse_path;
                    span.in_scope(|| tracing::info!(%peer, account, %reverse_path, reply = %refusal, "refused the sender"));
                }
                self.span = Some(span);
                Answer::Mail(envelope, answer)
            }
            question => {
                let span = self.span.clone().unwrap_or_else(Span::none);
                self.ask_within(question).instrument(span).await
            }
        };
        self.session.answer(answer);
    }

    /// All questions but the one that begins a transaction.
    async fn ask_within(&mut self, question: Question) -> Answer {
        let (agent, info) = (&self.server.agent, self.session.info());
        match question {
            Question::Authenticate(credentials) => {
                let answer = match self.guard.may_authenticate(credentials.login()) {
                    Ok(()) => {
                        let answer = agent.authenticate(info, &credentials).await;
                        self.guard.authenticated(credentials.login(), answer)
                    }
                    Err(refusal) => Err(refusal),
                };
                Answer::Authenticate(answer)
            }
            Question::ChallengeScram(login) => {
                Answer::ChallengeScram(match (self.guard.may_authenticate(&login), scram::nonce()) {
                    (Err(refusal), _) => Err(refusal),
                    (Ok(()), Some(nonce)) => {
                        agent.challenge_scram(info, &login).await.map(|challenge| (challenge, nonce))
                    }
                    (Ok(()), None) => Err(reply::local_trouble()),
                })
            }
            Question::Connect(login) => Answer::Connect(self.adopt(login.as_deref()).await),
            Question::Inquire(inquiry) => Answer::Inquire(agent.inquire(info, &inquiry).await),
            Question::Rcpt(envelope, recipient) => {
                let answer = match self.guard.recipient() {
                    Ok(()) => agent.rcpt(info, &envelope, &recipient).await,
                    refused => refused,
                };
                if let Err(refusal) = &answer {
                    let (peer, account) = (info.peer, account_of(info));
                    let forward_path = &recipient.forward_path;
                    tracing::info!(%peer, account, %forward_path, reply = %refusal, "refused a recipient");
                }
                Answer::Rcpt(envelope, recipient, answer)
            }
            Question::Reserve(octets) => Answer::Reserve(self.reserve(octets).await),
            Question::Data(envelope, content) => {
                let span = Span::current();
                span.record("recipients", envelope.recipients.len());
                span.record("size", content.len());
                if let Some(memory) = &mut self.memory {
                    memory.shrink(content.len());
                }
                let said = agent.data(info, *envelope, content).await;
                span.record("code", said.code());
                log_answer(info, &said);
                Answer::Data(said)
            }
            // Asked by `ask` already; the session takes this for the bug that it would be.
            Question::Mail(envelope) => Answer::Mail(envelope, Err(reply::local_trouble())),
        }
    }

    /// Asks again whether the peer is served, now that a listed host has said who it is.
    async fn adopt(&self, login: Option<&str>) -> Result<Option<Account>, Reply> {
        let (agent, info) = (&self.server.agent, self.session.info());
        agent.connect(info).await?;
        match login {
            Some(login) => agent.vouched(info, login).await.map(Some),
            None => Ok(None),
        }
    }

    async fn reserve(&mut self, octets: usize) -> bool {
        let wait = self.server.settings.memory_wait;
        let granted = match &mut self.memory {
            Some(memory) => memory.grow(octets, wait).await,
            None => {
                let budget = self.guard.memory(&self.server.settings);
                self.memory = budget.reserve(octets, wait).await;
                self.memory.is_some()
            }
        };
        if !granted {
            self.server.settings.limits.count_refusal(Reason::Memory);
            let peer = self.session.info().peer;
            tracing::warn!(%peer, octets, "refused a message: no memory became free in time");
        }
        granted
    }

    /// Between two parts of the replies to one batch, where nothing is read that would end with the time.
    fn interrupt_where_over(&mut self) {
        let (until, end) = self.clock.end(self.guard.place.is_reserved());
        if Instant::now() >= until {
            if let Some(reason) = end.reason() {
                self.guard.offend(reason);
            }
            self.session.interrupt(&end.reply());
        } else if self.server.shutdown.is_cancelled() && !self.session.is_in_data() {
            self.session.interrupt(&reply::shutting_down());
        }
    }

    /// Writes the replies that wait, all of a pipelined batch at once. A peer that does not read them has until the session
    /// is over, or the service goes down, and then a moment: it is not to miss what became of its message.
    async fn write(&mut self) -> io::Result<()> {
        let output = self.session.output();
        if output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(output);
        let (end, _) = self.clock.end(self.guard.place.is_reserved());
        let now = Instant::now();
        let until = end.min(now + self.server.settings.timeouts.command).max(now + LINGER);
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let shutdown = &self.server.shutdown;
        // Boxed, so that a session does not hold room for it all its life.
        Box::pin(async {
            let written = async {
                stream.write_all(&output).await?;
                stream.flush().await
            };
            let going_down = async {
                shutdown.cancelled().await;
                tokio::time::sleep(LINGER).await;
            };
            tokio::select! {
                biased;
                written = tokio::time::timeout_at(until, written) => written?,
                () = going_down => Err(io::ErrorKind::TimedOut.into()),
            }
        })
        .await
    }

    /// Reads what comes, or interrupts the session when time is up or the service goes down. 0 is the end.
    async fn read(&mut self) -> io::Result<usize> {
        let in_data = self.session.is_in_data();
        let now = Instant::now();
        let reading = Reading {
            line: self.session.line(),
            in_data,
            holds_memory: self.memory.is_some(),
            reserved_place: self.guard.place.is_reserved(),
        };
        self.clock.look(reading, &self.server.settings.timeouts, now);
        let (until, end) = self.clock.until(now);
        let input = self.session.input();
        if !in_data && input.is_empty() && input.capacity() > KEPT_BUFFER {
            *input = BytesMut::new();
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let interruption = tokio::select! {
            biased;
            () = self.server.shutdown.cancelled(), if !in_data => reply::shutting_down(),
            read = tokio::time::timeout_at(until, stream.read(input)) => match read {
                Ok(read) => {
                    let octets = read?;
                    self.clock.came(octets, now.elapsed());
                    return Ok(octets);
                }
                Err(_) => {
                    if let Some(reason) = end.reason() {
                        self.guard.offend(reason);
                    }
                    end.reply()
                }
            },
        };
        tracing::debug!(peer = %self.session.info().peer, reply = %interruption, "interrupted the session");
        self.session.interrupt(&interruption);
        Ok(1)
    }

    async fn handshake(&mut self) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let (TlsMode::StartTls(tls) | TlsMode::Implicit(tls)) = &self.server.tls else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (stream, tls) = secure(stream, tls, self.clock.handshake(Instant::now())).await?;
        self.session.secured(tls);
        self.stream = Some(stream);
        Ok(())
    }

    /// Closes so that the peer can read the last reply: what it still sends is read and thrown away for a moment.
    async fn close(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let lingering = async {
            stream.shutdown().await?;
            let mut left = LINGER_OCTETS;
            let mut surplus = BytesMut::new();
            while left > 0 {
                surplus.clear();
                match stream.read(&mut surplus).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            Ok(())
        };
        tokio::time::timeout(LINGER, lingering).await.unwrap_or(Ok(()))
    }
}

/// What the peer heard behind its content. Whoever took a message has a line for it already.
fn log_answer(info: &SessionInfo, said: &Reply) {
    let (peer, account) = (info.peer, account_of(info));
    if said.is_success() {
        tracing::debug!(%peer, account, reply = %said, "took a message");
    } else {
        tracing::info!(%peer, account, reply = %said, "refused a message");
    }
}

/// For log lines, which do not carry what the span has.
fn account_of(info: &SessionInfo) -> Option<String> {
    info.account.as_ref().map(|account| account.address.to_string())
}

async fn secure(stream: Stream, tls: &ServerTls, until: Instant) -> io::Result<(Stream, TlsInfo)> {
    let Stream::Plain(stream) = stream else { return Err(io::ErrorKind::AlreadyExists.into()) };
    // Boxed, so that a session does not hold room for it all its life.
    let secrets = tls.current();
    let handshake = Box::pin(TlsAcceptor::from(secrets.config()).accept(stream));
    let stream = tokio::time::timeout_at(until, handshake).await??;
    let info = secrets.info(stream.get_ref().1);
    Ok((Stream::Tls(Box::new(stream.into())), info))
}
