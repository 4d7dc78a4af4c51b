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
        memos.unbuilt = ahead.tally.unbuilt;
        let sizes = self.pool_sizes(&memos.unbuilt, queue);
        let known = cfg!(debug_assertions).then(|| self.pools_anew(front, sizes, memos, ahead));
        let is_held = !ahead.holds.is_empty();
        let wanted = (ahead.tally.unbegun > 0).then_some(sizes);
        if let Some(touched) = memos.take_touched(wanted, ahead.last_built, is_held) {
            let Ahead { holds, lanes, .. } = ahead;
            holds.resize(front.len(), None);
            if wanted.is_some() {
                self.plan_pools(front, sizes, holds, memos, &touched, lanes);
            }
            for (id, hold) in memos.hold(holds, &touched) {
                self.hold(id, hold);
            }
        }
        debug_assert!(
            known.is_none_or(|known| memos.are_held(&known)),
            "items are held otherwise than if all were compared"
        );
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
