//! An msa on ports of its own, and everything around it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::{digest, hmac, pbkdf2};
use bytes::Bytes;
use mail::timeline::{MessageView, PendingState, PendingView};
use mail::{
    Account, Content, Credentials, Domain, DomainSummary, Envelope, ForwardPath, IdempotencyKey, Limit,
    Mailbox, Origin, QueueId, Quota, Recipient, Resolution, ReversePath, ScramChallenge, ScramProof,
    SenderPattern, ServerSignature, Status, Summary, Timestamp,
};
use msa::{Config, Others};
use protocol::{Authentication, Directory, Error, ErrorKind, QueueSummary, Relay, Submission, Submitted};
use service::Context;
use service::clock::ManualClock;
use service::config::ByteSize;
use smtp::client::{Connection, Security, Settings};
use smtp::tls::ClientTls;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::quotas::Counts;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PASSWORD: &str = "correct horse";
/// How often SCRAM hashes it.
const ITERATIONS: u32 = 4096;
/// A message to which nothing has to be added.
pub(crate) const MESSAGE: &str = "From: Alice <alice@example.test>\r\nDate: Mon, 23 Nov 2026 17:00:00 +0100\r\n\
                                  Message-ID: <1@client.test>\r\nSubject: x\r\n\r\nHi\r\n";

/// An msa at work. It ends with the test.
pub(crate) struct Fixture {
    pub(crate) relay: Arc<Mta>,
    pub(crate) directory: Arc<People>,
    pub(crate) quotas: Arc<Counts>,
    context: Context,
    _certificate: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.context.shutdown.begin();
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(|settings| settings.http.insecure = true).await
    }

    /// With settings of the test's own.
    pub(crate) async fn start_with(change: impl FnOnce(&mut msa::Settings)) -> Self {
        Self::start_whole(|config| change(&mut config.msa)).await
    }

    /// With any settings of the test's own.
    pub(crate) async fn start_whole(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.service.hostname = Some("msa.example.test".to_owned());
        config.tls.certificate_file = Some(folder.path().join("tls.pem"));
        config.tls.key_file = Some(folder.path().join("tls.pem"));
        let local = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.msa.listen =
            msa::Listen { submission: local, submission_alt: local, submissions: local, http: local };
        config.msa.limits.message_size = ByteSize::mib(1);
        config.msa.limits.auth_failures = 3;
        change(&mut config);
        write_certificate(&folder.path().join("tls.pem"));

        // Monday, 23 November 2026, 17:44:00.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_455_840);
        let context = Context { clock: Arc::new(ManualClock::new(now)), ..Context::default() };
        let (relay, directory) = (Arc::new(Mta::default()), Arc::new(People::default()));
        let quotas = Arc::new(Counts::default());
        let others = Others {
            relay: relay.clone(),
            directory: directory.clone(),
            queue: relay.clone(),
            quotas: quotas.clone(),
        };
        msa::serve(&config, others, &context).await.unwrap();
        assert!(context.readiness.is_ready());
        Self { relay, directory, quotas, context, _certificate: folder }
    }

    pub(crate) fn address(&self, port: &str) -> SocketAddr {
        self.context.listening.get(port).unwrap()
    }

    /// A connection without TLS, line by line.
    pub(crate) async fn raw(&self, port: &str) -> Raw {
        Raw(BufStream::new(TcpStream::connect(self.address(port)).await.unwrap()))
    }

    /// A connection with TLS.
    pub(crate) async fn connect(&self, port: &str) -> Connection {
        let tls = ClientTls::opportunistic().unwrap();
        let security = if port == "submissions" { Security::Implicit(tls) } else { Security::StartTls(tls) };
        Connection::connect(self.address(port), &Settings::new("client.test"), security, "localhost")
            .await
            .unwrap()
    }

    /// A connection with TLS, as alice.
    pub(crate) async fn signed_in(&self, port: &str) -> Connection {
        let mut connection = self.connect(port).await;
        connection.authenticate("alice@example.test", PASSWORD).await.unwrap();
        connection
    }

    /// One message for one recipient; what was heard in the end.
    pub(crate) async fn send(
        &self,
        connection: &mut Connection,
        sender: &str,
        recipient: &str,
        content: impl Into<Bytes>,
    ) -> String {
        self.send_all(connection, sender, &[recipient], content).await.remove(0)
    }

    /// One message for several recipients; what was heard in the end for each.
    pub(crate) async fn send_all(
        &self,
        connection: &mut Connection,
        sender: &str,
        recipients: &[&str],
        content: impl Into<Bytes>,
    ) -> Vec<String> {
        let reverse_path: ReversePath = format!("<{sender}>").parse().unwrap();
        let path = |recipient: &&str| format!("<{recipient}>").parse::<ForwardPath>().unwrap();
        let recipients: Vec<_> =
            recipients.iter().map(|recipient| Recipient::from(path(recipient))).collect();
        let envelope = Envelope::new(reverse_path, Origin::default());
        let content = Content::from(content.into());
        let sending = connection.transact(&envelope, &recipients, &content, &|| true);
        let statuses = tokio::time::timeout(PATIENCE, sending).await.unwrap().unwrap();
        statuses.iter().map(ToString::to_string).collect()
    }
}

