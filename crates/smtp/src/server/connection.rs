//! One connection: the loop that gives a session what it asks for.

use std::io;
use std::net::SocketAddr;
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

use super::{Agent, Reservation, SessionInfo, Settings, TlsMode};
use crate::reply::{self, Reply};
use crate::sasl::scram;
use crate::session::{Answer, Question, Session, Step};
use crate::stream::Stream;
use crate::tls::{ServerTls, TlsInfo};

/// Octets and time that a peer may still send after we closed, so that it reads our last reply before a reset.
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

/// Serves one peer to the end of its session.
pub(super) async fn run(server: Server, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let info = SessionInfo::new(peer, stream.local_addr()?);
    let starttls = matches!(server.tls, TlsMode::StartTls(_));
    let mut session = Session::new(Arc::clone(&server.settings), info, starttls);
    let mut stream = Stream::Plain(stream);
    if let TlsMode::Implicit(tls) = &server.tls {
        let (secured, tls) = secure(stream, tls, server.settings.timeouts.handshake).await?;
        stream = secured;
        session.secured(tls);
    }
    let deadline = Instant::now() + server.settings.timeouts.session;
    let mut connection =
        Connection { server, session, stream: Some(stream), deadline, memory: None, span: None };
    connection.serve().await
}

struct Connection {
    server: Server,
    session: Session,
    /// Away only while a handshake happens.
    stream: Option<Stream>,
    deadline: Instant,
    memory: Option<Reservation>,
    span: Option<Span>,
}

impl Connection {
    async fn serve(&mut self) -> io::Result<()> {
        let admitted = self.server.agent.connect(self.session.info()).await;
        self.session.greet(admitted);
        loop {
            let step = self.session.step();
            if !self.session.is_in_transaction() {
                self.span = None;
                self.memory = None;
            }
            match step {
                Step::Ask(question) => self.ask(question).await,
                Step::Read => {
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
                    self.write().await?;
                    return self.close().await;
                }
            }
        }
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
                let answer = self.server.agent.mail(info, &envelope).instrument(span.clone()).await;
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
                Answer::Authenticate(agent.authenticate(info, &credentials).await)
            }
            Question::ChallengeScram(login) => Answer::ChallengeScram(match scram::nonce() {
                Some(nonce) => agent.challenge_scram(info, &login).await.map(|challenge| (challenge, nonce)),
                None => Err(reply::local_trouble()),
            }),
            Question::Connect(login) => Answer::Connect(self.adopt(login.as_deref()).await),
            Question::Inquire(inquiry) => Answer::Inquire(agent.inquire(info, &inquiry).await),
            Question::Rcpt(envelope, recipient) => {
                let answer = agent.rcpt(info, &envelope, &recipient).await;
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
                self.memory = self.server.settings.message_memory.reserve(octets, wait).await;
                self.memory.is_some()
            }
        };
        if !granted {
            let peer = self.session.info().peer;
            tracing::warn!(%peer, octets, "refused a message: no memory became free in time");
        }
        granted
    }

    /// Writes the replies that wait, all of a pipelined batch at once.
    async fn write(&mut self) -> io::Result<()> {
        let output = self.session.output();
        if output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(output);
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let written = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        tokio::time::timeout(self.server.settings.timeouts.command, written).await?
    }

    /// Reads what comes, or interrupts the session when time is up or the service goes down. 0 is the end.
    async fn read(&mut self) -> io::Result<usize> {
        let timeouts = &self.server.settings.timeouts;
        let in_data = self.session.is_in_data();
        let wait = if in_data { timeouts.data } else { timeouts.command };
        let until = self.deadline.min(Instant::now() + wait);
        let input = self.session.input();
        if !in_data && input.is_empty() && input.capacity() > KEPT_BUFFER {
            *input = BytesMut::new();
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let interruption = tokio::select! {
            biased;
            () = self.server.shutdown.cancelled(), if !in_data => reply::shutting_down(),
            read = tokio::time::timeout_at(until, stream.read(input)) => match read {
                Ok(read) => return read,
                Err(_) => reply::idle_too_long(),
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
        let (stream, tls) = secure(stream, tls, self.server.settings.timeouts.handshake).await?;
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

async fn secure(stream: Stream, tls: &ServerTls, wait: Duration) -> io::Result<(Stream, TlsInfo)> {
    let Stream::Plain(stream) = stream else { return Err(io::ErrorKind::AlreadyExists.into()) };
    // Boxed, so that a session does not hold room for it all its life.
    let secrets = tls.current();
    let handshake = Box::pin(TlsAcceptor::from(secrets.config()).accept(stream));
    let stream = tokio::time::timeout(wait, handshake).await??;
    let info = secrets.info(stream.get_ref().1);
    Ok((Stream::Tls(Box::new(stream.into())), info))
}
