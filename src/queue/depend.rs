//! What changes depend on: `Depends-On` footers, and what they mean for entering, staying and building.
//!
//! A footer names changes by number or by Change-Id. What it names is known from the changes that the
//! daemon sees anyway, else it is looked up once, many in one request. A change enters its queue
//! behind the changes that it depends on, never before them, and leaves with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::action::{Decision, REFERENCES_MAX};
use crate::model::{
    Action, ChangeNumber, ChangeSnapshot, ChangeStatus, Departure, EffectKind, ItemChange, ItemId, Outcome,
    Pair, Policy, Reason, Reference, Target, Timestamp,
};

use super::Queue;
use super::ahead::Ahead;
use super::held::lands_with_parents;
use super::index::Index;
use super::state::{Item, Pending};
use super::timer::Timer;

/// Under which name failures to look references up are counted.
const LOOKUP: &str = "references";

/// What is known of a reference.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The changes that it names; empty where none can be seen.
    pub targets: Vec<Target>,
    /// When it was looked up.
    pub read_at: Timestamp,
}

impl Named {
    /// Records how a change stands now; one that has merged stays so.
    fn put(&mut self, target: Target) {
        match self.targets.iter_mut().find(|known| known.number == target.number) {
            Some(known) if known.status == Some(ChangeStatus::Merged) => {}
            Some(known) => *known = target,
            None => self.targets.push(target),
        }
    }
}

/// Records what a change is to those that name it.
pub(super) fn put_target(named: &mut BTreeMap<Reference, Named>, index: &Index, snapshot: &ChangeSnapshot) {
    if named.is_empty() && index.referrers.is_empty() {
        return;
    }
    if let Some(named) = named.get_mut(&Reference::Id(snapshot.change_id.clone())) {
        named.put(Target::of(snapshot));
    }
    let number = Reference::Number(snapshot.number);
    if index.referrers.contains_key(&number) {
        named.entry(number).or_default().put(Target::of(snapshot));
    }
}

impl Queue {
    /// The changes that a reference names; `None` while that is not known.
    pub(super) fn targets(&self, reference: &Reference) -> Option<Vec<Target>> {
        let mut named = self.state.named.get(reference).cloned();
        let mut live = Vec::new();
        match reference {
            Reference::Number(number) => live.extend(self.state.changes.get(number)),
            Reference::Id(id) if named.is_some() => {
                let numbers = self.index.by_change_id.get(id).into_iter().flatten();
                live.extend(numbers.filter_map(|number| self.state.changes.get(number)));
            }
            Reference::Id(_) | Reference::Wrong { .. } => {}
        }
        for change in live {
            named.get_or_insert_default().put(Target::of(&change.snapshot));
        }
        named.map(|named| named.targets)
    }

    /// All changes that the footers of a change name, as far as that is known, without itself.
    fn named_by(&self, snapshot: &ChangeSnapshot) -> Vec<Target> {
        let known = snapshot.needs.iter().filter_map(|reference| self.targets(reference)).flatten();
        known.filter(|target| target.number != snapshot.number).collect()
    }

    /// The open changes that its footers name.
    pub(super) fn open_dependencies(&self, snapshot: &ChangeSnapshot) -> Vec<ChangeNumber> {
        let named = if snapshot.needs.is_empty() { Vec::new() } else { self.named_by(snapshot) };
        let open = named.iter().filter(|target| target.status == Some(ChangeStatus::Open));
        open.map(|target| target.number).collect()
    }

    /// Whoever has a footer that names this change.
    pub(super) fn referrers(&self, number: ChangeNumber, id: &crate::model::ChangeId) -> Vec<ChangeNumber> {
        let references = [Reference::Number(number), Reference::Id(id.clone())];
        let found = references.iter().filter_map(|reference| self.index.referrers.get(reference));
        found.flatten().copied().filter(|referrer| *referrer != number).collect()
    }

    /// Marks whoever depends on a change to be looked at.
    pub(super) fn touch_referrers(&mut self, number: ChangeNumber, id: &crate::model::ChangeId) {
        for referrer in self.referrers(number, id) {
            self.index.touch_change(referrer);
            if let Some(item) = self.index.gate_of.get(&referrer).copied() {
                self.touch_queue_of(item);
            }
            self.touch_checks_of(referrer);
        }
    }

    /// Marks what judges a change outside the gate.
    fn touch_checks_of(&mut self, number: ChangeNumber) {
        let judged = self.index.check_of.get(&number).copied();
        let judged: Vec<ItemId> = judged.into_iter().chain(self.index.demands_of(number)).collect();
        self.index.dirty_items.extend(judged);
    }

    /// Records how a change stands for those that depend on it; it may be forgotten after that.
    pub(super) fn note_target(&mut self, snapshot: &ChangeSnapshot) {
        put_target(&mut self.state.named, &self.index, snapshot);
    }

