//! Footprints by number: what a node rests on, writes and reads, with each branch as a small number, so
//! that a pass over a long queue compares numbers and not names. Derived from the nodes, never stored.

use std::collections::BTreeMap;

use crate::model::tree::{Resolved, Unit};
use crate::model::{NodeId, Pair};

use super::state::Node;

/// The number of a branch.
pub(crate) type PairId = u32;

/// A node's footprint.
#[derive(Default)]
pub(crate) struct Print {
    /// Whether its jobs are known; else it meets everything.
    pub resolved: bool,
    /// What it writes, in the order of the node's `onto`.
    pub onto: Box<[PairId]>,
    /// What was read, in the order of the node's `reads`.
    pub reads: Box<[ReadId]>,
    /// Where it alters the job file.
    pub alters: Box<[PairId]>,
}

/// One thing that was read.
#[derive(Clone, Copy)]
pub(crate) enum ReadId {
    Branch(PairId),
    JobFile(PairId),
}

/// The footprints of all nodes.
#[derive(Default)]
pub(crate) struct Prints {
    ids: BTreeMap<Pair, PairId>,
    of: BTreeMap<NodeId, Print>,
}

impl Prints {
    /// Notes a node as it is now.
    pub fn note(&mut self, node: &Node) {
        let onto = node.onto.iter().map(|(pair, _)| self.number(pair)).collect();
        let reads = node.reads().iter().map(|read| {
            let id = self.number(read.unit.pair());
            if matches!(read.unit, Unit::Branch(_)) { ReadId::Branch(id) } else { ReadId::JobFile(id) }
        });
        let reads = reads.collect();
        let (resolved, altered) = match &node.resolved {
            Some(Resolved::Jobs { alters_job_files, .. }) => (true, &alters_job_files[..]),
            _ => (false, &[][..]),
        };
        let alters = altered.iter().map(|pair| self.number(pair)).collect();
        self.of.insert(node.id, Print { resolved, onto, reads, alters });
    }

    /// Forgets a node.
    pub fn forget(&mut self, node: NodeId) {
        self.of.remove(&node);
    }

    /// A node's footprint.
    pub fn get(&self, node: NodeId) -> Option<&Print> {
        self.of.get(&node)
    }

    /// The number of a branch that some node has had to do with.
    pub fn known(&self, pair: &Pair) -> Option<PairId> {
        self.ids.get(pair).copied()
    }

    fn number(&mut self, pair: &Pair) -> PairId {
        if let Some(id) = self.ids.get(pair) {
            return *id;
        }
        let id = PairId::try_from(self.ids.len()).unwrap_or(PairId::MAX);
        self.ids.insert(pair.clone(), id);
        id
    }
}
