//! The lanes that this instance owns, until when it may believe so, and the ids that it gives out in them. Knows nothing of
//! storage; the keeper tells it what is so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::{QueueId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::model::LaneGrant;
use crate::store::Taken;

/// 2025-01-01T00:00:00Z, where the milliseconds of a queue id begin.
const EPOCH_MS: i64 = 1_735_689_600_000;
/// Bits of a queue id below its milliseconds.
const SEQUENCE_BITS: u32 = 12;
/// How many ids in a row come from one lane, so that a group commit fences few lanes.
const RUN: usize = 64;

/// Owned lanes with their epochs, as subscribers see them.
pub(crate) type Owned = Arc<BTreeMap<u8, i64>>;

/// See the module.
pub(crate) struct LaneTable {
    state: Mutex<State>,
    published: watch::Sender<Owned>,
    /// Wakes the keeper: a lane is to be given back.
    pub(crate) wake: Notify,
}

struct State {
    /// Until when the lanes are believed to be ours.
    deadline: Instant,
    owned: BTreeMap<u8, i64>,
    /// No longer used for anything new, and given back at the time beside them.
    closing: BTreeMap<u8, Closing>,
    /// The last number given out in each lane, kept when a lane goes, for it may come back.
    last: [u64; 256],
    turn: usize,
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    epoch: i64,
    release_at: Instant,
}

