//! Who stands before whom in a queue.
//!
//! An item that enters goes past those behind which it need not wait: first by class (promoted,
//! urgent, the others), then by its owner's turn, then by age. Turns are those of fair queueing: each
//! owner's items have consecutive turns, a few items each, and a newcomer begins with the turn that is
//! being served. So the k-th change of its owner is overtaken by at most as many changes of each other
//! owner, and those of one turn, whatever they approve later; and where nobody has more than a turn's
//! changes the order is that of approval. What depends on something has no earlier turn than that: it could
//! not land before it, and would only hold up whoever has nothing to do with either.
//!
//! Order changes only where it must: an item never goes past what it rests on or what is about to
//! land, nor by turns past what has passed, and only [`DISTURBED_MAX`] times past what is being built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::action::Decision;
use crate::model::{Account, Action, ChangeNumber, ChangeSnapshot, Class, ItemId, Place, Policy, QueueName};

use super::Queue;
use super::jobs::Standing;
use super::state::{Item, Stage};
use super::strategy::has_probation;

/// How often changes of other owners may take their turns before an item that is being built already:
/// each time its builds may begin anew.
const DISTURBED_MAX: u32 = 2;

/// The turns of a queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turns {
    urgent: Turn,
    normal: Turn,
}

/// The turns of one class.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The turn that is being served: no newcomer gets an earlier one.
    now: u64,
    /// The last turn that each owner has got, where it is not over, and how many items it has in it.
    last: BTreeMap<Account, (u64, u32)>,
}

impl Turns {
    fn of(&self, class: Class) -> &Turn {
        if class <= Class::Urgent { &self.urgent } else { &self.normal }
    }

    fn of_mut(&mut self, class: Class) -> &mut Turn {
        if class <= Class::Urgent { &mut self.urgent } else { &mut self.normal }
    }
}

/// Which turns the items of each queue have, by class, and how many have each. Derived, never stored.
#[derive(Default)]
pub(crate) struct Rounds {
    of: BTreeMap<(QueueName, Class), BTreeMap<u64, u32>>,
}

impl Rounds {
    /// Counts an item at its place.
    pub fn add(&mut self, item: &Item) {
        if let Some(queue) = item.queue.clone() {
            let rounds = self.of.entry((queue, item.place.class)).or_default();
            *rounds.entry(item.place.round).or_default() += 1;
        }
    }

    /// Undoes [`Rounds::add`].
    pub fn take(&mut self, item: &Item) {
        let at = item.queue.clone().map(|queue| (queue, item.place.class));
        let Some((at, rounds)) = at.and_then(|at| Some((at.clone(), self.of.get_mut(&at)?))) else { return };
        let left = rounds.get_mut(&item.place.round).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            rounds.remove(&item.place.round);
        }
        if rounds.is_empty() {
            self.of.remove(&at);
        }
    }

    /// The earliest turn among the other items of a class in its queue; the first where there is none.
    fn earliest(&self, item: &Item, class: Class) -> u64 {
        let rounds = item.queue.clone().and_then(|queue| self.of.get(&(queue, class)));
        let own = |round: u64| u32::from(item.place.class == class && item.place.round == round);
        let others = rounds.into_iter().flatten().find(|(round, count)| **count > own(**round));
        others.map_or(0, |(round, _)| *round)
    }
}

impl Item {
    /// Whose turn it takes: several changes take that of the first one's owner.
    pub fn owner(&self) -> Option<&Account> {
        self.changes.first().map(|change| &change.owner)
    }

    /// Its place among those of its queue that are passed and pass by class and turn.
    fn key(&self) -> (Class, u64, ItemId) {
        (self.place.class, self.place.round, self.id)
    }
}

impl Queue {
    /// Gives an item that has entered its place.
    pub(super) fn place(&mut self, id: ItemId) {
        match self.class_of(id) {
            Class::Urgent => self.raise(id),
            _ if self.is_for_probation(id) => self.put(id, Class::Probation),
            class => self.put(id, class),
        }
    }

    /// Raises an item whose change has become urgent meanwhile. One that is no longer urgent keeps its
    /// place: to move it back would only cost builds.
    pub(super) fn place_again(&mut self, number: ChangeNumber) {
        let Some(id) = self.index.gate_of.get(&number).copied() else { return };
        let class = self.state.items.get(&id).map(|item| item.place.class);
        if class > Some(Class::Urgent) && self.class_of(id) == Class::Urgent {
            self.raise(id);
        }
    }

    fn is_for_probation(&self, id: ItemId) -> bool {
        let queue = self.state.items.get(&id).and_then(|item| self.queue_policy(item));
        queue.is_some_and(|queue| has_probation(queue.strategy)) && self.will_fail(id)
    }

    fn class_of(&self, id: ItemId) -> Class {
        let (Some(item), Some(policy)) = (self.state.items.get(&id), &self.state.policy) else {
            return Class::Normal;
        };
        let mut changes = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let urgent = changes.any(|change| is_urgent(&change.snapshot, policy));
        if urgent { Class::Urgent } else { Class::Normal }
    }

