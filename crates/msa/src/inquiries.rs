//! What a submission session asks that is no mail: who is here, by the directory. Whether it may ask the session has
//! checked.

use std::sync::Arc;

use mail::Resolution;
use protocol::Directory;
use smtp::Inquiry;
use smtp::reply::{self, Reply};
use smtp::verification::Subject;

use crate::refusal;

/// Answers VRFY and EXPN.
pub(crate) struct Inquiries {
    pub(crate) directory: Arc<dyn Directory>,
}

impl Inquiries {
    pub(crate) async fn answer(&self, inquiry: &Inquiry) -> Reply {
        match inquiry {
            // Submission goes anywhere.
            Inquiry::Verify(name) => self.ask(name, |subject, found| subject.verified(found, true)).await,
            Inquiry::Expand(name) => self.ask(name, Subject::expanded).await,
            Inquiry::Start { .. } | Inquiry::List { .. } => reply::not_implemented(),
        }
    }

    async fn ask(&self, name: &str, say: impl Fn(&Subject, &Resolution) -> Reply) -> Reply {
        let subject = match Subject::parse(name) {
            Ok(subject) => subject,
            Err(refusal) => return refusal,
        };
        match self.directory.resolve(subject.path()).await {
            Ok(found) => say(&subject, &found),
            Err(error) => {
                tracing::warn!(%error, recipient = %subject.path(), "the directory cannot be asked");
                refusal::directory_away()
            }
        }
    }
}
