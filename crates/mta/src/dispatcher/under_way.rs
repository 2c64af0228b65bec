//! For how many recipients of which domain attempts are under way, for people who ask. Decides nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail::ForwardPath;
use queue::Delivery;

/// Recipients with an attempt under way by domain: at their first, and at a later one.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<String, (u64, u64)>>);

/// Some recipients with an attempt under way, until it is dropped.
pub(super) struct Entered {
    under_way: Arc<UnderWay>,
    domains: Vec<(String, (u64, u64))>,
}

impl UnderWay {
    /// Counts these recipients.
    pub(super) fn enter(self: &Arc<Self>, deliveries: &[Delivery]) -> Entered {
        let mut domains: Vec<(String, (u64, u64))> = Vec::new();
        for delivery in deliveries {
            let domain = domain_of(&delivery.recipient.forward_path);
            let one = if delivery.attempts == 0 { (1, 0) } else { (0, 1) };
            match domains.iter_mut().find(|(known, _)| *known == domain) {
                Some((_, number)) => *number = (number.0 + one.0, number.1 + one.1),
                None => domains.push((domain, one)),
            }
        }
        let mut all = self.lock();
        for (domain, number) in &domains {
            let known = all.entry(domain.clone()).or_default();
            *known = (known.0 + number.0, known.1 + number.1);
        }
        drop(all);
        Entered { under_way: Arc::clone(self), domains }
    }

    /// How many recipients of a domain are at their first attempt, and how many at a later one.
    pub(super) fn of(&self, domain: &str) -> (u64, u64) {
        self.lock().get(domain).copied().unwrap_or_default()
    }

    /// A panic in a holder leaves numbers that are still sound to use.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut all = self.under_way.lock();
        for (domain, number) in &self.domains {
            let Some(known) = all.get_mut(domain) else { continue };
            *known = (known.0.saturating_sub(number.0), known.1.saturating_sub(number.1));
            if *known == (0, 0) {
                all.remove(domain);
            }
        }
    }
}

/// As the queue counts them: what stands behind the last @, or the whole.
pub(super) fn domain_of(forward_path: &ForwardPath) -> String {
    match forward_path.mailbox() {
        Some(mailbox) => mailbox.host().to_string(),
        None => forward_path.to_string().trim_matches(['<', '>']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mail::{Priority, QueueId, Recipient, Timestamp};
    use queue::RecipientKey;

    use super::*;

    fn delivery(path: &str, attempts: u16) -> Delivery {
        Delivery {
            key: RecipientKey { id: QueueId { shard: 0, lane: 0, number: 1 }, number: 0 },
            recipient: Recipient::from(path.parse::<ForwardPath>().unwrap()),
            destination: "x".into(),
            priority: Priority::default(),
            attempts,
            next_attempt_at: None,
            expires_at: Timestamp::from_millis(0),
            delay_notice_at: None,
        }
    }

    #[test]
    fn recipients_are_counted_while_they_are_under_way() {
        let under_way = Arc::new(UnderWay::default());
        let paths = ["<a@b.test>", "<b@B.test>", "<a@[IPv6:2001:db8::1]>", "<Postmaster>"];
        let first = under_way.enter(&paths.map(|path| delivery(path, 0)));
        let second = under_way.enter(&[delivery("<a@b.test>", 3)]);
        let of = |domain| under_way.of(domain);
        assert_eq!((of("b.test"), of("[IPv6:2001:db8::1]"), of("Postmaster")), ((2, 1), (1, 0), (1, 0)));
        drop(first);
        assert_eq!((of("b.test"), of("Postmaster")), ((0, 1), (0, 0)));
        drop(second);
        assert!(under_way.lock().is_empty());
    }
}
