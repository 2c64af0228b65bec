//! Another mail server, as scripted: it takes whatever comes unless told otherwise, and records it octet for octet.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::client::Stream;
use crate::transcript::Transcript;
use crate::wait::eventually;

/// What the peer does at one point of the dialogue.
#[derive(Debug, Clone)]
pub enum Act {
    /// Says this; lines without their ends, joined by `\r\n` where there are several.
    Say(String),
    /// Closes the connection without a word.
    Close,
    /// Says nothing more, and keeps the connection open.
    Stall,
}

impl Act {
    /// Says this.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }
}

/// A message that the peer was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// All of the MAIL command, parameters included.
    pub mail: String,
    /// All of each accepted RCPT command.
    pub recipients: Vec<String>,
    /// The octets before the final dot as they came, dots still stuffed; those of the chunk where there was BDAT.
    pub wire: Vec<u8>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// What the client called itself.
    pub helo: String,
    /// Whether its end was answered with success.
    pub accepted: bool,
}

impl Received {
    /// The content, without stuffed dots.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let lines = self.wire.split_inclusive(|octet| *octet == b'\n');
        lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
    }
}

/// How the peer behaves.
#[derive(Clone)]
pub struct Script {
    extensions: Vec<String>,
    tls: Option<Arc<ServerConfig>>,
    once: Vec<(String, VecDeque<Act>)>,
    always: Vec<(String, Act)>,
}

impl Default for Script {
    fn default() -> Self {
        let extensions =
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 104857600", "DSN"];
        Self {
            extensions: extensions.map(ToOwned::to_owned).to_vec(),
            tls: None,
            once: Vec::new(),
            always: Vec::new(),
        }
    }
}

impl Script {
    /// Offers these extensions and no others (but STARTTLS, see [`Script::tls`]).
    #[must_use]
    pub fn offers(mut self, extensions: &[&str]) -> Self {
        self.extensions = extensions.iter().map(ToString::to_string).collect();
        self
    }

    /// Offers STARTTLS, and does it.
    #[must_use]
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// At the next commands that start so (`RCPT TO:<bob@`), one act each, over all sessions; then as usual. `CONNECT`
    /// stands for the greeting and `CONTENT` for the end of content.
    #[must_use]
    pub fn next(mut self, command: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        self.once.push((command.to_ascii_uppercase(), acts.into_iter().collect()));
        self
    }

    /// At every command that starts so.
    #[must_use]
    pub fn always(mut self, command: &str, act: Act) -> Self {
        self.always.push((command.to_ascii_uppercase(), act));
        self
    }

    /// What the script says to a command, if anything.
    fn act(&mut self, command: &str) -> Option<Act> {
        let command = command.to_ascii_uppercase();
        for (start, acts) in &mut self.once {
            if command.starts_with(start.as_str())
                && let Some(act) = acts.pop_front()
            {
                return Some(act);
            }
        }
        self.always.iter().find(|(start, _)| command.starts_with(start.as_str())).map(|(_, act)| act.clone())
    }
}

/// What all sessions of a peer share.
struct Shared {
    script: Mutex<Script>,
    received: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
    sessions: Mutex<usize>,
    /// What each session sent, octet for octet.
    octets: Mutex<Vec<Vec<u8>>>,
    transcript: Transcript,
}

/// The server; it ends with this value.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Peer {
    /// Listens on a port of loopback.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start(script: Script) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// Listens there, so that several peers can have one port on different addresses.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start_at(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            received: Mutex::default(),
            commands: Mutex::default(),
            sessions: Mutex::default(),
            octets: Mutex::default(),
            transcript: Transcript::new(format!("dialogue of the peer on {address}")),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, serving }
    }

    /// Behaves so from now on.
    pub fn script(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// All messages that came in whole, in the order of their ends.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The messages that it took responsibility for.
    #[must_use]
    pub fn accepted(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.accepted).collect()
    }

    /// Waits until it has taken this many messages.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn accepts(&self, number: usize) -> Vec<Received> {
        let what = format!("{number} messages at the peer");
        eventually(&what, async || Some(self.accepted()).filter(|accepted| accepted.len() >= number)).await
    }

    /// Every command that was heard, over all sessions.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    /// All that came in, octet for octet, of each session in turn.
    #[must_use]
    pub fn octets(&self) -> Vec<Vec<u8>> {
        self.shared.octets.lock().unwrap().clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn sessions(&self) -> usize {
        *self.shared.sessions.lock().unwrap()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set ends the sessions.
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = {
            let mut number = shared.sessions.lock().unwrap();
            *number += 1;
            shared.octets.lock().unwrap().push(Vec::new());
            *number
        };
        let _ = stream.set_nodelay(true);
        let session = Session {
            stream: Box::new(stream),
            buffer: Vec::new(),
            number,
            tls: false,
            helo: String::new(),
            mail: None,
            recipients: Vec::new(),
            shared: Arc::clone(&shared),
        };
        sessions.spawn(async move { drop(session.run().await) });
    }
}

