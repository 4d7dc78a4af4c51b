//! Landing: vote, then look, then push.
//!
//! An item may be pushed when all its voting jobs passed at a node whose start agrees with the tips,
//! or with the items before it in the same push, and nothing else undecided ahead meets it. The
//! look is the only guard against what people did meanwhile, so it is taken after the votes and is
//! fresh when the push begins. A push of unknown outcome may still land: until that is settled its
//! items stay, and they count as undecided for everything that meets them.

use std::collections::BTreeMap;

use crate::model::action::{Push, Submit};
use crate::model::event::Scope;
use crate::model::policy::{LandingMode, QueuePolicy};
use crate::model::report::Says;
use crate::model::{
    ChangeNumber, ChangeSnapshot, EffectId, EffectKind, ItemId, Pair, QueueName, Repository, Sha, Timestamp,
};

use super::Queue;
use super::footprint::{Footprints, Predicted};
use super::state::{ConfirmStep, Item, Stage};
use super::strategy::Hold;
use super::timer::Timer;

/// Longest pause between two looks at a push of unknown outcome, in milliseconds.
const WATCH_MAX_MS: i64 = 15_000;

impl Queue {
    /// Moves items that passed towards landing: votes, looks, pushes. `order` ends with the last of them.
    pub(super) fn plan_landings(
        &mut self,
        order: &[ItemId],
        name: &QueueName,
        queue: &QueuePolicy,
        [undecided, unpassed]: &mut [Footprints; 2],
    ) {
        let mut groups: BTreeMap<Pair, Vec<ItemId>> = BTreeMap::new();
        undecided.clear();
        unpassed.clear();
        let (mut to_vote, mut alone) = (Vec::new(), Vec::new());
        // A push under way in another queue may change what is read here.
        let landing = self.state.landings.values().flat_map(|landing| &landing.items);
        for item in landing.filter_map(|id| self.state.items.get(id)) {
            if item.queue.as_ref() != Some(name) {
                undecided.add(0, self.print_of(item), None);
            }
        }
        for (place, id) in order.iter().enumerate() {
            let Some(item) = self.state.items.get(id) else { continue };
            let print = self.print_of(item);
            let Some(pair) = item.pairs().next() else { continue };
            let own = print.and_then(|print| print.onto.first().copied());
            let several = item.pairs().any(|other| other != pair);
            if item.stage.is_pushed() {
                undecided.add(place, print, None);
                continue;
            }
            // What a narrower window or a promotion has put too far back has a node of another order.
            let is_too_far = matches!(self.index.held.get(id), Some(Hold::Window(_)));
            let may_land = !is_too_far && self.pause_of(item).is_none() && self.closure_is_clean(*id);
            let passed = may_land && self.has_passed(item);
            if !(passed || may_land && self.is_pooled(item)) {
                undecided.add(place, print, None);
                unpassed.add(place, print, None);
                continue;
            }
            if passed && unpassed.met_by(print, own).is_none() {
                to_vote.push(*id);
            }
            let (with, group) = if several { (None, None) } else { (own, groups.get(pair)) };
            let fits = undecided.met_by(print, with).is_none()
                && self.lands_after_dependencies(item, group)
                && self.starts_from(item, group);
            let carried = with.filter(|_| fits);
            undecided.add(place, print, carried);
            if !passed {
                unpassed.add(place, print, carried);
            }
            if fits && several {
                alone.push(*id);
            } else if fits {
                groups.entry(pair.clone()).or_default().push(*id);
            }
        }
        for items in groups.values_mut() {
            // What is judged by one behind it lands with that one, or not at all.
            items.truncate(self.judged(items));
            to_vote.extend(self.cover(items));
        }
        for id in to_vote {
            self.vote(id);
        }
        for (pair, items) in groups {
            self.plan_group(&pair, &items, queue);
        }
        for id in alone {
            self.plan_several(id, queue);
        }
    }

    /// Whether the item's node starts from the tips, but for what the items before it in the push
    /// write in their common branch.
    fn starts_from(&self, item: &Item, group: Option<&Vec<ItemId>>) -> bool {
        let mut predicted = Predicted::default();
        let last = group.and_then(|items| items.last()).and_then(|id| self.state.items.get(id));
        if let Some((last, node)) = last.and_then(|last| Some((last, self.node_of(last)?))) {
            predicted.write(self.print_of(last), node.into());
        }
        self.node_of(item).is_some_and(|node| self.agrees(node, &predicted))
    }

    /// Whether all that the item depends on has landed, or lands before it in the same push.
    fn lands_after_dependencies(&self, item: &Item, group: Option<&Vec<ItemId>>) -> bool {
        let lands = |number: &ChangeNumber| {
            let other = self.index.gate_of.get(number);
            other.is_some_and(|other| group.is_some_and(|group| group.contains(other)))
        };
        self.undecided_dependencies(item).all(|number| lands(&number))
    }

