//! The tokio driver of dialogues: connects, lets TLS happen, authenticates, and takes messages through transactions, one
//! after the other on one connection. Knows no DNS and no queue: where to connect and what a refusal means is the caller's
//! business.
//!
//! Content is sent as it is given: who wants it converted for a server without 8BITMIME or BINARYMIME does so before, knowing
//! the server's [`Connection::capabilities`]. A binary message fails where the server does not take it.

mod auth;
mod error;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use mail::{Content, Envelope, Recipient, Status};
use tokio::net::TcpStream;

use crate::data;
use crate::dialogue::{Next, Step, Timeouts, Transaction};
use crate::extension::Capabilities;
use crate::reply::Reply;
use crate::sasl;
use crate::stream::Stream;
use crate::tls::{ClientTls, TlsInfo};

pub use error::{Error, ProtocolFault};
use wire::Wire;

/// Who said a line that an [`Observer`] is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// We did.
    Client,
    /// The server did.
    Server,
    /// Nobody: a remark, such as that TLS is on now.
    Note,
}

/// Is shown each line of a dialogue, without its line end; what AUTH carries is shown as `***`, content as its size.
pub type Observer = Arc<dyn Fn(Direction, &str) + Send + Sync>;

/// How a client behaves.
#[derive(Clone)]
pub struct Settings {
    /// What the client calls itself in EHLO.
    pub helo: String,
    /// How long it waits for what.
    pub timeouts: Timeouts,
    /// Is shown the dialogue.
    pub observer: Option<Observer>,
}

impl Settings {
    /// A client of this name with the timeouts of RFC 5321.
    #[must_use]
    pub fn new(helo: impl Into<String>) -> Self {
        Self { helo: helo.into(), timeouts: Timeouts::default(), observer: None }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("helo", &self.helo)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// How a connection comes to TLS.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By STARTTLS where it is offered, with any certificate (RFC 7435). A failed handshake is [`Error::Tls`]; the caller
    /// may connect again with `Plain`.
    Opportunistic,
    /// By STARTTLS or not at all.
    StartTls(ClientTls),
    /// At once (RFC 8314 3.3).
    Implicit(ClientTls),
}

/// A session with a server, ready for a transaction.
pub struct Connection {
    wire: Wire,
    capabilities: Capabilities,
    peer: SocketAddr,
    needs_reset: bool,
    /// Transactions that were begun since the last EHLO.
    transactions: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, greets, and turns TLS on as `security` says. `server_name` is the name that the certificate is checked
    /// against and that SNI gives.
    ///
    /// # Errors
    /// When no session comes about; [`Error::Refused`] where the server does not want to speak to us.
    pub async fn connect(
        address: SocketAddr,
        settings: &Settings,
        security: Security,
        server_name: &str,
    ) -> Result<Self, Error> {
        let connecting = tokio::time::timeout(settings.timeouts.connect, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| Error::Timeout(Step::Connect))?.map_err(Error::Connect)?;
        Self::over(stream, settings, security, server_name).await
    }

    /// The same over a TCP connection that exists already (bound to some address, through some proxy).
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub async fn over(
        stream: TcpStream,
        settings: &Settings,
        security: Security,
        server_name: &str,
    ) -> Result<Self, Error> {
        stream.set_nodelay(true).map_err(Error::Connect)?;
        let peer = stream.peer_addr().map_err(Error::Connect)?;
        let mut wire = Wire::new(Stream::Plain(stream), settings.clone());
        if let Security::Implicit(tls) = &security {
            wire.handshake(tls, server_name).await?;
        }
        accepted(Step::Greeting, wire.read(Step::Greeting).await?)?;
        let capabilities = greet(&mut wire).await?;
        let mut connection = Self { wire, capabilities, peer, needs_reset: false, transactions: 0 };
        match &security {
            Security::Opportunistic if connection.capabilities.starttls => {
                connection.start_tls(&ClientTls::opportunistic()?, server_name, false).await?;
            }
            Security::StartTls(_) if !connection.capabilities.starttls => return Err(Error::TlsNotOffered),
            Security::StartTls(tls) => connection.start_tls(tls, server_name, true).await?,
            Security::Plain | Security::Implicit(_) | Security::Opportunistic => {}
        }
        Ok(connection)
    }

    /// What the server offers, as of the last EHLO.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// TLS, where it is on.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.wire.tls()
    }

