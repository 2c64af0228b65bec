//! What can go wrong in the directory, by what the caller can do about it. No variant holds a password or its hash.

/// Why the directory did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage cannot be reached, or did not answer in time.
    #[error("the directory's database cannot be used now: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The storage cannot be used by us as it is: waiting will not mend it.
    #[error("the directory's database refuses us: {0}")]
    Refused(#[source] sqlx::Error),
    /// Too many passwords wait to be checked.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// Too many messages wait to be counted; this one was not.
    #[error("too many messages wait to be counted")]
    Crowded,
    /// Whether a message was counted is not known: the database broke off, or did not answer in time.
    #[error("the quota cannot be charged now: {0}")]
    Uncounted(String),
    /// The schema is missing or older than this program.
    #[error(
        "the directory's database lacks its tables or some of their changes; run `postrider migrate` or `mda migrate` first"
    )]
    NotMigrated,
    /// The schema could not be brought up to date.
    #[error("the directory's database cannot be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The URL names no storage.
    #[error("{0}")]
    Url(String),
    /// Something of this name is there already.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// There is nothing of this name.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was asked for cannot be done, ever.
    #[error("{0}")]
    Rejected(String),
    /// An alias leads to more addresses than mail is delivered to.
    #[error("{0} leads to more than {limit} addresses", limit = crate::MEMBER_LIMIT)]
    TooManyMembers(String),
    /// What is stored cannot be read.
    #[error("the directory holds a {0} that cannot be read")]
    Corrupt(&'static str),
    /// A password could not be hashed.
    #[error("a password could not be hashed: {0}")]
    Hash(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}
