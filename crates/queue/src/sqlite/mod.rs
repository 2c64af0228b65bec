//! The queue on SQLite: one process owns the file, which has one lane. A lock file beside it says who; nothing is fenced, for
//! nobody else can write. One connection writes, others read beside it (write-ahead log).

mod commit;
mod content;
mod keys;
mod load;
mod reserve;
mod statements;
pub(crate) mod views;

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use mail::{Content, QueueId, Timestamp};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use self::reserve::Reserve;
use self::statements::LAST;
use crate::error::OpenError;
use crate::fault::{Fault, Stage};
use crate::metrics::Metrics;
use crate::model::{Backlog, Delivery, Depth, Kept, LaneGrant, Message, RecipientKey};
use crate::prepare::PreparedMessage;
use crate::settings::Settings;
use crate::store::{Committer, DuePage, Hurry, Retention, Standing, Store, Taken};

/// The schema that this program needs.
const SCHEMA: i64 = 4;
const MIGRATION_TABLE: &str = "queue_migration";
/// Each only adds, so that an older program goes on working beside a newer one.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "queue", include_str!("../../migrations/sqlite/0001_queue.sql")),
    (3, "options", include_str!("../../migrations/sqlite/0003_options.sql")),
    (4, "idempotency", include_str!("../../migrations/sqlite/0004_idempotency.sql")),
];
/// The only lane.
const LANE: u8 = 0;
const PAGE: u32 = 16 * 1024;

/// See the module.
pub(crate) struct SqliteStore {
    writer: Arc<Writing>,
    readers: SqlitePool,
    path: PathBuf,
    reserve_octets: u64,
    metrics: Metrics,
    held: AtomicBool,
    epoch: AtomicI64,
    /// Locked as long as it is open.
    lock: Mutex<Option<File>>,
}

/// The one connection that writes: for commits, and between them for whatever else changes something.
pub(crate) struct Writing {
    options: SqliteConnectOptions,
    connection: Mutex<Option<SqliteConnection>>,
}

impl SqliteStore {
    pub(crate) async fn open(path: &Path, settings: &Settings, metrics: Metrics) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Schema { found: 0, needed: SCHEMA });
        }
        let lock = lock(path)?;
        let options = options(path);
        let readers = SqlitePoolOptions::new()
            .max_connections(u32::from(settings.readers.max(1)))
            .acquire_timeout(settings.connect_timeout())
            .connect_lazy_with(options.clone().create_if_missing(false).pragma("query_only", "on"));
        check_schema(&readers).await?;
        let writer = Arc::new(Writing { options, connection: Mutex::new(None) });
        let (path, reserve_octets) = (path.to_owned(), settings.reserve_octets);
        Ok(Self {
            writer,
            readers,
            path,
            reserve_octets,
            metrics,
            held: false.into(),
            epoch: 0.into(),
            lock: Mutex::new(Some(lock)),
        })
    }

    fn grant(&self) -> LaneGrant {
        LaneGrant { lane: LANE, epoch: self.epoch.load(Ordering::Acquire) }
    }
}

impl Writing {
    /// The connection, made where there is none. Whoever leaves it broken takes it out.
    async fn lock(&self) -> Result<MutexGuard<'_, Option<SqliteConnection>>, Fault> {
        let mut guard = self.connection.lock().await;
        if guard.is_none() {
            *guard =
                Some(self.options.connect().await.map_err(|error| Fault::new(&error, Stage::Revocable))?);
        }
        Ok(guard)
    }
}

