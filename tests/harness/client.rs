//! A raw SMTP client: it says exactly what a test tells it to, octet for octet, and shows the dialogue when the test fails.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificates::trusting_client;
use crate::transcript::Transcript;
use crate::wait::{PATIENCE, soon};

/// Longer than an agent asks what became of a message whose hand-over broke off.
const ANSWER: Duration = Duration::from_secs(100);

/// A connection in the clear or over TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to a server.
pub struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    transcript: Transcript,
}

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code of its last line.
    pub code: u16,
    /// What stands behind the code in each line.
    pub lines: Vec<String>,
}

impl Reply {
    /// Its text, the lines joined by a space.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Whether a line starts so, as an EHLO keyword or an enhanced status code does.
    #[must_use]
    pub fn has(&self, start: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(start))
    }
}

impl Client {
    /// Connects, and reads nothing yet.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn connect(address: SocketAddr) -> Self {
        let client = Self::try_connect(address).await;
        client.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// As [`Client::connect`], to a server that may be away.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        Ok(Self::over(stream, address))
    }

    /// Connects from this address, of which loopback has many, and reads nothing yet.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((own, 0).into()).unwrap();
        let stream = soon("a connection", socket.connect(address)).await;
        Self::over(stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}")), address)
    }

    fn over(stream: TcpStream, address: SocketAddr) -> Self {
        let _ = stream.set_nodelay(true);
        let transcript = Transcript::new(format!("dialogue with {address}"));
        Self { stream: Box::new(stream), buffer: Vec::new(), transcript }
    }

    /// Connects with TLS from the first octet.
    ///
    /// # Panics
    /// When nobody answers, or not in TLS.
    pub async fn connect_tls(address: SocketAddr) -> Self {
        Self::connect(address).await.into_tls().await
    }

    /// Connects, reads the greeting, and says EHLO.
    ///
    /// # Panics
    /// When either is refused.
    pub async fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        client.expect(220).await;
        client.ok("EHLO client.test").await;
        client
    }

    /// As [`Client::greeted`], then STARTTLS, EHLO again, and AUTH PLAIN.
    ///
    /// # Panics
    /// When any of it is refused.
    pub async fn logged_in(address: SocketAddr, login: &str, password: &str) -> Self {
        let mut client = Self::greeted(address).await.starttls().await;
        client.ok("EHLO client.test").await;
        let reply = client.authenticate(login, password).await;
        assert_eq!(reply.code, 235, "{reply:?}");
        client
    }

    /// STARTTLS with its handshake.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn starttls(mut self) -> Self {
        self.ok("STARTTLS").await;
        self.into_tls().await
    }

    async fn into_tls(self) -> Self {
        self.try_into_tls().await.unwrap_or_else(|error| panic!("no TLS: {error}"))
    }

    /// The handshake behind the reply to STARTTLS, with a server that may go away.
    ///
    /// # Errors
    /// When there is none.
    ///
    /// # Panics
    /// When something was said before TLS began.
    pub async fn try_into_tls(mut self) -> io::Result<Self> {
        assert!(self.buffer.is_empty(), "something was said before TLS began");
        let connector = TlsConnector::from(trusting_client());
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = timeout(PATIENCE, connector.connect(name, self.stream)).await??;
        self.stream = Box::new(stream);
        self.transcript.add("", b"(TLS)");
        Ok(self)
    }

    /// Writes octets as they are.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.transcript.add("C: ", octets.as_ref());
        soon("room to write", async {
            self.stream.write_all(octets.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Reads a reply.
    ///
    /// # Panics
    /// When the server closes or says what is no reply.
    pub async fn reply(&mut self) -> Reply {
        let reply = soon("a reply", self.try_reply()).await;
        reply.unwrap_or_else(|error| panic!("the server closed the connection: {error}"))
    }

    /// Reads a reply of a server that may go away.
    ///
    /// # Errors
    /// When it does, or says nothing.
    ///
    /// # Panics
    /// When it says what is no reply.
    pub async fn try_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = timeout(ANSWER, self.line()).await??;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.unwrap_or_else(|| panic!("no reply: {line}"));
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Reads a reply that is to have this code.
    ///
    /// # Panics
    /// When it has another.
    pub async fn expect(&mut self, code: u16) -> Reply {
        let reply = self.reply().await;
        assert_eq!(reply.code, code, "{reply:?}");
        reply
    }

    /// Says a command and reads the reply.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn command(&mut self, command: &str) -> Reply {
        self.send(format!("{command}\r\n")).await.expect("the server listens");
        self.reply().await
    }

    /// Says a command to a server that may go away, and reads the reply.
    ///
    /// # Errors
    /// When it does.
    pub async fn try_command(&mut self, command: &str) -> io::Result<Reply> {
        self.send(format!("{command}\r\n")).await?;
        self.try_reply().await
    }

    /// Says a command that is to be answered with success (2yz or 3yz).
    ///
    /// # Panics
    /// When it is not.
    pub async fn ok(&mut self, command: &str) -> Reply {
        let reply = self.command(command).await;
        assert!((200..400).contains(&reply.code), "{command}: {reply:?}");
        reply
    }

    /// AUTH PLAIN with its initial response.
    pub async fn authenticate(&mut self, login: &str, password: &str) -> Reply {
        self.command(&plain(login, password)).await
    }

    /// One mail transaction; dots are stuffed, nothing else is changed. Returns the reply to its end.
    ///
    /// # Panics
    /// When it is refused before its end.
    pub async fn transact(&mut self, from: &str, recipients: &[&str], content: &[u8]) -> Reply {
        self.ok(&format!("MAIL FROM:<{from}>")).await;
        for recipient in recipients {
            self.ok(&format!("RCPT TO:<{recipient}>")).await;
        }
        let reply = self.command("DATA").await;
        assert_eq!(reply.code, 354, "{reply:?}");
        self.send(stuffed(content)).await.expect("the server listens");
        self.reply().await
    }

    /// Reads to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        soon("the end of the connection", async {
            while self.more().await.is_some_and(|octets| octets > 0) {}
        })
        .await;
        std::mem::take(&mut self.buffer)
    }

    /// The dialogue so far.
    #[must_use]
    pub fn dialogue(&self) -> String {
        self.transcript.text()
    }

    /// A line without its end.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                self.transcript.add("S: ", &line);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn more(&mut self) -> Option<usize> {
        self.stream.read_buf(&mut self.buffer).await.ok()
    }
}

/// AUTH PLAIN with its initial response.
#[must_use]
pub fn plain(login: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{login}\0{password}")))
}

/// Content as it goes behind DATA, with stuffed dots and the final one.
#[must_use]
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 5);
    let mut at_start = true;
    for octet in content {
        if at_start && *octet == b'.' {
            wire.push(b'.');
        }
        wire.push(*octet);
        at_start = *octet == b'\n';
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
