//! A database for one test: a file of its own, or a database of its own on the Postgres server of this test binary.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
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
