//! What can be asked of a node.

use crate::model::tree::{Prepared, Read, Resolved, Unit, Written};
use crate::model::{NodeId, Pair, Sha};

use super::state::{Node, Source};

impl Node {
    /// The nodes that it was to be made from.
    pub fn sources(&self) -> Vec<NodeId> {
        let onto = self.onto.iter().filter_map(|(_, source)| match source {
            Source::Node(node) => Some(*node),
            Source::Commit(_) => None,
        });
        onto.chain(self.overlay.iter().map(|(_, node)| *node)).collect()
    }

    /// Whether the item is known to leave the job file of `pair`, which it writes, as it was.
    pub fn keeps_job_file(&self, pair: &Pair) -> bool {
        let Some(Resolved::Jobs { reads, alters_job_files, .. }) = &self.resolved else { return false };
        let is_consulted = |read: &Read| matches!(&read.unit, Unit::JobFile(other) if other == pair);
        reads.iter().any(is_consulted) && !alters_job_files.contains(pair)
    }

    /// The commit that its merge in `pair` starts from, unless that is another node's.
    pub fn start_of(&self, pair: &Pair) -> Option<Sha> {
        let found = self.onto.iter().find(|(merged, _)| merged == pair)?;
        if let Source::Commit(commit) = found.1 { commit } else { None }
    }

    /// Whether it could not be merged.
    pub fn conflicts(&self) -> bool {
        matches!(self.bad, Some(Prepared::Conflict { .. }))
    }

    /// What was read to judge the item here; empty until then.
    pub fn reads(&self) -> &[Read] {
        match &self.resolved {
            Some(Resolved::Jobs { reads, .. } | Resolved::Broken { reads, .. }) => reads,
            _ => &[],
        }
    }

    /// What it writes in `pair`.
    pub fn written(&self, pair: &Pair) -> Option<&Written> {
        self.merged.as_ref()?.writes.iter().find(|written| written.pair == *pair)
    }

    /// The node that `pair` is taken from, if an item ahead writes it.
    pub fn overlaid(&self, pair: &Pair) -> Option<NodeId> {
        let at = self.overlay.binary_search_by(|(other, _)| other.cmp(pair)).ok()?;
        self.overlay.get(at).map(|(_, node)| *node)
    }
}
