//! Mailboxes of an mda, to read.

use async_trait::async_trait;
use mail::{Content, Mailbox};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::ANSWER_LIMIT;
use crate::{Error, MailboxMessage, Mailboxes};

type Stub = wire::mailboxes_client::MailboxesClient<Channel>;

/// No message in a mailbox is read beyond this size.
const CONTENT_LIMIT: usize = 1024 * 1024 * 1024;

/// Mailboxes, from afar.
#[derive(Debug, Clone)]
pub struct MailboxesClient {
    peers: Peers,
}

impl MailboxesClient {
    /// A client of these mdas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl Mailboxes for MailboxesClient {
    async fn messages(&self, account: &Mailbox, limit: u32) -> Result<Vec<MailboxMessage>, Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::ListMailboxRequest { account: account.to_string(), limit });
            async move { Stub::new(channel).max_decoding_message_size(ANSWER_LIMIT).list_messages(request).await }
        };
        let answer = self.peers.look_up(make).await?.into_inner();
        Ok(answer.messages.into_iter().map(Into::into).collect())
    }

    async fn message(&self, account: &Mailbox, name: &str) -> Result<Content, Error> {
        let make = |channel, call: Call| {
            let message = wire::ReadMessageRequest { account: account.to_string(), name: name.to_owned() };
            read(channel, call.request(message))
        };
        self.peers.look_up(make).await
    }
}

async fn read(channel: Channel, request: Request<wire::ReadMessageRequest>) -> Result<Content, Status> {
    let mut answers = Stub::new(channel).read_message(request).await?.into_inner();
    let mut content = Content::default();
    let mut size = 0;
    while let Some(answer) = answers.message().await? {
        size += answer.chunk.len();
        if size > CONTENT_LIMIT {
            return Err(Status::out_of_range("the message is over 1 GiB"));
        }
        content.append(answer.chunk);
    }
    Ok(content)
}