    /// A change is another one than before: what it is to others is recorded, and what only its footers
    /// named before is forgotten.
    pub(super) fn news_of(&mut self, number: ChangeNumber, needed_before: &[Reference]) {
        let Some(change) = self.state.changes.get(&number) else { return };
        put_target(&mut self.state.named, &self.index, &change.snapshot);
        let (id, topic) = (change.snapshot.change_id.clone(), change.snapshot.topic.clone());
        self.touch_referrers(number, &id);
        self.touch_topic(topic.as_ref());
        self.forget_references(needed_before);
    }

    /// A change can be seen no more.
    pub(super) fn lose_target(&mut self, number: ChangeNumber) {
        let targets = self.state.named.values_mut().flat_map(|named| named.targets.iter_mut());
        for target in targets.filter(|target| target.number == number) {
            if target.status != Some(ChangeStatus::Merged) {
                target.status = None;
            }
        }
    }

    /// Forgets what references name that nobody has any more, and open changes known only for them.
    pub(super) fn forget_references(&mut self, references: &[Reference]) {
        for reference in references {
            if self.index.referrers.contains_key(reference) {
                continue;
            }
            let Some(named) = self.state.named.remove(reference) else { continue };
            for target in named.targets {
                let gated = self.state.policy.as_ref().is_some_and(|p| p.queue_of(&target.pair).is_some());
                let needed = !self.referrers(target.number, &target.change_id).is_empty();
                let known = self.state.changes.get(&target.number).filter(|_| !gated && !needed);
                if let Some(change) = known.cloned() {
                    self.index.remove_change(&change.snapshot);
                    self.state.changes.remove(&target.number);
                }
            }
        }
    }

    /// What keeps a change from entering, or an item from staying, because of its footers. What is in
    /// `group` lands with it. `stay` is the item that it is in.
    pub(super) fn unmet(
        &self,
        snapshot: &ChangeSnapshot,
        group: &BTreeSet<ChangeNumber>,
        stay: Option<&Item>,
        policy: &Policy,
    ) -> Option<Reason> {
        snapshot.needs.iter().find_map(|reference| {
            if let Reference::Wrong { text, why } = reference {
                return Some(Reason::DependsOnNothing { text: text.clone(), why: why.clone() });
            }
            let Some(targets) = self.targets(reference) else { return Some(Reason::Observing) };
            let nothing = |why: &str| {
                Some(Reason::DependsOnNothing { text: reference.to_string().into(), why: why.into() })
            };
            let (own, others): (Vec<&Target>, Vec<&Target>) =
                targets.iter().partition(|target| target.number == snapshot.number);
            let visible: Vec<&Target> = others.into_iter().filter(|target| target.status.is_some()).collect();
            if visible.is_empty() {
                return match own.is_empty() {
                    true => nothing("names no change that the daemon can see: correct it, or let the daemon's account read that change"),
                    false => nothing("names the change itself: take the footer out"),
                };
            }
            // Of several with one Change-Id, those that were given up are not meant.
            let alive = |target: &&&Target| target.status != Some(ChangeStatus::Abandoned);
            if !visible.iter().any(|target| alive(&target)) {
                return Some(Reason::DependsOnAbandoned { change: visible[0].number });
            }
            visible.iter().filter(alive).find_map(|target| self.awaited(snapshot, target, group, stay, policy))
        })
    }

    /// Whether a target that was not given up has to be waited for.
    fn awaited(
        &self,
        snapshot: &ChangeSnapshot,
        target: &Target,
        group: &BTreeSet<ChangeNumber>,
        stay: Option<&Item>,
        policy: &Policy,
    ) -> Option<Reason> {
        let change = target.number;
        if target.status == Some(ChangeStatus::Merged) || group.contains(&change) {
            return None;
        }
        let queue = policy.queue_of(&target.pair).map(|queue| queue.name);
        let own = policy.queue_of(&snapshot.pair()).map(|queue| queue.name);
        if queue != own || queue.is_none() {
            let is_queued = self.index.gate_of.contains_key(&change);
            return Some(Reason::DependsElsewhere { change, queue, is_queued });
        }
        let other = self.index.gate_of.get(&change).and_then(|id| self.state.items.get(id));
        let is_ahead = other.is_some_and(|other| {
            stay.is_none_or(|item| {
                other.queue == item.queue && (other.id == item.id || other.rank < item.rank)
            })
        });
        (!is_ahead).then_some(Reason::Depends { change })
    }

