//! `dependent`: the first items of a queue are built at once, each on the nearest ones ahead that have
//! not failed.

use super::{Hold, Seat, Walk};

/// Its walk.
pub(super) struct Dependent {
    /// How many items are built at once.
    pub window: u32,
}

impl Walk for Dependent {
    fn is_too_far(&self, place: u32) -> bool {
        place >= self.window
    }

    fn limit(&self) -> Hold {
        Hold::Window(self.window)
    }

    fn holds(&mut self, _seat: Seat) -> Option<Hold> {
        None
    }
}
