//! What decisions about alternatives change in the state.

use super::super::Queue;
use super::super::state::Item;
use super::Alternative;
use crate::model::past::Happened;
use crate::model::{ItemId, Pipeline};

impl Queue {
    pub(in crate::queue) fn alternative_begun(&mut self, id: ItemId, of: ItemId, without: ItemId) {
        let Some(stay) = self.stay_apart(id, of) else { return };
        self.state.alternatives.insert(id, Alternative { of, without, stay });
        if let Some(without) = self.first_change(without) {
            self.note_past(of, Happened::Hedged { without });
        }
    }

    /// A stay of no changes that is judged for an item, on another state than the one expected before that.
    pub(in crate::queue) fn stay_apart(&mut self, id: ItemId, of: ItemId) -> Option<Item> {
        self.state.last_item = self.state.last_item.max(id.0);
        let item = self.state.items.get(&of)?;
        let begun = (item.entered_at, item.rank);
        let mut stay = Item::new(id, Pipeline::Gate, item.queue.clone(), &[], begun);
        // It is part of the item's stay: what was found out in that counts here.
        stay.adopted.clone_from(&item.adopted);
        stay.failures.clone_from(&item.failures);
        self.index.dirty_items.insert(id);
        Some(stay)
    }

    pub(in crate::queue) fn alternative_ended(&mut self, id: ItemId) {
        let Some(alternative) = self.state.alternatives.remove(&id) else { return };
        self.index.remove_item(&alternative.stay);
        self.index.dirty_builds = true;
    }
}
