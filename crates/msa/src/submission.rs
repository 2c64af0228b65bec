//! What a submission asks, by whatever protocol it comes: who may come in, send as whom, to whom, and what becomes of the
//! message.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mail::quota::Cost;
use mail::{
    Account, Credentials, Domain, Envelope, IdempotencyKey, Recipient, Resolution, ScramChallenge, Timestamp,
};
use protocol::{Authentication, Directory, Error, ErrorKind, Relay, Submission, Submitted};
use service::clock::Clock;
use smtp::reply::{self, Reply};
use smtp::{Agent, Inquiry, Login, SessionInfo};
use uuid::Uuid;

use crate::completion::{Fresh, complete};
use crate::inquiries::Inquiries;
use crate::metrics::Metrics;
use crate::quota::Quota;
use crate::refusal;
use crate::repair::repair;
use crate::sender::Sender;

/// The agent behind all submission ports.
pub(crate) struct Submissions {
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) directory: Arc<dyn Directory>,
    /// Answers what is no mail.
    pub(crate) inquiries: Inquiries,
    pub(crate) quota: Quota,
    /// This host, in Received and Message-ID fields.
    pub(crate) host: Domain,
    pub(crate) detail_separator: Option<char>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

/// Who hands a message in, by whatever protocol.
pub(crate) struct Client<'a> {
    pub(crate) account: &'a Account,
    pub(crate) peer: IpAddr,
    /// The version of TLS, where it is spoken.
    pub(crate) tls: Option<&'a str>,
}

impl<'a> Client<'a> {
    fn of(session: &'a SessionInfo) -> Result<Self, Reply> {
        let tls = session.tls.as_ref().map(|tls| tls.version.as_str());
        Ok(Self { account: account(session)?, peer: session.peer.ip(), tls })
    }
}

#[async_trait]
impl Agent for Submissions {
    async fn connect(&self, _: &SessionInfo) -> Result<(), Reply> {
        Ok(())
    }

    async fn authenticate(&self, session: &SessionInfo, credentials: &Credentials) -> Result<Login, Reply> {
        self.check(session.peer.ip(), credentials).await
    }

    async fn challenge_scram(&self, session: &SessionInfo, login: &str) -> Result<ScramChallenge, Reply> {
        let challenge = self.directory.challenge_scram(login).await;
        challenge.map_err(|error| self.cannot_authenticate(session.peer.ip(), &error))
    }

    /// Whoever a listed proxy vouches for must have an account here; no password is seen.
    async fn vouched(&self, session: &SessionInfo, login: &str) -> Result<Account, Reply> {
        let credentials =
            Credentials::Certificate { login: login.to_owned(), addresses: vec![login.to_owned()] };
        self.check(session.peer.ip(), &credentials).await.map(|login| login.account)
    }

    async fn inquire(&self, _: &SessionInfo, inquiry: &Inquiry) -> Reply {
        self.inquiries.answer(inquiry).await
    }

    async fn mail(&self, session: &SessionInfo, envelope: &Envelope) -> Result<(), Reply> {
        self.may_send(account(session)?, envelope).await
    }

    async fn rcpt(
        &self,
        session: &SessionInfo,
        envelope: &Envelope,
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        self.may_receive(account(session)?, envelope, recipient).await
    }

    async fn data(&self, session: &SessionInfo, envelope: Envelope, content: Bytes) -> Reply {
        let size = content.len();
        let submitted = match Client::of(session) {
            Ok(client) => self.submit(&client, envelope, content, None).await,
            Err(refused) => Err(refused),
        };
        let trace = protocol::trace::current();
        let queued = |submitted: Submitted| reply::queued_for(session, submitted.id, trace.trace_id());
        let reply = submitted.map_or_else(|refused| refused, queued);
        self.metrics.message(&reply, size);
        reply
    }
}

