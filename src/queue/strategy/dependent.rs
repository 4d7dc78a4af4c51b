//! `dependent`: the first items of a queue are built at once, each on the nearest ones ahead that have
//! not failed.

use super::{Hold, Seat, Walk};

/// Its walk.
pub(super) struct Dependent {
    /// How many items are built at once.
    pub window: u32,
}

impl Walk for Dependent {
    fn too_far(&self, place: u32) -> Option<Hold> {
        (place >= self.window).then_some(Hold::Window(self.window))
    }

    fn holds(&mut self, _seat: Seat) -> Option<Hold> {
        None
    }
}
