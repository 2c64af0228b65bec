//! The queue on Postgres: many instances on one database, lanes leased and fenced.

mod commit;
mod content;
mod keys;
mod leases;
mod load;
mod statements;
pub(crate) mod views;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use mail::{Content, QueueId, Timestamp};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};
use uuid::Uuid;

use crate::error::OpenError;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::model::{Backlog, Delivery, Depth, Kept, LaneGrant, Message, RecipientKey};
use crate::prepare::PreparedMessage;
use crate::settings::Settings;
use crate::store::{Committer, DuePage, Hurry, Retention, Standing, Store, Taken};

/// The schema that this program needs.
const SCHEMA: i64 = 4;
/// Beside the tables of others that may live in the same database.
const MIGRATION_TABLE: &str = "queue_migration";
/// Each only adds, so that an older program goes on working beside a newer one.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "queue", include_str!("../../migrations/postgres/0001_queue.sql")),
    (3, "options", include_str!("../../migrations/postgres/0003_options.sql")),
    (4, "idempotency", include_str!("../../migrations/postgres/0004_idempotency.sql")),
];

/// Connections by what they are for, so that nothing keeps a heartbeat waiting.
pub(crate) struct PostgresStore {
    options: PgConnectOptions,
    readers: PgPool,
    control: PgPool,
    /// The keeper's alone.
    leases: PgPool,
    spoolers: PgPool,
    settings: Settings,
    metrics: Metrics,
}

impl PostgresStore {
    pub(crate) async fn open(settings: &Settings, metrics: Metrics) -> Result<Self, OpenError> {
        let options = options(&settings.url)?;
        let timeout = settings.connect_timeout();
        let durable = options.clone().options([("synchronous_commit", "on")]);
        // Parts count only once their message is committed, and that commit flushes the log up to and with them.
        let spooling = options.options([("synchronous_commit", "off")]);
        let store = Self {
            readers: pool(durable.clone(), settings.readers, timeout),
            control: pool(durable.clone(), 2, timeout),
            leases: pool(durable.clone(), 1, timeout),
            spoolers: pool(spooling, settings.spoolers, timeout),
            options: durable,
            settings: settings.clone(),
            metrics,
        };
        check_schema(&store.control).await?;
        Ok(store)
    }
}

/// A newer schema still has everything that this program needs: migrations expand before they contract.
async fn check_schema(pool: &PgPool) -> Result<(), OpenError> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('queue_migration') IS NOT NULL").fetch_one(pool).await?;
    let found: Option<i64> = if exists {
        sqlx::query_scalar("SELECT max(version) FROM queue_migration WHERE success").fetch_one(pool).await?
    } else {
        None
    };
    match found.unwrap_or(0) {
        found if found < SCHEMA => Err(OpenError::Schema { found, needed: SCHEMA }),
        _ => Ok(()),
    }
}

pub(crate) async fn migrate(url: &str) -> Result<(), OpenError> {
    let mut connection = options(url)?.connect().await?;
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

fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| OpenError::Url(Some(error)))?;
    Ok(options
        .application_name("postrider queue")
        // Every statement goes by key: the plan for all is the plan for each, a plan made while a table was empty must do when it
        // is not, and the compiler never pays.
        .options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")])
        .disable_statement_logging())
}

fn pool(options: PgConnectOptions, size: u16, timeout: Duration) -> PgPool {
    PgPoolOptions::new()
        .max_connections(u32::from(size.max(1)))
        .acquire_timeout(timeout)
        .connect_lazy_with(options)
}

#[async_trait]
impl Store for PostgresStore {
    fn writers(&self) -> usize {
        usize::from(self.settings.writers.max(1))
    }

    fn committer(&self) -> Box<dyn Committer> {
        Box::new(commit::PostgresCommitter::new(
            self.options.clone(),
            self.settings.connect_timeout(),
            self.metrics.clone(),
        ))
    }

    fn spools(&self, size: usize) -> bool {
        size > content::SPOOL_ABOVE
    }

    async fn spool(&self, message: &PreparedMessage) -> Result<(), Fault> {
        self.store_parts(message).await
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

    async fn depth(&self, lanes: &[u8]) -> Result<Depth, Fault> {
        self.load_depth(lanes).await
    }

    async fn resolve(&self, id: QueueId, now: Timestamp) -> Result<bool, Fault> {
        self.accepted_or_void(id, now).await
    }

    async fn park(&self, grant: LaneGrant, keys: &[RecipientKey], at: Timestamp) -> Result<u64, Fault> {
        self.park_fresh(grant, keys, at).await
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

    async fn register(&self, me: Uuid) -> Result<(), Fault> {
        self.insert_instance(me).await
    }

    async fn heartbeat(&self, me: Uuid) -> Result<Option<Standing>, Fault> {
        self.renew_lease(me).await
    }

    async fn bury(&self) -> Result<usize, Fault> {
        self.bury_instances().await
    }

    async fn take(&self, me: Uuid, at_most: usize) -> Result<Vec<Taken>, Fault> {
        self.take_lanes(me, at_most).await
    }

    async fn release(&self, me: Uuid, lanes: &[u8]) -> Result<(), Fault> {
        self.release_lanes(me, lanes).await
    }

    async fn retire(&self, me: Uuid) -> Result<(), Fault> {
        self.delete_instance(me).await
    }

    async fn close(&self) {
        for pool in [&self.readers, &self.control, &self.leases, &self.spoolers] {
            pool.close().await;
        }
    }
}
