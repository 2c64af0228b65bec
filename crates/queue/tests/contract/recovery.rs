//! What is left after a crash, of the database or of us.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mail::QueueId;
use queue::{AcceptError, Queue, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::postgres::Postgres;
use crate::support::{Database, Running, key, message, relayed, until};

crate::contracts![what_was_accepted_survives_a_kill_in_the_middle];

/// Accepts until told to stop; answers what was accepted, and what was refused or is not known.
async fn flood(
    queue: Queue,
    stop: CancellationToken,
    accepted: Arc<AtomicUsize>,
) -> (Vec<QueueId>, Vec<QueueId>) {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    while !stop.is_cancelled() {
        let Ok(id) = queue.allocate() else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        // Some small, some in parts, some spooled.
        let size = [10, 9_000, 300 * 1024][yes.len() % 3];
        match queue.accept(message(id, vec![b'x'; size], &["<a@remote.test>"])).await {
            Ok(()) => {
                accepted.fetch_add(1, Ordering::Relaxed);
                yes.push(id);
            }
            Err(_) => no.push(id),
        }
    }
    (yes, no)
}

struct Flood {
    stop: CancellationToken,
    accepted: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<(Vec<QueueId>, Vec<QueueId>)>>,
}

impl Flood {
    fn start(running: &Running) -> Self {
        let stop = CancellationToken::new();
        let accepted = Arc::<AtomicUsize>::default();
        let task = || tokio::spawn(flood(running.queue.clone(), stop.clone(), Arc::clone(&accepted)));
        let tasks = (0..8).map(|_| task()).collect();
        Self { stop, accepted, tasks }
    }

    async fn until_more(&self, more: usize) {
        let goal = self.accepted.load(Ordering::Relaxed) + more;
        until("more is accepted", || self.accepted.load(Ordering::Relaxed) >= goal).await;
    }

    async fn end(self) -> (Vec<QueueId>, Vec<QueueId>) {
        self.stop.cancel();
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for task in self.tasks {
            let (accepted, refused) = task.await.unwrap();
            yes.extend(accepted);
            no.extend(refused);
        }
        (yes, no)
    }
}

/// What was accepted is there, whole; what was not is there or not, and `resolve` says which.
async fn check(queue: &Queue, accepted: &[QueueId], refused: &[QueueId]) {
    for id in accepted {
        let message = queue.message(*id).await.unwrap();
        let size = message.unwrap_or_else(|| panic!("{id} was accepted and is lost")).size;
        let content = queue.content(*id).await.unwrap().unwrap();
        assert_eq!(u64::try_from(content.len()).unwrap(), size);
    }
    for id in refused {
        let is_there = queue.message(*id).await.unwrap().is_some();
        assert_eq!(queue.resolve(*id).await.unwrap(), is_there, "{id}");
    }
}

async fn what_was_accepted_survives_a_kill_in_the_middle(database: Database) {
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let settings = Settings { lease_ms: 1000, heartbeat_ms: 100, margin_ms: 200, ..database.settings() };
        let running = database.run_with(settings).await;
        let flood = Flood::start(&running);
        flood.until_more(40).await;
        running.kill().await;
        let (yes, no) = flood.end().await;
        accepted.extend(yes);
        refused.extend(no);
    }
    let running = database.run().await;
    check(&running.queue, &accepted, &refused).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_crashes_of_postgres() {
    let mut server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = Database::on(&server).await;
    let settings = Settings { lease_ms: 4000, heartbeat_ms: 200, margin_ms: 500, ..database.settings() };
    let running = database.run_with(settings).await;
    let flood = Flood::start(&running);
    for _ in 0..3 {
        flood.until_more(60).await;
        server.stop_immediate();
        server.restart();
    }
    flood.until_more(60).await;
    let (accepted, refused) = flood.end().await;
    check(&running.queue, &accepted, &refused).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_down_nothing_is_accepted_and_then_it_goes_on() {
    let mut server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = Database::on(&server).await;
    let settings = Settings { lease_ms: 3000, heartbeat_ms: 200, margin_ms: 500, ..database.settings() };
    let running = database.run_with(settings).await;
    until("all lanes are owned", || running.lanes().len() == 256).await;
    let id = running.accept("before", &["<a@remote.test>"]).await;
    let before = running.lanes();
    // Idle long enough for the connections to be asked before they are used.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.stop_immediate();
    let asked = Instant::now();
    let refused = running.queue.accept(running.message("down", &["<a@remote.test>"])).await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    until("the lanes are dropped", || running.lanes().is_empty()).await;
    assert!(!running.queue.may_commit(id));
    assert!(matches!(running.queue.allocate(), Err(AcceptError::Unavailable(_))));
    server.restart();
    until("the lanes are owned again, under later epochs", || {
        let now = running.lanes();
        now.len() == 256 && now.iter().zip(&before).all(|(now, before)| now.epoch > before.epoch)
    })
    .await;
    assert_eq!(running.fresh(id).await.len(), 1);
    running.accept("after", &["<a@remote.test>"]).await;
    running.stop().await;
}

/// Stands between us and Postgres, and cuts the connection in place of the next answer.
struct Cutter {
    folder: tempfile::TempDir,
    cut: Arc<AtomicBool>,
}

impl Cutter {
    fn start(server: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("cut").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(server.join(".s.PGSQL.5432")).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&flag)));
            }
        });
        Self { folder, cut }
    }
}

