//! What has numbers that are given in order: items, nodes, builds and effects.
//!
//! It comes with the numbers one after another and goes much in that order, so that its place in a row is
//! told by its number, less what is gone before it: a few steps, where a tree compares many keys. It is
//! stored as a map.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{BuildId, EffectId, ItemId, NodeId};

/// How many steps from where a number would stand without gaps it is looked for one by one.
const NEAR: usize = 8;

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
    row: VecDeque<(K, Box<V>)>,
}

impl<K, V> Default for Numbered<K, V> {
    fn default() -> Self {
        Self { row: VecDeque::new() }
    }
}

impl<K: Number, V> Numbered<K, V> {
    /// The place of a number, or where it belongs.
    fn place(&self, key: K) -> Result<usize, usize> {
        let (front, back) = self.row.as_slices();
        match back.first() {
            Some((first, _)) if *first <= key => {
                let before = front.len();
                place_in(back, key).map(|at| before + at).map_err(|at| before + at)
            }
            _ => place_in(front, key),
        }
    }

    /// What has a number.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (front, back) = self.row.as_slices();
        let row = if back.first().is_some_and(|(first, _)| first <= key) { back } else { front };
        let at = place_in(row, *key).ok()?;
        row.get(at).map(|(_, value)| &**value)
    }

    /// What has a number, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.place(*key).ok()?;
        self.row.get_mut(at).map(|(_, value)| &mut **value)
    }

    /// Whether anything has a number.
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(*key).is_ok()
    }

    /// Gives a number to something; gives what had it before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(key) {
            Ok(at) => Some(std::mem::replace(&mut *self.row[at].1, value)),
            Err(at) => {
                self.row.insert(at, (key, Box::new(value)));
                None
            }
        }
    }

    /// Takes out what has a number.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.place(*key).ok()?;
        self.row.remove(at).map(|(_, value)| *value)
    }

    /// Keeps what is wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) {
        self.row.retain(|(key, value)| wanted(key, value));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.row.len()
    }

    /// All, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.row.iter().map(|(key, value)| (key, &**value))
    }

    /// All, without their numbers.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.row.iter().map(|(_, value)| &**value)
    }

    /// All, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.row.iter_mut().map(|(_, value)| &mut **value)
    }
}

/// The place of a number in a row, or where it belongs.
fn place_in<K: Number, V>(row: &[(K, V)], key: K) -> Result<usize, usize> {
    let (Some((first, _)), Some((last, _))) = (row.first(), row.last()) else { return Err(0) };
    if key > *last {
        return Err(row.len());
    }
    let Some(far) = key.number().checked_sub(first.number()) else { return Err(0) };
    let far = usize::try_from(far).unwrap_or(usize::MAX).min(row.len() - 1);
    // It is there, or before.
    let mut at = far;
    while far - at < NEAR {
        let known = row[at].0;
        if known <= key {
            return if known == key { Ok(at) } else { Err(at + 1) };
        }
        at -= 1;
    }
    row[..=at].binary_search_by_key(&key, |(known, _)| *known)
}

impl<K: Number + Serialize, V: Serialize> Serialize for Numbered<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Number + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Numbered<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<K, V>::deserialize(deserializer)?;
        Ok(Self { row: map.into_iter().map(|(key, value)| (key, Box::new(value))).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_map_would_find() {
        let (mut row, mut map) = (Numbered::default(), BTreeMap::new());
        let mut next = 7_u64;
        for round in 0..2_000_u64 {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let id = ItemId(round / 8 + (next >> 33) % 40);
            if next >> 40 & 1 == 0 {
                assert_eq!(row.insert(id, round), map.insert(id, round));
            } else {
                assert_eq!(row.remove(&id), map.remove(&id));
            }
            let probe = ItemId(round / 8 + (next >> 20) % 60);
            assert_eq!(row.get(&probe), map.get(&probe));
            assert!(row.iter().eq(map.iter()) && row.len() == map.len());
        }
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, serde_json::to_string(&map).unwrap(), "it is stored as a map");
        let read: Numbered<ItemId, u64> = serde_json::from_str(&text).unwrap();
        assert!(read.iter().eq(map.iter()));
    }
}
