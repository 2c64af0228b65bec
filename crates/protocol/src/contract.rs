//! The contracts between agents, one trait each. They know neither gRPC nor who implements them.

use async_trait::async_trait;
use bytes::Bytes;
use mail::quota::{Charged, Cost, LimitChange, Room};
use mail::timeline::MessageView;
use mail::{
    Account, AccountView, Alias, Content, Credentials, Domain, Envelope, ForwardPath, IdempotencyKey, Limit,
    Mailbox, Outcome, QueueId, Recipient, Resolution, ReversePath, ScramChallenge, SenderPattern,
    ServerSignature, Summary, Timestamp, TraceContext,
};
use tracing::Instrument;

use crate::{Error, ErrorKind};

/// A message handed from msa to mta, its header complete but for the Received field.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who it is from and for.
    pub envelope: Envelope,
    /// The content.
    pub content: Content,
    /// The TLS version of the client's session, for the Received field.
    pub tls: Option<String>,
    /// The host that took it from the client: the BY clause of the Received field.
    pub by: Domain,
    /// Taken only if nothing was taken under this key before.
    pub key: Option<IdempotencyKey>,
}

/// What a submission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The message's name in the queue.
    pub id: QueueId,
    /// For each recipient of the envelope, in order, the number of its delivery within the message (the first one, for an
    /// alias). Empty where only the id is known: the answer was lost, and all that could be asked is whether it was taken.
    pub numbers: Vec<u16>,
    /// The note of the key, where nothing was taken now since the same request was before: the rest is that one's.
    pub repeated: Option<Bytes>,
}

impl Submitted {
    /// A message of which nothing but the id is known.
    #[must_use]
    pub fn known_by(id: QueueId) -> Self {
        Self { id, numbers: Vec::new(), repeated: None }
    }
}

/// Called by the msa: hands mail to the mta, which takes responsibility for it. Everything that implements [`Intake`]
/// is a relay; so is [`crate::client::RelayClient`].
#[async_trait]
pub trait Relay: Send + Sync {
    /// Makes a message durable and takes responsibility for it; the mta adds the Received field, which names the queue id.
    ///
    /// Over a broken connection the client asks what became of the message, so that `Ok` and `Err` are certain; an error of
    /// kind [`ErrorKind::Unknown`] remains only where nobody can be asked in time.
    ///
    /// # Errors
    /// When the message was not taken; of kind [`ErrorKind::AlreadyExists`] where its key belongs to another request.
    async fn enqueue(&self, submission: Submission) -> Result<Submitted, Error>;

    /// What was taken under a key; none where nothing was.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::AlreadyExists`] where the key belongs to another request; else when the queue cannot be asked.
    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error>;

    /// One message of this account, queued or finished, with its timeline.
    ///
    /// # Errors
    /// `NotFound`, also where it is another's; else when the queue cannot be asked.
    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error>;

    /// Says whether the message of this id was taken; if not, makes sure that it never will be.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    async fn resolve(&self, id: QueueId) -> Result<bool, Error>;
}

/// Implemented by the mta: what stands behind [`Relay`]. Naming and taking are two steps, so that a client across the
/// network knows the name before the outcome and can ask for it when the connection breaks in between.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Chooses the id that the next message will have. An id that is never used costs nothing.
    ///
    /// # Errors
    /// When no message could be taken now.
    async fn allocate(&self) -> Result<QueueId, Error>;

    /// Makes a message durable under an id from [`Intake::allocate`], and under no other.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Unavailable`] or [`ErrorKind::Overloaded`] when nothing was taken but another id, or another
    /// mta, or later may do; [`ErrorKind::Rejected`] when nothing was taken and never will be; of kind
    /// [`ErrorKind::Unknown`] or [`ErrorKind::Internal`] when only [`Intake::resolve`] can tell;
    /// [`ErrorKind::AlreadyExists`] when nothing was taken since its key belongs to another request.
    async fn enqueue_as(&self, id: QueueId, submission: Submission) -> Result<Submitted, Error>;

    /// As [`Relay::recall`].
    ///
    /// # Errors
    /// As there.
    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error>;

    /// As [`Relay::show`].
    ///
    /// # Errors
    /// As there.
    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error>;

    /// Says whether the message of this id was taken; if not, makes sure that it never will be.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    async fn resolve(&self, id: QueueId) -> Result<bool, Error>;
}

