//! Places in the queues: each one that is given is worked out anew.

use std::collections::BTreeMap;

use super::{Audit, Book, Checked, fault};
use crate::model::{Account, ChangeSnapshot, ChangeStatus, Class, ItemChange, ItemId, Policy, Reference};

/// The turns of a queue as the audit counts them.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// The turn that is being served.
    now: u64,
    /// The last one of each owner, and its items in it.
    last: BTreeMap<Account, (u64, u32)>,
}

impl Audit {
    /// An item was given a place: nothing that it rests on or that may land now is behind it, it has
    /// gone past others only for a reason that holds, and past all that it may.
    pub(super) fn placed(&mut self, id: ItemId, class: Class, round: u64, before: Option<ItemId>) -> Checked {
        let Some(policy) = self.policy.clone() else { return Ok(()) };
        let Some(queue) = self.items.get(&id).and_then(|book| book.queue.clone()) else {
            return fault("places", format!("item {id} is in no queue and gets a place"));
        };
        self.check_class(id, class, &policy)?;
        self.check_round(id, class, round, &policy)?;
        let order = self.order.get(&queue).cloned().unwrap_or_default();
        let place = |wanted: ItemId| order.iter().position(|other| *other == wanted);
        let from = place(id).unwrap_or(order.len());
        let to = before.map_or(Some(from), place).filter(|to| *to <= from);
        let Some(to) = to else {
            return fault("places", format!("item {id} is put before one that is not ahead of it"));
        };
        if let Some(book) = self.items.get_mut(&id) {
            book.class = class;
            book.round = round;
        }
        for other in &order[to..from] {
            self.check_passed(id, *other, &policy)?;
        }
        if let Some(other) = to.checked_sub(1).and_then(|at| order.get(at)) {
            self.check_stopped(id, *other, &policy)?;
        }
        for other in &order[to..from] {
            if let Some(book) = self.items.get_mut(other) {
                book.overtaken += u32::from(class < book.class);
            }
        }
        if let Some(order) = self.order.get_mut(&queue) {
            order.retain(|other| *other != id);
            order.insert(to, id);
        }
        Ok(())
    }

    fn check_class(&self, id: ItemId, class: Class, policy: &Policy) -> Checked {
        let justified = match class {
            Class::Promoted => false,
            Class::Urgent => self.resting_on(id).iter().any(|id| self.urgent(*id, policy).contains(&true)),
            Class::Normal => self.urgent(id, policy).contains(&false),
            Class::Probation => true,
        };
        if justified {
            return Ok(());
        }
        fault("places", format!("item {id} is {class:?} for no reason"))
    }

    /// The turns of an owner follow one another, and begin with the one that is being served. Only what rests
    /// on items of later turns stands with the last of those.
    fn check_round(&mut self, id: ItemId, class: Class, round: u64, policy: &Policy) -> Checked {
        let Some(book) = self.items.get(&id).cloned() else { return Ok(()) };
        let Some(queue) = book.queue.clone() else { return Ok(()) };
        let others = self.order.get(&queue).into_iter().flatten().filter(|other| **other != id);
        let others = others.filter_map(|other| self.items.get(other)).filter(|other| other.class == class);
        let earliest = others.map(|other| other.round).min().unwrap_or(0);
        let floor = self.latest_below(id, class);
        let turns = self.turns.entry((queue, class <= Class::Urgent)).or_default();
        turns.now = turns.now.max(earliest);
        let owner = book.changes[0].owner.clone();
        let full = policy.priority.changes_per_turn;
        let own = turns.last.get(&owner).filter(|_| policy.priority.fair_share);
        let own = own.map_or(0, |(last, items)| if *items < full { *last } else { last + 1 });
        let expected = turns.now.max(own);
        let last = turns.last.entry(owner).or_default();
        *last = if expected > last.0 { (expected, 1) } else { (last.0, last.1 + 1) };
        if round == expected.max(floor) {
            return Ok(());
        }
        let what = format!(
            "item {id} gets turn {round}, its owner's next is {expected}, what it rests on has {floor}"
        );
        fault("fair share", what)
    }

    /// The latest turn of this class among what an item rests on, however many lie between.
    fn latest_below(&self, id: ItemId, class: Class) -> u64 {
        let queue = self.items.get(&id).and_then(|book| book.queue.as_ref());
        let order = queue.and_then(|queue| self.order.get(queue)).map_or(&[][..], |order| order);
        let mut below = vec![id];
        let mut next = 0;
        while let Some(at) = below.get(next).copied() {
            next += 1;
            let more = order.iter().copied().filter(|other| self.rests_directly(at, *other));
            let more: Vec<ItemId> = more.filter(|other| !below.contains(other)).collect();
            below.extend(more);
        }
        let books = below.iter().filter(|other| **other != id).filter_map(|other| self.items.get(other));
        books.filter(|book| book.class == class).map(|book| book.round).max().unwrap_or(0)
    }