impl Submissions {
    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    fn sender<'a>(&self, account: &'a Account) -> Sender<'a> {
        Sender::new(account, self.detail_separator)
    }

    /// Whose credentials these are, and what proves us to a client that has proven itself.
    pub(crate) async fn check(&self, peer: IpAddr, credentials: &Credentials) -> Result<Login, Reply> {
        let login = match self.directory.authenticate(credentials).await {
            Ok(Authentication::Accepted(account)) => Login::from(account),
            Ok(Authentication::Proven(account, signature)) => {
                Login { account, server_signature: Some(signature) }
            }
            Ok(Authentication::Refused) => {
                self.metrics.authentication("refused");
                tracing::warn!(%peer, login = credentials.login(), "authentication failed");
                return Err(reply::authentication_failed());
            }
            Err(error) => return Err(self.cannot_authenticate(peer, &error)),
        };
        self.metrics.authentication("accepted");
        Ok(login)
    }

    fn cannot_authenticate(&self, peer: IpAddr, error: &Error) -> Reply {
        self.metrics.authentication("unavailable");
        tracing::warn!(%error, %peer, "authentication cannot be checked");
        refusal::authentication_away()
    }

    /// The null reverse-path is everybody's: clients send disposition notifications with it (RFC 8098 3).
    pub(crate) async fn may_send(&self, account: &Account, envelope: &Envelope) -> Result<(), Reply> {
        match envelope.reverse_path.mailbox() {
            Some(mailbox) if !self.sender(account).owns(mailbox) => Err(refusal::reverse_path()),
            _ => self.quota.room(account, self.now()).await,
        }
    }

    /// Submission goes anywhere; what is ours must be there (RFC 6409 3.1). The envelope has the recipients before.
    pub(crate) async fn may_receive(
        &self,
        account: &Account,
        envelope: &Envelope,
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        self.quota.recipient(account, envelope.recipients.len(), self.now())?;
        match self.directory.resolve(&recipient.forward_path).await {
            Ok(Resolution::Deliverable(_) | Resolution::NotLocal) => Ok(()),
            Ok(Resolution::UnknownUser) => Err(reply::unknown_user()),
            Err(error) => {
                tracing::warn!(%error, recipient = %recipient.forward_path, "the directory cannot be asked");
                Err(refusal::directory_away())
            }
        }
    }

    /// Repairs and completes a message and hands it over; `Ok` only once the mta has made it durable.
    pub(crate) async fn submit(
        &self,
        client: &Client<'_>,
        mut envelope: Envelope,
        content: Bytes,
        key: Option<IdempotencyKey>,
    ) -> Result<Submitted, Reply> {
        let content = repair(&mut envelope, content)?;
        let sender = self.sender(client.account);
        let message_id = format!("<{}@{}>", Uuid::new_v4(), self.host);
        let fresh = Fresh {
            now: self.now(),
            message_id: &message_id,
            author: envelope.reverse_path.mailbox().unwrap_or(&client.account.address),
        };
        let content = complete(&content, &sender, &fresh)?;
        let cost = Cost { recipients: envelope.recipients.len() as u64, octets: content.len() as u64 };
        let receipt = self.quota.charge(client.account, cost, fresh.now).await?;
        let submission =
            Submission { envelope, content, tls: client.tls.map(str::to_owned), by: self.host.clone(), key };
        let submitted = match self.relay.enqueue(submission).await {
            // Another request has paid for it.
            Ok(submitted) if submitted.repeated.is_some() => {
                self.quota.give_back(client.account, receipt, ErrorKind::AlreadyExists).await;
                submitted
            }
            Ok(submitted) => submitted,
            Err(error) => {
                self.quota.give_back(client.account, receipt, error.kind).await;
                return Err(not_taken(client.peer, error));
            }
        };
        tracing::Span::current().record("queue_id", tracing::field::display(submitted.id));
        Ok(submitted)
    }
}

/// The session asks for mail only from those who have authenticated; should it ever not, nobody is served.
fn account(session: &SessionInfo) -> Result<&Account, Reply> {
    session.account.as_ref().ok_or_else(reply::authentication_required)
}

/// Whatever is not known to be for good is worth another try; the client still has the message.
fn not_taken(peer: IpAddr, error: Error) -> Reply {
    tracing::warn!(%error, %peer, "a message was not taken by the mta");
    match error.kind {
        ErrorKind::Overloaded => reply::storage_full(),
        ErrorKind::AlreadyExists => refusal::key_of_another(),
        ErrorKind::Rejected => refusal::rejected(error.message),
        ErrorKind::Unknown | ErrorKind::Internal => refusal::perhaps_queued(),
        ErrorKind::Unavailable | ErrorKind::NotFound => refusal::not_queued(),
    }
}
