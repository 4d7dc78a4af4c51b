//! Alternatives to the likeliest path: an item is built a second time, on the path without the one item ahead
//! of it whose failure is likeliest, on slots that nobody else wants.
//!
//! When that one fails the item gets a node of its own on the new path, as it would anyway; the trees are the
//! same and so are the keys, and it goes on with the verdicts and the builds that are there. Until then an
//! alternative keeps those for it. It has no changes, reports nothing, lands nothing and is in no queue; its
//! builds are bought for its item, and count for it as all builds of its stay do.

mod apply;
mod path;
mod slots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Queue;
use super::footprint::Predicted;
use super::jobs::Standing;
use super::state::Item;
use super::strategy::{alternative_slots, is_unbuilt};
use crate::model::action::{Decision, Merge};
use crate::model::policy::QueuePolicy;
use crate::model::{Action, EffectKind, ItemId, NodeId, Pipeline, QueueName};
use path::Risk;

/// How many alternatives are kept for each slot of theirs: those that are built stay for others that rest on
/// them.
const KEPT_FOR_EACH_SLOT: usize = 4;

/// How many alternatives are begun in one step.
const BEGUN_AT_ONCE: usize = 4;

/// Of how many items that may fail the followers are looked at.
const RISKS_LOOKED_AT: usize = 8;

/// An item that is built a second time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alternative {
    /// The item.
    pub of: ItemId,
    /// The one ahead of it that is left out.
    pub without: ItemId,
    /// Its node, verdicts and builds. It has no changes.
    pub stay: Item,
}

impl Queue {
    /// Ends alternatives that are of no use any more, begins others where slots are spare, and has them built.
    pub(super) fn plan_alternatives(&mut self) {
        let free = self.spare_slots();
        if free == 0 && self.state.alternatives.is_empty() {
            return;
        }
        let Some(policy) = self.state.policy.clone() else { return };
        let share = |queue| alternative_slots(queue, policy.slots);
        let wanted = free > 0 && policy.queues.iter().any(|queue| share(queue) > 0);
        if !wanted && self.state.alternatives.is_empty() && self.state.overtakings.is_empty() {
            return;
        }
        let mut own: BTreeMap<QueueName, BTreeSet<ItemId>> = BTreeMap::new();
        for (id, alternative) in &self.state.alternatives {
            own.entry(alternative.stay.queue.clone().unwrap_or_else(|| "".into())).or_default().insert(*id);
        }
        let overtaking = self.state.overtakings.values().filter_map(|own| own.stay.queue.as_ref());
        let overtaking: BTreeSet<QueueName> = overtaking.cloned().collect();
        let named = own.keys().chain(self.state.queues.keys()).chain(&overtaking);
        let names: BTreeSet<QueueName> = named.cloned().collect();
        let mut begun = 0;
        for name in names {
            let own = own.remove(&name).unwrap_or_default();
            let order = self.state.queues.get(&name).cloned().unwrap_or_default();
            let queue = policy.queue_named(&name).filter(|queue| share(queue) > 0 && !order.is_empty());
            let has_own = !own.is_empty() || overtaking.contains(&name);
            if !has_own && (free == 0 || queue.is_none()) {
                continue;
            }
            let queue = queue.filter(|queue| !self.makes_batches(&order, &name, queue));
            let risks = if queue.is_some() { self.risks(&order) } else { Vec::new() };
            let useful = if queue.is_some() { self.useful(&order, &own, &risks) } else { BTreeSet::new() };
            // What rests on another one was begun after it, and is let go before it.
            for id in own.iter().rev().filter(|id| !useful.contains(id)) {
                self.end_alternative(*id);
            }
            self.plan_overtakings(&name, &order, queue, useful.iter());
            if let Some(queue) = queue {
                let room = self.room(&useful, share(queue)).min(BEGUN_AT_ONCE.saturating_sub(begun));
                begun += self.begin_alternatives(&order, queue, &risks, (&useful, room));
            }
        }
        self.build_alternatives(&policy);
        self.collect_nodes();
    }

    /// Takes in what is known of the jobs of an alternative.
    pub(super) fn plan_alternative(&mut self, id: ItemId) {
        self.adopt_known(id);
        self.index.dirty_alternatives = true;
    }

    /// The alternative of an item.
    pub(super) fn alternative_of(&self, of: ItemId) -> Option<&Alternative> {
        self.state.alternatives.values().find(|alternative| alternative.of == of)
    }

