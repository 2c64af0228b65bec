//! A database for one test: a file of its own, or a database of its own on the Postgres server of this test binary.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tokio::sync::OnceCell;

use crate::postgres::Postgres;

pub(crate) struct Database {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the database behind the directory's back.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// The one number that a query gives.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_as::<_, (i64,)>(sql).fetch_one(&mut connection).await.unwrap().0
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_as::<_, (i64,)>(sql).fetch_one(&mut connection).await.unwrap().0
        }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("below/directory.db").display());
        Self { url, _folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        let started =
            SERVER.get_or_init(|| async { tokio::task::spawn_blocking(Postgres::start).await.unwrap() });
        let server = started.await;
        let url = server.url();
        let mut administrator = PgConnection::connect(&url).await.unwrap();
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut administrator).await.unwrap();
        administrator.close().await.unwrap();
        Self { url: url.replace("/postgres?", &format!("/{name}?")), _folder: None }
    }
}
