//! Scripted agents. An [`Mta`] is one of several that share a [`Queue`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mail::quota::{Charged, Cost, Excess, LimitChange, LimitView, Room};
use mail::timeline::{MessageView, PendingState, PendingView, TimelineEntry};
use mail::{
    Account, AccountView, Action, Alias, Content, Credentials, Domain, DomainSummary, ForwardPath,
    IdempotencyKey, Limit, Mailbox, Outcome, QueueId, Resolution, ScramChallenge, SenderPattern, Status,
    Summary, Timestamp,
};
use protocol::{
    Authentication, Delivery, DeliveryRequest, Directory, DirectoryAdmin, Error, ErrorKind, Intake,
    MailboxMessage, Mailboxes, MessageFilter, QueueAdmin, QueueSummary, Quotas, Submission, Submitted,
};
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Queue {
    next: AtomicU64,
    pub(crate) taken: Mutex<BTreeMap<QueueId, Submission>>,
    pub(crate) void: Mutex<BTreeSet<QueueId>>,
}

impl Queue {
    pub(crate) fn only(&self) -> (QueueId, Submission) {
        let taken = self.taken.lock().unwrap();
        assert_eq!(taken.len(), 1, "one message is in the queue");
        taken.iter().next().map(|(id, submission)| (*id, submission.clone())).unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.lock().unwrap().is_empty()
    }
}

/// What an mta does with the end of a message.
pub(crate) enum Script {
    Take,
    Fail(ErrorKind),
    /// Takes it, says so here, and never answers.
    TakeAndHang(Arc<Notify>),
    /// Says so here, and does nothing more.
    Hang(Arc<Notify>),
}

pub(crate) struct Mta {
    pub(crate) queue: Arc<Queue>,
    pub(crate) script: Script,
}

impl Mta {
    pub(crate) fn new(queue: &Arc<Queue>, script: Script) -> Arc<Self> {
        Arc::new(Self { queue: Arc::clone(queue), script })
    }

    fn take(&self, id: QueueId, submission: Submission) -> Result<Submitted, Error> {
        assert!(!self.queue.void.lock().unwrap().contains(&id), "a void message was taken");
        let mut taken = self.queue.taken.lock().unwrap();
        if let Some(key) = &submission.key
            && let Some(before) = before(&taken, key)?
        {
            return Ok(before);
        }
        let numbers = numbers(&submission);
        taken.insert(id, submission);
        Ok(Submitted { id, numbers, repeated: None })
    }
}

/// Every second number, to be told from places.
fn numbers(submission: &Submission) -> Vec<u16> {
    (0..).step_by(2).take(submission.envelope.recipients.len()).collect()
}

fn before(taken: &BTreeMap<QueueId, Submission>, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
    for (id, submission) in taken {
        let Some(known) = &submission.key else { continue };
        if known.key != key.key || known.account != key.account {
            continue;
        }
        if known.fingerprint != key.fingerprint {
            return Err(Error::new(ErrorKind::AlreadyExists, "another request"));
        }
        let repeated = Some(known.note.clone());
        return Ok(Some(Submitted { id: *id, numbers: numbers(submission), repeated }));
    }
    Ok(None)
}

#[async_trait]
impl Intake for Mta {
    async fn allocate(&self) -> Result<QueueId, Error> {
        Ok(super::id(self.queue.next.fetch_add(1, Ordering::Relaxed)))
    }

