//! Early landing: an item goes before a slower one ahead of it, once every order of the two is known to pass.
//!
//! Only where nothing else undecided is involved: nothing ahead of the later item meets it but the other one, and
//! nothing ahead of that one meets that. So there are two states that may come, and the later item has passed in
//! both: on top of the other (its own node) and without it (its alternative). Then the other one is merged on top
//! of that alternative, which builds nothing: if all of its voting jobs have passes there, the later one cannot
//! break it, and goes first. It may rescue one that fails alone; that is accepted. What follows is the usual way:
//! both get their nodes in the new order, and the verdicts are there.

use serde::{Deserialize, Serialize};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::Predicted;
use super::jobs::Standing;
use super::print::Print;
use super::state::{Item, Stage};
use crate::model::action::Decision;
use crate::model::past::Happened;
use crate::model::policy::QueuePolicy;
use crate::model::{Action, Class, ItemId, QueueName};

/// An item as it would be judged behind one that stands behind it now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Overtaking {
    /// The item.
    pub of: ItemId,
    /// The one that would go first.
    pub by: ItemId,
    /// Its node and verdicts there. It has no changes, and nothing is built for it.
    pub stay: Item,
}

/// Two items of which the later one may go first, and the state on which the other would be merged then.
struct Pass {
    of: ItemId,
    by: ItemId,
    predicted: Predicted,
}