    /// Whether a change of one item has a change of the other as its parent, or names it. On a commit that was seen to
    /// have landed as it is, nothing rests, though the rest of its item may still be landing.
    fn rests_directly(&self, id: ItemId, on: ItemId) -> bool {
        let is_open = |change: &ItemChange| {
            self.known.get(&change.number).is_none_or(|known| known.status == ChangeStatus::Open)
        };
        let changes_of = |id: ItemId| self.items.get(&id).map_or(&[][..], |book| &book.changes);
        let below = changes_of(on);
        changes_of(id).iter().filter_map(|change| self.known.get(&change.number)).any(|known| {
            below.iter().any(|change| {
                known.parents.contains(&change.revision) && is_open(change)
                    || known.needs.iter().any(|need| names(need, change))
            })
        })
    }

    /// An item has gone past another one.
    fn check_passed(&self, id: ItemId, other: ItemId, policy: &Policy) -> Checked {
        let (Some(book), Some(passed)) = (self.items.get(&id), self.items.get(&other)) else { return Ok(()) };
        if self.landings.values().any(|landing| landing.items.contains(&other)) {
            return fault("places", format!("item {id} goes past item {other}, which is being pushed"));
        }
        if self.resting_on(other).contains(&id) {
            return fault("places", format!("item {id} goes past item {other}, on which it rests"));
        }
        if (passed.class, passed.round, other) < (book.class, book.round, id) {
            return fault("fair share", format!("item {id} goes past item {other}, which comes first"));
        }
        if book.class < passed.class && passed.overtaken >= policy.priority.urgent_overtakes {
            return fault(
                "nothing waits for ever",
                format!("item {other} was overtaken {} times and item {id} goes past it", passed.overtaken),
            );
        }
        Ok(())
    }

    /// An item has stopped behind another one, which must have kept it.
    fn check_stopped(&self, id: ItemId, other: ItemId, policy: &Policy) -> Checked {
        let (Some(book), Some(ahead)) = (self.items.get(&id), self.items.get(&other)) else { return Ok(()) };
        let first = (ahead.class, ahead.round, other) < (book.class, book.round, id);
        let begun = ahead.bought > 0 || !ahead.adopted.is_empty() || self.is_looked_at(other);
        let enough = book.class < ahead.class && ahead.overtaken >= policy.priority.urgent_overtakes;
        if first || begun || enough || self.resting_on(other).contains(&id) || self.shares_build(ahead) {
            return Ok(());
        }
        fault("fair share", format!("item {id} waits behind item {other}, before which it comes"))
    }

    /// Whether a build that another item has bought decides about this one, too.
    fn shares_build(&self, book: &Book) -> bool {
        let node = book.node.and_then(|node| self.nodes.get(&node));
        let bought = |key| self.builds.values().any(|(other, _)| *other == key);
        node.is_some_and(|node| node.jobs().iter().any(|job| bought(job.key)))
    }

    fn is_looked_at(&self, id: ItemId) -> bool {
        let changes = self.items.get(&id).map_or(&[][..], |book| &book.changes);
        changes.iter().any(|change| self.looks.contains_key(&change.number))
            || self.landings.values().any(|landing| landing.items.contains(&id))
    }

    /// Whether an item rests on another one.
    pub(super) fn is_resting_on(&self, id: ItemId, other: ItemId) -> bool {
        self.resting_on(other).contains(&id)
    }

    /// An item and all of its queue that rest on it.
    fn resting_on(&self, id: ItemId) -> Vec<ItemId> {
        let queue = self.items.get(&id).and_then(|book| book.queue.as_ref());
        let order = queue.and_then(|queue| self.order.get(queue)).map_or(&[][..], |order| order);
        let mut found = vec![id];
        let mut next = 0;
        while let Some(at) = found.get(next).copied() {
            next += 1;
            for other in order {
                if self.rests_directly(*other, at) && !found.contains(other) {
                    found.push(*other);
                }
            }
        }
        found
    }

    /// Whether an item is urgent, by the newest and by the last that was told of it.
    fn urgent(&self, id: ItemId, policy: &Policy) -> [bool; 2] {
        let changes = self.items.get(&id).map_or(&[][..], |book| &book.changes);
        [&self.known, &self.latest].map(|told| {
            let mut told = changes.iter().filter_map(|change| told.get(&change.number));
            told.any(|seen| says_so(seen, policy))
        })
    }
}

/// Whether a footer names a change.
fn names(need: &Reference, change: &ItemChange) -> bool {
    match need {
        Reference::Number(number) => *number == change.number,
        Reference::Id(id) => *id == change.change_id,
        Reference::Wrong { .. } => false,
    }
}

/// Whether a change has the hashtag, and from someone who may give it.
fn says_so(known: &ChangeSnapshot, policy: &Policy) -> bool {
    let priority = &policy.priority;
    let tagged = priority.urgent_hashtag.as_ref().is_some_and(|tag| known.hashtags.contains(tag));
    let approvers = known.votes.iter().filter(|vote| {
        policy.gate.approval.iter().any(|need| need.label == vote.label && vote.value >= need.min)
    });
    let mut vouching = approvers.map(|vote| &vote.by).chain([&known.owner]);
    tagged
        && (priority.urgent_accounts.is_empty() || vouching.any(|by| priority.urgent_accounts.contains(by)))
}