    async fn enqueue_as(&self, id: QueueId, submission: Submission) -> Result<Submitted, Error> {
        match &self.script {
            Script::Take => self.take(id, submission),
            Script::Fail(kind) => Err(Error::new(*kind, "as the script says")),
            Script::TakeAndHang(told) => {
                self.take(id, submission)?;
                told.notify_one();
                std::future::pending().await
            }
            Script::Hang(told) => {
                told.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        before(&self.queue.taken.lock().unwrap(), key)
    }

    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error> {
        let view = view();
        if view.account.as_ref() == Some(account) && view.id == id {
            return Ok(view);
        }
        Err(Error::new(ErrorKind::NotFound, "no such message"))
    }

    async fn resolve(&self, id: QueueId) -> Result<bool, Error> {
        let taken = self.queue.taken.lock().unwrap().contains_key(&id);
        if !taken {
            self.queue.void.lock().unwrap().insert(id);
        }
        Ok(taken)
    }
}

pub(crate) fn view() -> MessageView {
    let forward_path: ForwardPath = "<\"b ob\"@[IPv6:2001:db8::1]>".parse().unwrap();
    MessageView {
        id: super::id(9),
        reverse_path: Some(super::null()),
        account: Some("alice@example.test".parse().unwrap()),
        size: 1 << 40,
        accepted_at: Timestamp::from_millis(1_795_455_845_123),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        tick: Some("order-17".to_owned()),
        pending: vec![PendingView {
            number: 3,
            forward_path: forward_path.clone(),
            destination: "example.test".to_owned(),
            state: PendingState::Deferred,
            attempts: 2,
            next_attempt_at: Some(Timestamp::from_millis(-1)),
            expires_at: Timestamp::from_millis(5),
            last_status: Some(Status::new(451, (4, 3, 0), "später")),
        }],
        timeline: vec![TimelineEntry {
            at: Timestamp::from_millis(1),
            number: 3,
            forward_path,
            attempt: 1,
            action: Action::Expanded,
            status: Status::new(250, (2, 0, 0), ""),
            remote: Some("mx.example.test [192.0.2.1]".to_owned()),
        }],
    }
}

#[async_trait]
impl QueueAdmin for Mta {
    async fn list(&self, filter: &MessageFilter) -> Result<Vec<MessageView>, Error> {
        assert_eq!(*filter, filter_of_tests());
        Ok(vec![view(), view()])
    }

    async fn show(&self, id: QueueId) -> Result<MessageView, Error> {
        if id == view().id { Ok(view()) } else { Err(Error::new(ErrorKind::NotFound, "no such message")) }
    }
}

pub(crate) fn summary() -> Summary {
    let domain = DomainSummary {
        domain: "büro.test".to_owned(),
        active: 1,
        queued: 2,
        retry: 3,
        held: 1 << 40,
        oldest: Timestamp::from_millis(7),
    };
    Summary { domains: vec![domain], more: 5 }
}

#[async_trait]
impl QueueSummary for Mta {
    async fn summarize(&self, domain: Option<&Domain>, limit: u32) -> Result<Summary, Error> {
        match domain.map(Domain::as_str) {
            None => Ok(Summary::default()),
            Some("büro.test") if limit == 9 => Ok(summary()),
            Some(_) => Err(Error::new(ErrorKind::Unavailable, "the store is down")),
        }
    }
}

pub(crate) fn filter_of_tests() -> MessageFilter {
    MessageFilter { sender: Some("alice".to_owned()), recipient: None, limit: 5, before: Some(super::id(11)) }
}

/// An mda that remembers what it was told.
#[derive(Default)]
pub(crate) struct Mda {
    pub(crate) delivered: Mutex<Vec<DeliveryRequest>>,
    pub(crate) told: Mutex<Vec<String>>,
}

impl Mda {
    fn tell(&self, what: String) -> Result<(), Error> {
        self.told.lock().unwrap().push(what);
        Ok(())
    }
}

pub(crate) fn account() -> Account {
    Account {
        address: "alice@example.test".parse().unwrap(),
        may_send_as: vec!["δοκιμή@example.test".parse().unwrap()],
        granted: ["news@elsewhere.test", "*@bücher.example", "*@*"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        quota: [(Limit::ALL[0], 10), (Limit::ALL[5], 1 << 40)].into_iter().collect(),
        created_at: Timestamp::from_millis(42),
    }
}

pub(crate) fn account_view() -> AccountView {
    let view = |limit: Limit| {
        let allowed = account().quota.get(limit).map(u64::from);
        LimitView { limit, allowed, own: limit == Limit::ALL[0], used: 3 }
    };
    AccountView { account: account(), limits: Limit::ALL.map(view).to_vec() }
}

pub(crate) fn excess(until: Option<Timestamp>) -> Excess {
    Excess { limit: Limit::ALL[3], allowed: 7, until }
}

/// There is room for up to seven recipients, in two messages.
#[async_trait]
impl Quotas for Mda {
    async fn room(&self, account: &Mailbox, cost: Cost) -> Result<Room, Error> {
        assert_eq!(*account, account_view().account.address);
        Ok(match cost.recipients {
            8.. => Room::Over(excess(None)),
            1 => Room::Left { recipients: None },
            some => Room::Left { recipients: Some(7 - some) },
        })
    }
    async fn charge(&self, account: &Mailbox, cost: Cost) -> Result<Charged, Error> {
        self.tell(format!("charge {account} {} {}", cost.recipients, cost.octets))?;
        let over = excess(Some(Timestamp::from_millis(5)));
        Ok(if cost.recipients > 7 {
            Charged::Over(over)
        } else {
            Charged::Taken { at: Timestamp::from_millis(4) }
        })
    }
    async fn give_back(&self, account: &Mailbox, cost: Cost, taken_at: Timestamp) -> Result<(), Error> {
        self.tell(format!(
            "give back {account} {} {} of {}",
            cost.recipients,
            cost.octets,
            taken_at.as_millis()
        ))
    }
}

pub(crate) fn alias() -> Alias {
    Alias { address: "*@example.test".to_owned(), targets: vec!["alice@example.test".parse().unwrap()] }
}

pub(crate) fn mailbox_message() -> MailboxMessage {
    MailboxMessage {
        name: "1.M2".to_owned(),
        delivered_at: Timestamp::from_millis(7),
        size: 9,
        seen: true,
        from: "Bob <bob@example.test>".to_owned(),
        subject: "Grüße".to_owned(),
    }
}

/// 300 KiB and more: several frames, the last one short.
pub(crate) fn large() -> Content {
    let mut content = Content::from(vec![b'x'; 300 * 1024 + 17]);
    content.prepend("Received: from here\r\n");
    content
}

#[async_trait]
impl Directory for Mda {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        Ok(match (credentials.login(), credentials) {
            ("broken", _) => return Err(Error::new(ErrorKind::Unavailable, "the store is down")),
            ("alice@example.test", Credentials::Password { password, .. }) if password == "pässword" => {
                Authentication::Accepted(account())
            }
            ("alice@example.test", Credentials::Scram(proof)) if proof.auth_message == "n=,r=" => {
                Authentication::Proven(account(), proof.proof)
            }
            ("", Credentials::Token { token, .. }) if token == "good" => Authentication::Accepted(account()),
            ("", Credentials::Certificate { addresses, .. }) if addresses == &["alice@example.test"] => {
                Authentication::Accepted(account())
            }
            _ => Authentication::Refused,
        })
    }

    async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error> {
        Ok(ScramChallenge { salt: login.as_bytes().to_vec(), iterations: 4096 })
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        Ok(match forward_path.to_string().as_str() {
            "<Postmaster>" => Resolution::Deliverable(vec![account().address]),
            "<bob@example.test>" => Resolution::UnknownUser,
            _ => Resolution::NotLocal,
        })
    }
}

#[async_trait]
impl Delivery for Mda {
    async fn deliver(&self, request: DeliveryRequest) -> Result<Vec<Outcome>, Error> {
        let outcomes = [
            Outcome::Delivered(Status::new(250, (2, 1, 5), "in")),
            Outcome::Failed(Status::new(550, (5, 1, 1), "nobody")),
            Outcome::Delayed(Status::new(452, (4, 2, 2), "full")),
            Outcome::Relayed(Status::new(250, (2, 0, 0), "on")),
        ];
        let outcomes = outcomes.into_iter().cycle().take(request.recipients.len()).collect();
        self.delivered.lock().unwrap().push(request);
        Ok(outcomes)
    }
}

#[async_trait]
impl DirectoryAdmin for Mda {
    async fn add_domain(&self, domain: &Domain) -> Result<(), Error> {
        if domain.as_str() == "twice.test" {
            return Err(Error::new(ErrorKind::AlreadyExists, "it is there"));
        }
        self.tell(format!("add {domain}"))
    }
    async fn remove_domain(&self, domain: &Domain) -> Result<(), Error> {
        self.tell(format!("remove {domain}"))
    }
    async fn domains(&self) -> Result<Vec<Domain>, Error> {
        Ok(vec![Domain::parse("example.test").unwrap()])
    }
    async fn add_account(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.tell(format!("add {address} {password}"))
    }
    async fn set_password(&self, address: &Mailbox, password: &str) -> Result<(), Error> {
        self.tell(format!("change {address} {password}"))
    }
    async fn remove_account(&self, address: &Mailbox) -> Result<(), Error> {
        self.tell(format!("remove {address}"))
    }
    async fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<Account>, Error> {
        Ok(if domain.is_some() { vec![] } else { vec![account()] })
    }
    async fn account(&self, address: &Mailbox) -> Result<AccountView, Error> {
        assert_eq!(*address, account().address);
        Ok(account_view())
    }
    async fn grant(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.tell(format!("grant {address} {pattern}"))
    }
    async fn revoke(&self, address: &Mailbox, pattern: &SenderPattern) -> Result<(), Error> {
        self.tell(format!("revoke {address} {pattern}"))
    }
    async fn set_limits(&self, address: &Mailbox, changes: &[(Limit, LimitChange)]) -> Result<(), Error> {
        let mut changes: Vec<_> =
            changes.iter().map(|(limit, change)| format!("{limit} {change:?}")).collect();
        changes.sort();
        self.tell(format!("limit {address} {}", changes.join(", ")))
    }
    async fn set_alias(&self, alias: &Alias) -> Result<(), Error> {
        self.tell(format!("alias {} {}", alias.address, alias.targets[0]))
    }
    async fn remove_alias(&self, address: &str) -> Result<(), Error> {
        self.tell(format!("remove alias {address}"))
    }
    async fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, Error> {
        Ok(if domain.is_some() { vec![alias()] } else { vec![] })
    }
}

#[async_trait]
impl Mailboxes for Mda {
    async fn messages(&self, account: &Mailbox, limit: u32) -> Result<Vec<MailboxMessage>, Error> {
        assert_eq!((account.to_string().as_str(), limit), ("alice@example.test", 3));
        Ok(vec![mailbox_message()])
    }
    async fn message(&self, _: &Mailbox, name: &str) -> Result<Content, Error> {
        match name {
            "large" => Ok(large()),
            "empty" => Ok(Content::default()),
            _ => Err(Error::new(ErrorKind::NotFound, "no such message")),
        }
    }
}