impl LaneTable {
    pub(crate) fn new() -> Self {
        let state = State {
            deadline: Instant::now(),
            owned: BTreeMap::new(),
            closing: BTreeMap::new(),
            last: [0; 256],
            turn: 0,
        };
        Self {
            state: Mutex::new(state),
            published: watch::Sender::new(Owned::default()),
            wake: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Owned> {
        let mut receiver = self.published.subscribe();
        // Lanes may have been taken before anybody asked; who waits for a change is to hear of them, too.
        receiver.mark_changed();
        receiver
    }

    /// An id that nobody else gives out, in a lane owned now; lanes take turns, and neighbours go to different writers.
    pub(crate) fn allocate(&self, now: Timestamp, writers: usize) -> Option<QueueId> {
        let mut state = self.state();
        if state.owned.is_empty() || state.deadline <= Instant::now() {
            return None;
        }
        let turn = state.turn;
        state.turn = turn.wrapping_add(1);
        let writers = writers.max(1);
        let place = (turn / (RUN * writers) * writers + turn % writers) % state.owned.len();
        let lane = *state.owned.keys().nth(place)?;
        let millis = u64::try_from(now.as_millis().saturating_sub(EPOCH_MS)).unwrap_or(0);
        let last = &mut state.last[usize::from(lane)];
        *last = (*last + 1).max(millis << SEQUENCE_BITS);
        Some(QueueId { shard: 0, lane, number: *last })
    }

    /// The epoch under which a row of this lane may be written.
    pub(crate) fn epoch(&self, lane: u8) -> Option<i64> {
        let state = self.state();
        if state.deadline <= Instant::now() {
            return None;
        }
        let closing = || state.closing.get(&lane).map(|closing| closing.epoch);
        state.owned.get(&lane).copied().or_else(closing)
    }

    /// Whether a transaction may still pass its final dot.
    pub(crate) fn may_commit(&self, lane: u8) -> bool {
        let state = self.state();
        state.deadline > Instant::now() && state.owned.contains_key(&lane)
    }

    pub(crate) fn owned(&self) -> Vec<LaneGrant> {
        self.state().owned.iter().map(|(lane, epoch)| LaneGrant { lane: *lane, epoch: *epoch }).collect()
    }

    /// Stops using a lane at once and has it taken anew under another epoch: something may lie in it that nobody knows.
    pub(crate) fn distrust(&self, grant: LaneGrant) {
        let mut state = self.state();
        if state.owned.get(&grant.lane) != Some(&grant.epoch) {
            return;
        }
        state.owned.remove(&grant.lane);
        state.closing.insert(grant.lane, Closing { epoch: grant.epoch, release_at: Instant::now() });
        self.publish(&state);
        drop(state);
        self.wake.notify_one();
    }

    /// A heartbeat got through: the lanes that the storage says are ours are ours until `deadline`.
    pub(crate) fn confirm(&self, lanes: &BTreeMap<u8, i64>, deadline: Instant) {
        let mut state = self.state();
        state.deadline = deadline;
        state.closing.retain(|lane, closing| lanes.get(lane) == Some(&closing.epoch));
        let closing: Vec<u8> = state.closing.keys().copied().collect();
        state.owned = lanes
            .iter()
            .filter(|(lane, _)| !closing.contains(lane))
            .map(|(lane, epoch)| (*lane, *epoch))
            .collect();
        self.publish(&state);
    }

    pub(crate) fn add(&self, taken: &[Taken]) {
        let mut state = self.state();
        for Taken { grant, last } in taken {
            state.owned.insert(grant.lane, grant.epoch);
            let known = &mut state.last[usize::from(grant.lane)];
            *known = (*known).max(u64::try_from(*last).unwrap_or(0));
        }
        self.publish(&state);
    }

    /// Closes lanes beyond a fair share; they are released when the grace is over.
    pub(crate) fn close_surplus(&self, share: usize, grace: Duration) -> usize {
        let mut state = self.state();
        let surplus = state.owned.len().saturating_sub(share);
        let release_at = Instant::now() + grace;
        for _ in 0..surplus {
            if let Some((lane, epoch)) = state.owned.pop_last() {
                state.closing.insert(lane, Closing { epoch, release_at });
            }
        }
        self.publish(&state);
        surplus
    }

    /// Closed lanes whose grace is over.
    pub(crate) fn releasable(&self) -> Vec<u8> {
        let now = Instant::now();
        let state = self.state();
        state.closing.iter().filter(|(_, closing)| closing.release_at <= now).map(|(lane, _)| *lane).collect()
    }

    pub(crate) fn released(&self, lanes: &[u8]) {
        self.state().closing.retain(|lane, _| !lanes.contains(lane));
    }

    /// When the lease is no longer believed.
    pub(crate) fn lapses_at(&self) -> Option<Instant> {
        let state = self.state();
        (!state.owned.is_empty() || !state.closing.is_empty()).then_some(state.deadline)
    }

    /// When the first closed lane can be released.
    pub(crate) fn releasable_at(&self) -> Option<Instant> {
        self.state().closing.values().map(|closing| closing.release_at).min()
    }

    /// Drops everything when the deadline has passed; tells whether it did.
    pub(crate) fn lapse(&self) -> bool {
        let mut state = self.state();
        if state.deadline > Instant::now() || (state.owned.is_empty() && state.closing.is_empty()) {
            return false;
        }
        state.owned.clear();
        state.closing.clear();
        self.publish(&state);
        true
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.owned.clear();
        state.closing.clear();
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        self.published.send_if_modified(|owned| {
            let changed = **owned != state.owned;
            if changed {
                *owned = Arc::new(state.owned.clone());
            }
            changed
        });
    }
}

/// The number below which every id was given out before `time`.
pub(crate) fn number_at(time: Timestamp) -> i64 {
    time.as_millis().saturating_sub(EPOCH_MS).max(0).saturating_mul(1 << SEQUENCE_BITS)
}

/// When a number was given out.
pub(crate) fn time_of(number: i64) -> Timestamp {
    Timestamp::from_millis((number >> SEQUENCE_BITS).saturating_add(EPOCH_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owning(lanes: impl IntoIterator<Item = u8>) -> LaneTable {
        let table = LaneTable::new();
        let lanes = lanes.into_iter().map(|lane| (lane, 1)).collect();
        table.confirm(&lanes, Instant::now() + Duration::from_secs(60));
        table
    }

    #[test]
    fn ids_grow_even_when_the_clock_stands_or_goes_back() {
        let table = owning([7]);
        let mut last = 0;
        for millis in [EPOCH_MS + 5, EPOCH_MS + 5, EPOCH_MS + 4, EPOCH_MS + 6, 0] {
            let id = table.allocate(Timestamp::from_millis(millis), 1).unwrap();
            assert!(id.number > last && id.lane == 7);
            last = id.number;
        }
    }

    #[test]
    fn ids_go_on_behind_those_of_the_owner_before() {
        let table = owning([]);
        table.add(&[Taken { grant: LaneGrant { lane: 1, epoch: 1 }, last: 99 << SEQUENCE_BITS }]);
        let id = table.allocate(Timestamp::from_millis(EPOCH_MS), 1).unwrap();
        assert_eq!(id.number, (99 << SEQUENCE_BITS) + 1);
    }

    #[test]
    fn lanes_take_turns_and_writers_share_them() {
        let table = owning(0..8);
        let mut seen = BTreeMap::<u8, usize>::new();
        for turn in 0..RUN * 8 {
            let lane = table.allocate(Timestamp::from_millis(EPOCH_MS), 2).unwrap().lane;
            assert_eq!(usize::from(lane) % 2, turn % 2, "neighbours go to different writers");
            *seen.entry(lane).or_default() += 1;
        }
        assert_eq!(seen, (0..8).map(|lane| (lane, RUN)).collect());
    }

    #[test]
    fn a_lease_ends_by_itself() {
        let table = owning([1, 2]);
        assert!(table.may_commit(1) && table.epoch(1) == Some(1));
        table.confirm(&[(1, 1), (2, 1)].into(), Instant::now());
        assert!(!table.may_commit(1) && table.epoch(1).is_none());
        assert!(table.allocate(Timestamp::from_millis(0), 1).is_none());
        assert!(table.lapse() && !table.lapse());
        assert!(table.subscribe().borrow().is_empty());
    }

    #[test]
    fn who_subscribes_late_hears_of_what_is_owned() {
        let table = owning([1, 2]);
        let mut lanes = table.subscribe();
        assert!(lanes.has_changed().is_ok_and(|changed| changed));
        assert_eq!(lanes.borrow_and_update().len(), 2);
        assert!(lanes.has_changed().is_ok_and(|changed| !changed));
    }

    #[test]
    fn a_surplus_lane_takes_results_until_it_is_released() {
        let table = owning([1, 2]);
        assert_eq!(table.close_surplus(1, Duration::from_secs(60)), 1);
        assert!(!table.may_commit(2) && table.epoch(2) == Some(1) && table.releasable().is_empty());
        assert_eq!(table.close_surplus(0, Duration::ZERO), 1);
        assert_eq!(table.releasable(), [1]);
        table.released(&[1]);
        assert_eq!((table.epoch(1), table.epoch(2)), (None, Some(1)));
    }

    #[test]
    fn a_distrusted_lane_is_given_back_at_once() {
        let table = owning([3]);
        table.distrust(LaneGrant { lane: 3, epoch: 0 });
        assert!(table.may_commit(3), "another epoch is another ownership");
        table.distrust(LaneGrant { lane: 3, epoch: 1 });
        assert!(!table.may_commit(3));
        assert_eq!(table.releasable(), [3]);
    }
}
