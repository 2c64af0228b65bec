//! Opens the storage that a URL names, and brings its schema up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Database;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tracing::Instrument;

use super::{Store, of, run, schema};
use crate::Error;

/// How long a query waits for a connection: a session at the other end waits too.
const CONNECTION_WAIT: Duration = Duration::from_secs(3);
/// How long a writer waits for another one on SQLite.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Readers beside the one writer that SQLite allows.
const SQLITE_CONNECTIONS: u32 = 4;

impl Store {
    /// Connects and checks the schema.
    pub(crate) async fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let store = Self::connect(url, connections, false).await?;
        match run!(&store, of::SCHEMA_VERSION, fetch_one as (Option<i64>,)) {
            Ok((Some(version),)) if version >= schema::VERSION => Ok(store),
            // An error of the database itself: the table is missing.
            Ok(_) | Err(sqlx::Error::Database(_)) => Err(Error::NotMigrated),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn migrate(url: &str) -> Result<(), Error> {
        let migrated = match Self::connect(url, 1, true).await? {
            Self::Postgres(pool) => {
                let migrated = schema::postgres().run(&pool).await;
                pool.close().await;
                migrated
            }
            Self::Sqlite(pool) => {
                let migrated = schema::sqlite().run(&pool).await;
                pool.close().await;
                migrated
            }
        };
        migrated.map_err(|error| match error {
            MigrateError::Execute(error) if !matches!(error, sqlx::Error::Database(_)) => {
                Error::Unavailable(error)
            }
            error => Error::Migration(error),
        })
    }

    async fn connect(url: &str, connections: u32, create: bool) -> Result<Self, Error> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "postgres" | "postgresql" => {
                let options = PgConnectOptions::from_str(url).map_err(|error| unusable(&error))?;
                let pool = pool(connections).connect_with(options).await.map_err(classify)?;
                Ok(Self::Postgres(pool))
            }
            "sqlite" => {
                let options = sqlite_options(url, create)?;
                if !create && !options.get_filename().exists() {
                    return Err(Error::NotMigrated);
                }
                let pool = pool(SQLITE_CONNECTIONS).connect_with(options).await.map_err(Error::Refused)?;
                Ok(Self::Sqlite(pool))
            }
            _ => Err(Error::Url(EXAMPLE.to_owned())),
        }
    }
}

const EXAMPLE: &str = "write where the directory is stored, as in \"postgres://user@host/database\" or \
                       \"sqlite:/var/lib/postrider/directory.db\"";

/// Never repeats the URL: it may hold a password.
fn unusable(error: &sqlx::Error) -> Error {
    Error::Url(format!("{error}; {EXAMPLE}"))
}

/// A server that is not there may come; one that knows no such user, password or database will not learn it by itself
/// (SQLSTATE class 28 and 3D000).
fn classify(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.is_some_and(|code| code.starts_with("28") || code == "3D000") {
        Error::Refused(error)
    } else {
        Error::Unavailable(error)
    }
}

fn pool<D: Database>(connections: u32) -> PoolOptions<D> {
    PoolOptions::<D>::new().max_connections(connections.max(1)).acquire_timeout(CONNECTION_WAIT)
}

fn sqlite_options(url: &str, create: bool) -> Result<SqliteConnectOptions, Error> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| unusable(&error))?;
    if create {
        make_file(options.get_filename()).map_err(|error| Error::Refused(sqlx::Error::Io(error)))?;
    }
    Ok(options
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_WAIT)
        .foreign_keys(true))
}

/// Password hashes lie in the file: only its owner may read what is made here. An empty file is an empty database.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}
