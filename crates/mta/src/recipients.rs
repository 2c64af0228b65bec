//! From the recipients of an envelope to the deliveries that the queue keeps: aliases are expanded and each recipient gets the
//! next hop that it waits for. Asks the directory, never DNS.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mail::{Envelope, ForwardPath, OriginalRecipient, Recipient, Resolution, Timestamp};
use protocol::{Directory, Error, ErrorKind};
use queue::NewDelivery;

use crate::route::Routes;
use crate::times::{Times, Window};

/// Questions to the directory under way at once for one message.
const QUESTIONS: usize = 16;

/// What the recipients of an envelope come to.
#[derive(Debug, Clone, Default)]
pub struct Expanded {
    /// One for each address that mail goes to.
    pub deliveries: Vec<NewDelivery>,
    /// For each recipient of the envelope the number of its delivery, the first one for an alias; `u16::MAX` for an alias of
    /// nobody.
    pub numbers: Vec<u16>,
}

/// Knows where recipients go.
#[derive(Clone)]
pub struct Recipients {
    /// Knows who is ours.
    pub directory: Arc<dyn Directory>,
    /// What configuration says.
    pub routes: Arc<Routes>,
    /// How long deliveries are tried.
    pub times: Times,
    /// Deliveries that one message may make.
    pub expansion: usize,
}

impl Recipients {
    /// The deliveries of an envelope accepted at this time, without repetitions.
    ///
    /// # Errors
    /// When the directory cannot be asked, or aliases expand beyond the limit.
    pub async fn deliveries(&self, envelope: &Envelope, at: Timestamp) -> Result<Expanded, Error> {
        let Window { held_until, expires_at, delay_notice_at } = self.times.window(envelope, at);
        let routed: Vec<Vec<(Recipient, bool)>> = stream::iter(envelope.recipients.clone())
            .map(|r| self.expand(r))
            .buffered(QUESTIONS)
            .try_collect()
            .await?;
        let mut known = HashMap::new();
        let mut expanded = Expanded::default();
        for addresses in routed {
            let mut first = None;
            for (recipient, is_ours) in addresses {
                let number = match known.get(&recipient.forward_path) {
                    Some(number) => *number,
                    None => {
                        let number = self.next_number(&expanded.deliveries)?;
                        known.insert(recipient.forward_path.clone(), number);
                        expanded.deliveries.push(NewDelivery {
                            destination: self.routes.next_hop(&recipient.forward_path, is_ours).key(),
                            recipient,
                            held_until,
                            expires_at,
                            delay_notice_at: Some(delay_notice_at),
                        });
                        number
                    }
                };
                first.get_or_insert(number);
            }
            expanded.numbers.push(first.unwrap_or(u16::MAX));
        }
        Ok(expanded)
    }

    /// The number that one more delivery has, if there may be one more.
    fn next_number(&self, deliveries: &[NewDelivery]) -> Result<u16, Error> {
        match u16::try_from(deliveries.len()) {
            Ok(number) if number < u16::MAX && deliveries.len() < self.expansion => Ok(number),
            _ => {
                let text =
                    format!("the recipients' aliases stand for more than {} addresses", self.expansion);
                Err(Error::new(ErrorKind::Rejected, text))
            }
        }
    }

    /// Who a recipient stands for, and which of them are ours. An unknown user of ours goes to the mda too, whose refusal
    /// then reaches the sender.
    async fn expand(&self, recipient: Recipient) -> Result<Vec<(Recipient, bool)>, Error> {
        if self.routes.static_route(&recipient.forward_path).is_some() {
            return Ok(vec![(recipient, false)]);
        }
        let members = match self.directory.resolve(&recipient.forward_path).await? {
            Resolution::NotLocal => return Ok(vec![(recipient, false)]),
            Resolution::UnknownUser => return Ok(vec![(recipient, true)]),
            Resolution::Deliverable(members) => members,
        };
        let mut expanded = Vec::with_capacity(members.len());
        for member in members {
            let forward_path = ForwardPath::Mailbox(member);
            if forward_path == recipient.forward_path {
                expanded.push((recipient.clone(), true));
                continue;
            }
            let is_ours = self.directory.resolve(&forward_path).await? != Resolution::NotLocal;
            expanded.push((
                Recipient { forward_path, notify: recipient.notify, original: original(&recipient) },
                is_ours,
            ));
        }
        Ok(expanded)
    }
}

/// What a member of an alias keeps of the address that was written to (RFC 3461 4.2, 5.2.7).
fn original(recipient: &Recipient) -> Option<OriginalRecipient> {
    recipient.original.clone().or_else(|| {
        let address = recipient.forward_path.mailbox()?.to_string();
        let address_type = if address.is_ascii() { "rfc822" } else { "utf-8" };
        Some(OriginalRecipient { address_type: address_type.to_owned(), address })
    })
}
