//! Footprints by number: what a node rests on, writes and reads, with each branch as a small number, so
//! that a pass over a long queue compares numbers and not names. Derived from the nodes, never stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::tree::{Resolved, Unit};
use crate::model::{NodeId, Pair, Sha};

use super::item_set::ItemSet;
use super::numbered::Numbered;
use super::predict::{Chances, JobId};
use super::state::{Node, Tip};

/// The number of a branch.
pub(crate) type PairId = u32;

/// A node's footprint.
#[derive(Default)]
pub(crate) struct Print {
    /// Whether its jobs are known; else it meets everything.
    pub resolved: bool,
    /// What it writes, in the order of the node's `onto`.
    pub onto: Arc<[PairId]>,
    /// What was read, in the order of the node's `reads`.
    pub reads: Box<[ReadId]>,
    /// Where it alters the job file.
    pub alters: Box<[PairId]>,
    /// The jobs that judge it, in the order of the node's.
    pub jobs: Box<[JobId]>,
    /// Its item, and those that it contains.
    pub carries: Arc<ItemSet>,
}

impl Print {
    /// Whether either of two writes what the other writes or reads; one whose jobs are not known meets all.
    pub fn meets(&self, other: &Self) -> bool {
        !self.resolved || !other.resolved || self.disturbs(other) || other.disturbs(self)
    }

    /// All branches that it has to do with; some more than once.
    pub fn pairs(&self) -> impl Iterator<Item = PairId> {
        let read = self.reads.iter().map(|read| match read {
            ReadId::Branch(pair) | ReadId::JobFile(pair) => *pair,
        });
        self.onto.iter().copied().chain(read)
    }

    /// Whether it has to do with one branch only.
    pub fn is_of(&self, own: PairId) -> bool {
        self.pairs().all(|pair| pair == own) && self.alters.iter().all(|pair| *pair == own)
    }

    /// Whether it writes what the other one writes or reads.
    fn disturbs(&self, other: &Self) -> bool {
        self.onto.iter().any(|pair| other.onto.contains(pair))
            || other.reads.iter().any(|read| match read {
                ReadId::Branch(pair) => self.onto.contains(pair),
                ReadId::JobFile(pair) => self.alters.contains(pair),
            })
    }
}

/// One thing that was read.
#[derive(Clone, Copy)]
pub(crate) enum ReadId {
    Branch(PairId),
    JobFile(PairId),
}

/// What is known of a branch's tip.
#[derive(Clone, Copy)]
struct Known {
    /// `None` where nobody has seen the branch; and no commit where there is no such branch.
    commit: Option<Option<Sha>>,
    /// How often this, or the job file there, has changed.
    version: u32,
}

/// The footprints of all nodes.
#[derive(Default)]
pub(crate) struct Prints {
    ids: BTreeMap<Pair, PairId>,
    of: Numbered<NodeId, Arc<Print>>,
    /// What is known of each branch's tip, by its number.
    tips: Vec<Known>,
    /// How often any of these tips has changed.
    changed: u64,
}