struct Session {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    number: usize,
    tls: bool,
    helo: String,
    mail: Option<String>,
    recipients: Vec<String>,
    shared: Arc<Shared>,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        self.answer("CONNECT", "220 peer.test ESMTP").await?;
        loop {
            let command = self.line().await?;
            self.shared.commands.lock().unwrap().push(command.clone());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "HELO" => self.hello(&command, verb == "EHLO").await?,
                "MAIL" => {
                    if self.answer(&command, "250 2.1.0 go on").await? {
                        self.mail = Some(command);
                        self.recipients.clear();
                    }
                }
                "RCPT" => {
                    if self.answer(&command, "250 2.1.5 go on").await? {
                        self.recipients.push(command);
                    }
                }
                "DATA" => self.data().await?,
                "BDAT" => self.chunk(&command).await?,
                "STARTTLS" => self = self.starttls().await?,
                "RSET" => {
                    self.mail = None;
                    self.answer(&command, "250 2.0.0 forgotten").await?;
                }
                "QUIT" => {
                    self.answer(&command, "221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => {
                    self.answer(&command, "250 2.0.0 as you say").await?;
                }
            }
        }
    }

    async fn hello(&mut self, command: &str, extended: bool) -> io::Result<()> {
        self.helo = command.split(' ').nth(1).unwrap_or_default().to_owned();
        let script = self.shared.script.lock().unwrap().clone();
        let mut lines = vec!["peer.test".to_owned()];
        if extended {
            lines.extend(script.extensions);
            lines.extend(script.tls.filter(|_| !self.tls).map(|_| "STARTTLS".to_owned()));
        }
        let last = lines.len() - 1;
        let mark = |at| if at == last { ' ' } else { '-' };
        let lines: Vec<_> =
            lines.iter().enumerate().map(|(at, line)| format!("250{}{line}", mark(at))).collect();
        self.answer(command, &lines.join("\r\n")).await?;
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        let usual = match (&self.mail, self.recipients.as_slice()) {
            (None, _) => "503 5.5.1 MAIL first",
            (Some(_), []) => "554 5.5.1 no valid recipients",
            _ => "354 go on",
        };
        if !self.answer("DATA", usual).await? {
            return Ok(());
        }
        let wire = self.content().await?;
        self.take(wire).await
    }

    /// A message in one chunk (RFC 3030); more of them no client of ours sends.
    async fn chunk(&mut self, command: &str) -> io::Result<()> {
        let size = command.split(' ').nth(1).and_then(|size| size.parse::<usize>().ok());
        let size = size.filter(|_| command.ends_with(" LAST")).ok_or(io::ErrorKind::InvalidInput)?;
        while self.buffer.len() < size {
            self.more().await?;
        }
        let wire = self.buffer.drain(..size).collect();
        self.take(wire).await
    }

    async fn take(&mut self, wire: Vec<u8>) -> io::Result<()> {
        let mut received = Received {
            mail: self.mail.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            wire,
            tls: self.tls,
            helo: self.helo.clone(),
            accepted: false,
        };
        // Recorded before it is answered, so that nobody who has the answer misses it.
        let act = self.act("CONTENT").unwrap_or_else(|| Act::say("250 2.0.0 taken"));
        received.accepted = matches!(&act, Act::Say(text) if text.starts_with('2'));
        self.shared.received.lock().unwrap().push(received);
        self.perform(act).await?;
        Ok(())
    }

    async fn starttls(mut self) -> io::Result<Self> {
        let config = self.shared.script.lock().unwrap().tls.clone();
        let usual = if config.is_some() { "220 2.0.0 go on" } else { "502 5.5.1 no TLS here" };
        if self.answer("STARTTLS", usual).await?
            && let Some(config) = config
        {
            self.stream = Box::new(TlsAcceptor::from(config).accept(self.stream).await?);
            self.buffer.clear();
            self.tls = true;
        }
        Ok(self)
    }

    fn act(&self, command: &str) -> Option<Act> {
        self.shared.script.lock().unwrap().act(command)
    }

    /// Does what the script says, or the usual; whether that was a success.
    async fn answer(&mut self, command: &str, usual: &str) -> io::Result<bool> {
        let act = self.act(command).unwrap_or_else(|| Act::say(usual));
        self.perform(act).await
    }

    async fn perform(&mut self, act: Act) -> io::Result<bool> {
        match act {
            Act::Say(text) => {
                let octets = format!("{text}\r\n");
                self.shared.transcript.add(&format!("{} S: ", self.number), octets.as_bytes());
                self.stream.write_all(octets.as_bytes()).await?;
                self.stream.flush().await?;
                Ok(text.starts_with(['2', '3']))
            }
            Act::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Stall => std::future::pending().await,
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.shared.transcript.add(&format!("{} C: ", self.number), &line);
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            self.more().await?;
        }
    }

    /// Everything up to the first CRLF.CRLF.
    async fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if self.buffer.starts_with(b".\r\n") {
                self.buffer.drain(..3);
                return Ok(Vec::new());
            }
            let end = self.buffer[searched..].windows(5).position(|window| window == b"\r\n.\r\n");
            if let Some(end) = end {
                let end = searched + end;
                let content: Vec<u8> = self.buffer.drain(..end + 2).collect();
                self.buffer.drain(..3);
                self.shared.transcript.add(&format!("{} C: ", self.number), &content);
                return Ok(content);
            }
            searched = self.buffer.len().saturating_sub(4);
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        let octets = &self.buffer[self.buffer.len() - read..];
        self.shared.octets.lock().unwrap()[self.number - 1].extend_from_slice(octets);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