    /// Makes an item urgent, and what it rests on: behind that it would wait all the same.
    fn raise(&mut self, id: ItemId) {
        let mut chain = Vec::new();
        self.with_parents(id, &mut chain);
        for id in chain {
            let Some(item) = self.state.items.get(&id) else { continue };
            if item.place.class > Class::Urgent && item.stage == Stage::Queued {
                self.put(id, Class::Urgent);
            }
        }
    }

    /// Puts an item before those that it may go past.
    pub(super) fn put(&mut self, id: ItemId, class: Class) {
        let Some(item) = self.state.items.get(&id) else { return };
        let Some(order) = item.queue.as_ref().and_then(|name| self.state.queues.get(name)) else { return };
        let mut rests_on = Vec::new();
        self.with_parents(id, &mut rests_on);
        let parents = rests_on.iter().filter(|other| **other != id);
        let places = parents.filter_map(|other| self.state.items.get(other)).map(|other| other.place);
        let rounds = places.filter(|place| place.class == class).map(|place| place.round);
        let round = rounds.chain([self.next_round(item, class)]).max().unwrap_or_default();
        let mut moved = item.clone();
        moved.place.class = class;
        moved.place.round = round;
        let ahead = order.iter().rev().skip_while(|other| **other != id).skip(1);
        let passed = ahead
            .filter_map(|id| self.state.items.get(id))
            .take_while(|other| !rests_on.contains(&other.id) && self.may_pass(&moved, other));
        let before = passed.last().map(|other| other.id);
        self.act(Action::Decision(Decision::Placed { item: id, class, round, before }));
    }

    /// Whether an item may go past one ahead of it that it does not rest on.
    fn may_pass(&self, item: &Item, other: &Item) -> bool {
        if other.stage != Stage::Queued || other.key() <= item.key() {
            return false;
        }
        let on_probation = other.place.class == Class::Probation;
        if on_probation && self.is_begun(other) {
            return false;
        }
        if item.place.class < other.place.class {
            let most = self.state.policy.as_ref().map_or(0, |policy| policy.priority.urgent_overtakes);
            return other.place.overtaken < most;
        }
        let begun = self.is_begun(other);
        let passed = begun && self.standing(other) == Standing::Passed;
        !passed && (!begun || other.place.disturbed < DISTURBED_MAX)
    }

    /// Whether anything was bought for the item's present node.
    pub(super) fn is_begun(&self, item: &Item) -> bool {
        self.job_states(item).any(|(_, state)| state.is_begun())
    }

    /// The turn that the next item of an owner gets.
    fn next_round(&self, item: &Item, class: Class) -> u64 {
        let turn = item.queue.as_ref().and_then(|name| self.state.turns.get(name)).map(|all| all.of(class));
        let now = self.now_served(item, class).max(turn.map_or(0, |turn| turn.now));
        let priority = self.state.policy.as_ref().map(|policy| &policy.priority);
        let Some(priority) = priority.filter(|priority| priority.fair_share) else { return now };
        let last = turn.zip(item.owner()).and_then(|(turn, owner)| turn.last.get(owner));
        last.map_or(now, |(last, taken)| now.max(last + u64::from(*taken >= priority.changes_per_turn)))
    }

    /// The earliest turn among the other items of a class in its queue.
    fn now_served(&self, item: &Item, class: Class) -> u64 {
        let served = self.index.rounds.earliest(item, class);
        debug_assert_eq!(served, {
            let order = item.queue.as_ref().and_then(|name| self.state.queues.get(name));
            let others = order.into_iter().flatten().filter(|id| **id != item.id);
            let places = others.filter_map(|id| self.state.items.get(id)).map(|other| other.place);
            places.filter(|place| place.class == class).map(|place| place.round).min().unwrap_or(0)
        });
        served
    }

    /// Puts an item where it was decided to stand.
    pub(super) fn apply_place(&mut self, id: ItemId, class: Class, round: u64, before: Option<ItemId>) {
        let Some(item) = self.state.items.get(&id) else { return };
        let Some(name) = item.queue.clone() else { return };
        let (now, own) = (self.now_served(item, class), self.next_round(item, class));
        let turn = self.state.turns.entry(name.clone()).or_default().of_mut(class);
        turn.now = turn.now.max(now);
        if let Some(owner) = item.owner() {
            // Where it stands later than its owner's turn, for what it rests on, that turn counts all the same:
            // the owner's other changes do not wait for what they have nothing to do with.
            let (last, taken) = turn.last.entry(owner.clone()).or_default();
            *taken = if own > *last { 1 } else { *taken + 1 };
            *last = own.max(*last);
        }
        let served = turn.now;
        turn.last.retain(|_, (last, _)| *last >= served);
        self.set_place(id, |place| (place.class, place.round) = (class, round));
        if let Some(before) = before {
            self.move_before(id, before, &name);
        }
        self.index.dirty_queues.insert(name);
    }