/// The connection behind a lock that was just taken.
fn connection(guard: &mut Option<SqliteConnection>) -> Result<&mut SqliteConnection, Fault> {
    guard.as_mut().ok_or_else(|| Fault::Refused("there is no connection".into()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Who holds the lock owns the queue; it ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = beside(path, ".lock");
    let cannot = |source| OpenError::Folder { path: lock_path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(cannot(source)),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on the disk when it returns.
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "1024")
        .pragma("temp_store", "memory")
        .busy_timeout(std::time::Duration::from_secs(5))
        .disable_statement_logging()
}

async fn check_schema(pool: &SqlitePool) -> Result<(), OpenError> {
    let exists: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'queue_migration'")
        .fetch_one(pool)
        .await?;
    let found: Option<i64> = if exists > 0 {
        sqlx::query_scalar("SELECT max(version) FROM queue_migration WHERE success").fetch_one(pool).await?
    } else {
        None
    };
    match found.unwrap_or(0) {
        found if found < SCHEMA => Err(OpenError::Schema { found, needed: SCHEMA }),
        _ => Ok(()),
    }
}

/// Makes the file and its folder where they are missing.
pub(crate) async fn migrate(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
    }
    // It holds mail: only its owner may read it, and its log, which takes after it. An empty file is an empty database.
    let file = File::options().create(true).append(true).mode(0o600).open(path);
    let is_empty = file.and_then(|file| Ok(file.metadata()?.len() == 0));
    let is_empty = is_empty.map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    // Saying this writes, even where it is so already; who opens the file may find the disk full.
    let options = options(path);
    let options = if is_empty { options.auto_vacuum(SqliteAutoVacuum::Incremental) } else { options };
    let mut connection = options.connect().await?;
    let migrations = MIGRATIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(MIGRATION_TABLE);
    migrator.set_ignore_missing(true);
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    fn writers(&self) -> usize {
        1
    }

    fn committer(&self) -> Box<dyn Committer> {
        Box::new(commit::SqliteCommitter::new(
            Arc::clone(&self.writer),
            Reserve::new(beside(&self.path, ".reserve"), self.reserve_octets),
            self.metrics.clone(),
        ))
    }

    fn spools(&self, _size: usize) -> bool {
        false
    }

    async fn spool(&self, _message: &PreparedMessage) -> Result<(), Fault> {
        Ok(())
    }

    async fn fresh(&self, lane: u8, after: Option<RecipientKey>, limit: u32) -> Result<Vec<Delivery>, Fault> {
        self.load_fresh(lane, after, limit).await
    }

    async fn backlog(&self, lane: u8) -> Result<Vec<Backlog>, Fault> {
        self.load_backlog(lane).await
    }

    async fn due(&self, page: &DuePage<'_>) -> Result<Vec<Delivery>, Fault> {
        self.load_due(page).await
    }

    async fn expired(&self, lane: u8, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, Fault> {
        self.load_expired(lane, now, limit).await
    }

    async fn message(&self, id: QueueId) -> Result<Option<Message>, Fault> {
        self.load_message(id).await
    }

    async fn content(&self, id: QueueId) -> Result<Option<Content>, Fault> {
        self.load_content(id).await
    }

    async fn depth(&self, _lanes: &[u8]) -> Result<Depth, Fault> {
        self.load_depth().await
    }

    async fn resolve(&self, id: QueueId, now: Timestamp) -> Result<bool, Fault> {
        self.accepted_or_void(id, now).await
    }

    async fn park(&self, _grant: LaneGrant, keys: &[RecipientKey], at: Timestamp) -> Result<u64, Fault> {
        self.park_fresh(keys, at).await
    }

    async fn hasten(&self, hurry: &Hurry<'_>) -> Result<Vec<String>, Fault> {
        self.make_due(hurry).await
    }

    async fn sweep(&self, lane: u8, before: Retention) -> Result<u64, Fault> {
        self.delete_old(lane, before).await
    }

    async fn recall(&self, account: &str, key: &str) -> Result<Option<Kept>, Fault> {
        self.load_key(account, key).await
    }

    async fn forget_keys(&self, now: Timestamp, limit: u32) -> Result<u64, Fault> {
        self.delete_keys(now, limit).await
    }

    async fn register(&self, _me: Uuid) -> Result<(), Fault> {
        Ok(())
    }

    async fn heartbeat(&self, _me: Uuid) -> Result<Option<Standing>, Fault> {
        let grant = self.grant();
        let held = self.held.load(Ordering::Acquire).then_some((grant.lane, grant.epoch));
        Ok(Some(Standing { lanes: held.into_iter().collect(), live: 1, total: 1 }))
    }

    async fn bury(&self) -> Result<usize, Fault> {
        Ok(0)
    }

    async fn take(&self, _me: Uuid, at_most: usize) -> Result<Vec<Taken>, Fault> {
        if at_most == 0 || self.held.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let last = self.metrics.timed(LAST, sqlx::query_scalar(LAST.sql).fetch_one(&self.readers)).await?;
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.held.store(true, Ordering::Release);
        Ok(vec![Taken { grant: self.grant(), last }])
    }

    async fn release(&self, _me: Uuid, lanes: &[u8]) -> Result<(), Fault> {
        if lanes.contains(&LANE) {
            self.held.store(false, Ordering::Release);
        }
        Ok(())
    }

    async fn retire(&self, _me: Uuid) -> Result<(), Fault> {
        self.held.store(false, Ordering::Release);
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        // The last connection to close writes the log back into the file.
        if let Some(connection) = self.writer.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the queue's file could not be closed cleanly; its log is read at the next start");
        }
        *self.lock.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn what_holds_mail_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/queue.db");
        migrate(&path).await.unwrap();
        let mut connection = options(&path).connect().await.unwrap();
        sqlx::query("CREATE TABLE more (x)").execute(&mut connection).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(&beside(&path, "-wal"))], [0o600; 2]);
        assert_eq!(mode(&folder.path().join("made")), 0o700);
        let vacuum: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut connection).await.unwrap();
        assert_eq!(vacuum, 2, "settings of a new file hold for one that was made empty");
    }

    #[tokio::test]
    async fn opening_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        migrate(&path).await.unwrap();
        let mut first = options(&path).connect().await.unwrap();
        sqlx::query("CREATE TABLE more (x)").execute(&mut first).await.unwrap();
        let log = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        let before = log();
        migrate(&path).await.unwrap();
        let mut second = options(&path).connect().await.unwrap();
        let _: i64 = sqlx::query_scalar("SELECT count(*) FROM more").fetch_one(&mut second).await.unwrap();
        assert_eq!(log(), before, "a full disk must not keep anybody from looking");
    }
}