/// In one process: the same two steps without a network in between.
#[async_trait]
impl<T: Intake + ?Sized> Relay for T {
    async fn enqueue(&self, submission: Submission) -> Result<Submitted, Error> {
        let take = async {
            let id = self.allocate().await?;
            match self.enqueue_as(id, submission.clone()).await {
                // The share of the queue that the id names may have gone to another mta in between.
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    let id = self.allocate().await?;
                    self.enqueue_as(id, submission).await
                }
                taken => taken,
            }
        };
        take.instrument(tracing::info_span!("relay.enqueue", queue_id = tracing::field::Empty)).await
    }

    async fn resolve(&self, id: QueueId) -> Result<bool, Error> {
        Intake::resolve(self, id).await
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        Intake::recall(self, key).await
    }

    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error> {
        Intake::show(self, account, id).await
    }
}

/// What an attempt to authenticate came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// This account.
    Accepted(Account),
    /// This account, by SCRAM, with what proves the server to the client.
    Proven(Account, ServerSignature),
    /// Unknown user or wrong password; which of them nobody is told.
    Refused,
}

/// Implemented by the mda: knows who has a mailbox here.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Checks credentials; a login is an account's address.
    ///
    /// # Errors
    /// When the directory, or whom it asks about tokens, cannot be asked.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error>;

    /// Says what a SCRAM client hears first. Somebody who does not exist gets a challenge as everybody does.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error>;

    /// Says where mail for a recipient goes.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error>;
}

/// Implemented by the mda: how much accounts may submit, counted for all msas together. Asked only for accounts that have
/// limits ([`Account::quota`]).
#[async_trait]
pub trait Quotas: Send + Sync {
    /// Whether there is room for a message now, without counting it.
    ///
    /// # Errors
    /// When the counts cannot be read.
    async fn room(&self, account: &Mailbox, cost: Cost) -> Result<Room, Error>;

    /// Counts a message that is about to be queued, if there is room for it.
    ///
    /// # Errors
    /// When the counts cannot be changed. Of kind [`ErrorKind::Unknown`] when it may have been counted all the same; that is
    /// not mended, for the count is never to be too low.
    async fn charge(&self, account: &Mailbox, cost: Cost) -> Result<Charged, Error>;

    /// Counts a message no more that was charged at that time and was certainly not queued.
    ///
    /// # Errors
    /// When the counts cannot be changed.
    async fn give_back(&self, account: &Mailbox, cost: Cost, taken_at: Timestamp) -> Result<(), Error>;
}

/// One message for recipients in mailboxes of one mda.
#[derive(Debug, Clone)]
pub struct DeliveryRequest {
    /// The message; with the recipient it makes a repeated request harmless.
    pub id: QueueId,
    /// MAIL FROM, for the Return-Path field.
    pub reverse_path: ReversePath,
    /// The recipients.
    pub recipients: Vec<Recipient>,
    /// The content.
    pub content: Content,
    /// The trace that follows the message.
    pub trace: TraceContext,
}

/// Implemented by the mda: puts mail into mailboxes.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// Delivers to each recipient; the answer has one outcome for each, in their order.
    ///
    /// # Errors
    /// When the whole request could not be carried out; it may be repeated.
    async fn deliver(&self, request: DeliveryRequest) -> Result<Vec<Outcome>, Error>;
}

