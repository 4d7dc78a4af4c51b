//! What keeps a change from landing as things are, through no fault of its own: a branch that takes
//! fast-forwards only and has moved on, a repository that is read-only, a branch that is gone.
//!
//! Such a change is sent back to wait: its approval stays, its author is told once, and it enters
//! its queue again by itself when the cause is gone.

use crate::model::{ChangeNumber, ChangeSnapshot, Pair, Reason, Sha};

use super::Queue;
use super::state::{Held, Item, Stage};
use super::timer::Timer;

impl Queue {
    /// What sends a change at `revision` back to wait.
    pub(super) fn held(&self, revision: Sha, reason: &Reason) -> Held {
        let pause_ms = self.state.policy.as_ref().map_or(0, |policy| policy.limits.retry_max_ms);
        // A rebase is seen; the end of read-only is not.
        let until = matches!(reason, Reason::ReadOnly { .. }).then(|| self.state.now.plus_ms(pause_ms));
        Held { revision, policy_epoch: self.state.policy_epoch, reason: reason.clone(), until }
    }

    /// Notes it; the change waits outside its queue until it no longer holds.
    pub(super) fn hold_back(&mut self, number: ChangeNumber, held: Held) {
        if let Some(until) = held.until {
            self.wake_at(until, Timer::Change(number));
        }
        if let Some(known) = self.state.changes.get_mut(&number) {
            known.forced = None;
            known.held = Some(held);
        }
    }

    /// Whether what sent a change back to wait is as it was, as far as can be known without trying.
    pub(super) fn still_holds(&self, held: &Held, snapshot: &ChangeSnapshot) -> bool {
        let tip = self.state.tips.get(&snapshot.pair()).and_then(|tip| tip.commit);
        let follows = || {
            let queued = |parent| {
                let owner = self.index.by_revision.get(parent)?;
                let pair = self.state.changes.get(owner)?.snapshot.pair();
                (pair == snapshot.pair() && self.index.gate_of.contains_key(owner)).then_some(())
            };
            snapshot.parents.iter().any(|parent| Some(*parent) == tip || queued(parent).is_some())
        };
        held.revision == snapshot.revision
            && held.policy_epoch == self.state.policy_epoch
            && held.until.is_none_or(|until| until > self.state.now)
            && match held.reason {
                Reason::Rebase { .. } => !follows(),
                Reason::NoBranch { .. } => self.is_no_branch(&snapshot.pair()),
                // Looked at each time.
                Reason::DependsOnNothing { .. } | Reason::Apart { .. } => false,
                _ => true,
            }
    }

    /// A branch of the item that was seen not to exist.
    pub(super) fn without_branch(&self, item: &Item) -> Option<Pair> {
        item.pairs().find(|pair| self.is_no_branch(pair)).cloned()
    }

    /// Whether a branch was seen not to exist.
    pub(super) fn is_no_branch(&self, pair: &Pair) -> bool {
        self.state.tips.get(pair).is_some_and(|tip| tip.epoch > 0 && tip.commit.is_none())
    }

    /// What was made of a change in another landing form says nothing any more.
    pub(super) fn drop_nodes_of(&mut self, number: ChangeNumber) {
        for id in self.index.stays_of(number) {
            let Some(item) = self.state.items.get_mut(&id) else { continue };
            if !item.stage.is_pushed() {
                self.index.stale.extend(item.node.take());
                item.stage = Stage::Queued;
                self.index.dirty_items.insert(id);
                self.news_about(id);
            }
        }
    }
}