    /// Whom the builds of a stay are bought for: for an alternative its item.
    pub(super) fn buyer(&self, id: ItemId) -> ItemId {
        let overtaking = || self.state.overtakings.get(&id).map(|own| own.of);
        self.state.alternatives.get(&id).map(|own| own.of).or_else(overtaking).unwrap_or(id)
    }

    /// Those that need a key, and the items of the alternatives among them: a build that failed has failed
    /// for them, too.
    pub(super) fn stays_concerned(&self, needing: &[ItemId]) -> BTreeSet<ItemId> {
        needing.iter().flat_map(|id| [*id, self.buyer(*id)]).collect()
    }

    /// How many more alternatives could be built now.
    fn room(&self, useful: &BTreeSet<ItemId>, share: usize) -> usize {
        let unbuilt = useful.iter().filter(|id| self.is_unbuilt_alternative(**id)).count();
        let waiting = self.state.alternatives.keys().filter(|id| self.waits_for_slots(**id)).count();
        let kept = (share * KEPT_FOR_EACH_SLOT).saturating_sub(useful.len());
        share.saturating_sub(unbuilt).min(kept).min(self.spare_slots().saturating_sub(waiting))
    }

    fn is_unbuilt_alternative(&self, id: ItemId) -> bool {
        self.state.stay(id).is_some_and(|stay| is_unbuilt(self.standing(stay)))
    }

    /// Which of a queue's alternatives are still for something that may be.
    fn useful(&self, order: &[ItemId], own: &BTreeSet<ItemId>, risks: &[Risk]) -> BTreeSet<ItemId> {
        // What is not being built when slots are scarce is begun again when one is spare.
        let is_scarce = self.free_slots() == 0 && !self.index.wanting.is_empty();
        let mut paths: BTreeMap<ItemId, BTreeSet<ItemId>> = BTreeMap::new();
        let mut useful = BTreeSet::new();
        for id in own {
            let Some(alternative) = self.state.alternatives.get(id) else { continue };
            let queue = self.state.items.get(&alternative.of).and_then(|item| item.queue.as_ref());
            if queue.is_none() || queue != alternative.stay.queue.as_ref() {
                continue;
            }
            let without = alternative.without;
            let may_be = risks.iter().any(|risk| risk.item == without);
            let is_kept = may_be && !(is_scarce && self.waits_for_slots(*id)) && {
                let path = || self.path_without(without, order).holding;
                paths.entry(without).or_insert_with(path).contains(id)
            };
            if is_kept || self.is_handed_over(alternative) {
                useful.insert(*id);
            }
        }
        useful
    }

    /// Whether what it was begun for has come: the one left out has failed or is gone, and the item's own
    /// node on that path is being made. What it keeps is kept until then.
    fn is_handed_over(&self, alternative: &Alternative) -> bool {
        let Some(item) = self.state.items.get(&alternative.of) else { return false };
        let lost = self.node_of(item).is_some_and(|node| self.must_repeat(node));
        let awaits = matches!(self.standing_now(item), Standing::Unprepared | Standing::Preparing);
        self.has_come(alternative) && (awaits || lost)
    }

    /// Whether the one left out is expected to leave, or gone, or stands behind now.
    fn has_come(&self, alternative: &Alternative) -> bool {
        let without = self.state.items.get(&alternative.without);
        without.is_none_or(|without| {
            self.standing_now(without).is_failing() || self.has_overtaken(alternative.of, without.id)
        })
    }

    /// The date of the merges of an alternative that has foreseen the path on which an item is merged now.
    pub(super) fn date_foreseen(&self, id: ItemId) -> Option<crate::model::Timestamp> {
        let alternative = self.alternative_of(id).filter(|alternative| self.has_come(alternative))?;
        self.node_of(&alternative.stay).map(|node| node.date)
    }

