//! How the branches may stand for the daemon, by what it was told of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Audit;
use crate::model::policy::OutsidePolicy;
use crate::model::tree::Unit;
use crate::model::{ItemId, NodeId, Pair, Policy, QueueName, Sha};

/// What the daemon was told of a branch, each tip by its place among all that the branch has had.
#[derive(Debug, Default)]
pub(super) struct Told {
    all: BTreeSet<usize>,
    last: usize,
    /// The last that had not been told before.
    fresh: usize,
}

impl Told {
    /// Notes what is told; says whether that is newer than all before.
    pub fn tell(&mut self, at: usize) -> bool {
        let moved = self.all.last().is_some_and(|newest| at > *newest);
        if self.all.insert(at) {
            self.fresh = at;
        }
        self.last = at;
        moved
    }
}

impl Audit {
    /// The tips that the daemon may hold for true: for each branch the newest and the last that it was told, and the
    /// last that was no repetition, since what it had been told before is late news to it.
    pub(super) fn beliefs(&self, pair: &Pair) -> Vec<Sha> {
        let (Some(tips), Some(told)) = (self.tips.get(pair), self.told.get(pair)) else {
            return Vec::new();
        };
        let newest = told.all.last().copied().unwrap_or_default();
        let mut places = vec![newest];
        places.extend([told.last, told.fresh].into_iter().filter(|place| *place != newest));
        places.dedup();
        places.iter().filter_map(|at| tips.get(*at).copied()).collect()
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
        let node = self.items.get(&id).and_then(|book| book.node);
        for (pair, value) in node.map(|node| self.pinned(id, node, true)).unwrap_or_default() {
            match value {
                Some(commit) => drop(seen.insert(pair, commit)),
                None => drop(seen.remove(&pair)),
            }
        }
        seen
    }

    /// What an item's node may see otherwise than it is: what it has read, and where that is asked for, all that it
    /// was given.
    pub(super) fn pinned(&self, id: ItemId, node: NodeId, is_given_too: bool) -> Vec<(Pair, Option<Sha>)> {
        let (Some(node), Some(policy), Some(queue)) = (
            self.nodes.get(&node),
            &self.policy,
            self.items.get(&self.item_of(id)).and_then(|book| book.queue.as_ref()),
        ) else {
            return Vec::new();
        };
        let declared = policy.queue_named(queue);
        if declared.is_none_or(|declared| declared.outside == OutsidePolicy::Strict) {
            return Vec::new();
        }
        let read = node.reads().iter().filter_map(|read| match &read.unit {
            Unit::Branch(pair) => Some((pair.clone(), read.value)),
            Unit::JobFile(_) => None,
        });
        let all = read.chain(node.pins.iter().filter(|_| is_given_too).cloned());
        all.filter(|(pair, _)| !node.depends.contains(pair) && is_outside(policy, queue, pair)).collect()
    }
}

/// Whether a queue does not gate a branch.
pub(super) fn is_outside(policy: &Policy, queue: &QueueName, pair: &Pair) -> bool {
    policy.queue_of(pair).is_none_or(|other| other.name != *queue)
}
