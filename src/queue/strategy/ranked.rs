//! `ranked`: the likeliest path, in order of arrival. What was already built and passed counts as decided,
//! so the look ahead is by items that are still to be built; what will probably fail is on probation
//! beside the order.

use super::{Hold, Seat, Walk, is_unbuilt};
use crate::queue::jobs::Standing;

/// Items that are looked at ahead even where slots are few: merges are cheap, and footprints come of them.
const LOOK_AHEAD_MIN: u32 = 20;

/// Its walk.
pub(super) struct Ranked {
    /// How many items that are still to be built are prepared.
    look_ahead: u32,
    unbuilt: u32,
}

impl Ranked {
    /// With so many slots, each of which an item may be built on.
    pub fn new(slots: u32) -> Self {
        Self { look_ahead: look_ahead(slots), unbuilt: 0 }
    }
}

/// How many items that are still to be built are prepared, with so many slots.
pub(super) fn look_ahead(slots: u32) -> u32 {
    slots.saturating_mul(2).max(LOOK_AHEAD_MIN)
}

impl Walk for Ranked {
    fn is_too_far(&self, _place: u32) -> bool {
        self.unbuilt >= self.look_ahead
    }

    fn limit(&self) -> Hold {
        Hold::Window(self.look_ahead)
    }

    fn holds(&mut self, seat: Seat) -> Option<Hold> {
        self.count(seat.standing);
        None
    }

    fn count(&mut self, standing: Standing) {
        self.unbuilt += u32::from(is_unbuilt(standing));
    }
}
