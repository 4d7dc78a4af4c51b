//! What has numbers that are given in order: items, nodes, builds and effects.
//!
//! It comes with the numbers one after another and goes much in that order, so that its place in a row is
//! its number, less the first one's: one step, where a tree compares many keys. What stays long after its
//! neighbours are gone is kept in a tree, so that the row has not much more places than it has to have. It
//! is stored as a map.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{BuildId, EffectId, ItemId, NodeId};

/// How many places of a row, for each that is taken, may be free.
const FREE_MAX: usize = 8;

/// A row as short as this may have any number of free places.
const SHORT: usize = 64;

/// A number that is counted up.
pub(crate) trait Number: Copy + Ord {
    /// The number itself.
    fn number(self) -> u64;
}

macro_rules! number {
    ($($type:ident)*) => {
        $(impl Number for $type {
            fn number(self) -> u64 {
                self.0
            }
        })*
    };
}

number!(ItemId NodeId BuildId EffectId);

/// A map from numbers, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<K, V> {
    /// What stands before the row.
    old: BTreeMap<K, Box<V>>,
    /// The number of the row's first place.
    begin: u64,
    /// A place for each number from there on. The first and the last one are taken.
    row: VecDeque<Option<(K, Box<V>)>>,
    /// How many places of the row are taken.
    taken: usize,
}

impl<K, V> Default for Numbered<K, V> {
    fn default() -> Self {
        Self { old: BTreeMap::new(), begin: 0, row: VecDeque::new(), taken: 0 }
    }
}

impl<K: Number, V> Numbered<K, V> {
    /// The place of a number in the row, if it has one.
    #[inline]
    fn place(&self, key: K) -> Option<usize> {
        let place = usize::try_from(key.number().checked_sub(self.begin)?).ok()?;
        (place < self.row.len()).then_some(place)
    }

    /// What has a number.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        match self.place(*key) {
            Some(place) => self.row[place].as_ref().map(|(_, value)| &**value),
            None => self.old.get(key).map(|value| &**value),
        }
    }

    /// What has a number, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self.place(*key) {
            Some(place) => self.row[place].as_mut().map(|(_, value)| &mut **value),
            None => self.old.get_mut(key).map(|value| &mut **value),
        }
    }

    /// Whether anything has a number.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Gives a number to something; gives what had it before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        let value = Box::new(value);
        match self.place(key) {
            Some(place) => {
                self.row[place] = Some((key, value));
                self.taken += 1;
            }
            None if key.number() < self.begin => {
                self.old.insert(key, value);
            }
            None => {
                self.append(key, value);
                self.taken += 1;
            }
        }
        None
    }

    /// Adds what stands behind the row.
    fn append(&mut self, key: K, value: Box<V>) {
        let most = SHORT.max((self.taken + 1).saturating_mul(FREE_MAX));
        let fits = |begin: u64| usize::try_from(key.number() - begin).is_ok_and(|place| place < most);
        while !self.row.is_empty() && !fits(self.begin) {
            if let Some(Some((key, value))) = self.row.pop_front() {
                self.old.insert(key, value);
                self.taken -= 1;
            }
            self.begin += 1;
        }
        if self.row.is_empty() {
            self.begin = key.number();
        }
        let place = usize::try_from(key.number() - self.begin).unwrap_or(self.row.len());
        self.row.resize_with(place, || None);
        self.row.push_back(Some((key, value)));
        self.trim();
    }

    /// Has the row begin and end with places that are taken.
    fn trim(&mut self) {
        while self.row.front().is_some_and(Option::is_none) {
            self.row.pop_front();
            self.begin += 1;
        }
        while self.row.back().is_some_and(Option::is_none) {
            self.row.pop_back();
        }
    }

    /// Takes out what has a number.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let Some(place) = self.place(*key) else { return self.old.remove(key).map(|value| *value) };
        let (_, value) = self.row[place].take()?;
        self.taken -= 1;
        self.trim();
        Some(*value)
    }

    /// Keeps what is wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) {
        self.old.retain(|key, value| wanted(key, value));
        for place in &mut self.row {
            if place.as_ref().is_some_and(|(key, value)| !wanted(key, value)) {
                *place = None;
                self.taken -= 1;
            }
        }
        self.trim();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.old.len() + self.taken
    }

    /// All, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let row = self.row.iter().flatten().map(|(key, value)| (key, &**value));
        self.old.iter().map(|(key, value)| (key, &**value)).chain(row)
    }

    /// All, without their numbers.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// All, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let row = self.row.iter_mut().flatten().map(|(_, value)| &mut **value);
        self.old.values_mut().map(|value| &mut **value).chain(row)
    }
}

impl<K: Number + Serialize, V: Serialize> Serialize for Numbered<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Number + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Numbered<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        for (key, value) in BTreeMap::<K, V>::deserialize(deserializer)? {
            all.insert(key, value);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_map_would_find() {
        let (mut row, mut map) = (Numbered::default(), BTreeMap::new());
        let mut next = 7_u64;
        for round in 0..4_000_u64 {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Now and then many numbers are left out.
            let id = ItemId(round / 8 + round / 1_000 * 700 + (next >> 33) % 40);
            if next >> 40 & 1 == 0 {
                assert_eq!(row.insert(id, round), map.insert(id, round));
            } else {
                assert_eq!(row.remove(&id), map.remove(&id));
            }
            if round % 512 == 0 {
                row.retain(|id, _| id.0 % 5 > 0);
                map.retain(|id, _| id.0 % 5 > 0);
            }
            let probe = ItemId((id.0 + (next >> 20) % 60).saturating_sub(40));
            assert_eq!(row.get(&probe), map.get(&probe));
            assert!(row.iter().eq(map.iter()) && row.len() == map.len());
        }
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, serde_json::to_string(&map).unwrap(), "it is stored as a map");
        let read: Numbered<ItemId, u64> = serde_json::from_str(&text).unwrap();
        assert!(read.iter().eq(map.iter()));
    }

    #[test]
    fn what_stays_alone_does_not_keep_the_places_behind_it() {
        let mut row: Numbered<ItemId, u64> = Numbered::default();
        row.insert(ItemId(3), 3);
        for number in 10..100_000 {
            row.insert(ItemId(number), number);
            row.remove(&ItemId(number - 5));
        }
        row.insert(ItemId(u64::MAX), 1);
        row.insert(ItemId(4), 4);
        assert!(row.row.capacity() < 1_000, "{} places", row.row.capacity());
        let numbers: Vec<u64> = row.iter().map(|(id, _)| id.0).collect();
        assert_eq!(numbers, [3, 4, 99_995, 99_996, 99_997, 99_998, 99_999, u64::MAX]);
        assert_eq!(row.remove(&ItemId(3)), Some(3));
    }
}
