//! Recipients on their way out of memory into the queue, where loads find them again: collected while others are stored, so
//! that many cost few commits. Stores nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail::Timestamp;
use queue::RecipientKey;

/// Recipients that are to wait in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) destination: Arc<str>,
    pub(super) keys: Vec<RecipientKey>,
    /// When they are due; none for at once.
    pub(super) due: Option<Timestamp>,
}

/// What has to be stored, and whether somebody is at it.
#[derive(Debug, Default)]
pub(super) struct Aside {
    waiting: Vec<Waiting>,
    is_served: bool,
}

impl Aside {
    /// Adds recipients; true when the caller has to see that somebody stores them.
    pub(super) fn add(&mut self, waiting: impl IntoIterator<Item = Waiting>) -> bool {
        self.waiting.extend(waiting);
        !self.waiting.is_empty() && !std::mem::replace(&mut self.is_served, true)
    }

    /// All that waits; none when whoever stores them may stop.
    pub(super) fn take(&mut self) -> Option<Vec<Waiting>> {
        self.is_served = !self.waiting.is_empty();
        self.is_served.then(|| std::mem::take(&mut self.waiting))
    }
}

/// By lane and due time, as the queue takes them.
pub(super) fn by_lane(waiting: &[Waiting], now: Timestamp) -> BTreeMap<(u8, Timestamp), Vec<RecipientKey>> {
    let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for some in waiting {
        for key in &some.keys {
            lanes.entry((key.id.lane, some.due.unwrap_or(now))).or_default().push(*key);
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::QueueId;

    fn waiting(lane: u8, due: Option<i64>) -> Waiting {
        let id = QueueId { shard: 0, lane, number: 1 };
        let keys = vec![RecipientKey { id, number: 0 }, RecipientKey { id, number: 1 }];
        Waiting { destination: "a".into(), keys, due: due.map(Timestamp::from_millis) }
    }

    #[test]
    fn one_is_at_it_until_nothing_waits() {
        let mut aside = Aside::default();
        assert!(!aside.add([]) && aside.add([waiting(0, None)]) && !aside.add([waiting(1, None)]));
        assert_eq!(aside.take().map(|all| all.len()), Some(2));
        assert!(!aside.add([waiting(0, None)]), "somebody is at it");
        assert_eq!(aside.take().map(|all| all.len()), Some(1));
        assert!(aside.take().is_none() && aside.add([waiting(0, None)]));
    }

    #[test]
    fn what_is_due_at_once_in_a_lane_goes_together() {
        let all = [waiting(1, None), waiting(2, None), waiting(1, None), waiting(1, Some(9))];
        let lanes = by_lane(&all, Timestamp::from_millis(5));
        let sizes: Vec<_> =
            lanes.iter().map(|((lane, at), keys)| (*lane, at.as_millis(), keys.len())).collect();
        assert_eq!(sizes, [(1, 5, 4), (1, 9, 2), (2, 5, 2)]);
    }
}
