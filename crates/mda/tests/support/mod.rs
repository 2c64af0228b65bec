//! An mda with `example.org`, `alice` and `bob`, in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::{Content, Domain, ForwardPath, Mailbox, QueueId, Timestamp, TraceContext};
use mda::{Config, Mda};
use protocol::DeliveryRequest;
use service::Context;
use service::clock::{Clock, SystemClock};
use service::config::SecretUrl;
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) context: Context,
    pub(crate) mda: Mda,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(SystemClock), change).await
    }

    pub(crate) async fn at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let (mut config, folder) = configuration().await;
        change(&mut config);
        let context = Context { clock, ..Context::default() };
        let mda = Mda::open(&config, &context).await.unwrap();
        Self { folder, context, mda }
    }

    /// The outcomes, in short.
    pub(crate) async fn deliver(&self, request: &DeliveryRequest) -> Vec<String> {
        self.mda.delivery.deliver(request.clone()).await.unwrap().iter().map(crate::code).collect()
    }

    /// A path below the folder of all mailboxes.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("mail").join(below)
    }

    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        fs::read_dir(self.path(below)).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// The messages of a mailbox, read or not.
    fn messages(&self, mailbox: &str) -> Vec<PathBuf> {
        let mut all = self.files(&format!("{mailbox}/Maildir/new"));
        all.extend(self.files(&format!("{mailbox}/Maildir/cur")));
        all
    }

    pub(crate) fn count(&self, mailbox: &str) -> usize {
        self.messages(mailbox).len()
    }

    pub(crate) fn only_file(&self, mailbox: &str) -> PathBuf {
        let messages = self.messages(mailbox);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages[0].clone()
    }
}

pub(crate) async fn configuration() -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    let url = format!("sqlite:{}", folder.path().join("directory.db").display());
    config.directory.url = SecretUrl::new(url.clone());
    config.mda.mail = folder.path().join("mail");
    config.mda.listen.grpc = "127.0.0.1:0".parse().ok();
    directory::Directory::migrate(&url).await.unwrap();
    let settings = directory::Settings { url, ..directory::Settings::default() };
    let directory = directory::Directory::open(settings).await.unwrap();
    let at = Timestamp::from_millis(1);
    directory.add_domain(&domain("example.org"), at).await.unwrap();
    let (alice, bob) = (mailbox("alice@example.org"), mailbox("bob@example.org"));
    let made =
        tokio::join!(directory.add_account(&alice, "secret", at), directory.add_account(&bob, "secret", at));
    made.0.and(made.1).unwrap();
    (config, folder)
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(crate) fn forward_path(text: &str) -> ForwardPath {
    text.parse().unwrap()
}

pub(crate) fn request(number: u64, recipients: &[&str], content: &str) -> DeliveryRequest {
    DeliveryRequest {
        id: QueueId { shard: 0, lane: 0, number },
        reverse_path: "<sender@far.example>".parse().unwrap(),
        recipients: recipients.iter().map(|text| forward_path(text).into()).collect(),
        content: Content::from(content.to_owned()),
        trace: TraceContext::default(),
    }
}

/// Waits for a condition, not for a time.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
