//! Stays: whatever has nodes, verdicts and builds, be it an item, a run, an alternative, or an item as it would be
//! behind one that overtakes it.

use crate::model::ItemId;

use super::state::{Item, State};

impl State {
    /// What has nodes, verdicts and builds: items, then runs, then alternatives, then overtakings.
    pub fn stays(&self) -> impl Iterator<Item = &Item> {
        let runs = self.runs.under_way.values().map(|run| &run.stay);
        let overtakings = self.overtakings.values().map(|own| &own.stay);
        self.items
            .values()
            .chain(runs)
            .chain(self.alternatives.values().map(|own| &own.stay))
            .chain(overtakings)
    }

    /// What one of them has.
    pub fn stay(&self, id: ItemId) -> Option<&Item> {
        let run = || self.runs.under_way.get(&id).map(|run| &run.stay);
        let alternative = || self.alternatives.get(&id).map(|own| &own.stay);
        let overtaking = || self.overtakings.get(&id).map(|own| &own.stay);
        self.items.get(&id).or_else(run).or_else(alternative).or_else(overtaking)
    }

    /// The same, to be changed.
    pub fn stay_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        if let Some(item) = self.items.get_mut(&id) {
            return Some(item);
        }
        if let Some(run) = self.runs.under_way.get_mut(&id) {
            return Some(&mut run.stay);
        }
        match self.alternatives.get_mut(&id) {
            Some(alternative) => Some(&mut alternative.stay),
            None => self.overtakings.get_mut(&id).map(|own| &mut own.stay),
        }
    }
}
