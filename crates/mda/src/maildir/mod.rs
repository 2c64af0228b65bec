//! Mailboxes on disk, as Maildir lays them out: `ROOT/DOMAIN/LOCALPART/Maildir/{tmp,new,cur}`. A message is written into
//! `tmp`, synced, renamed into `new`, and the rename is synced; a reader moves it to `cur` and appends its flags there.
//! Content lies as it came, with CRLF line ends. Everything here blocks; who calls it keeps it off the runtime's threads.
//!
//! | what a crash may leave | who repairs it |
//! | --- | --- |
//! | a file in `tmp`, whole or not | [`sweep`], once it is older than 36 hours; the delivery is repeated meanwhile |
//! | a message in `new` whose sender was not answered | the repeated delivery finds it by its name and changes nothing |
//! | folders of a mailbox without mail | nobody needs to |
//!
//! A repeated delivery knows a message by its name, wherever a reader moved it within the mailbox and whatever its flags.
//! It cannot know one that was deleted, or moved into another folder, between the delivery and its repetition: that message
//! comes again. This takes a reader that is quicker than the answer to the mta, and a crash in just that moment.

mod name;
mod path;
mod read;
mod sweep;
mod write;

use std::path::{Path, PathBuf};

pub use name::file_name;
pub use read::Entry;
pub use sweep::sweep;
pub use write::Deposit;

/// All mailboxes.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// One mailbox, whether it is there yet or not.
#[derive(Debug, Clone)]
pub struct Maildir {
    root: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// The mailboxes below this folder.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder that all lie in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The mailbox of an address.
    #[must_use]
    pub fn mailbox(&self, address: &mail::Mailbox) -> Maildir {
        Maildir { root: self.root.clone(), folder: self.root.join(path::folder_of(address)) }
    }
}

impl Maildir {
    /// The folder that holds `tmp`, `new` and `cur`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