async fn relay(client: UnixStream, server: UnixStream, cut: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = from_server.read(&mut buffer).await {
        // Other connections ask and answer too: only the one that commits a message is cut.
        let answers_an_accept =
            buffer[..length].windows(8).any(|word| word == b"INSERT 0" || word == b"SELECT 2");
        if length == 0 || (answers_an_accept && cut.swap(false, Ordering::AcqRel)) {
            break;
        }
        if to_client.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    forth.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_stored_once() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let mut database = Database::on(&server).await;
    let cutter = Cutter::start(server.socket());
    let (place, _) = database.url.split_once("host=").unwrap();
    database.url = format!("{place}host={}", cutter.folder.path().display());
    let running = database.run_with(Settings { writers: 1, ..database.settings() }).await;
    running.accept("warm", &["<a@remote.test>"]).await;

    cutter.cut.store(true, Ordering::Release);
    let id = running.accept("once", &["<a@remote.test>", "<b@remote.test>"]).await;
    assert!(!cutter.cut.load(Ordering::Acquire), "the answer was cut");
    assert_eq!((database.count("message").await, database.count("delivery").await), (2, 3));
    assert_eq!(running.queue.content(id).await.unwrap().unwrap().to_bytes(), "once");
    running.stop().await;
}

/// A small disk of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then(|| Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_messages_and_still_records_results() {
    let Some(disk) = Disk::mount() else {
        println!("not run: it takes a user who may mount a small disk");
        return;
    };
    let database = Database::in_folder(disk.0.path());
    let running = database.run().await;
    let offer = || message(running.queue.allocate().unwrap(), vec![b'x'; 200_000], &["<a@remote.test>"]);
    let mut accepted = Vec::new();
    loop {
        let message = offer();
        let id = message.id;
        match running.queue.accept(message).await {
            Ok(()) => accepted.push(id),
            Err(error) => {
                assert!(matches!(error, AcceptError::Overloaded), "{error:?}");
                break;
            }
        }
    }
    for _ in 0..3 {
        let refused = running.queue.accept(offer()).await;
        assert!(matches!(refused, Err(AcceptError::Overloaded)), "{refused:?}");
    }
    let (ended, waiting) = accepted.split_at(accepted.len() / 2);
    for id in ended {
        running.queue.report(relayed(key(*id, 0), 1)).await.unwrap();
    }
    check(&running.queue, waiting, &[]).await;
    // What has ended makes room, in the file and on the disk.
    let deadline = Instant::now() + Duration::from_secs(30);
    while running.queue.accept(offer()).await.is_err() {
        assert!(Instant::now() < deadline, "there is no room again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
}