    /// The end of a stay whose footers no longer hold.
    pub(super) fn departure_for(reason: Reason, own: ChangeNumber) -> Departure {
        match reason {
            Reason::Depends { change }
            | Reason::DependsElsewhere { change, .. }
            | Reason::DependsOnAbandoned { change } => {
                Departure::Dependency { change, culprit: Some(change) }
            }
            // Its author is told of the wait; nothing was judged.
            _ => Departure::Regrouped { change: own },
        }
    }

    /// Branches with changes that the item's changes name in their footers: inputs of its jobs. They stay so
    /// when these have landed, so that what was tested on them still counts. Of a circle over several
    /// repositories each part sees what it names of the others.
    pub(super) fn depends_of(&self, item: &Item) -> Vec<Pair> {
        let known = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let mut naming = known.filter(|change| !change.snapshot.needs.is_empty()).peekable();
        if naming.peek().is_none() {
            return Vec::new();
        }
        let targets = naming.flat_map(|change| self.named_by(&change.snapshot));
        let alive =
            targets.filter(|target| matches!(target.status, Some(ChangeStatus::Open | ChangeStatus::Merged)));
        alive.map(|target| target.pair).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The changes that the item depends on and that have not landed.
    pub(super) fn undecided_dependencies(&self, item: &Item) -> impl Iterator<Item = ChangeNumber> {
        let known = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let own = |number| item.changes.iter().any(|change| change.number == number);
        let open = known
            .flat_map(|change| self.named_by(&change.snapshot))
            .filter(move |target| target.status == Some(ChangeStatus::Open) && !own(target.number));
        open.map(|target| target.number)
    }

    /// A change that the item depends on and that is expected to leave.
    pub(super) fn failing_dependency(&self, item: &Item, ahead: &Ahead) -> Option<ChangeNumber> {
        if ahead.failing.is_empty() {
            return None;
        }
        let known = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let mut targets = known.flat_map(|change| self.named_by(&change.snapshot));
        let fails = |number: &ChangeNumber| {
            let other = self.index.gate_of.get(number);
            other.is_some_and(|id| *id != item.id && ahead.failing.contains(id))
        };
        targets.find(|target| fails(&target.number)).map(|target| target.number)
    }

    /// Ends a stay, and those of whatever depends on it.
    pub(super) fn end(&mut self, item: ItemId, departure: Departure) {
        let Some(known) = self.state.items.get(&item) else { return };
        let stays = matches!(
            departure,
            Departure::Landed { .. }
                | Departure::MergedElsewhere
                | Departure::Superseded
                | Departure::Checked { .. }
        );
        if stays || !known.pipeline.lands() {
            return self.end_alone(item, departure);
        }
        let named = match departure {
            Departure::Dependency { culprit, .. } => culprit,
            _ => None,
        };
        let mut gone = BTreeSet::from([item]);
        // Of several that leave as one, each is to blame for what rests on itself.
        let mut todo: Vec<(ItemChange, ChangeNumber)> =
            known.changes.iter().map(|own| (own.clone(), named.unwrap_or(own.number))).collect();
        let mut followers = Vec::new();
        while let Some((change, culprit)) = todo.pop() {
            let unrooted = self.unrooted(&change);
            let resting = self.resting_on(&change);
            let depending = self.depending_on(&change);
            for follower in depending.iter().chain(resting.keys()).copied() {
                let Some(known) = self.state.items.get(&follower) else { continue };
                let firmly = resting.get(&follower).is_some_and(|firmly| *firmly);
                // Where only its own difference lands, it needs no newer patch set below it.
                let is_free = matches!(unrooted, Some(Reason::ParentReplaced { .. }))
                    && !firmly
                    && !depending.contains(&follower);
                if is_free || known.stage.is_pushed() || !gone.insert(follower) {
                    continue;
                }
                todo.extend(known.changes.iter().map(|own| (own.clone(), culprit)));
                let follows = Departure::Dependency { change: change.number, culprit: Some(culprit) };
                let held = unrooted.as_ref().filter(|_| firmly);
                let held = held.map(|reason| Departure::Held { reason: reason.clone() });
                followers.push((follower, held.unwrap_or(follows)));
            }
        }
        self.end_alone(item, departure);
        for (follower, departure) in followers {
            self.end_alone(follower, departure);
        }
    }

    /// The items of the gate whose footers name a change.
    fn depending_on(&self, change: &ItemChange) -> Vec<ItemId> {
        let numbers = self.referrers(change.number, &change.change_id);
        numbers.iter().filter_map(|number| self.index.gate_of.get(number).copied()).collect()
    }

    /// Why what rests on a patch set that has left cannot land as it is, though that may come back.
    fn unrooted(&self, left: &ItemChange) -> Option<Reason> {
        let now = &self.state.changes.get(&left.number)?.snapshot;
        match now.status {
            ChangeStatus::Abandoned => Some(Reason::ParentAbandoned { change: left.number }),
            ChangeStatus::Open if now.pair() != left.pair && now.revision == left.revision => {
                Some(Reason::ParentElsewhere { change: left.number })
            }
            ChangeStatus::Open if now.pair() == left.pair && now.revision != left.revision => {
                Some(Reason::ParentReplaced { change: left.number })
            }
            _ => None,
        }
    }

    /// The items of the gate that rest on the patch set of a change, and whether that comes in with them.
    fn resting_on(&self, change: &ItemChange) -> BTreeMap<ItemId, bool> {
        let mut resting = BTreeMap::new();
        for child in self.index.children.get(&change.revision).into_iter().flatten() {
            let seen = self.state.changes.get(child).map(|child| &child.snapshot);
            let seen = seen.filter(|seen| {
                seen.pair() == change.pair
                    && !seen.form.is_some_and(|form| form.ignores_parents(seen.parents.len()))
            });
            if let Some((seen, item)) = seen.zip(self.index.gate_of.get(child)) {
                *resting.entry(*item).or_default() |= lands_with_parents(seen);
            }
        }
        resting
    }

    fn end_alone(&mut self, item: ItemId, departure: Departure) {
        let Some(known) = self.state.items.get(&item) else { return };
        let (pipeline, node) = (known.pipeline.clone(), known.node);
        let by = known.covered.and_then(|with| self.state.items.get(&with)).unwrap_or(known);
        let adopted = by.adopted.iter();
        let verdicts =
            adopted.map(|(key, adopted)| (adopted.job.clone(), *key, Some(adopted.build))).collect();
        self.act(Action::Decision(Decision::Ended { item, pipeline, departure, verdicts }));
        if let Some(node) = node {
            self.release(node);
        }
    }

    /// Notes what is not known of the footers of a change, to be looked up; where a footer names nothing,
    /// again after a while.
    pub(super) fn want_references(&mut self, number: ChangeNumber) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let pause_ms = self.state.policy.as_ref().map_or(0, |policy| policy.limits.retry_max_ms.max(1_000));
        let mut again = None;
        for reference in change.snapshot.needs.iter() {
            if matches!(reference, Reference::Wrong { .. }) {
                continue;
            }
            let seen = self.targets(reference);
            if seen.is_some_and(|targets| targets.iter().any(|target| target.status.is_some())) {
                continue;
            }
            let due = self.state.named.get(reference).map(|named| named.read_at.plus_ms(pause_ms));
            match due.filter(|due| *due > self.state.now) {
                Some(due) => again = again.max(Some(due)),
                None => {
                    self.index.wanted.insert(reference.clone());
                    self.index.dirty_references = true;
                }
            }
        }
        if let Some(due) = again {
            self.wake_at(due, Timer::Change(number));
        }
    }