    fn plan_group(&mut self, pair: &Pair, items: &[ItemId], queue: &QueuePolicy) {
        let busy = self.state.landings.values().any(|landing| landing.pair == *pair);
        let looking =
            items.iter().any(|id| self.stage_of(*id).is_some_and(|stage| matches!(stage, Stage::Looking(_))));
        if busy || looking {
            return;
        }
        if self.state.tips.get(pair).is_some_and(|tip| tip.stale) {
            self.observe_tip(pair.clone());
            return;
        }
        let limit = match queue.landing {
            LandingMode::Push => {
                self.state.push_limits.get(pair).copied().unwrap_or(queue.max_items_per_push)
            }
            LandingMode::Submit => 1,
        };
        let limit = limit.max(1);
        // A vote on its way may take back the one that stands: what is looked at then is not what
        // will be.
        let voted =
            items.iter().take_while(|id| self.has_voted(**id) && !self.is_voting(**id)).take(limit as usize);
        let mut ready: Vec<ItemId> = voted.copied().collect();
        ready.truncate(self.judged(&ready));
        let Some(policy) = self.state.policy.clone() else { return };
        let fresh = |id: &&ItemId| match self.stage_of(**id) {
            Some(Stage::Looked(at)) => self.state.now.since_ms(at) <= policy.limits.look_age_ms,
            _ => false,
        };
        let paused = |id: &ItemId| {
            let item = self.state.items.get(id);
            item.and_then(|item| item.look.as_ref()).is_some_and(|retry| retry.at > self.state.now)
        };
        if ready.iter().any(paused) {
            return;
        }
        let mut looked: Vec<ItemId> = ready.iter().take_while(fresh).copied().collect();
        looked.truncate(self.judged(&looked));
        if !looked.is_empty() {
            if let Some((push, valid_until)) = self.push_of(pair, &looked, queue) {
                self.ask(EffectKind::Land { valid_until, pushes: vec![push] });
            }
        } else if !ready.is_empty() {
            let changes: Vec<(ChangeNumber, Repository)> = ready
                .iter()
                .filter_map(|id| self.state.items.get(id))
                .flat_map(|item| item.changes.iter())
                .map(|change| (change.number, change.pair.repository.clone()))
                .collect();
            self.ask(EffectKind::Look { changes });
        }
    }

    /// How many of these, from the first on, end with one that has passed.
    fn judged(&self, items: &[ItemId]) -> usize {
        let passed = |id: &ItemId| self.state.items.get(id).is_some_and(|item| self.has_passed(item));
        items.iter().rposition(passed).map_or(0, |last| last + 1)
    }

    fn stage_of(&self, id: ItemId) -> Option<Stage> {
        self.state.items.get(&id).map(|item| item.stage)
    }

    /// The push of a branch that lands these items there, and until when it may begin.
    pub(super) fn push_of(
        &self,
        pair: &Pair,
        items: &[ItemId],
        queue: &QueuePolicy,
    ) -> Option<(Push, Timestamp)> {
        let old = self.state.tips.get(pair)?.commit?;
        let limits = &self.state.policy.as_ref()?.limits;
        let members: Vec<&Item> = items.iter().filter_map(|id| self.state.items.get(id)).collect();
        let last = members.last().and_then(|item| self.node_of(item)?.written(pair));
        let (new, tree) = last.map(|written| (written.commit, written.tree))?;
        let oldest = members.iter().filter_map(|item| match item.stage {
            Stage::Looked(at) => Some(at),
            _ => None,
        });
        let oldest = oldest.min()?;
        let changes = members.iter().flat_map(|item| &item.changes).filter(|change| change.pair == *pair);
        let submit = match (queue.landing, changes.clone().next()) {
            (LandingMode::Submit, Some(only)) => Some(Submit {
                change: only.number,
                change_id: only.change_id.clone(),
                revision: only.revision,
                old,
                tree,
            }),
            _ => None,
        };
        let changes = changes.map(|change| (change.number, change.patchset, change.revision)).collect();
        let judged: Vec<Sha> = members
            .iter()
            .filter_map(|item| self.node_of(item)?.merged.as_ref())
            .flat_map(|merged| merged.foreign.iter().map(|foreign| foreign.commit))
            .collect();
        let merge_from = queue.merge_from.clone();
        let push = Push { pair: pair.clone(), old, new, changes, merge_from, judged, submit };
        Some((push, oldest.plus_ms(limits.look_age_ms)))
    }

    /// What is stopped that this item is in, if anything.
    pub(super) fn pause_of(&self, item: &Item) -> Option<(&Scope, &crate::model::view::PauseView)> {
        let queue = self.queue_policy(item);
        self.state.paused.iter().find(|(scope, _)| match scope {
            Scope::Everything => true,
            Scope::Queue(name) => {
                item.queue.as_ref() == Some(name) || queue.is_some_and(|queue| queue.is_called(name))
            }
            Scope::Repository(repository) => item.pairs().any(|pair| pair.repository == *repository),
        })
    }