fn write_certificate(path: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
}

/// A connection without TLS.
pub(crate) struct Raw(BufStream<TcpStream>);

impl Raw {
    /// One reply line.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await.unwrap().unwrap();
        line
    }

    /// A command and its whole reply.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        let mut reply = self.line().await;
        while reply.lines().last().is_some_and(|line| line.as_bytes().get(3) == Some(&b'-')) {
            reply.push_str(&self.line().await);
        }
        reply
    }
}

/// Takes messages, or not, or not yet.
pub(crate) struct Mta {
    taken: Mutex<Vec<(Submission, QueueId)>>,
    failure: Mutex<Option<ErrorKind>>,
    held: watch::Sender<bool>,
    waiting: watch::Sender<bool>,
}

impl Default for Mta {
    fn default() -> Self {
        let (held, waiting) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { taken: Mutex::default(), failure: Mutex::default(), held, waiting }
    }
}

impl Mta {
    pub(crate) fn taken(&self) -> Vec<(Submission, QueueId)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fail(&self, kind: Option<ErrorKind>) {
        *self.failure.lock().unwrap() = kind;
    }

    fn before(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        for (submission, id) in self.taken() {
            let Some(known) = &submission.key else { continue };
            if (&known.key, &known.account) != (&key.key, &key.account) {
                continue;
            }
            if known.fingerprint != key.fingerprint {
                return Err(Error::new(ErrorKind::AlreadyExists, "another request"));
            }
            let numbers = (0..).take(submission.envelope.recipients.len()).collect();
            return Ok(Some(Submitted { id, numbers, repeated: Some(known.note.clone()) }));
        }
        Ok(None)
    }

    /// Keeps messages waiting, or no more.
    pub(crate) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Waits until a message is kept waiting.
    pub(crate) async fn holds_one(&self) {
        let mut waiting = self.waiting.subscribe();
        tokio::time::timeout(PATIENCE, waiting.wait_for(|waiting| *waiting)).await.unwrap().unwrap();
    }
}