    /// Begins the likeliest to be needed of those that a queue lacks, as far as there is room or in place of a
    /// less likely one that is not being built; says how many.
    fn begin_alternatives(
        &mut self,
        order: &[ItemId],
        queue: &QueuePolicy,
        risks: &[Risk],
        (own, room): (&BTreeSet<ItemId>, usize),
    ) -> usize {
        let mut idle = self.idle(own, order, risks);
        if self.spare_slots() == 0 || room == 0 && idle.is_empty() {
            return 0;
        }
        let mut likeliest: Vec<&Risk> = risks.iter().collect();
        likeliest.sort_by_key(|risk| risk.chance);
        let mut left_out: Vec<ItemId> =
            likeliest.iter().take(RISKS_LOOKED_AT).map(|risk| risk.item).collect();
        let mut begun = 0;
        while let Some((likelihood, at, of, predicted)) = self.candidate(&left_out, order, risks) {
            if begun >= room {
                let weaker = idle
                    .first()
                    .filter(|(other, id)| *other < likelihood && !self.is_part_of(*id, &predicted));
                let Some((_, id)) = weaker.copied() else { break };
                idle.remove(0);
                self.end_alternative(id);
            }
            if self.begin_alternative(of, left_out[at], &predicted, queue) {
                begun += 1;
            } else {
                left_out.remove(at);
            }
        }
        begun
    }

    /// Whether a state rests on an alternative.
    fn is_part_of(&self, id: ItemId, predicted: &Predicted) -> bool {
        let node = self.state.stay(id).and_then(|stay| stay.node);
        predicted.written().any(|(_, other)| Some(other) == node)
    }

    /// What would be built first if there were an alternative: its likelihood, the place in `left_out` of the
    /// item that it leaves out, its item, and the state before that.
    fn candidate(
        &self,
        left_out: &[ItemId],
        order: &[ItemId],
        risks: &[Risk],
    ) -> Option<(u64, usize, ItemId, Predicted)> {
        let candidates = left_out.iter().enumerate().filter_map(|(at, without)| {
            let (of, predicted) = self.path_without(*without, order).next?;
            let likelihood = self.likelihood(of, *without, order, risks);
            (likelihood > 0).then_some((likelihood, at, of, predicted))
        });
        candidates.max_by_key(|(likelihood, at, ..)| (*likelihood, Reverse(*at)))
    }

    /// Alternatives that are known and not being built, with how likely they are needed, the least first.
    fn idle(&self, own: &BTreeSet<ItemId>, order: &[ItemId], risks: &[Risk]) -> Vec<(u64, ItemId)> {
        let waiting = own.iter().filter(|id| self.waits_for_slots(**id));
        let known = waiting.filter_map(|id| self.state.alternatives.get(id)).filter(|alternative| {
            !self.has_come(alternative) && self.standing(&alternative.stay) == Standing::Building
        });
        let likely = |of: &Alternative| self.likelihood(of.of, of.without, order, risks);
        let mut idle: Vec<(u64, ItemId)> = known.map(|of| (likely(of), of.stay.id)).collect();
        idle.sort_unstable();
        idle
    }

    fn begin_alternative(
        &mut self,
        of: ItemId,
        without: ItemId,
        predicted: &Predicted,
        queue: &QueuePolicy,
    ) -> bool {
        let alternative = ItemId(self.state.last_item + 1);
        let begun = Decision::AlternativeBegun { alternative, of, without };
        self.begin_apart((alternative, of), predicted, queue, begun)
    }

    /// Begins a stay of no changes for an item, on a state other than the one expected before that; false where
    /// it is not known what to merge.
    pub(super) fn begin_apart(
        &mut self,
        (stay, of): (ItemId, ItemId),
        predicted: &Predicted,
        queue: &QueuePolicy,
        begun: Decision,
    ) -> bool {
        let Some(item) = self.state.items.get(&of) else { return false };
        let merges: Option<Vec<Merge>> =
            item.changes.iter().map(|change| self.merge_of(item, change, queue, predicted)).collect();
        let Some(merges) = merges else { return false };
        let (depends, overlay) = (self.depends_of(item), self.overlay(predicted));
        let pins = self.pins_for(of, &depends);
        self.act(Action::Decision(begun));
        let node = NodeId(self.state.last_node + 1);
        self.act(Action::Decision(Decision::Based { item: stay, node }));
        let (date, pipeline, tips) = (self.state.now, Pipeline::Gate, Vec::new());
        self.ask(EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins });
        true
    }

    fn end_alternative(&mut self, id: ItemId) {
        let node = self.state.stay(id).and_then(|stay| stay.node);
        self.act(Action::Decision(Decision::AlternativeEnded { alternative: id }));
        if let Some(node) = node {
            self.release(node);
        }
    }
}
