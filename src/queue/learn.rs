//! What a node's preparation tells of the tips themselves. Without it items of different lanes would wait
//! for one another: a job file ahead is harmless only where it is known to be the one at the tip.

use crate::model::tree::Unit;
use crate::model::{NodeId, Pair, Sha};

use super::Queue;
use super::footprint::Predicted;
use super::state::{Node, Source};

impl Queue {
    /// Learns from a node what it found at the tips: a branch that nothing else is known of, and job files
    /// that have stayed as they are since the node was asked for.
    pub(super) fn learn_tips(&mut self, node: NodeId) {
        let Some(node) = self.state.nodes.get(&node) else { return };
        let mut branches = Vec::new();
        let mut doubtful = Vec::new();
        let mut files: Vec<(Pair, Option<Sha>)> = Vec::new();
        for read in node.reads() {
            let pair = read.unit.pair();
            let written = node.onto.iter().any(|(written, _)| written == pair);
            // What it was given says nothing of how the branch stands now.
            let is_given = || node.pins.iter().any(|(pinned, _)| pinned == pair);
            if written || node.overlaid(pair).is_some() || is_given() {
                continue;
            }
            match (&read.unit, self.state.tips.get(pair)) {
                (Unit::Branch(_), None) => branches.push((pair.clone(), read.value)),
                (Unit::Branch(_), Some(tip)) if tip.commit != read.value => {
                    // What was read before the branch moved is in its past.
                    let past = read.value.is_some_and(|read| tip.before.contains(&read));
                    if !past && tip.epoch <= node.asked_epoch {
                        doubtful.push(pair.clone());
                    }
                }
                (Unit::JobFile(_), Some(tip)) if tip.epoch <= node.asked_epoch => {
                    files.push((pair.clone(), read.value));
                }
                _ => {}
            }
        }
        // Where the item leaves the job file alone, its branch had the same before. What a check looks
        // through may have altered it unnoticed.
        let item = self.state.items.get(&node.item);
        let own = |pair: &Pair| item.is_some_and(|item| item.pairs().any(|other| other == pair));
        for (pair, onto) in node.onto.iter().filter(|(pair, _)| own(pair)) {
            let starts_there = || {
                let tip = self.state.tips.get(pair).map(|tip| tip.commit);
                tip.is_some_and(|commit| Source::Commit(commit) == *onto)
            };
            if node.keeps_job_file(pair) && starts_there() {
                files.extend(node.written(pair).map(|written| (pair.clone(), written.job_file)));
            }
        }
        for (pair, commit) in branches {
            self.move_tip(pair, commit, None, None);
        }
        for pair in doubtful {
            self.doubt_tip(&pair);
        }
        for (pair, job_file) in files {
            let Some(tip) = self.state.tips.get_mut(&pair) else { continue };
            if tip.job_file.is_none() {
                tip.job_file = Some(job_file);
                self.index.prints.note_tip(&pair, tip.commit);
                self.index.dirty_queues.extend(self.state.queues.keys().cloned());
            }
        }
    }

    /// Marks a tip as perhaps not the newest, and asks for it: until it is known, nothing lands on it, and
    /// a node that has read another commit there is left as it is.
    pub(super) fn doubt_tip(&mut self, pair: &Pair) {
        let Some(tip) = self.state.tips.get_mut(pair) else { return };
        tip.stale = true;
        self.observe_tip(pair.clone());
        self.touch_queues_at(pair);
    }

    /// The branch that keeps an item from a new node: its node has read what the tip is not known to be,
    /// and the tip is in doubt.
    pub(super) fn doubted_read(&self, node: &Node, predicted: &Predicted) -> Option<Pair> {
        let mut pairs = node.reads().iter().filter(|read| matches!(read.unit, Unit::Branch(_)));
        let found = pairs.find(|read| {
            let pair = read.unit.pair();
            let is_written = self.index.prints.known(pair).is_some_and(|id| predicted.node(id).is_some());
            let foretold = node.overlaid(pair).is_some() || is_written;
            let written = node.onto.iter().any(|(written, _)| written == pair);
            let tip = self.state.tips.get(pair);
            let pinned = self.state.pin_of(node, pair).is_some();
            !foretold && !written && !pinned && tip.is_some_and(|tip| tip.stale && tip.commit != read.value)
        });
        found.map(|read| read.unit.pair().clone())
    }
}
