//! What planning still has to look at: a set that is filled and emptied in each step.
//!
//! A sorted row keeps its room when it is empty, where a tree gives it back each time. Mostly there are few
//! marks, and many come in order.

use std::collections::{VecDeque, vec_deque};

/// A set of marks, in order.
pub(crate) struct Marks<T>(VecDeque<T>);

impl<T> Default for Marks<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord> Marks<T> {
    /// Sets a mark, once.
    pub fn insert(&mut self, mark: T) {
        if self.0.back().is_none_or(|last| *last < mark) {
            self.0.push_back(mark);
        } else if let Err(at) = self.0.binary_search(&mark) {
            self.0.insert(at, mark);
        }
    }

    /// Takes a mark away; says whether it was there.
    pub fn remove(&mut self, mark: &T) -> bool {
        match self.0.front() {
            Some(first) if first == mark => self.0.pop_front().is_some(),
            Some(first) if first < mark => {
                self.0.binary_search(mark).is_ok_and(|at| self.0.remove(at).is_some())
            }
            _ => false,
        }
    }

    /// Takes away what is not to be kept.
    pub fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        self.0.retain(is_kept);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first mark.
    pub fn first(&self) -> Option<&T> {
        self.0.front()
    }

    /// Takes the first mark.
    pub fn pop_first(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    /// Whether it has a mark.
    #[inline]
    pub fn contains(&self, mark: &T) -> bool {
        // Most are asked for in vain.
        match (self.0.front(), self.0.back()) {
            (Some(first), Some(last)) if first <= mark && mark <= last => self.0.binary_search(mark).is_ok(),
            _ => false,
        }
    }

    /// All marks, in order.
    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T: Ord> Extend<T> for Marks<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, marks: I) {
        marks.into_iter().for_each(|mark| self.insert(mark));
    }
}

impl<'a, T: Ord + Copy + 'a> Extend<&'a T> for Marks<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, marks: I) {
        self.extend(marks.into_iter().copied());
    }
}

impl<T: Ord> FromIterator<T> for Marks<T> {
    fn from_iter<I: IntoIterator<Item = T>>(marks: I) -> Self {
        let mut all = Self::default();
        all.extend(marks);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_once_and_taken_in_order() {
        let mut marks: Marks<u32> = [5, 1, 9, 5, 3].into_iter().collect();
        marks.remove(&9);
        marks.remove(&4);
        assert!(marks.contains(&3) && !marks.contains(&9));
        let taken: Vec<u32> = std::iter::from_fn(|| marks.pop_first()).collect();
        assert_eq!(taken, [1, 3, 5]);
    }
}
