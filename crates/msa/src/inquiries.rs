//! What a submission session asks that is no mail: who is here, by the directory, and how much waits, by the mta. Whether it
//! may ask the session has checked.

use std::sync::Arc;

use mail::{Domain, Resolution, Timestamp};
use protocol::{Directory, QueueSummary};
use service::clock::Clock;
use smtp::Inquiry;
use smtp::reply::{self, Reply};
use smtp::verification::Subject;

use crate::refusal;

/// Domains that QUEU names.
const DOMAINS: u32 = 100;

/// Answers VRFY, EXPN and QUEU.
pub(crate) struct Inquiries {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) queue: Arc<dyn QueueSummary>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Inquiries {
    pub(crate) async fn answer(&self, inquiry: &Inquiry) -> Reply {
        match inquiry {
            // Submission goes anywhere.
            Inquiry::Verify(name) => self.ask(name, |subject, found| subject.verified(found, true)).await,
            Inquiry::Expand(name) => self.ask(name, Subject::expanded).await,
            Inquiry::List { ages, domain } => self.list(*ages, domain.as_ref()).await,
            // Nobody may: there is no setting for it here.
            Inquiry::Start { .. } => reply::not_implemented(),
        }
    }

    async fn list(&self, ages: bool, domain: Option<&Domain>) -> Reply {
        match self.queue.summarize(domain, DOMAINS).await {
            Ok(summary) => reply::queue_summary(&summary, ages.then(|| Timestamp::from(self.clock.now()))),
            Err(error) => {
                tracing::warn!(%error, "the mta cannot say how much waits");
                reply::local_trouble()
            }
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