    /// The server's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether another transaction may follow: the server has not said 421, the connection did not break, and there were not
    /// as many as the server takes (LIMITS MAILMAX, RFC 9422).
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let taken = |most: u64| self.transactions < most;
        self.wire.is_usable() && self.capabilities.transactions.is_none_or(taken)
    }

    /// The most recipients that one transaction may have (LIMITS RCPTMAX, RFC 9422).
    #[must_use]
    pub fn recipients_per_transaction(&self) -> usize {
        self.capabilities.recipients.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Authenticates with the mechanism that gives the least away of those that the server offers: SCRAM-SHA-256-PLUS,
    /// SCRAM-SHA-256, PLAIN, LOGIN (RFC 4954). With SCRAM the server must prove itself, too.
    ///
    /// # Errors
    /// [`Error::Refused`] where the server does not believe us.
    pub async fn authenticate(&mut self, login: &str, password: &str) -> Result<(), Error> {
        let nonce = sasl::scram::nonce().unwrap_or_default();
        let exchange = sasl::choose(&self.capabilities.auth, login, password, self.wire.tls(), &nonce)
            .ok_or(Error::Protocol { step: Step::Auth, source: ProtocolFault::NoMechanism })?;
        auth::run(&mut self.wire, exchange).await
    }

    /// Takes a message through one transaction and returns one status for each of `recipients`, in their order (the
    /// recipients of `envelope` are not looked at); there are to be no more of them than
    /// [`Connection::recipients_per_transaction`]. `may_commit` is asked when all but the end of the content has been
    /// sent; where it says no, the connection is dropped and the server takes nothing. Who drops the future before its end
    /// drops the connection too: nobody knows where the dialogue stands then.
    ///
    /// # Errors
    /// When the connection is of no more use; no recipient has been taken then, except where the error is
    /// [`Error::OutcomeUnknown`].
    pub async fn transact(
        &mut self,
        envelope: &Envelope,
        recipients: &[Recipient],
        content: &Content,
        may_commit: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Status>, Error> {
        let mut transaction = Transaction::new(&self.capabilities, envelope, recipients, content);
        let encoded = if transaction.is_chunked() { data::chunk(content) } else { data::encode(content)? };
        if self.needs_reset {
            self.reset().await?;
        }
        self.transactions += 1;
        let mut next = transaction.begin();
        loop {
            let reply = match next {
                Next::Write(commands, step) => {
                    self.wire.write(step, commands.as_bytes()).await?;
                    self.wire.read(step).await?
                }
                Next::Read(step) => self.wire.read(step).await?,
                Next::LoneDot => {
                    self.wire.write(Step::Content, b".\r\n").await?;
                    self.wire.read(Step::EndOfData).await?
                }
                Next::Content => {
                    let size = content.len();
                    self.wire.content(&encoded, size, transaction.is_chunked(), may_commit).await?
                }
                Next::Finished => break,
            };
            next = transaction.take(&reply);
        }
        self.needs_reset = transaction.needs_reset();
        if transaction.is_closing() {
            self.wire.abandon();
        }
        Ok(transaction.finish())
    }

    /// Ends whatever transaction is open (RSET).
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn reset(&mut self) -> Result<(), Error> {
        accepted(Step::Rset, self.wire.command(Step::Rset, "RSET").await?)?;
        self.needs_reset = false;
        Ok(())
    }

    /// Says QUIT and closes; whether the server answers matters to nobody.
    pub async fn quit(mut self) {
        if self.wire.is_usable() && self.wire.command(Step::Quit, "QUIT").await.is_ok() {
            self.wire.shutdown().await;
        }
    }

    /// STARTTLS and EHLO again (RFC 3207). Where TLS is not required, a server that offers it and then refuses is spoken
    /// to in clear.
    async fn start_tls(&mut self, tls: &ClientTls, server_name: &str, required: bool) -> Result<(), Error> {
        let reply = self.wire.command(Step::StartTls, "STARTTLS").await?;
        if reply.code() != 220 {
            return match accepted(Step::StartTls, reply) {
                Err(Error::Refused { .. }) if !required && self.wire.is_usable() => Ok(()),
                Err(refused) => Err(refused),
                Ok(reply) => Err(unexpected(Step::StartTls, &reply)),
            };
        }
        self.wire.handshake(tls, server_name).await?;
        self.capabilities = greet(&mut self.wire).await?;
        Ok(())
    }
}

/// EHLO, or HELO where the server does not know EHLO (RFC 5321 3.2).
async fn greet(wire: &mut Wire) -> Result<Capabilities, Error> {
    let name = wire.name().to_owned();
    let reply = wire.command(Step::Ehlo, &format!("EHLO {name}")).await?;
    if !reply.is_permanent() {
        return accepted(Step::Ehlo, reply).map(|reply| Capabilities::parse(reply.text()));
    }
    let reply = wire.command(Step::Helo, &format!("HELO {name}")).await?;
    accepted(Step::Helo, reply).map(|_| Capabilities::default())
}

/// A 2yz, or the error that it is not.
fn accepted(step: Step, reply: Reply) -> Result<Reply, Error> {
    if reply.is_success() {
        Ok(reply)
    } else if reply.is_transient() || reply.is_permanent() {
        Err(Error::Refused { step, status: reply.status() })
    } else {
        Err(unexpected(step, &reply))
    }
}

fn unexpected(step: Step, reply: &Reply) -> Error {
    Error::Protocol { step, source: ProtocolFault::Unexpected(reply.code()) }
}
