//! What the storages answer in place of a result, sorted by what it says about the data: nothing written, not known, never.

use std::sync::Arc;

/// A failed call to a storage.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    /// The disk is full; nothing was written.
    #[error("the disk is full")]
    Full,
    /// Nothing was written.
    #[error("{0}")]
    Refused(Arc<str>),
    /// The connection broke while a commit was under way.
    #[error("the connection broke during a commit: {0}")]
    Lost(Arc<str>),
    /// The data can never be stored; nothing was written.
    #[error("the data cannot be stored: {0}")]
    Data(Arc<str>),
    /// A key exists; nothing was written.
    #[error("the key exists already: {0}")]
    Conflict(Arc<str>),
    /// A stored row does not make sense.
    #[error("a stored row does not make sense: {0}")]
    Corrupt(Arc<str>),
}

/// How far a call had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Whatever was sent is rolled back, or was a question.
    Revocable,
    /// It may have been committed.
    Committing,
}

impl Fault {
    pub(crate) fn new(error: &sqlx::Error, stage: Stage) -> Self {
        use sqlx::Error;
        let detail: Arc<str> = error.to_string().into();
        match error {
            Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let postgres =
                    database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(|_| code.as_ref());
                match postgres {
                    Some(state) => of_postgres(state, detail, stage),
                    None => of_sqlite(code.parse().unwrap_or(0), detail, stage),
                }
            }
            Error::ColumnDecode { .. }
            | Error::Decode(_)
            | Error::ColumnNotFound(_)
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::RowNotFound => Self::Corrupt(detail),
            Error::Encode(_) | Error::InvalidArgument(_) => Self::Data(detail),
            Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed
                if stage == Stage::Committing =>
            {
                Self::Lost(detail)
            }
            _ => Self::Refused(detail),
        }
    }

    pub(crate) fn corrupt(detail: impl std::fmt::Display) -> Self {
        Self::Corrupt(detail.to_string().into())
    }

    /// Whether the data of the call is at fault, and not the storage.
    pub(crate) fn blames_data(&self) -> bool {
        matches!(self, Self::Data(_) | Self::Conflict(_))
    }
}

/// For calls that change nothing, and for all before a commit.
impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::new(&error, Stage::Revocable)
    }
}

/// By SQLSTATE (PostgreSQL documentation, appendix A).
fn of_postgres(state: &str, detail: Arc<str>, stage: Stage) -> Fault {
    match state {
        "53100" => Fault::Full,
        "23505" => Fault::Conflict(detail),
        // The server goes down; the commit record may be written or not.
        "57P01" | "57P02" if stage == Stage::Committing => Fault::Lost(detail),
        _ if state.starts_with("22") || state.starts_with("23") || state.starts_with("54") => {
            Fault::Data(detail)
        }
        _ => Fault::Refused(detail),
    }
}

/// By result code (sqlite.org/rescode.html); the low octet is the primary one.
fn of_sqlite(code: i64, detail: Arc<str>, stage: Stage) -> Fault {
    match (code & 0xff, code) {
        (13, _) => Fault::Full,
        (19, 1555 | 2067) => Fault::Conflict(detail),
        (18 | 19 | 20 | 25, _) => Fault::Data(detail),
        (10, _) if stage == Stage::Committing => Fault::Lost(detail),
        _ => Fault::Refused(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_sorted_by_what_was_written() {
        let pg = |state: &str, stage| of_postgres(state, "".into(), stage);
        assert!(matches!(pg("53100", Stage::Committing), Fault::Full));
        assert!(matches!(pg("57P01", Stage::Committing), Fault::Lost(_)));
        assert!(matches!(pg("57P01", Stage::Revocable), Fault::Refused(_)));
        assert!(matches!(pg("22021", Stage::Committing), Fault::Data(_)));
        assert!(matches!(pg("40P01", Stage::Committing), Fault::Refused(_)));
        assert!(matches!(of_sqlite(13, "".into(), Stage::Committing), Fault::Full));
        assert!(matches!(of_sqlite(1555, "".into(), Stage::Committing), Fault::Conflict(_)));
        assert!(matches!(of_sqlite(1034, "".into(), Stage::Committing), Fault::Lost(_)));
    }

    #[test]
    fn a_closed_connection_is_lost_only_at_the_commit() {
        let error = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(Fault::new(&error, Stage::Committing), Fault::Lost(_)));
        let refused = Fault::from(error);
        assert!(matches!(refused, Fault::Refused(_)));
        assert!(!refused.to_string().contains("Refused("), "{refused}");
    }
}
