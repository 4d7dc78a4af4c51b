//! What lands together: changes that depend on each other in a circle, and, where a queue says so, those
//! of one topic. Such a group is one item; it enters when all of it may, and leaves as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::policy::{LandingMode, QueuePolicy, TopicPolicy};
use crate::model::{
    ChangeNumber, ChangeSnapshot, ChangeStatus, Departure, ItemChange, LandingForm, Policy, QueueName, Reason,
};

use super::Queue;
use super::admit::item_change;
use super::state::{Change, Item};

/// What a search for circles goes over: a topic stands between its changes, for each two of them are tied.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Change(ChangeNumber),
    Topic(QueueName, Arc<str>),
}

impl Queue {
    /// The open changes that land together with this one, itself among them.
    pub(super) fn group(&self, number: ChangeNumber, policy: &Policy) -> BTreeSet<ChangeNumber> {
        let alone = BTreeSet::from([number]);
        if self.index.referrers.is_empty() && !policy.queues.iter().any(|queue| self.unites_topics(queue)) {
            return alone;
        }
        let start = Place::Change(number);
        let mut back: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        let mut seen = BTreeSet::from([start.clone()]);
        let mut todo = vec![start.clone()];
        while let Some(place) = todo.pop() {
            for next in self.ways_from(&place, policy) {
                back.entry(next.clone()).or_default().push(place.clone());
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        // Of what it leads to, that which leads back to it.
        let mut circle = BTreeSet::from([start.clone()]);
        let mut todo = vec![start];
        while let Some(place) = todo.pop() {
            for before in back.remove(&place).into_iter().flatten() {
                if circle.insert(before.clone()) {
                    todo.push(before);
                }
            }
        }
        let changes = circle.into_iter().filter_map(|place| match place {
            Place::Change(number) => Some(number),
            Place::Topic(..) => None,
        });
        changes.collect()
    }

    fn ways_from(&self, place: &Place, policy: &Policy) -> Vec<Place> {
        let number = match place {
            Place::Change(number) => number,
            Place::Topic(queue, topic) => {
                let numbers = self.index.by_topic.get(topic).into_iter().flatten();
                let of_queue = |number: &&ChangeNumber| {
                    let pair = self.state.changes.get(*number).map(|change| change.snapshot.pair());
                    pair.and_then(|pair| policy.queue_of(&pair)).is_some_and(|found| found.name == *queue)
                };
                return numbers.filter(of_queue).map(|number| Place::Change(*number)).collect();
            }
        };
        let Some(change) = self.state.changes.get(number) else { return Vec::new() };
        let snapshot = &change.snapshot;
        if snapshot.status != ChangeStatus::Open {
            return Vec::new();
        }
        let parents = self.open_parents(snapshot).map(Place::Change);
        let mut ways: Vec<Place> = parents.collect();
        ways.extend(self.open_dependencies(snapshot).into_iter().map(Place::Change));
        let queue = policy.queue_of(&snapshot.pair()).filter(|queue| self.unites_topics(queue));
        if let (Some(queue), Some(topic)) = (queue, &snapshot.topic) {
            ways.push(Place::Topic(queue.name, topic.clone()));
        }
        ways
    }

    /// The open changes on the same branch on whose patch sets it rests; none where it lands without them.
    pub(super) fn open_parents(&self, snapshot: &ChangeSnapshot) -> impl Iterator<Item = ChangeNumber> {
        let alone = snapshot.form.is_some_and(|form| form.ignores_parents(snapshot.parents.len()));
        let parents = if alone { &[][..] } else { &snapshot.parents[..] };
        let owners = parents.iter().filter_map(|parent| self.index.by_revision.get(parent)).copied();
        owners.filter(move |owner| {
            let known = self.state.changes.get(owner);
            *owner != snapshot.number && known.is_some_and(|known| known.snapshot.pair() == snapshot.pair())
        })
    }

    /// The changes of a group in the order in which they are merged: after what they rest on, else by
    /// number.
    pub(super) fn arranged(&self, group: &BTreeSet<ChangeNumber>) -> Vec<ItemChange> {
        let mut left: Vec<&ChangeSnapshot> =
            group.iter().filter_map(|number| Some(&self.state.changes.get(number)?.snapshot)).collect();
        let mut placed = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let free = |seen: &&ChangeSnapshot| {
                !self.open_parents(seen).any(|parent| left.iter().any(|other| other.number == parent))
            };
            let at = left.iter().position(free).unwrap_or(0);
            placed.push(item_change(left.remove(at)));
        }
        placed
    }

    /// Why a change cannot enter its queue now; `None` when it and all that lands with it can.
    pub(super) fn obstacle(&self, change: &Change, policy: &Policy) -> Option<Reason> {
        let number = change.snapshot.number;
        let group = self.group(number, policy);
        if let Some(reason) = self.own_obstacle(change, &group, policy) {
            return Some(reason);
        }
        if group.len() == 1 {
            return None;
        }
        if let Some(reason) = self.apart(&change.snapshot, &group, policy) {
            return Some(reason);
        }
        let mates = group.iter().filter_map(|mate| Some(&self.state.changes.get(mate)?.snapshot));
        let mut misfits = mates.filter(|mate| self.apart(mate, &group, policy).is_some());
        if let Some(mate) = misfits.next() {
            return Some(Reason::Apart { change: mate.number });
        }
        let waits = |mate: &&ChangeNumber| {
            let known = self.state.changes.get(*mate);
            **mate != number
                && (self.index.gate_of.contains_key(*mate)
                    || known.is_none_or(|known| self.own_obstacle(known, &group, policy).is_some()))
        };
        group.iter().find(waits).map(|mate| Reason::Together { change: *mate })
    }

    /// Whether nothing keeps a change and what lands with it by now from its queue, once they have left it.
    pub(super) fn may_come_back(&self, number: ChangeNumber, policy: &Policy) -> bool {
        let group = self.group(number, policy);
        let free = |mate: &ChangeNumber| {
            let known = self.state.changes.get(mate);
            known.is_some_and(|known| self.own_obstacle(known, &group, policy).is_none())
        };
        group.iter().all(free)
    }

    /// What keeps a group from ever landing as one.
    pub(super) fn apart(
        &self,
        snapshot: &ChangeSnapshot,
        group: &BTreeSet<ChangeNumber>,
        policy: &Policy,
    ) -> Option<Reason> {
        if group.len() == 1 {
            return None;
        }
        let queue = policy.queue_of(&snapshot.pair());
        let submits = queue.as_ref().is_some_and(|queue| queue.landing == LandingMode::Submit);
        let own = queue.map(|queue| queue.name);
        let elsewhere = |mate: &&ChangeNumber| {
            let pair = self.state.changes.get(*mate).map(|mate| mate.snapshot.pair());
            let other = pair.and_then(|pair| policy.queue_of(&pair)).map(|other| other.name);
            **mate != snapshot.number && (submits || other != own)
        };
        let mate = group.iter().find(elsewhere).copied().or_else(|| self.beside(snapshot, group));
        mate.map(|change| Reason::Apart { change })
    }

    /// Another change of the group on the same branch, where that takes fast-forwards only and neither of
    /// the two rests on one of the group.
    fn beside(&self, snapshot: &ChangeSnapshot, group: &BTreeSet<ChangeNumber>) -> Option<ChangeNumber> {
        let is_first = |seen: &ChangeSnapshot| {
            seen.form == Some(LandingForm::FastForwardOnly)
                && !self.open_parents(seen).any(|parent| group.contains(&parent))
        };
        let mut others = group.iter().filter_map(|mate| Some(&self.state.changes.get(mate)?.snapshot));
        let other = others.find(|other| {
            other.number != snapshot.number && other.pair() == snapshot.pair() && is_first(other)
        });
        other.filter(|_| is_first(snapshot)).map(|other| other.number)
    }

    /// Whether an item is no longer what lands together.
    pub(super) fn regrouped(&self, item: &Item, number: ChangeNumber, policy: &Policy) -> Option<Departure> {
        // Half of a group that has landed goes on alone.
        if !item.pipeline.lands() || !item.landed.is_empty() {
            return None;
        }
        let group = self.group(number, policy);
        let came: BTreeSet<ChangeNumber> = item.changes.iter().map(|change| change.number).collect();
        let other = group.symmetric_difference(&came).next().copied();
        if let Some(change) = other {
            return Some(Departure::Regrouped { change });
        }
        let snapshot = self.state.changes.get(&number).map(|change| &change.snapshot)?;
        self.apart(snapshot, &group, policy).map(|_| Departure::Regrouped { change: number })
    }

    /// Whether changes of one topic land together in a queue.
    fn unites_topics(&self, queue: &QueuePolicy) -> bool {
        match queue.topics {
            TopicPolicy::Together => true,
            TopicPolicy::Apart => false,
            TopicPolicy::AsHost => self.state.whole_topics && queue.landing == LandingMode::Push,
        }
    }

    /// Takes in what the review host does with topics.
    pub(super) fn see_host(&mut self, whole_topics: bool) {
        if self.state.whole_topics != whole_topics {
            self.state.whole_topics = whole_topics;
            self.mark_all();
        }
    }

    /// Marks the changes of a topic to be looked at, where topics land together.
    pub(super) fn touch_topic(&mut self, topic: Option<&Arc<str>>) {
        let unites = self
            .state
            .policy
            .as_ref()
            .is_some_and(|policy| policy.queues.iter().any(|queue| self.unites_topics(queue)));
        let Some(topic) = topic.filter(|_| unites) else { return };
        let numbers: Vec<ChangeNumber> =
            self.index.by_topic.get(topic).into_iter().flatten().copied().collect();
        self.touch_all(&numbers);
    }

    /// Takes out the items of those that land with a change and came in without it.
    pub(super) fn part_from(&mut self, number: ChangeNumber, policy: &Policy) {
        for mate in self.group(number, policy) {
            if mate != number && self.index.gate_of.contains_key(&mate) {
                self.plan_stay(mate, policy);
            }
        }
    }
}

/// What one change of several did, as the end of all of them: the others need no new vote.
pub(super) fn shared_end(item: &Item, number: ChangeNumber, departure: Departure) -> Departure {
    match departure {
        Departure::Abandoned
        | Departure::MergedElsewhere
        | Departure::Gone
        | Departure::WorkInProgress
        | Departure::Private
        | Departure::Moved
        | Departure::NewPatchSet { .. }
        | Departure::VoteWithdrawn { .. }
        | Departure::Dequeued { .. }
            if item.changes.len() > 1 =>
        {
            Departure::Dependency { change: number, culprit: Some(number) }
        }
        other => other,
    }
}
