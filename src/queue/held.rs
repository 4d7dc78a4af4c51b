//! What keeps a change from landing as things are, through no fault of its own: a branch that takes
//! fast-forwards only and has moved on, a repository that is read-only, a branch that is gone, a parent that
//! has a newer patch set or was abandoned.
//!
//! Such a change is sent back to wait: its approval stays, its author is told once, and it enters
//! its queue again by itself when the cause is gone.

use crate::model::{ChangeNumber, ChangeSnapshot, ChangeStatus, LandingForm, Pair, Reason, Sha, Timestamp};

use super::Queue;
use super::state::{Held, Item, Stage};
use super::timer::Timer;

/// How long the rebase of a stack takes at most, in ms, from its first change to its last.
const STACK_MS: i64 = 10_000;

/// Earlier patch sets that are remembered.
const REPLACED_MAX: usize = 10_000;

impl Queue {
    /// What sends a change at `revision` back to wait.
    pub(super) fn held(&self, revision: Sha, reason: &Reason) -> Held {
        let pause_ms = self.state.policy.as_ref().map_or(0, |policy| policy.limits.retry_max_ms);
        // A rebase is seen; the end of read-only is not.
        let until = matches!(reason, Reason::ReadOnly { .. }).then(|| self.state.now.plus_ms(pause_ms));
        let tip = match reason {
            Reason::JobFile { pair, .. } => self.state.tips.get(pair).and_then(|tip| tip.commit),
            _ => None,
        };
        Held { revision, policy_epoch: self.state.policy_epoch, reason: reason.clone(), until, tip }
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

    /// When the author is told of a wait. A whole stack is often rebased at once, one patch set after another:
    /// whose turn is to come within moments needs no words.
    pub(super) fn tells_at(&self, snapshot: &ChangeSnapshot, reason: &Reason) -> Timestamp {
        let of_parent = matches!(reason, Reason::ParentReplaced { .. });
        let parents = snapshot.parents.iter().filter(|_| of_parent);
        let since = parents.filter_map(|parent| self.state.replaced.get(parent)).map(|(_, at)| *at).max();
        since.map_or(self.state.now, |at| at.plus_ms(STACK_MS))
    }

    /// A change has the patch set `now`, and had another one before.
    pub(super) fn note_replaced(&mut self, number: ChangeNumber, before: Sha, now: &Sha) {
        if self.state.replaced.len() >= REPLACED_MAX {
            // What rests on one is found by its merge, too.
            self.state.replaced.clear();
        }
        self.state.replaced.insert(before, (number, self.state.now));
        // An older one counts again where somebody has landed that.
        self.state.replaced.remove(now);
    }

    /// A change as it is now: what rests on its patch set cannot land while it is abandoned.
    pub(super) fn note_given_up(&mut self, snapshot: &ChangeSnapshot) {
        if snapshot.status != ChangeStatus::Abandoned {
            self.state.given_up.remove(&snapshot.revision);
            return;
        }
        if self.state.given_up.len() >= REPLACED_MAX {
            self.state.given_up.clear();
        }
        self.state.given_up.insert(snapshot.revision, snapshot.number);
    }

    /// Why a change cannot land on what it rests on, though that may come back.
    pub(super) fn rootless(&self, snapshot: &ChangeSnapshot) -> Option<Reason> {
        let replaced = self.replaced_parent(snapshot).map(|change| Reason::ParentReplaced { change });
        let elsewhere = || self.parent_elsewhere(snapshot).map(|change| Reason::ParentElsewhere { change });
        let abandoned = || self.abandoned_parent(snapshot).map(|change| Reason::ParentAbandoned { change });
        replaced.or_else(elsewhere).or_else(abandoned)
    }

    /// An abandoned change that would come in with this one.
    fn abandoned_parent(&self, snapshot: &ChangeSnapshot) -> Option<ChangeNumber> {
        if self.state.given_up.is_empty() || !lands_with_parents(snapshot) {
            return None;
        }
        snapshot.parents.iter().find_map(|parent| self.state.given_up.get(parent)).copied()
    }

    /// An open change for another branch that this one rests on and would bring into its own.
    fn parent_elsewhere(&self, snapshot: &ChangeSnapshot) -> Option<ChangeNumber> {
        let parents = snapshot.parents.iter().filter(|_| lands_with_parents(snapshot));
        let mut owners = parents.filter_map(|parent| self.index.by_revision.get(parent)).copied();
        owners.find(|owner| {
            let known = self.state.changes.get(owner);
            *owner != snapshot.number && known.is_some_and(|known| known.snapshot.pair() != snapshot.pair())
        })
    }

    /// A change on an earlier patch set of which this one rests; of no concern where only its own difference
    /// lands.
    fn replaced_parent(&self, snapshot: &ChangeSnapshot) -> Option<ChangeNumber> {
        if !lands_with_parents(snapshot) {
            return None;
        }
        let replaced = snapshot.parents.iter().find_map(|parent| self.state.replaced.get(parent));
        replaced.map(|(change, _)| *change).filter(|change| *change != snapshot.number)
    }

    /// The present patch set of a change is known: what rests on it does not rest on an older one.
    pub(super) fn reroot(&mut self, number: ChangeNumber, revision: &Sha) {
        let children: Vec<ChangeNumber> =
            self.index.children.get(revision).into_iter().flatten().copied().collect();
        for child in &children {
            let Some(child) = self.state.changes.get_mut(child) else { continue };
            let is_so = |held: &Held| held.reason == Reason::ParentReplaced { change: number };
            if child.held.as_ref().is_some_and(is_so) {
                child.held = None;
            }
        }
        self.touch_all(&children);
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
            && match &held.reason {
                Reason::JobFile { pair, .. } => {
                    self.state.tips.get(pair).and_then(|tip| tip.commit) == held.tip
                }
                // Where it is a copy that lands once the branch has moved, what is below does not come in then.
                Reason::ParentReplaced { .. } => lands_with_parents(snapshot) || tip == held.tip,
                // Its project may land in another way by now.
                Reason::Rebase { .. } => snapshot.form == Some(LandingForm::FastForwardOnly) && !follows(),
                Reason::NoBranch { .. } => self.is_no_branch(&snapshot.pair()),
                Reason::ParentAbandoned { change } => {
                    let known = self.state.changes.get(change).map(|known| known.snapshot.status);
                    known.is_none_or(|status| status == ChangeStatus::Abandoned)
                }
                // Looked at each time.
                Reason::ParentElsewhere { .. }
                | Reason::DependsOnNothing { .. }
                | Reason::Apart { .. }
                | Reason::Requirements { .. } => false,
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

/// Whether what a patch set rests on comes in with it, rather than its own difference alone.
pub(super) fn lands_with_parents(snapshot: &ChangeSnapshot) -> bool {
    !snapshot.form.is_some_and(|form| form.rewrites(snapshot.parents.len()))
}