    /// Looks references up: one request at a time, of many.
    pub(super) fn plan_references(&mut self) {
        let finds = |pending: &Pending| matches!(pending.effect.kind, EffectKind::FindReferences { .. });
        let asked = self.state.effects.values().any(finds);
        let paused = self.state.retries.get(LOOKUP).is_some_and(|retry| retry.at > self.state.now);
        if asked || paused || self.index.wanted.is_empty() {
            return;
        }
        let rest = match self.index.wanted.iter().nth(REFERENCES_MAX).cloned() {
            Some(next) => self.index.wanted.split_off(&next),
            None => BTreeSet::new(),
        };
        let references = std::mem::replace(&mut self.index.wanted, rest).into_iter().collect();
        self.ask(EffectKind::FindReferences { references });
    }

    /// Takes in what references name.
    pub(super) fn references_found(
        &mut self,
        effect: crate::model::EffectId,
        found: Vec<(Reference, Vec<Target>)>,
    ) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        self.state.retries.remove(LOOKUP);
        self.index.dirty_references = true;
        for (reference, targets) in found {
            self.index.wanted.remove(&reference);
            let Some(referrers) = self.index.referrers.get(&reference).cloned() else { continue };
            let named = self.state.named.entry(reference).or_default();
            named.read_at = self.state.now;
            for known in named.targets.iter_mut().filter(|known| known.status != Some(ChangeStatus::Merged)) {
                known.status = None;
            }
            targets.into_iter().for_each(|target| named.put(target));
            for referrer in referrers {
                self.index.touch_change(referrer);
                self.touch_checks_of(referrer);
                if let Some(item) = self.index.gate_of.get(&referrer).copied() {
                    self.touch_queue_of(item);
                }
            }
        }
    }

    /// A look-up has failed: what is still wanted is asked for again after a pause.
    pub(super) fn lookup_failed(&mut self, outcome: &Outcome) {
        self.observation_failed(LOOKUP.to_owned(), super::ended::reason_of(outcome));
    }
}