    /// Moves an item forward, right before another one; those between give way, with their claims.
    pub(super) fn move_before(&mut self, id: ItemId, before: ItemId, name: &QueueName) {
        let Some(order) = self.state.queues.get_mut(name) else { return };
        let place = |wanted: ItemId| order.iter().position(|other| *other == wanted);
        let (Some(from), Some(to)) = (place(id), place(before)) else { return };
        let Some(span) = order.get_mut(to..=from) else { return };
        span.rotate_right(1);
        let span = span.to_vec();
        self.index.order_changed(name);
        let class = self.state.items.get(&id).map(|item| item.place.class);
        for other in span.iter().skip(1) {
            let Some(item) = self.state.items.get(other) else { continue };
            let begun = self.is_begun(item);
            let Some(item) = self.state.items.get_mut(other) else { continue };
            item.place.overtaken += u32::from(class < Some(item.place.class));
            item.place.disturbed += u32::from(begun);
        }
        self.rank_in_order(&span);
    }

    /// Gives an item another class or turn.
    pub(super) fn set_place(&mut self, id: ItemId, set: impl FnOnce(&mut Place)) {
        self.news_about(id);
        let Some(item) = self.state.items.get_mut(&id) else { return };
        self.index.rounds.take(item);
        set(&mut item.place);
        self.index.rounds.add(item);
    }

    /// Gives items of one queue the ranks that they have among them in their present order, so that
    /// slots go to the head first.
    pub(super) fn rank_in_order(&mut self, order: &[ItemId]) {
        let rank = |id: &ItemId| self.state.items.get(id).map(|item| item.rank);
        let mut ranks: Vec<u64> = order.iter().filter_map(rank).collect();
        ranks.sort_unstable();
        for (id, rank) in order.iter().zip(ranks) {
            let Some(item) = self.state.items.get_mut(id) else { continue };
            let wanted = self.index.wanting.remove(&item.claim());
            item.rank = rank;
            if wanted {
                self.index.wanting.insert(item.claim());
            }
        }
    }

    /// Where an item stands in its queue and why, in words.
    pub(super) fn place_in_words(&self, item: &Item, order: &[ItemId]) -> String {
        let ahead: Vec<&Item> = order
            .iter()
            .take_while(|other| **other != item.id)
            .filter_map(|id| self.state.items.get(id))
            .collect();
        let place = format!("place {} of {}", ahead.len() + 1, order.len());
        let later = |class: fn(Class) -> bool| {
            let came_later = ahead.iter().filter(|other| other.id > item.id && !other.place.is_early);
            came_later
                .filter(|other| class(other.place.class) && other.place.class <= item.place.class)
                .count()
        };
        let mut whys = Vec::new();
        match item.place.class {
            Class::Promoted => whys.push("moved to the head by an operator".to_owned()),
            Class::Urgent => whys.push("urgent".to_owned()),
            Class::Probation => {
                whys.push(
                    "will probably fail, so others are built without it until it has passed".to_owned(),
                );
            }
            Class::Normal => {}
        }
        let mut behind = |count: usize, what: &str| {
            if count > 0 {
                whys.push(format!("behind {} {what}", super::order::changes(count)));
            }
        };
        if item.place.class > Class::Promoted {
            behind(later(|class| class == Class::Promoted), "moved to the head by an operator");
        }
        if item.place.class > Class::Urgent {
            behind(later(|class| class == Class::Urgent), "that came later and are urgent");
        }
        behind(
            if item.place.class >= Class::Normal { later(|class| class >= Class::Normal) } else { 0 },
            "of others that came later, by fair share",
        );
        let early = ahead.iter().filter(|other| other.id > item.id && other.place.is_early).count();
        behind(early, "that came later and passed in every order");
        if item.place.is_early {
            whys.push("goes early, as it passed in every order".to_owned());
        }
        if whys.is_empty() { place } else { format!("{place}: {}", whys.join("; ")) }
    }
}

fn changes(count: usize) -> String {
    if count == 1 { "1 change".to_owned() } else { format!("{count} changes") }
}

/// Whether a change has the hashtag of urgent ones, and someone who may say so owns or has approved it.
fn is_urgent(snapshot: &ChangeSnapshot, policy: &Policy) -> bool {
    let Some(hashtag) = &policy.priority.urgent_hashtag else { return false };
    let may = &policy.priority.urgent_accounts;
    let approved = |by: &Account| {
        let needs = &policy.gate.approval;
        let counts = |label, value| needs.iter().any(|need| need.label == label && value >= need.min);
        snapshot.votes.iter().any(|vote| vote.by == *by && counts(vote.label.clone(), vote.value))
    };
    snapshot.hashtags.contains(hashtag)
        && (may.is_empty() || may.iter().any(|by| *by == snapshot.owner || approved(by)))
}
