//! Of which branches the pools may have to be made otherwise than they were: those of the items that stand
//! otherwise. Where each item has to do with one branch only, the others' stay.

use super::plain::Plain;
use super::print::PairId;

/// With more branches than these, all are made anew.
const LANES_MAX: usize = 16;

/// Whose pools may have to be made otherwise.
#[derive(Default)]
pub(super) struct Touched {
    all: bool,
    lanes: Vec<PairId>,
    /// The place of the first of these items whose jobs are not known, or were not: it stands between what is
    /// ahead of it and what is behind it in every branch.
    opaque: Option<usize>,
}

impl Touched {
    /// All branches.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// The item at a place is no longer, or not yet, as this says.
    pub fn add(&mut self, place: usize, plain: Option<&Plain>) {
        // Nothing is left to tell apart.
        if self.all {
            return;
        }
        let Some((plain, lane)) = plain.and_then(|plain| Some((plain, plain.lane()?))) else {
            self.all = true;
            return;
        };
        if !plain.print.resolved {
            self.opaque = Some(self.opaque.map_or(place, |first| first.min(place)));
        }
        if !self.lanes.contains(&lane) {
            self.lanes.push(lane);
        }
        self.all |= self.lanes.len() > LANES_MAX;
    }

    /// Something but single items has changed that pools depend on.
    pub fn add_all(&mut self) {
        self.all = true;
    }

    /// The last item whose builds are known has this place.
    pub fn end(&mut self, last_built: Option<usize>) {
        self.all |= self.opaque.is_some_and(|first| last_built > Some(first));
    }

    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.all || !self.lanes.is_empty()
    }

    /// Whether the pools of an item's branch are among these.
    #[inline]
    pub fn has(&self, lane: Option<PairId>) -> bool {
        let Some(lane) = lane.filter(|_| !self.all) else { return true };
        // Mostly it is one.
        match self.lanes.as_slice() {
            [only] => *only == lane,
            lanes => lanes.contains(&lane),
        }
    }
}
