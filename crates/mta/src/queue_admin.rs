//! Shows the queue to people: the queue's views behind the contract that the command line speaks.

use async_trait::async_trait;
use mail::QueueId;
use mail::timeline::MessageView;
use protocol::{Error, ErrorKind, MessageFilter};
use queue::Views;

/// What `[mta.listen] grpc` serves to administrators, and what `postrider queue` reads directly.
#[derive(Clone)]
pub struct QueueAdmin(pub Views);

/// Messages on one page where the caller names no number.
const PAGE: u32 = 100;
/// Messages on one page at most.
const LONGEST_PAGE: u32 = 1000;

#[async_trait]
impl protocol::QueueAdmin for QueueAdmin {
    async fn list(&self, filter: &MessageFilter) -> Result<Vec<MessageView>, Error> {
        let limit = if filter.limit == 0 { PAGE } else { filter.limit.min(LONGEST_PAGE) };
        let (sender, recipient) =
            (filter.sender.as_deref().unwrap_or(""), filter.recipient.as_deref().unwrap_or(""));
        self.0.list(sender, recipient, limit, filter.before).await.map_err(unavailable)
    }

    async fn show(&self, id: QueueId) -> Result<MessageView, Error> {
        let found = self.0.show(id).await.map_err(unavailable)?;
        found.ok_or_else(|| unknown(id))
    }
}

pub(crate) fn unknown(id: QueueId) -> Error {
    Error::new(ErrorKind::NotFound, format!("the queue knows no message {id}"))
}

fn unavailable(error: queue::StoreError) -> Error {
    Error::new(ErrorKind::Unavailable, error)
}
