//! `serial`: an item is built when nothing undecided ahead of it meets it.

use super::{Hold, Seat, Walk};

/// Items that are prepared ahead of need: merges are cheap, and footprints come of them.
const PREPARED: u32 = 20;

/// Its walk.
pub(super) struct Serial;

impl Walk for Serial {
    fn is_too_far(&self, place: u32) -> bool {
        place >= PREPARED
    }

    fn limit(&self) -> Hold {
        Hold::Window(PREPARED)
    }

    fn asks_what_it_meets(&self) -> bool {
        true
    }

    fn holds(&mut self, seat: Seat) -> Option<Hold> {
        seat.meets.then_some(Hold::Turn)
    }
}