impl Queue {
    /// Has items go first that may, and finds out of others whether they may: those that have passed in their
    /// alternatives, of which `useful` are still for something.
    pub(super) fn plan_overtakings<'a>(
        &mut self,
        name: &QueueName,
        order: &[ItemId],
        queue: Option<&QueuePolicy>,
        useful: impl Iterator<Item = &'a ItemId>,
    ) {
        let queue = queue.filter(|queue| queue.tuning.early_landing);
        if queue.is_none() && self.state.overtakings.is_empty() {
            return;
        }
        let useful = useful.filter(|_| queue.is_some());
        let passes: Vec<Pass> = useful.filter_map(|id| self.pass_of(*id, order)).collect();
        let own = self.state.overtakings.values().filter(|own| own.stay.queue.as_ref() == Some(name));
        let wrong = own.filter(|own| !passes.iter().any(|pass| self.is_for(own, pass)));
        for id in wrong.map(|own| own.stay.id).collect::<Vec<ItemId>>() {
            self.end_overtaking(id);
        }
        let Some(queue) = queue else { return };
        for pass in &passes {
            let own = self.state.overtakings.values().find(|own| (own.of, own.by) == (pass.of, pass.by));
            match own.map(|own| (own.stay.id, self.standing(&own.stay))) {
                None => self.begin_overtaking(pass, queue),
                Some((id, Standing::Passed)) => {
                    self.act(Action::Decision(Decision::Overtook { item: pass.by, before: pass.of }));
                    self.end_overtaking(id);
                    // What else may go first is worked out in the new order.
                    return;
                }
                Some(_) => {}
            }
        }
    }

    /// Whether a stay is an alternative, or shows an item behind one that would overtake it: it is judged for its
    /// item, and nothing of it lands.
    pub(super) fn is_alternative(&self, id: ItemId) -> bool {
        self.state.alternatives.contains_key(&id) || self.state.overtakings.contains_key(&id)
    }

    /// Whether an item that was behind another one has gone before it.
    pub(super) fn has_overtaken(&self, id: ItemId, other: ItemId) -> bool {
        let items = self.state.items.get(&id).zip(self.state.items.get(&other));
        items.is_some_and(|(item, other)| item.queue == other.queue && item.rank < other.rank)
    }

    /// The pass that an alternative speaks for: its item may go before the one that was left out, if that one
    /// passes behind it.
    fn pass_of(&self, alternative: ItemId, order: &[ItemId]) -> Option<Pass> {
        let own = self.state.alternatives.get(&alternative)?;
        let (later, earlier) = (self.state.items.get(&own.of)?, self.state.items.get(&own.without)?);
        let has_passed = self.standing(&own.stay) == Standing::Passed && self.has_passed(later);
        let waits =
            earlier.place.class != Class::Probation && self.standing_now(earlier) == Standing::Building;
        let queued = later.stage == Stage::Queued && earlier.stage == Stage::Queued;
        if !(has_passed && waits && queued) || self.has_overtaken(later.id, earlier.id) {
            return None;
        }
        let (alone, on_top) = (self.print_of(&own.stay)?, self.print_of(later)?);
        let base = self.base_of_pass(order, [earlier, later], &[alone, on_top])?;
        let mut rests_on = Vec::new();
        self.with_parents(later.id, &mut rests_on);
        if rests_on.contains(&earlier.id) || !on_top.carries.has(earlier.id) {
            return None;
        }
        let mut predicted = base;
        predicted.write(Some(alone), self.node_of(&own.stay)?.into());
        predicted.items.push(later.id);
        Some(Pass { of: earlier.id, by: later.id, predicted })
    }

    /// The state before the first of two items, if nothing else undecided matters to them: to the first nothing
    /// ahead of it, to the second, with these footprints, nothing ahead but the first.
    fn base_of_pass(&self, order: &[ItemId], of: [&Item; 2], prints: &[&Print; 2]) -> Option<Predicted> {
        let [earlier, later] = of;
        let own = self.print_of(earlier)?;
        let (mut ahead, mut base) = (Ahead::default(), None);
        for item in order.iter().filter_map(|id| self.state.items.get(id)) {
            if item.id == later.id {
                // It stands on what is expected by now, with the first one.
                let holds = self.node_of(later).is_some_and(|node| self.agrees(node, &ahead.predicted));
                return base.filter(|_| holds);
            }
            if item.id == earlier.id {
                base = Some(ahead.predicted.clone());
            } else {
                let print = self.print_of(item)?;
                let meets_first = base.is_none() && print.meets(own);
                if meets_first || prints.iter().any(|later| print.meets(later)) {
                    return None;
                }
            }
            self.carry(item.id, self.standing_now(item), &mut ahead);
        }
        None
    }

    /// Whether what was begun still shows what a pass asks.
    fn is_for(&self, own: &Overtaking, pass: &Pass) -> bool {
        (own.of, own.by) == (pass.of, pass.by)
            && self.node_of(&own.stay).is_some_and(|node| self.agrees(node, &pass.predicted))
    }

    fn begin_overtaking(&mut self, pass: &Pass, queue: &QueuePolicy) {
        let overtaking = ItemId(self.state.last_item + 1);
        let begun = Decision::OvertakingBegun { overtaking, of: pass.of, by: pass.by };
        self.begin_apart((overtaking, pass.of), &pass.predicted, queue, begun);
    }

    fn end_overtaking(&mut self, id: ItemId) {
        let node = self.state.stay(id).and_then(|stay| stay.node);
        self.act(Action::Decision(Decision::OvertakingEnded { overtaking: id }));
        if let Some(node) = node {
            self.release(node);
        }
    }

    pub(super) fn overtaking_begun(&mut self, id: ItemId, of: ItemId, by: ItemId) {
        let Some(stay) = self.stay_apart(id, of) else { return };
        self.state.overtakings.insert(id, Overtaking { of, by, stay });
    }

    pub(super) fn overtaking_ended(&mut self, id: ItemId) {
        let Some(own) = self.state.overtakings.remove(&id) else { return };
        self.index.remove_item(&own.stay);
        self.index.dirty_builds = true;
    }

    /// An item goes before another one that it was behind.
    pub(super) fn overtook(&mut self, id: ItemId, before: ItemId) {
        let Some(name) = self.state.items.get(&id).and_then(|item| item.queue.clone()) else { return };
        let (item, other) = (self.first_change(id), self.first_change(before));
        self.news_about(id);
        self.news_about(before);
        if let Some(item) = self.state.items.get_mut(&id) {
            item.place.is_early = true;
        }
        self.move_before(id, before, &name);
        if let Some((item, other)) = item.zip(other) {
            self.note_past(id, Happened::Overtook { change: other });
            self.note_past(before, Happened::Overtaken { by: item });
        }
        self.index.dirty_queues.insert(name);
    }
}