#[async_trait]
impl Relay for Mta {
    async fn enqueue(&self, submission: Submission) -> Result<Submitted, Error> {
        if *self.held.borrow() {
            self.waiting.send_replace(true);
            self.held.subscribe().wait_for(|held| !held).await.unwrap();
        }
        if let Some(kind) = *self.failure.lock().unwrap() {
            return Err(Error::new(kind, "the reason"));
        }
        if let Some(key) = &submission.key
            && let Some(before) = self.before(key)?
        {
            return Ok(before);
        }
        let mut taken = self.taken.lock().unwrap();
        let id = QueueId { shard: 0, lane: 7, number: taken.len() as u64 };
        let numbers = (0..).take(submission.envelope.recipients.len()).collect();
        taken.push((submission, id));
        Ok(Submitted { id, numbers, repeated: None })
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Error> {
        self.before(key)
    }

    /// All messages wait.
    async fn show(&self, account: &Mailbox, id: QueueId) -> Result<MessageView, Error> {
        let known = self.taken().into_iter().find(|(submission, taken)| {
            *taken == id && submission.envelope.origin.account.as_ref() == Some(account)
        });
        let (submission, _) = known.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such message"))?;
        let pending = |(number, recipient): (u16, &Recipient)| PendingView {
            number,
            forward_path: recipient.forward_path.clone(),
            destination: "elsewhere.test".to_owned(),
            state: PendingState::Deferred,
            attempts: 1,
            next_attempt_at: Some(Timestamp::from_millis(1_795_455_900_000)),
            expires_at: Timestamp::from_millis(1_795_999_999_000),
            last_status: Some(Status::new(450, (4, 2, 0), "busy")),
        };
        Ok(MessageView {
            id,
            reverse_path: Some(submission.envelope.reverse_path.clone()),
            account: Some(account.clone()),
            size: submission.content.len() as u64,
            accepted_at: Timestamp::from_millis(1_795_455_840_000),
            trace_id: None,
            tick: None,
            pending: (0..).zip(&submission.envelope.recipients).map(pending).collect(),
            timeline: Vec::new(),
        })
    }

    async fn resolve(&self, id: QueueId) -> Result<bool, Error> {
        Ok(self.taken().iter().any(|(_, taken)| *taken == id))
    }
}

#[async_trait]
impl QueueSummary for Mta {
    async fn summarize(&self, domain: Option<&Domain>, _: u32) -> Result<Summary, Error> {
        if let Some(kind) = *self.failure.lock().unwrap() {
            return Err(Error::new(kind, "the reason"));
        }
        let waiting = DomainSummary {
            domain: domain.map_or("example.test", Domain::as_str).to_owned(),
            active: 1,
            queued: 2,
            retry: 3,
            held: 4,
            // An hour before the clock of the fixture.
            oldest: Timestamp::from_millis(1_795_452_240_000),
        };
        Ok(Summary { domains: vec![waiting], more: 0 })
    }
}

/// Knows alice@example.test, who is sales@example.test, too.
#[derive(Default)]
pub(crate) struct People {
    away: AtomicBool,
    granted: Mutex<Vec<SenderPattern>>,
    quota: Mutex<Quota>,
}

impl People {
    pub(crate) fn fail(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn grant(&self, pattern: &str) {
        self.granted.lock().unwrap().push(pattern.parse().unwrap());
    }

    pub(crate) fn limit(&self, limit: &str, allowed: u64) {
        self.quota.lock().unwrap().set(Limit::of_name(limit).unwrap(), allowed);
    }

    fn answer<T>(&self, answer: T) -> Result<T, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        Ok(answer)
    }
}

/// The server's signature, where the proof is that of the password (RFC 5802 3).
fn verify(proof: &ScramProof) -> Option<ServerSignature> {
    let sign = |key: &[u8], message: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        <[u8; 32]>::try_from(hmac::sign(&key, message.as_bytes()).as_ref()).unwrap()
    };
    let (mut salted, salt) = ([0; 32], proof.login.as_bytes());
    let iterations = ITERATIONS.try_into().unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, PASSWORD.as_bytes(), &mut salted);
    let client_key = sign(&salted, "Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), &proof.auth_message);
    let is_right = proof.proof.iter().zip(signature).map(|(a, b)| a ^ b).eq(client_key);
    is_right.then(|| sign(&sign(&salted, "Server Key"), &proof.auth_message))
}

#[async_trait]
impl Directory for People {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        let alice = Account {
            may_send_as: vec!["sales@example.test".parse().unwrap()],
            granted: self.granted.lock().unwrap().clone(),
            quota: *self.quota.lock().unwrap(),
            ..Account::new("alice@example.test".parse().unwrap(), Timestamp::from_millis(0))
        };
        self.answer(match (credentials.login(), credentials) {
            ("alice@example.test", Credentials::Password { password, .. }) if password == PASSWORD => {
                Authentication::Accepted(alice)
            }
            ("alice@example.test", Credentials::Scram(proof)) => match verify(proof) {
                Some(signature) => Authentication::Proven(alice, signature),
                None => Authentication::Refused,
            },
            ("alice@example.test", Credentials::Certificate { addresses, .. })
                if addresses == &["alice@example.test"] =>
            {
                Authentication::Accepted(alice)
            }
            _ => Authentication::Refused,
        })
    }

    async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error> {
        self.answer(ScramChallenge { salt: login.as_bytes().to_vec(), iterations: ITERATIONS })
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        let mailbox = forward_path.mailbox().unwrap().clone();
        let is_ours = mailbox.domain().is_some_and(|domain| domain.as_str() == "example.test");
        self.answer(match mailbox.local_part().as_str() {
            _ if !is_ours => Resolution::NotLocal,
            "alice" => Resolution::Deliverable(vec![mailbox]),
            "sales" => Resolution::Deliverable(vec!["alice@example.test".parse().unwrap()]),
            _ => Resolution::UnknownUser,
        })
    }
}
