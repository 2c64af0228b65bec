//! What a session asks of the agent that it serves, and what it tells about itself. Knows no bytes and no order of
//! commands.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Account, Credentials, Domain, Envelope, Recipient, ScramChallenge, ServerSignature};

use crate::reply::{self, Reply};
use crate::tls::TlsInfo;

/// The answers that the protocol cannot give by itself. Each call runs inside the `smtp.transaction` span where there is a
/// transaction; an agent that knows the queue id records it there as `queue_id`.
///
/// `Err` refuses with that reply; a 421 closes the session behind it.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Whether the peer is served at all, before the greeting. A refusal takes the greeting's place (554 or 421).
    async fn connect(&self, session: &SessionInfo) -> Result<(), Reply>;

    /// Whose credentials these are. Asked only over TLS and where the settings offer authentication. Who is refused with a
    /// 5yz has failed; a 4yz is trouble of ours. An unknown user and a wrong password must look and take the same.
    async fn authenticate(&self, session: &SessionInfo, credentials: &Credentials) -> Result<Login, Reply>;

    /// What a SCRAM client of this login hears first, whether there is such an account or not (RFC 5802 5.1). Asked as
    /// `authenticate` is, and only where the settings offer SCRAM.
    async fn challenge_scram(&self, session: &SessionInfo, login: &str) -> Result<ScramChallenge, Reply>;

    /// Whether mail from this reverse-path is taken; `envelope` has no recipients yet.
    async fn mail(&self, session: &SessionInfo, envelope: &Envelope) -> Result<(), Reply>;

    /// Whether mail for this recipient is taken; `envelope` has those that were taken before.
    async fn rcpt(
        &self,
        session: &SessionInfo,
        envelope: &Envelope,
        recipient: &Recipient,
    ) -> Result<(), Reply>;

    /// The account that a listed proxy says to have authenticated (XCLIENT LOGIN). Asked only where the settings provide
    /// for it.
    async fn vouched(&self, _session: &SessionInfo, _login: &str) -> Result<Account, Reply> {
        Err(reply::not_authorized())
    }

    /// Answers what a peer asks who may ask it.
    async fn inquire(&self, _session: &SessionInfo, _inquiry: &Inquiry) -> Reply {
        reply::not_implemented()
    }

    /// Takes the message. A 2yz says that it is durable and no longer the peer's to care for (RFC 5321 4.2.5).
    ///
    /// `content` is decoded: dot-stuffing is undone, the final dot is not part of it. Lines end in CRLF and nothing else, but
    /// in the body of a message that said BODY=BINARYMIME; without DATA the last may lack its end (RFC 3030 2).
    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply;
}

/// What a peer asks that is no mail; the session has checked that it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inquiry {
    /// VRFY: is this somebody?
    Verify(String),
    /// EXPN: who is behind this?
    Expand(String),
    /// ETRN: try what waits for this domain now.
    Start {
        /// The domain.
        domain: Domain,
        /// Whether the domains below it are meant too.
        below: bool,
    },
    /// QUEU: what waits?
    List {
        /// Whether the age of the oldest is wanted.
        ages: bool,
        /// Only this domain.
        domain: Option<Domain>,
    },
}

/// What good credentials are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose they are.
    pub account: Account,
    /// What proves the server to a SCRAM client; SCRAM cannot do without.
    pub server_signature: Option<ServerSignature>,
}

impl From<Account> for Login {
    fn from(account: Account) -> Self {
        Self { account, server_signature: None }
    }
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
    pub tls: Option<Box<TlsInfo>>,
    /// Whom it authenticated as.
    pub account: Option<Account>,
    /// Its name in DNS, where a listed host has told it (XCLIENT NAME).
    pub name: Option<String>,
    /// The correlation token that it gave (TICK).
    pub tick: Option<String>,
    /// Whether it wants to hear more than others (VERB ON).
    pub verbose: bool,
}

impl SessionInfo {
    /// A session of which nothing is known but its addresses.
    #[must_use]
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            peer,
            local,
            helo: String::new(),
            esmtp: false,
            tls: None,
            account: None,
            name: None,
            tick: None,
            verbose: false,
        }
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
