//! What a pass over a queue carries from item to item.

use std::collections::BTreeSet;

use crate::model::{ItemId, NodeId};

use super::footprint::{Footprints, Predicted};
use super::jobs::Standing;
use super::plain::Basis;
use super::pool::Lanes;
use super::strategy::{Hold, Shares};
use super::tally::Tally;

/// For how many items a pass makes room before it begins.
const ROOM_MAX: usize = 1_024;

/// What a pass carries from item to item.
#[derive(Default)]
pub(super) struct Ahead {
    pub predicted: Predicted,
    /// The nodes of the undecided items so far; `None` where it is not known what one writes.
    pub undecided: Vec<Option<NodeId>>,
    /// Those of them that are not expected to land.
    pub failing: BTreeSet<ItemId>,
    /// Those that stay at nodes with one of those in it, as a tip is in doubt.
    pub stuck: BTreeSet<ItemId>,
    /// What owners and repositories have of what is built.
    pub shares: Shares,
    /// Why each item's builds claim no slots, if so, in order.
    pub holds: Vec<Option<Hold>>,
    /// With what the node of the item that was looked at last agrees, if it does.
    pub basis: Option<Basis>,
    /// An item is not in plain standing.
    pub has_others: bool,
    /// How many items stand how.
    pub tally: Tally,
    /// Where the last item stands that has passed.
    pub last_passed: Option<usize>,
    /// Where the last item stands that has passed or is to be built.
    pub last_built: Option<usize>,
    /// What pools are made with.
    pub lanes: Lanes,
    /// What landings are planned with.
    pub landing: [Footprints; 2],
    /// The places of items with news.
    pub places: Vec<usize>,
    /// The items of the queue, in order.
    pub order: Vec<ItemId>,
}

impl Ahead {
    /// Begins anew, in the room that is there already: there is a pass in most steps.
    pub fn clear(&mut self, items: usize) {
        self.predicted.clear();
        self.undecided.clear();
        self.undecided.reserve(items.min(ROOM_MAX));
        self.predicted.items.reserve(items.min(ROOM_MAX));
        self.failing.clear();
        self.stuck.clear();
        self.shares = Shares::default();
        self.holds.clear();
        self.basis = None;
        self.has_others = false;
        self.tally = Tally::default();
        self.last_passed = None;
        self.last_built = None;
    }

    /// Notes how the item at a place stands. `is_to_begin` says whether it is begun by its own builds, and is not yet.
    #[inline]
    pub fn note(
        &mut self,
        place: usize,
        standing: Standing,
        is_to_begin: impl FnOnce() -> bool,
        chance: impl FnOnce() -> u64,
    ) {
        if standing == Standing::Passed {
            self.last_passed = Some(place);
        }
        if matches!(standing, Standing::Passed | Standing::Building) {
            self.last_built = Some(place);
        }
        let is_held = || self.holds.get(place).is_some_and(Option::is_some);
        self.tally.add(standing, || !is_held() && is_to_begin(), chance);
    }

    /// Notes why the builds of the item at a place claim no slots, if so.
    pub fn hold(&mut self, place: usize, hold: Option<Hold>) {
        if hold.is_some() {
            self.holds.resize(place + 1, None);
            self.holds[place] = hold;
        }
    }
}