/// Implemented by the mda: changes what the directory knows.
#[async_trait]
pub trait DirectoryAdmin: Send + Sync {
    /// Makes a domain ours.
    ///
    /// # Errors
    /// `AlreadyExists`, or the directory cannot be asked.
    async fn add_domain(&self, domain: &Domain) -> Result<(), Error>;
    /// Gives a domain up; its accounts and aliases must be gone first.
    ///
    /// # Errors
    /// `NotFound`, `Rejected` while it is in use, or the directory cannot be asked.
    async fn remove_domain(&self, domain: &Domain) -> Result<(), Error>;
    /// All our domains by name.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    async fn domains(&self) -> Result<Vec<Domain>, Error>;
    /// Makes an account with a password.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` when the domain is not ours, or the directory cannot be asked.
    async fn add_account(&self, address: &Mailbox, password: &str) -> Result<(), Error>;
    /// Changes an account's password.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn set_password(&self, address: &Mailbox, password: &str) -> Result<(), Error>;
    /// Removes an account; its mail stays where it lies.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn remove_account(&self, address: &Mailbox) -> Result<(), Error>;
    /// The accounts by address, of one domain or all.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    async fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<Account>, Error>;
    /// One account, with all limits and what counts towards each.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn account(&self, address: &Mailbox) -> Result<AccountView, Error>;
    /// Lets an account send as the addresses of a pattern; the same again changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Rejected` when nobody could have such an address, or the directory cannot be asked.
    async fn grant(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error>;
    /// Takes a grant back; sessions that have authenticated keep it until they end.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn revoke(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error>;
    /// Gives an account limits of its own, or takes them back.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn set_limits(&self, address: &Mailbox, changes: &[(Limit, LimitChange)]) -> Result<(), Error>;
    /// Makes an alias, or gives it other targets. A local part of `*` catches what nothing else of the domain takes.
    ///
    /// # Errors
    /// `NotFound` when the domain is not ours, `Rejected` when an account has the address, or the directory cannot be asked.
    async fn set_alias(&self, alias: &Alias) -> Result<(), Error>;
    /// Removes an alias.
    ///
    /// # Errors
    /// `NotFound`, or the directory cannot be asked.
    async fn remove_alias(&self, address: &str) -> Result<(), Error>;
    /// The aliases by address, of one domain or all.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    async fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, Error>;
}

/// Which messages to list; an empty filter lists all, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Part of the reverse-path.
    pub sender: Option<String>,
    /// Part of a pending recipient's forward-path.
    pub recipient: Option<String>,
    /// At most this many; 0 stands for 100.
    pub limit: u32,
    /// Only messages accepted before the one of this id: the last of the page before.
    pub before: Option<QueueId>,
}

/// Implemented by the mta: shows the queue.
#[async_trait]
pub trait QueueAdmin: Send + Sync {
    /// Messages with a pending recipient, newest first, without their timelines.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    async fn list(&self, filter: &MessageFilter) -> Result<Vec<MessageView>, Error>;
    /// One message, queued or finished, with its timeline.
    ///
    /// # Errors
    /// `NotFound`, or the queue cannot be asked.
    async fn show(&self, id: QueueId) -> Result<MessageView, Error>;
}

/// Implemented by the mta, called by the msa too: says how much waits, and tells nothing of any message.
#[async_trait]
pub trait QueueSummary: Send + Sync {
    /// How many recipients wait, by domain or of one domain alone; `limit` is how many domains are named at most, 0 for 100.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    async fn summarize(&self, domain: Option<&Domain>, limit: u32) -> Result<Summary, Error>;
}

/// One message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxMessage {
    /// Its name within the mailbox.
    pub name: String,
    /// When it was delivered.
    pub delivered_at: Timestamp,
    /// Its size in octets.
    pub size: u64,
    /// Whether somebody has seen it.
    pub seen: bool,
    /// The From field.
    pub from: String,
    /// The Subject field.
    pub subject: String,
}

/// Implemented by the mda: reads mailboxes.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// The messages of an account's mailbox, newest first, at most `limit` of them.
    ///
    /// # Errors
    /// `NotFound` when there is no such mailbox, or it cannot be read.
    async fn messages(&self, account: &Mailbox, limit: u32) -> Result<Vec<MailboxMessage>, Error>;
    /// One message's content.
    ///
    /// # Errors
    /// `NotFound`, or it cannot be read.
    async fn message(&self, account: &Mailbox, name: &str) -> Result<Content, Error>;
}
