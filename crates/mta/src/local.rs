//! The way into mailboxes here: the same request to the mda that other servers get over SMTP, the same outcomes back.

use std::sync::Arc;

use mail::{Outcome, Status};
use protocol::{DeliveryRequest, ErrorKind};
use queue::Delivery;

use crate::memory::Loaded;
use crate::report::Attempted;
use crate::scheduler::Verdict;

/// Hands messages to the mda.
#[derive(Clone)]
pub struct Local(pub Arc<dyn protocol::Delivery>);

impl Local {
    /// Delivers one message to recipients here; one outcome for each, in their order.
    pub async fn deliver(&self, loaded: &Loaded, deliveries: &[&Delivery]) -> (Vec<Attempted>, Verdict) {
        let request = DeliveryRequest {
            id: loaded.message.id,
            reverse_path: loaded.message.envelope.reverse_path.clone(),
            recipients: deliveries.iter().map(|delivery| delivery.recipient.clone()).collect(),
            content: loaded.content.clone(),
            trace: protocol::trace::current(),
        };
        match self.0.deliver(request).await {
            Ok(outcomes) => (outcomes.into_iter().map(Attempted::here).collect(), Verdict::Answered),
            Err(error) => {
                let status = Status::new(451, (4, 3, 0), format!("the mailboxes cannot be reached: {error}"));
                let verdict = match error.kind {
                    ErrorKind::Unavailable | ErrorKind::Unknown => Verdict::Silent,
                    _ => Verdict::Answered,
                };
                (
                    deliveries.iter().map(|_| Attempted::here(Outcome::Delayed(status.clone()))).collect(),
                    verdict,
                )
            }
        }
    }
}
