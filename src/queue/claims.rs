//! Which items of a queue claim no slots, as its last pass has found. Only what is held otherwise than before
//! is told.

use crate::model::policy::QueuePolicy;
use crate::model::{ItemId, QueueName};

use super::Queue;
use super::ahead::Ahead;
use super::memo::Memos;
use super::strategy::Hold;

impl Queue {
    /// Has the items within reach claim slots or not.
    pub(super) fn hold_front(
        &mut self,
        front: &[ItemId],
        queue: &QueuePolicy,
        ahead: &mut Ahead,
        memos: &mut Memos,
    ) {
        memos.unbuilt = ahead.unbuilt;
        let sizes = self.pool_sizes(&memos.unbuilt, queue);
        let is_new = memos.take_news(ahead.is_unbegun.then_some(sizes));
        if !is_new && !cfg!(debug_assertions) {
            return;
        }
        let holds = &mut ahead.holds;
        holds.resize(front.len(), None);
        if ahead.is_unbegun || cfg!(debug_assertions) {
            let held = cfg!(debug_assertions).then(|| holds.clone());
            self.plan_pools(front, sizes, holds, memos, &mut ahead.lanes);
            let are_free = ahead.is_unbegun || held.as_ref() == Some(holds);
            debug_assert!(are_free, "items are pooled though all are begun");
        }
        debug_assert!(is_new || memos.are_held(holds), "items are held otherwise, and nobody has told");
        for (id, hold) in memos.hold(holds) {
            self.hold(id, hold);
        }
    }

    /// Holds what is too far back. Mostly that is what was so before, less what has come nearer.
    pub(super) fn hold_tail(&mut self, name: &QueueName, tail: &[ItemId], hold: Option<Hold>) {
        let before = self.index.tails.remove(name);
        let (Some(hold), Some(first)) = (hold, tail.first()) else { return };
        let same = before.filter(|(other, _)| *other == hold).map(|(_, items)| items).unwrap_or_default();
        let begin = same.iter().position(|id| id == first).unwrap_or(same.len());
        let known = same[begin..].iter().zip(tail).take_while(|(old, new)| old == new).count();
        for id in &tail[known..] {
            self.hold(*id, Some(hold.clone()));
        }
        self.index.tails.insert(name.clone(), (hold, tail.to_vec()));
    }

    fn hold(&mut self, id: ItemId, hold: Option<Hold>) {
        let before = match hold.clone() {
            Some(hold) => self.index.held.insert(id, hold),
            None => self.index.held.remove(&id),
        };
        if before.is_some() != hold.is_some() {
            self.index.dirty_items.insert(id);
        }
    }
}
