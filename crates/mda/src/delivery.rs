//! Final delivery (RFC 5321 4.4): resolves each recipient at the time of delivery, adds Return-Path and Delivered-To, and
//! puts the message into the mailboxes. Content stays in memory, shared by all recipients.

use std::io;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use async_trait::async_trait;
use directory::{Directory, Expansion, Member};
use futures_util::{StreamExt, stream};
use mail::{
    Content, ForwardPath, Mailbox, Outcome, QueueId, ReversePath, Status, Timestamp, header, received,
};
use protocol::{Delivery, DeliveryRequest, Error};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::failure;
use crate::maildir::{Deposit, Store, file_name};
use crate::metrics::Metrics;

/// Recipients of one request that are worked on at the same time.
const CONCURRENT_RECIPIENTS: usize = 16;

/// Delivers into the mailboxes of one store.
#[derive(Debug)]
pub struct MailboxDelivery {
    directory: Directory,
    store: Store,
    writers: Arc<Semaphore>,
    sandbox: bool,
    metrics: Metrics,
}

/// What all recipients of a request have in common.
struct Message {
    id: QueueId,
    reverse_path: ReversePath,
    content: Content,
}

/// Where a recipient's mail goes, and what its sender hears if that is not everywhere.
#[derive(Default)]
struct Places {
    mailboxes: Vec<Mailbox>,
    failure: Option<Outcome>,
}

impl Places {
    fn only(mailbox: Mailbox) -> Self {
        Self { mailboxes: vec![mailbox], failure: None }
    }
}

impl MailboxDelivery {
    /// Delivers for accounts of `directory` into `store`, at most `writers` messages at a time; in a sandbox, mail for
    /// domains that nobody here knows is kept as well.
    pub(crate) fn new(
        directory: Directory,
        store: Store,
        writers: usize,
        sandbox: bool,
        metrics: Metrics,
    ) -> Self {
        Self { directory, store, writers: Arc::new(Semaphore::new(writers)), sandbox, metrics }
    }

    async fn deliver_to(&self, message: Arc<Message>, recipient: ForwardPath) -> Outcome {
        let span = tracing::info_span!(
            "mailbox.deliver",
            queue_id = %message.id,
            recipient = %recipient,
            size = message.content.len(),
            outcome = tracing::field::Empty,
        );
        let delivery = async {
            let started = Instant::now();
            let (outcome, word) = self.attempt(&message, &recipient).await;
            tracing::Span::current().record("outcome", word);
            self.metrics.delivered(word, started.elapsed());
            outcome
        };
        delivery.instrument(span).await
    }

    /// The outcome, and the word for it in spans and metrics.
    async fn attempt(&self, message: &Arc<Message>, recipient: &ForwardPath) -> (Outcome, &'static str) {
        let places = match self.places_of(message.id, recipient).await {
            Ok(places) => places,
            Err(outcome) => return classify(outcome),
        };
        let mut deposit = Deposit::Repeated;
        for mailbox in places.mailboxes {
            match self.deposit(message, recipient, &mailbox).await {
                Ok(Deposit::New) => deposit = Deposit::New,
                Ok(Deposit::Repeated) => {}
                // Those that have it already are not written to again when the rest is retried.
                Err(error) => return classify(failure::not_written(message.id, recipient, &error)),
            }
        }
        if let Some(outcome) = places.failure {
            return classify(outcome);
        }
        tracing::debug!(queue_id = %message.id, %recipient, ?deposit, "delivered into a mailbox");
        let status = Status::new(250, (2, 0, 0), "delivered into the mailbox");
        let word = if deposit == Deposit::New { "delivered" } else { "repeated" };
        (Outcome::Delivered(status), word)
    }