impl Prints {
    /// Notes a node as it is now.
    pub fn note(&mut self, node: &Node, tips: &BTreeMap<Pair, Tip>, chances: &mut Chances) {
        // Where it starts, and from what, is known from the beginning.
        let before = self.of.get(&node.id).map(|print| (print.onto.clone(), print.carries.clone()));
        let (onto, carries) = before.unwrap_or_else(|| {
            let onto = node.onto.iter().map(|(pair, _)| self.number(pair, tips)).collect();
            (onto, Arc::new(node.contains.iter().copied().chain([node.item]).collect()))
        });
        // Mostly a job reads what its item writes, and is for that branch.
        let own = node.onto.first().map(|(pair, _)| pair).zip(onto.first().copied());
        let own = |pair: &Pair| own.filter(|(written, _)| *written == pair).map(|(_, id)| id);
        let reads = node.reads().iter().map(|read| {
            let pair = read.unit.pair();
            let id = own(pair).unwrap_or_else(|| self.number(pair, tips));
            if matches!(read.unit, Unit::Branch(_)) { ReadId::Branch(id) } else { ReadId::JobFile(id) }
        });
        let reads = reads.collect();
        let (resolved, altered, jobs) = match &node.resolved {
            Some(Resolved::Jobs { alters_job_files, jobs, .. }) => (true, &alters_job_files[..], &jobs[..]),
            _ => (false, &[][..], &[][..]),
        };
        let alters = altered.iter().map(|pair| self.number(pair, tips)).collect();
        let jobs = jobs.iter().map(|job| {
            let home = own(&job.home).unwrap_or_else(|| self.number(&job.home, tips));
            chances.number(job, home)
        });
        let jobs = jobs.collect();
        self.of.insert(node.id, Arc::new(Print { resolved, onto, reads, alters, jobs, carries }));
    }

    /// Forgets a node.
    pub fn forget(&mut self, node: NodeId) {
        self.of.remove(&node);
    }

    /// A node's footprint.
    pub fn get(&self, node: NodeId) -> Option<&Print> {
        self.of.get(&node).map(|print| &**print)
    }

    /// A node's footprint, to be kept.
    pub fn share(&self, node: NodeId) -> Option<Arc<Print>> {
        self.of.get(&node).cloned()
    }

    /// Something has changed about a branch's tip, which is this now.
    pub fn note_tip(&mut self, pair: &Pair, commit: Option<Sha>) {
        let known = self.known(pair).and_then(|id| self.tips.get_mut(id as usize));
        if let Some(known) = known {
            *known = Known { commit: Some(commit), version: known.version.wrapping_add(1) };
            self.changed += 1;
        }
    }

    /// A branch's tip; `None` where nobody has seen the branch, and no commit where there is none.
    #[inline]
    pub fn tip(&self, pair: PairId) -> Option<Option<Sha>> {
        self.tips.get(pair as usize)?.commit
    }

    /// How often what is known of a branch's tip has changed.
    #[inline]
    pub fn version(&self, pair: PairId) -> u32 {
        self.tips.get(pair as usize).map_or(0, |known| known.version)
    }

    /// How often what is known of any tip has changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// The number of a branch that some node has had to do with.
    pub fn known(&self, pair: &Pair) -> Option<PairId> {
        self.ids.get(pair).copied()
    }

    fn number(&mut self, pair: &Pair, tips: &BTreeMap<Pair, Tip>) -> PairId {
        if let Some(id) = self.ids.get(pair) {
            return *id;
        }
        let id = PairId::try_from(self.ids.len()).unwrap_or(PairId::MAX);
        self.ids.insert(pair.clone(), id);
        self.tips.push(Known { commit: tips.get(pair).map(|tip| tip.commit), version: 0 });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(onto: &[PairId], reads: &[ReadId], alters: &[PairId]) -> Print {
        let (onto, reads, alters) = (onto.into(), reads.into(), alters.into());
        Print { resolved: true, onto, reads, alters, ..Print::default() }
    }

    #[test]
    fn two_meet_where_one_writes_what_the_other_writes_or_reads() {
        let one = print(&[1], &[ReadId::Branch(1), ReadId::JobFile(1), ReadId::JobFile(2)], &[]);
        let reader = print(&[2], &[ReadId::Branch(2), ReadId::Branch(1)], &[]);
        let apart = print(&[2], &[ReadId::Branch(2), ReadId::JobFile(1)], &[]);
        let alterer = print(&[2], &[ReadId::Branch(2)], &[2]);
        for (other, meets) in [(&one, true), (&reader, true), (&apart, false), (&alterer, true)] {
            assert_eq!((one.meets(other), other.meets(&one)), (meets, meets));
        }
        assert!(apart.meets(&Print::default()), "what is not known meets all");
    }
}