    /// Whether the daemon's vote stands on all changes of the item.
    pub(super) fn has_voted(&self, id: ItemId) -> bool {
        let Some(policy) = &self.state.policy else { return false };
        let Some(item) = self.state.items.get(&id) else { return false };
        item.changes.iter().all(|change| {
            let known = self.state.changes.get(&change.number);
            known.is_some_and(|known| {
                known.snapshot.vote_of(&policy.gate.label, &policy.account) == policy.gate.success
            })
        })
    }

    /// Whether nothing but the daemon's own vote keeps a change from landing: it was taken back by
    /// a person, or a withdrawal of the daemon's own came after its repetition.
    pub(super) fn lacks_own_vote(&self, seen: &ChangeSnapshot) -> bool {
        let Some(policy) = &self.state.policy else { return false };
        let gate = &policy.gate;
        let mut unmet = seen.requirements.iter().filter(|requirement| !requirement.met).peekable();
        gate.success != 0
            && seen.vote_of(&gate.label, &policy.account) != gate.success
            && unmet.peek().is_some()
            && unmet.all(|requirement| requirement.labels.contains(&gate.label))
    }

    /// Whether a vote on the item is on its way, for better or worse.
    pub(super) fn is_voting(&self, id: ItemId) -> bool {
        let mut outgoing = self.state.outgoing.iter();
        outgoing.any(|outgoing| outgoing.report.item == id && outgoing.report.vote.is_some())
    }

    /// Leaves the vote of success, unless it stands or is on its way.
    fn vote(&mut self, id: ItemId) {
        let Some(policy) = self.state.policy.clone() else { return };
        if self.is_voting(id) || self.has_voted(id) || policy.gate.success == 0 {
            return;
        }
        let told = self.state.items.get(&id).is_some_and(|item| item.told_passed);
        let jobs = self.job_results(id);
        let says = (!told).then_some(Says::Passed { jobs });
        self.speak_for(id, Some((policy.gate.label.clone(), policy.gate.success)), says);
    }

    /// Takes back the vote that this stay has left: what it vouched for is no longer so.
    pub(super) fn withdraw_vote(&mut self, id: ItemId) {
        let Some(policy) = self.state.policy.clone() else { return };
        if self.state.items.get(&id).is_some_and(|item| item.voted) && self.has_voted(id) {
            self.speak_for(id, Some((policy.gate.label.clone(), 0)), None);
        }
    }

    /// Watches a push of unknown outcome until it is known, or can no longer land.
    pub(super) fn plan_landing(&mut self, effect: EffectId) {
        let Some(landing) = self.state.landings.get(&effect) else { return };
        if landing.landed {
            if landing.differs {
                self.tell_difference(effect);
            }
            return self.conclude_landed(effect);
        }
        let Some(unknown) = &landing.unknown else { return };
        if unknown.asked.is_some() {
            return;
        }
        if unknown.next_look <= self.state.now {
            let (pair, new, submit) = (landing.pair.clone(), landing.new, landing.submit.clone());
            self.ask(EffectKind::ObservePush { pair, new, submit });
        } else {
            let at = unknown.next_look;
            self.wake_at(at, Timer::Landing(effect));
        }
    }

    /// The pause before the next look at a push of unknown outcome.
    pub(super) fn next_watch(pause_ms: i64) -> i64 {
        pause_ms.saturating_mul(2).clamp(1_000, WATCH_MAX_MS)
    }

    /// Cares for a landed change until the review host shows it merged.
    pub(super) fn plan_confirm(&mut self, number: ChangeNumber) {
        let Some(confirm) = self.state.confirms.get(&number).cloned() else { return };
        if confirm.due > self.state.now {
            return;
        }
        let repository = confirm.pair.repository.clone();
        match confirm.step {
            ConfirmStep::Waiting | ConfirmStep::Closed => {
                self.ask(EffectKind::ObserveChange { change: number, repository });
            }
            ConfirmStep::Open => {
                self.ask(EffectKind::CloseChange { change: number, repository, revision: confirm.revision });
            }
            ConfirmStep::Hopeless => self.hand_over(number, &confirm),
            ConfirmStep::Reading(_) | ConfirmStep::Rereading(_) | ConfirmStep::Closing(_) => {}
        }
    }

    /// The words with which a change that will not close is handed to an operator.
    pub(super) fn close_by_hand(number: ChangeNumber, commit: Sha, pair: &Pair) -> String {
        format!(
            "change {number} has landed in {pair} as {} but is still open: press Submit on it, or as an administrator run Gerrit's consistency check (POST /projects/PROJECT/check with auto_closeable_changes_check)",
            commit.short()
        )
    }
}
