//! Footprints: whether a node still says something about an item, and which items meet.
//!
//! A node agrees with a predicted state when every branch that the item writes starts from the same
//! commit and everything that was read to judge it has the same value. Two items *meet* when either
//! writes what the other writes or reads; an item without a resolved node meets everything.

use std::collections::BTreeMap;

use crate::model::action::{Merge, Onto};
use crate::model::tree::{Resolved, Unit};
use crate::model::{ItemId, NodeId, Pair, Sha};

use super::Queue;
use super::pins::agrees_with_pin;
use super::state::{Item, Node, Source, State};

/// A state that is expected: tips, and what items ahead are going to write.
#[derive(Default)]
pub(crate) struct Predicted {
    /// The node whose result each branch has; other branches have their tips.
    pub nodes: BTreeMap<Pair, NodeId>,
    /// The undecided items in it, in order.
    pub items: Vec<ItemId>,
}

impl State {
    /// The commit that a source stands for, where it is known by now.
    fn commit_of(&self, source: Source, pair: &Pair) -> Option<Option<Sha>> {
        match source {
            Source::Commit(commit) => Some(commit),
            Source::Node(node) => Some(Some(self.nodes.get(&node)?.written(pair)?.commit)),
        }
    }

    fn same(&self, a: Source, b: Source, pair: &Pair) -> bool {
        if a == b {
            return true;
        }
        let (a, b) = (self.commit_of(a, pair), self.commit_of(b, pair));
        a.is_some() && a == b
    }

    fn source(&self, predicted: &Predicted, pair: &Pair) -> Option<Source> {
        match predicted.nodes.get(pair) {
            Some(node) => Some(Source::Node(*node)),
            None => Some(Source::Commit(self.tips.get(pair)?.commit)),
        }
    }

    /// Whether what `node` says of its item holds in the predicted state.
    pub fn agrees(&self, node: &Node, predicted: &Predicted) -> bool {
        node.policy_epoch == self.policy_epoch
            && node.onto.iter().all(|(pair, onto)| match node.written(pair) {
                Some(written) => self.same_source(Source::Commit(Some(written.onto)), predicted, pair),
                None => self.same_source(*onto, predicted, pair),
            })
            && node.reads().iter().all(|read| {
                let pair = read.unit.pair();
                if node.onto.iter().any(|(written, _)| written == pair) {
                    return true;
                }
                if let Some(pin) = self.pin_of(node, pair) {
                    return agrees_with_pin(node, read, pin);
                }
                match &read.unit {
                    Unit::Branch(_) => self.branch_agrees(node, pair, read.value, predicted),
                    Unit::JobFile(_) => self.job_file_agrees(node, pair, read.value, predicted),
                }
            })
    }

    fn same_source(&self, source: Source, predicted: &Predicted, pair: &Pair) -> bool {
        self.source(predicted, pair).is_some_and(|expected| self.same(source, expected, pair))
    }

    fn branch_agrees(&self, node: &Node, pair: &Pair, read: Option<Sha>, predicted: &Predicted) -> bool {
        let here = node.overlaid(pair).map_or(Source::Commit(read), Source::Node);
        match self.source(predicted, pair) {
            Some(expected) => {
                self.same(here, expected, pair) || self.same(Source::Commit(read), expected, pair)
            }
            // A branch that nobody has seen is as it was read.
            None => true,
        }
    }

    fn job_file_agrees(&self, node: &Node, pair: &Pair, read: Option<Sha>, predicted: &Predicted) -> bool {
        match predicted.nodes.get(pair) {
            Some(expected) if node.overlaid(pair) == Some(*expected) => true,
            Some(expected) => {
                let written = self.nodes.get(expected).and_then(|node| node.written(pair));
                written.is_some_and(|written| written.job_file == read)
            }
            None => match self.tips.get(pair) {
                Some(tip) => match tip.job_file {
                    Some(known) => known == read,
                    None => node.overlaid(pair).is_none() && tip.epoch <= node.asked_epoch,
                },
                None => true,
            },
        }
    }
}

/// The footprints of a set of items, so that one item can be held against all of them at once.
#[derive(Default)]
pub(crate) struct Footprints {
    /// An item without a resolved node: it meets everything.
    opaque: Option<ItemId>,
    /// Who writes a branch, the nearest last; with the branch whose push would carry it.
    writers: BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>,
    readers: BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>,
    alterers: BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>,
    consulters: BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>,
}

