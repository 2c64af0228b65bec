//! The migrations of each storage, in the binary. Forward only.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The version that this program needs.
pub(super) const VERSION: i64 = 3;
/// Of its own, because the queue may live in the same database.
const TABLE: &str = "directory_migrations";

pub(super) fn postgres() -> Migrator {
    migrator(vec![
        migration(1, "directory", include_str!("../../migrations/postgres/0001_directory.sql")),
        migration(2, "credentials", include_str!("../../migrations/postgres/0002_credentials.sql")),
        migration(3, "rights", include_str!("../../migrations/postgres/0003_rights.sql")),
    ])
}

pub(super) fn sqlite() -> Migrator {
    migrator(vec![
        migration(1, "directory", include_str!("../../migrations/sqlite/0001_directory.sql")),
        migration(2, "credentials", include_str!("../../migrations/sqlite/0002_credentials.sql")),
        migration(3, "rights", include_str!("../../migrations/sqlite/0003_rights.sql")),
    ])
}

fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    let description = Cow::Borrowed(description);
    Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), false)
}

fn migrator(migrations: Vec<Migration>) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(TABLE);
    // An older program may run beside a newer one's schema: changes only add.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_storages_end_at_the_version_that_is_checked() {
        for migrator in [postgres(), sqlite()] {
            assert_eq!(migrator.iter().map(|migration| migration.version).max(), Some(VERSION));
        }
    }
}