    /// The mailboxes that a recipient's mail goes to. Addresses elsewhere are the mta's to expand; one that turns up here
    /// became an alias after the mta had asked, and the sender hears of it.
    async fn places_of(&self, id: QueueId, recipient: &ForwardPath) -> Result<Places, Outcome> {
        let expansion = self.directory.expand(recipient).await;
        let members = match expansion.map_err(|error| failure::not_resolved(id, recipient, &error))? {
            Expansion::Members(members) => members,
            Expansion::UnknownUser => return Err(failure::unknown_user(recipient)),
            Expansion::NotLocal => {
                return match recipient {
                    ForwardPath::Mailbox(mailbox) if self.sandbox => Ok(Places::only(mailbox.clone())),
                    _ => Err(failure::not_local(recipient)),
                };
            }
        };
        let mut places = Places::default();
        for member in members {
            match member {
                Member::Here { account, .. } if places.mailboxes.contains(&account) => {}
                Member::Here { account, .. } => places.mailboxes.push(account),
                Member::Elsewhere(address) => places.failure = Some(failure::moved(recipient, &address)),
                Member::Missing(address) => {
                    places.failure = Some(failure::unknown_user(&ForwardPath::Mailbox(address)));
                }
            }
        }
        Ok(places)
    }

    async fn deposit(
        &self,
        message: &Arc<Message>,
        recipient: &ForwardPath,
        mailbox: &Mailbox,
    ) -> io::Result<Deposit> {
        let writer = Arc::clone(&self.writers).acquire_owned().await.map_err(io::Error::other)?;
        let maildir = self.store.mailbox(mailbox);
        let name = file_name(message.id, &message.reverse_path, recipient);
        let head = received::return_path(&message.reverse_path) + &received::delivered_to(recipient);
        let message = Arc::clone(message);
        let written = tokio::task::spawn_blocking(move || {
            let accepted_at = UNIX_EPOCH + message.id.allocated_at().since(Timestamp::from_millis(0));
            let deposit = maildir.deposit(&name, head.as_bytes(), &message.content, accepted_at);
            drop(writer);
            deposit
        });
        written.await.map_err(io::Error::other)?
    }
}

#[async_trait]
impl Delivery for MailboxDelivery {
    async fn deliver(&self, request: DeliveryRequest) -> Result<Vec<Outcome>, Error> {
        let message = Arc::new(Message {
            id: request.id,
            reverse_path: request.reverse_path,
            content: without_return_path(request.content),
        });
        let deliveries = request.recipients.into_iter().map(|recipient| {
            let message = Arc::clone(&message);
            self.deliver_to(message, recipient.forward_path)
        });
        Ok(stream::iter(deliveries).buffered(CONCURRENT_RECIPIENTS).collect().await)
    }
}

fn classify(outcome: Outcome) -> (Outcome, &'static str) {
    let word = outcome.action().as_str();
    (outcome, word)
}

/// Content without the Return-Path fields that stand in front of everything else: ours takes their place (RFC 5321 4.4).
fn without_return_path(content: Content) -> Content {
    const NAME: &[u8] = b"return-path:";
    let has_one = |front: &[u8]| front.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    if !content.segments().first().is_some_and(|first| has_one(first)) {
        return content;
    }
    let mut rest = content.to_bytes();
    while has_one(&rest) {
        let length = header::fields(&rest).next().map_or(rest.len(), |field| field.raw.len());
        rest = rest.slice(length..);
    }
    Content::from(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_path_in_front_is_replaced_and_none_behind() {
        for (before, after) in [
            ("Subject: x\r\n\r\nbody", "Subject: x\r\n\r\nbody"),
            ("Return-Path: <a@b>\r\nSubject: x\r\n\r\n", "Subject: x\r\n\r\n"),
            ("return-path:\r\n <a@b>\r\nReturn-Path: <>\r\nX: y\r\n", "X: y\r\n"),
            ("X: y\r\nReturn-Path: <a@b>\r\n", "X: y\r\nReturn-Path: <a@b>\r\n"),
            ("Return-Path: <a@b>", ""),
            ("", ""),
        ] {
            let content = without_return_path(Content::from(before));
            assert_eq!(content.to_bytes(), after, "{before}");
        }
    }
}
