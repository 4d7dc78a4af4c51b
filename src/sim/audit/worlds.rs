//! How the branches may stand for the daemon, by what it was told of them.

use std::collections::BTreeMap;

use super::{Audit, Checked, fault};
use crate::model::policy::OutsidePolicy;
use crate::model::tree::Unit;
use crate::model::{ItemId, NodeId, Pair, Sha};

impl Audit {
    /// The tips that the daemon may hold for true: for each branch the newest and the last it was
    /// told.
    pub(super) fn beliefs(&self, pair: &Pair) -> Vec<Sha> {
        let (Some(tips), Some((newest, last))) = (self.tips.get(pair), self.told.get(pair)) else {
            return Vec::new();
        };
        let mut values: Vec<Sha> = [*newest, *last].iter().filter_map(|at| tips.get(*at).copied()).collect();
        values.dedup();
        values
    }

    /// Each way in which the branches may stand for the daemon; few, since branches rarely move.
    pub(super) fn worlds(&self) -> Vec<BTreeMap<Pair, Sha>> {
        let mut worlds = vec![BTreeMap::new()];
        for (pair, tips) in &self.tips {
            let mut values = self.beliefs(pair);
            if values.is_empty() {
                values.extend(tips.last());
            }
            let mut more = Vec::new();
            for value in values.iter().skip(1) {
                more.extend(worlds.iter().cloned().map(|mut world: BTreeMap<Pair, Sha>| {
                    world.insert(pair.clone(), *value);
                    world
                }));
            }
            if let Some(first) = values.first() {
                for world in &mut worlds {
                    world.insert(pair.clone(), *first);
                }
            }
            worlds.extend(more);
            worlds.truncate(32);
        }
        worlds
    }

    /// The branches as an item's node may see them: what its queue pins is as the node was given it, or as it
    /// was the first to read it. Elsewhere the branches must be as they are.
    pub(super) fn as_pinned(&self, id: ItemId, tips: &BTreeMap<Pair, Sha>) -> BTreeMap<Pair, Sha> {
        let mut seen = tips.clone();
        for (pair, value) in self.pinned(id) {
            match value {
                Some(commit) => drop(seen.insert(pair, commit)),
                None => drop(seen.remove(&pair)),
            }
        }
        seen
    }

    /// What an item's node may see otherwise than it is.
    fn pinned(&self, id: ItemId) -> Vec<(Pair, Option<Sha>)> {
        let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
        let (Some(node), Some(policy), Some(queue)) =
            (node, &self.policy, self.items.get(&self.item_of(id)).and_then(|book| book.queue.as_ref()))
        else {
            return Vec::new();
        };
        let declared = policy.queue_named(queue);
        if declared.is_none_or(|declared| declared.outside == OutsidePolicy::Strict) {
            return Vec::new();
        }
        let is_outside = |pair: &Pair| {
            !node.depends.contains(pair) && policy.queue_of(pair).is_none_or(|other| other.name != *queue)
        };
        let read = node.reads().iter().filter_map(|read| match &read.unit {
            Unit::Branch(pair) if is_outside(pair) => Some((pair.clone(), read.value)),
            _ => None,
        });
        let given = node.pins.iter().filter(|(pair, _)| is_outside(pair)).cloned();
        read.chain(given).collect()
    }

    /// A pin is of a branch outside of the queue, of a queue that pins, and was a tip of that branch.
    pub(super) fn check_pins(&self, node: NodeId) -> Checked {
        let Some(book) = self.nodes.get(&node).filter(|book| !book.pins.is_empty()) else { return Ok(()) };
        let allowed = self.pinned(book.item);
        for (pair, commit) in &book.pins {
            let was_tip =
                commit.is_none_or(|commit| self.tips.get(pair).is_some_and(|tips| tips.contains(&commit)));
            if !was_tip || !allowed.iter().any(|(other, _)| other == pair) {
                return fault("pins", format!("node {node} is given {commit:?} for {pair}"));
            }
        }
        Ok(())
    }
}
