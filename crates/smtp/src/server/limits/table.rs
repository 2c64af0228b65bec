//! A map of bounded size that forgets who was not seen for the longest time.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations: whoever is seen is in the young one; when that is full it becomes the old one, and the old one goes. So
/// forgetting costs nothing per entry, and who is seen often enough is never forgotten.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Entries of a generation.
    limit: usize,
    /// Entries that the young generation may have now.
    room: usize,
}

impl<K: Hash + Eq, V: Default> Table<K, V> {
    /// A table of so many entries.
    pub(super) fn new(limit: usize) -> Self {
        let limit = (limit / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), limit, room: limit }
    }

    /// The entry, where there is one.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        if self.young.contains_key(key) { self.young.get_mut(key) } else { self.old.get_mut(key) }
    }

    /// The entry, which is seen with this; a new one may make the oldest go, but those to `keep`.
    pub(super) fn see(&mut self, key: K, keep: impl Fn(&V) -> bool) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.room {
                self.forget(keep);
            }
            return self.young.entry(key).or_insert(value);
        }
        self.young.entry(key).or_default()
    }

    fn forget(&mut self, keep: impl Fn(&V) -> bool) {
        let young = std::mem::take(&mut self.young);
        let mut forgotten = std::mem::replace(&mut self.old, young);
        forgotten.retain(|_, value| keep(value));
        // Who is kept takes no room from the others, or each newcomer would go through all of them.
        self.room = self.limit + forgotten.len();
        self.young = forgotten;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_who_is_in_use_stays() {
        let mut table: Table<u32, u32> = Table::new(100);
        *table.see(1, |_| false) = 1;
        *table.see(2, |value| *value == 2) = 2;
        for number in 1000..100_000 {
            *table.see(number, |value| *value == 2) = 3;
            assert!(table.len() <= 101);
        }
        assert_eq!(table.get(&1), None);
        assert_eq!(table.get(&2), Some(&mut 2));
        assert_eq!(table.get(&99_999), Some(&mut 3));
    }

    #[test]
    fn who_is_seen_often_stays() {
        let mut table: Table<u32, u32> = Table::new(10);
        for number in 100..1000 {
            *table.see(7, |_| false) += 1;
            table.see(number, |_| false);
        }
        assert_eq!(table.get(&7), Some(&mut 900));
    }
}
