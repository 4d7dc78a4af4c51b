//! A set of items whose numbers lie close together, as those of one queue do.

use crate::model::ItemId;

/// Items in one word.
const WORD: u64 = 64;

/// A set of items, one bit for each number from the least to the largest.
#[derive(Clone, Default)]
pub(crate) struct ItemSet {
    /// The number of the first word.
    first: u64,
    words: Vec<u64>,
}

impl ItemSet {
    /// Whether an item is one of them.
    pub fn has(&self, item: ItemId) -> bool {
        let at = (item.0 / WORD).checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let word = at.and_then(|at| self.words.get(at)).copied().unwrap_or_default();
        word >> (item.0 % WORD) & 1 == 1
    }

    /// Takes an item in.
    pub fn add(&mut self, item: ItemId) {
        let word = item.0 / WORD;
        self.reach(word, word);
        let at = usize::try_from(word - self.first).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (item.0 % WORD);
        }
    }

    /// Takes in all of another set.
    pub fn join(&mut self, other: &Self) {
        let Some(last) = (other.words.len() as u64).checked_sub(1) else { return };
        self.reach(other.first, other.first + last);
        let at = usize::try_from(other.first - self.first).unwrap_or(usize::MAX);
        for (word, more) in self.words.iter_mut().skip(at).zip(&other.words) {
            *word |= more;
        }
    }

    /// The items, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = ItemId> {
        let bits = |word: u64| (0..WORD).filter(move |bit| word >> bit & 1 == 1);
        let words = (self.first..).zip(&self.words).filter(|(_, word)| **word != 0);
        words.flat_map(move |(at, word)| bits(*word).map(move |bit| ItemId(at * WORD + bit)))
    }

    /// Makes room for the words from `first` to `last`.
    fn reach(&mut self, first: u64, last: u64) {
        if self.words.is_empty() {
            self.first = first;
        } else if first < self.first {
            let more = usize::try_from(self.first - first).unwrap_or(usize::MAX);
            self.words.splice(0..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        let wanted = usize::try_from(last - self.first).map_or(usize::MAX, |at| at + 1);
        if wanted > self.words.len() {
            self.words.resize(wanted, 0);
        }
    }
}

impl FromIterator<ItemId> for ItemSet {
    fn from_iter<T: IntoIterator<Item = ItemId>>(items: T) -> Self {
        let mut all = Self::default();
        items.into_iter().for_each(|item| all.add(item));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[u64]) -> ItemSet {
        items.iter().map(|item| ItemId(*item)).collect()
    }

    #[test]
    fn it_has_what_was_put_in_in_whatever_order() {
        for items in [&[700, 3, 64, 63, 127, 128][..], &[3, 63, 64, 127, 128, 700]] {
            let all = set(items);
            let found: Vec<u64> = all.iter().map(|item| item.0).collect();
            assert_eq!(found, [3, 63, 64, 127, 128, 700]);
            assert!((0..1_000).all(|item| all.has(ItemId(item)) == items.contains(&item)));
        }
        assert!(!set(&[]).has(ItemId(0)) && set(&[]).iter().next().is_none());
    }

    #[test]
    fn it_is_joined_with_one_before_and_one_behind() {
        for (left, right) in [(&[500][..], &[2, 900][..]), (&[2, 900], &[500]), (&[], &[2]), (&[2], &[])] {
            let mut all = set(left);
            all.join(&set(right));
            let found: Vec<u64> = all.iter().map(|item| item.0).collect();
            let mut expected = [left, right].concat();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
