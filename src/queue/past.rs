//! Notes what happens to each item, for those who ask.

use crate::model::past::{Happened, note};
use crate::model::{Departure, ItemId, JobName, NodeId, VerdictKey};

use super::Queue;
use super::state::Item;

impl Queue {
    pub(super) fn note_past(&mut self, id: ItemId, what: Happened) {
        let now = self.state.now;
        if let Some(item) = self.state.items.get_mut(&id) {
            note(&mut item.past, now, what);
        }
    }

    /// The item of a node is being merged anew.
    pub(super) fn note_merged(&mut self, node: NodeId) {
        let Some(known) = self.state.nodes.get(&node) else { return };
        let ahead = known.contains.iter().rev().filter_map(|id| self.first_change(*id));
        let tested = Happened::tested_on(known.contains.len(), ahead);
        self.note_past(known.item, tested);
    }

    /// The jobs of the item's new node are known: those that have a verdict keep it.
    pub(super) fn note_kept(&mut self, id: ItemId) {
        let Some(item) = self.state.items.get(&id) else { return };
        let kept = self.jobs_of(item).iter().filter(|job| item.adopted.contains_key(&job.key));
        let jobs: Vec<JobName> = kept.map(|job| job.name.clone()).collect();
        if !jobs.is_empty() {
            self.note_past(id, Happened::Kept { jobs });
        }
    }

    /// An item uses a verdict.
    pub(super) fn note_judged(&mut self, id: ItemId, job: &JobName, key: &VerdictKey) {
        let Some(record) = self.state.records.get(key) else { return };
        let (passed, known) = (record.verdict == crate::model::Verdict::Pass, record.item != id);
        self.note_past(id, Happened::Judged { job: job.clone(), passed, known });
    }

    /// An item has left: those that were tested on top of it remember that.
    pub(super) fn note_left(&mut self, gone: &Item, departure: &Departure) {
        let Some(change) = gone.changes.first().map(|change| change.number) else { return };
        if matches!(departure, Departure::Landed { .. } | Departure::MergedElsewhere) {
            return;
        }
        let order = gone.queue.as_ref().and_then(|name| self.state.queues.get(name));
        let tested_on_it = |id: &&ItemId| {
            let print = self.state.items.get(*id).and_then(|item| self.print_of(item));
            print.is_some_and(|print| print.carries.has(gone.id))
        };
        let followers: Vec<ItemId> = order.into_iter().flatten().filter(tested_on_it).copied().collect();
        for follower in followers {
            self.note_past(follower, Happened::Left { change });
        }
    }
}
