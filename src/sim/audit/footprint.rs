//! Which items meet, derived anew from what was read and written at their nodes.

use std::collections::BTreeSet;

use super::{Audit, Checked, fault};
use crate::model::tree::{Resolved, Unit};
use crate::model::{ItemId, NodeId, Pair};
use crate::sim::fakes::site::job_file_blob;
use crate::world::Gerrit;

/// What an item writes and reads.
struct Footprint {
    writes: BTreeSet<Pair>,
    reads: BTreeSet<Pair>,
    consults: BTreeSet<Pair>,
    alters: BTreeSet<Pair>,
}

impl Audit {
    fn footprint(&self, id: ItemId) -> Option<Footprint> {
        let book = self.items.get(&id)?;
        let node = self.nodes.get(&book.node?)?;
        let Some(Resolved::Jobs { reads, alters_job_files, .. }) = &node.resolved else { return None };
        let of = |file: bool| {
            let units = reads.iter().filter(move |read| matches!(read.unit, Unit::JobFile(_)) == file);
            units.map(|read| read.unit.pair().clone()).collect()
        };
        Some(Footprint {
            writes: book.changes.iter().map(|change| change.pair.clone()).collect(),
            reads: of(false),
            consults: of(true),
            alters: alters_job_files.iter().cloned().collect(),
        })
    }

    /// Whether two items meet. One whose jobs are not known meets all.
    pub(super) fn meet(&self, left: ItemId, right: ItemId) -> bool {
        let (Some(left), Some(right)) = (self.footprint(left), self.footprint(right)) else { return true };
        let writes = |one: &Footprint, other: &Footprint| {
            !one.writes.is_disjoint(&other.writes)
                || !one.writes.is_disjoint(&other.reads)
                || !one.alters.is_disjoint(&other.consults)
        };
        writes(&left, &right) || writes(&right, &left)
    }

    /// The undecided items ahead of one in its queue.
    pub(super) fn ahead(&self, id: ItemId) -> Vec<ItemId> {
        let queue = self.items.get(&id).and_then(|book| book.queue.as_ref());
        let order = queue.and_then(|queue| self.order.get(queue)).map_or(&[][..], |order| order);
        order.iter().copied().take_while(|other| *other != id).collect()
    }

    /// Nothing that is known to fail is built upon.
    pub(super) fn check_base(&self, node: NodeId, gerrit: &Gerrit) -> Checked {
        let Some(book) = self.nodes.get(&node) else { return Ok(()) };
        // What it does not read there cannot have misled it, nor a job file that was left as it was.
        let misled = |pair: &Pair, by: NodeId| {
            book.reads().iter().any(|read| match &read.unit {
                Unit::Branch(branch) => branch == pair,
                Unit::JobFile(branch) => branch == pair && self.alters_job_file(by, pair, gerrit),
            })
        };
        let beside = book.beside.iter().filter(|(pair, node)| misled(pair, *node)).map(|(_, node)| *node);
        let mut todo: Vec<NodeId> = book.onto.iter().copied().chain(beside).collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            let Some(book) = self.nodes.get(&at).filter(|_| seen.insert(at)) else { continue };
            if self.items.get(&book.item).is_some_and(|item| item.node == Some(at)) && self.fails(book.item) {
                return fault(
                    "nothing is built on a failure",
                    format!("node {node} rests on item {}, which is known to fail", book.item),
                );
            }
            todo.extend(&book.onto);
        }
        Ok(())
    }

    /// Whether a node's item alters a job file, as far as is known: one that it leaves with the content
    /// that was there before misleads nobody.
    fn alters_job_file(&self, node: NodeId, pair: &Pair, gerrit: &Gerrit) -> bool {
        let writes = self.nodes.get(&node).and_then(|node| node.writes.as_ref());
        let written = writes.and_then(|writes| writes.iter().find(|written| written.pair == *pair));
        if written.is_some_and(|written| written.job_file == job_file_blob(gerrit, written.onto)) {
            return false;
        }
        match self.nodes.get(&node).map(|node| &node.resolved) {
            Some(Some(Resolved::Jobs { alters_job_files, .. })) => alters_job_files.contains(pair),
            _ => true,
        }
    }

    /// Whether an item is known to fail at its node.
    fn fails(&self, id: ItemId) -> bool {
        let Some(book) = self.items.get(&id).filter(|book| book.ended.is_none()) else { return false };
        let Some(node) = book.node.and_then(|node| self.nodes.get(&node)) else { return false };
        let failed = |key| book.adopted.get(key) == Some(&false);
        node.jobs().iter().any(|job| job.voting && failed(&job.key))
            || matches!(node.resolved, Some(Resolved::Broken { .. }))
            || matches!(node.bad, Some(crate::model::tree::Prepared::Conflict { .. }))
    }
}
