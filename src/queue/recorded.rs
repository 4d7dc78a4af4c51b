//! Verdicts by their keys, in the order of the keys. It is stored as a map.
//!
//! A key is a digest, so keys are spread evenly, and the first bits of one tell where it stands: one look,
//! where a tree of many thousand keys takes several, each somewhere else in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::VerdictKey;

/// How many keys a drawer holds, in the mean, before there are more drawers.
const FULL: usize = 5;

/// By how many bits drawers are told apart further then: all keys are moved in one step, so it is done rarely and
/// while there are few. The last time is at 1,280 keys, up to 20,480.
const MORE_BITS: u32 = 4;

/// A map from keys.
#[derive(Clone, Debug)]
pub(crate) struct Recorded<V> {
    /// As many drawers as `bits` bits can tell apart; in each, its keys in order.
    drawers: Vec<Vec<(VerdictKey, V)>>,
    bits: u32,
    len: usize,
}

impl<V> Default for Recorded<V> {
    fn default() -> Self {
        Self { drawers: vec![Vec::new()], bits: 0, len: 0 }
    }
}

impl<V> Recorded<V> {
    /// The drawer of a key, by its first bits.
    fn drawer(&self, key: &VerdictKey) -> usize {
        let [a, b, c, d, ..] = key.0;
        let first = u64::from(u32::from_be_bytes([a, b, c, d]));
        usize::try_from(first >> (32 - self.bits)).unwrap_or(0)
    }

    /// The drawer of a key, and its place there, or where it belongs.
    fn place(&self, key: &VerdictKey) -> (usize, Result<usize, usize>) {
        let at = self.drawer(key);
        (at, self.drawers[at].binary_search_by(|(known, _)| known.cmp(key)))
    }

    /// What a key has.
    pub fn get(&self, key: &VerdictKey) -> Option<&V> {
        let drawer = self.drawers.get(self.drawer(key))?;
        drawer.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Gives a key something else, or something.
    pub fn insert(&mut self, key: VerdictKey, value: V) {
        match self.place(&key) {
            (at, Ok(place)) => self.drawers[at][place].1 = value,
            (at, Err(place)) => {
                self.drawers[at].insert(place, (key, value));
                self.len += 1;
                if self.len > FULL * self.drawers.len() && self.bits + MORE_BITS <= u32::BITS {
                    self.spread();
                }
            }
        }
    }

    /// Makes more drawers.
    fn spread(&mut self) {
        self.bits += MORE_BITS;
        let more = self.drawers.len() << MORE_BITS;
        let old = std::mem::replace(&mut self.drawers, (0..more).map(|_| Vec::new()).collect());
        for (key, value) in old.into_iter().flatten() {
            let at = self.drawer(&key);
            self.drawers[at].push((key, value));
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &VerdictKey) {
        if let (at, Ok(place)) = self.place(key) {
            self.drawers[at].remove(place);
            self.len -= 1;
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&VerdictKey, &V)> {
        self.drawers.iter().flatten().map(|(key, value)| (key, value))
    }
}

impl<V: Serialize> Serialize for Recorded<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Recorded<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<VerdictKey, V>::deserialize(deserializer)?;
        let mut all = Self::default();
        map.into_iter().for_each(|(key, value)| all.insert(key, value));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_map_would_find() {
        let (mut all, mut map) = (Recorded::default(), BTreeMap::new());
        let mut next = 7_u64;
        for round in 0..3_000_u32 {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut key = VerdictKey([0; 32]);
            key.0[..2].copy_from_slice(&(next >> 48).to_be_bytes()[6..]);
            // Now and then they differ in the end only.
            key.0[31] = u8::try_from(round % 3).unwrap();
            if round % 4 == 3 {
                let known = *map.keys().nth(usize::try_from(next >> 40).unwrap() % map.len()).unwrap();
                all.remove(&known);
                map.remove(&known);
            }
            all.insert(key, round);
            map.insert(key, round);
            let near = map.range(key..).nth(1).map(|(near, _)| *near).unwrap_or(key);
            assert_eq!((all.get(&near), all.len()), (map.get(&near), map.len()));
        }
        assert!(all.iter().eq(map.iter()));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, serde_json::to_string(&map).unwrap(), "it is stored as a map");
        let read: Recorded<u32> = serde_json::from_str(&text).unwrap();
        assert!(read.iter().eq(map.iter()));
    }
}
