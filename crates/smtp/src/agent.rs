//! What a session asks of the agent that it serves, and what it tells about itself. Knows no bytes and no order of
//! commands.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Account, Envelope, Recipient};

use crate::reply::Reply;
use crate::tls::TlsInfo;

/// The answers that the protocol cannot give by itself. Each call runs inside the `smtp.transaction` span where there is a
/// transaction; an agent that knows the queue id records it there as `queue_id`.
///
/// `Err` refuses with that reply; a 421 closes the session behind it.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Whether the peer is served at all, before the greeting. A refusal takes the greeting's place (554 or 421).
    async fn connect(&self, session: &SessionInfo) -> Result<(), Reply>;

    /// Whose credentials these are. Asked only over TLS and where the settings offer authentication.
    async fn authenticate(
        &self,
        session: &SessionInfo,
        login: &str,
        password: &str,
    ) -> Result<Account, Reply>;

    /// Whether mail from this reverse-path is taken; `envelope` has no recipients yet.
    async fn mail(&self, session: &SessionInfo, envelope: &Envelope) -> Result<(), Reply>;

    /// Whether mail for this recipient is taken; `envelope` has those that were taken before.
    async fn rcpt(
        &self,
        session: &SessionInfo,
        envelope: &Envelope,
        recipient: &Recipient,
    ) -> Result<(), Reply>;

    /// Takes the message. A 2yz says that it is durable and no longer the peer's to care for (RFC 5321 4.2.5).
    ///
    /// `content` is decoded: dot-stuffing is undone, the final dot is not part of it. Lines end in CRLF and nothing else, but
    /// in the body of a message that said BODY=BINARYMIME; without DATA the last may lack its end (RFC 3030 2).
    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply;
}

/// Who speaks on a session, as far as it is known by now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The peer's address.
    pub peer: SocketAddr,
    /// The address of ours that it connected to.
    pub local: SocketAddr,
    /// What it called itself in HELO or EHLO; empty before.
    pub helo: String,
    /// Whether it said EHLO and not HELO.
    pub esmtp: bool,
    /// TLS, once it is on.
    pub tls: Option<TlsInfo>,
    /// Whom it authenticated as.
    pub account: Option<Account>,
}

impl SessionInfo {
    /// A session of which nothing is known but its addresses.
    #[must_use]
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer, local, helo: String::new(), esmtp: false, tls: None, account: None }
    }

    /// The WITH value for the Received field (RFC 3848, RFC 6531 4.3).
    #[must_use]
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        match (smtputf8, self.esmtp, self.tls.is_some(), self.account.is_some()) {
            (true, _, false, false) => "UTF8SMTP",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, true, true) => "UTF8SMTPSA",
            (false, false, ..) => "SMTP",
            (false, true, false, false) => "ESMTP",
            (false, true, true, false) => "ESMTPS",
            (false, true, false, true) => "ESMTPA",
            (false, true, true, true) => "ESMTPSA",
        }
    }
}
