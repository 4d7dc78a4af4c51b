//! The path without one item: what is expected if that one fails.

use std::collections::BTreeSet;

use super::super::Queue;
use super::super::ahead::Ahead;
use super::super::footprint::Predicted;
use super::super::jobs::Standing;
use super::super::predict::{SURE, both};
use super::super::state::Item;
use crate::model::{Class, ItemId};

/// How many items that may fail are looked at in one queue.
const RISKS_MAX: usize = 64;

/// An item on the likeliest path that may fail.
pub(super) struct Risk {
    pub item: ItemId,
    /// Its place in the queue.
    pub place: usize,
    /// The chance that it passes.
    pub chance: u64,
}

/// What a walk along the path without one item has found.
#[derive(Default)]
pub(super) struct Path {
    /// Alternatives without that item that still agree with it.
    pub holding: BTreeSet<ItemId>,
    /// The first item that would be built anew and has no alternative, with the state expected before it.
    pub next: Option<(ItemId, Predicted)>,
    /// What is further behind is not known: something before it has yet to be merged.
    is_open: bool,
}

impl Queue {
    /// The items on the likeliest path of a queue that are being built and may fail, in order.
    pub(super) fn risks(&self, order: &[ItemId]) -> Vec<Risk> {
        let items =
            order.iter().enumerate().filter_map(|(place, id)| Some((place, self.state.items.get(id)?)));
        let undecided = items.filter(|(_, item)| {
            item.place.class != Class::Probation && self.standing_now(item) == Standing::Building
        });
        let risks = undecided.map(|(place, item)| Risk { item: item.id, place, chance: self.chance(item) });
        risks.filter(|risk| risk.chance < SURE).take(RISKS_MAX).collect()
    }

    /// The chance that the verdict on an item without another one will be needed: that one fails, and nothing
    /// else that it rests on does.
    pub(super) fn likelihood(&self, of: ItemId, without: ItemId, order: &[ItemId], risks: &[Risk]) -> u64 {
        let Some(place) = order.iter().position(|id| *id == of) else { return 0 };
        let print = self.state.items.get(&of).and_then(|item| self.print_of(item));
        let meets = |other: ItemId| {
            let other = self.state.items.get(&other).and_then(|other| self.print_of(other));
            print.zip(other).is_none_or(|(print, other)| print.meets(other))
        };
        let Some(left_out) = risks.iter().find(|risk| risk.item == without) else { return 0 };
        let others = risks.iter().filter(|risk| risk.place < place && risk.item != without);
        let resting = others.filter(|risk| meets(risk.item));
        resting.fold(SURE - left_out.chance, |all, risk| both(all, risk.chance))
    }

    /// Walks along a queue as if one item had failed.
    pub(super) fn path_without(&self, without: ItemId, order: &[ItemId]) -> Path {
        let mut path = Path::default();
        let mut ahead = Ahead::default();
        let mut is_behind = false;
        for item in order.iter().filter_map(|id| self.state.items.get(id)) {
            if item.id == without {
                ahead.failing.insert(without);
                is_behind = true;
            } else if item.stage.is_pushed() {
                self.carry(item.id, Standing::Passed, &mut ahead);
            } else if self.failing_parent(item, &ahead) || self.failing_dependency(item, &ahead).is_some() {
                ahead.failing.insert(item.id);
            } else if !is_behind || self.goes_on(item, &ahead) {
                path.is_open |= is_behind && self.print_of(item).is_none_or(|print| !print.resolved);
                self.carry(item.id, self.standing_now(item), &mut ahead);
            } else {
                self.step_aside(item, without, &mut ahead, &mut path);
            }
        }
        path
    }

    /// Whether an item's own node holds on a path.
    fn goes_on(&self, item: &Item, ahead: &Ahead) -> bool {
        self.node_of(item).is_some_and(|node| self.agrees(node, &ahead.predicted))
    }

    /// Goes on with the second node of an item whose own would not hold.
    fn step_aside(&self, item: &Item, without: ItemId, ahead: &mut Ahead, path: &mut Path) {
        let alternative = self.alternative_of(item.id);
        let is_held = self.index.held.contains_key(&item.id);
        let own = alternative.filter(|own| own.without == without && !is_held).and_then(|own| {
            let node = self.node_of(&own.stay)?;
            self.agrees(node, &ahead.predicted).then_some((own, node))
        });
        let Some((own, node)) = own else {
            let is_judged = self.print_of(item).is_some_and(|print| print.resolved)
                && !is_held
                && item.place.class != Class::Probation;
            if alternative.is_none() && is_judged && path.next.is_none() && !path.is_open {
                path.next = Some((item.id, ahead.predicted.clone()));
            }
            path.is_open = true;
            return;
        };
        path.holding.insert(own.stay.id);
        let standing = self.standing(&own.stay);
        if standing.is_failing() || standing == Standing::NoJob {
            ahead.failing.insert(item.id);
        } else {
            ahead.predicted.write(self.index.prints.get(node.id), node.into());
            ahead.predicted.items.push(item.id);
        }
    }
}
