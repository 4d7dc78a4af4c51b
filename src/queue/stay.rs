//! Stays: whatever has nodes, verdicts and builds, be it an item, a run or an alternative.

use crate::model::ItemId;

use super::state::{Item, State};

impl State {
    /// What has nodes, verdicts and builds: items, then runs, then alternatives.
    pub fn stays(&self) -> impl Iterator<Item = &Item> {
        let runs = self.runs.under_way.values().map(|run| &run.stay);
        self.items.values().chain(runs).chain(self.alternatives.values().map(|own| &own.stay))
    }

    /// What an item, a run or an alternative has of them.
    pub fn stay(&self, id: ItemId) -> Option<&Item> {
        let run = || self.runs.under_way.get(&id).map(|run| &run.stay);
        let alternative = || self.alternatives.get(&id).map(|own| &own.stay);
        self.items.get(&id).or_else(run).or_else(alternative)
    }

    /// The same, to be changed.
    pub fn stay_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        if let Some(item) = self.items.get_mut(&id) {
            return Some(item);
        }
        match self.runs.under_way.get_mut(&id) {
            Some(run) => Some(&mut run.stay),
            None => self.alternatives.get_mut(&id).map(|own| &mut own.stay),
        }
    }
}
