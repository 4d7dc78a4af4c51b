//! Notes by a branch's number that are begun anew in each pass: all of them are torn off at once, and keep
//! their room.

use super::print::PairId;

/// What can be begun anew in the room that it has.
pub(crate) trait Renew: Default {
    /// As if it had just been made.
    fn renew(&mut self);
}

/// A note for each of some branches.
#[derive(Clone, Default)]
pub(crate) struct Sheet<T> {
    /// Notes, each with the beginning to which it belongs.
    notes: Vec<(u64, T)>,
    /// How often this was begun anew.
    begun: u64,
}

impl<T: Renew> Sheet<T> {
    /// Tears off all notes.
    pub fn clear(&mut self) {
        self.begun += 1;
    }

    /// What is noted of a branch.
    #[inline]
    pub fn get(&self, pair: PairId) -> Option<&T> {
        self.notes.get(pair as usize).filter(|(begun, _)| *begun == self.begun).map(|(_, note)| note)
    }

    /// What is noted of a branch, to be changed; it begins empty.
    #[inline]
    pub fn get_mut(&mut self, pair: PairId) -> &mut T {
        let at = pair as usize;
        if at >= self.notes.len() {
            // What has not been begun belongs to no beginning.
            self.notes.resize_with(at + 1, || (u64::MAX, T::default()));
        }
        let (begun, note) = &mut self.notes[at];
        if *begun != self.begun {
            *begun = self.begun;
            note.renew();
        }
        note
    }

    /// All that is noted, in the order of the branches' numbers.
    pub fn iter(&self) -> impl Iterator<Item = (PairId, &T)> {
        let noted = (0..).zip(&self.notes).filter(|(_, (begun, _))| *begun == self.begun);
        noted.map(|(pair, (_, note))| (pair, note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Renew for Vec<u32> {
        fn renew(&mut self) {
            self.clear();
        }
    }

    #[test]
    fn what_is_torn_off_is_gone_and_what_is_noted_later_stays() {
        let mut sheet: Sheet<Vec<u32>> = Sheet::default();
        assert!(sheet.get(0).is_none());
        sheet.get_mut(3).push(7);
        assert_eq!((sheet.get(3), sheet.get(2)), (Some(&vec![7]), None), "nobody has written on 2");
        sheet.clear();
        assert_eq!(sheet.get(3), None);
        sheet.get_mut(1).push(1);
        sheet.get_mut(3).push(8);
        assert_eq!(sheet.iter().collect::<Vec<_>>(), [(1, &vec![1]), (3, &vec![8])]);
    }
}