impl Footprints {
    /// Adds an item at its node. `carried` names the branch whose push would land it together with
    /// others of that branch: those do not count it as something to wait for.
    pub fn add(&mut self, item: &Item, node: Option<&Node>, carried: Option<&Pair>) {
        let entry = (item.id, carried.cloned());
        let Some(node) = node.filter(|node| matches!(node.resolved, Some(Resolved::Jobs { .. }))) else {
            self.opaque = Some(item.id);
            return;
        };
        for pair in item.pairs() {
            self.writers.entry(pair.clone()).or_default().push(entry.clone());
        }
        for read in node.reads() {
            let map = match &read.unit {
                Unit::Branch(_) => &mut self.readers,
                Unit::JobFile(_) => &mut self.consulters,
            };
            map.entry(read.unit.pair().clone()).or_default().push(entry.clone());
        }
        if let Some(Resolved::Jobs { alters_job_files, .. }) = &node.resolved {
            for pair in alters_job_files {
                self.alterers.entry(pair.clone()).or_default().push(entry.clone());
            }
        }
    }

    /// An item among these that `item` meets, other than those that the push of `carried` lands
    /// together with it.
    pub fn met_by(&self, item: &Item, node: Option<&Node>, carried: Option<&Pair>) -> Option<ItemId> {
        let node = node.filter(|node| matches!(node.resolved, Some(Resolved::Jobs { .. })));
        let Some(node) = node else {
            return self.any();
        };
        let counts = |entries: &Vec<(ItemId, Option<Pair>)>| {
            let other = entries.iter().rev().find(|(_, with)| with.is_none() || with.as_ref() != carried);
            other.map(|(id, _)| *id)
        };
        let look =
            |map: &BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>, pair: &Pair| map.get(pair).and_then(counts);
        if self.opaque.is_some() {
            return self.opaque;
        }
        let written =
            item.pairs().find_map(|pair| look(&self.writers, pair).or_else(|| look(&self.readers, pair)));
        let read = || {
            node.reads().iter().find_map(|read| match &read.unit {
                Unit::Branch(pair) => look(&self.writers, pair),
                Unit::JobFile(pair) => look(&self.alterers, pair),
            })
        };
        let altered = || match &node.resolved {
            Some(Resolved::Jobs { alters_job_files, .. }) => {
                alters_job_files.iter().find_map(|pair| look(&self.consulters, pair))
            }
            _ => None,
        };
        written.or_else(read).or_else(altered)
    }

    /// Whether `item` meets one of these for which `since` holds, other than those that the push of
    /// `carried` lands together with it.
    pub fn meets_since(
        &self,
        item: &Item,
        node: &Node,
        carried: &Pair,
        since: impl Fn(ItemId) -> bool,
    ) -> bool {
        let found = |map: &BTreeMap<Pair, Vec<(ItemId, Option<Pair>)>>, pair: &Pair| {
            let entries = map.get(pair).into_iter().flatten().rev();
            let mut others = entries.filter(|(_, with)| with.as_ref() != Some(carried));
            others.next().is_some_and(|(id, _)| since(*id))
        };
        let alters = match &node.resolved {
            Some(Resolved::Jobs { alters_job_files, .. }) => &alters_job_files[..],
            _ => &[],
        };
        self.opaque.is_some_and(&since)
            || item.pairs().any(|pair| found(&self.writers, pair) || found(&self.readers, pair))
            || node.reads().iter().any(|read| match &read.unit {
                Unit::Branch(pair) => found(&self.writers, pair),
                Unit::JobFile(pair) => found(&self.alterers, pair),
            })
            || alters.iter().any(|pair| found(&self.consulters, pair))
    }

    fn any(&self) -> Option<ItemId> {
        let nearest = self.writers.values().filter_map(|entries| entries.last()).map(|(id, _)| *id).max();
        self.opaque.or(nearest)
    }
}

impl Queue {
    /// The undecided items ahead that a node contains: those behind its overlay and its merges.
    pub(super) fn contained(
        &self,
        node: NodeId,
        merges: &[Merge],
        overlay: &[(Pair, NodeId)],
    ) -> Vec<ItemId> {
        let onto = merges.iter().filter_map(|merge| match merge.onto {
            Onto::Node(node) => Some(node),
            Onto::Commit(_) => None,
        });
        let mut items: Vec<ItemId> = Vec::new();
        for ahead in overlay.iter().map(|(_, node)| *node).chain(onto) {
            let Some(ahead) = self.state.nodes.get(&ahead).filter(|ahead| ahead.id != node) else { continue };
            items.extend(ahead.contains.iter().chain([&ahead.item]));
        }
        items.retain(|id| self.state.items.contains_key(id));
        let rank = |id: &ItemId| self.state.items.get(id).map(|item| item.rank);
        items.sort_by_key(rank);
        items.dedup();
        items
    }
}
