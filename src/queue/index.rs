//! What is derived from the state for speed, and what planning still has to look at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::{
    BuildId, ChangeId, ChangeNumber, ChangeSnapshot, ChangeStatus, EffectId, ItemId, NodeId, Pair, Pipeline,
    PipelineName, QueueName, Reference, Sha, Timestamp, VerdictKey,
};

use super::Queue;
use super::ahead::Ahead;
use super::jobs::{Known, Standing};
use super::marks::Marks;
use super::memo::Memos;
use super::numbered::Numbered;
use super::order::Rounds;
use super::predict::Chances;
use super::print::Prints;
use super::state::{Item, Node, State, Tip};
use super::strategy::Hold;
use super::timer::Timer;

/// Derived maps and marks; rebuilt from the state at any time.
#[derive(Default)]
pub(crate) struct Index {
    pub gate_of: BTreeMap<ChangeNumber, ItemId>,
    pub check_of: BTreeMap<ChangeNumber, ItemId>,
    pub demand_of: BTreeMap<(ChangeNumber, PipelineName), ItemId>,
    /// Open changes by the commit of their current patch set.
    pub by_revision: BTreeMap<Sha, ChangeNumber>,
    /// Open changes by their parents' commits.
    pub children: BTreeMap<Sha, BTreeSet<ChangeNumber>>,
    pub by_change_id: BTreeMap<ChangeId, BTreeSet<ChangeNumber>>,
    /// Open changes by what their footers name.
    pub referrers: BTreeMap<Reference, BTreeSet<ChangeNumber>>,
    /// References that are to be looked up.
    pub wanted: BTreeSet<Reference>,
    /// Open changes by their topic.
    pub by_topic: BTreeMap<Arc<str>, BTreeSet<ChangeNumber>>,
    /// Who needs the verdict of a key.
    pub needs: BTreeMap<VerdictKey, BTreeSet<ItemId>>,
    /// The build that runs for a key.
    pub running: BTreeMap<VerdictKey, BuildId>,
    /// Builds that nobody needs now, by key, and the nodes for which they go on until those are known.
    pub spared: BTreeMap<VerdictKey, Vec<NodeId>>,
    /// Items with jobs that have no verdict and no build, by priority and rank.
    pub wanting: Marks<(u8, u64, ItemId)>,
    /// Items whose builds their strategy holds back.
    pub held: BTreeMap<ItemId, Hold>,
    /// The items of each queue that are too far back to be looked at, and how they are held.
    pub tails: BTreeMap<QueueName, (Hold, Vec<ItemId>)>,
    /// What the last pass over each queue has found.
    pub memos: BTreeMap<QueueName, Option<Box<Memos>>>,
    /// What the last pass has carried: only its room is of use.
    pub ahead: Option<Box<Ahead>>,
    /// Items of which something has changed since that pass.
    pub news: Marks<ItemId>,
    /// Which turns the items of each queue have.
    pub rounds: Rounds,
    /// What each node rests on, writes and reads.
    pub prints: Prints,
    /// How likely each job is to pass.
    pub chances: Chances,
    /// Nodes whose merge is under way.
    pub merging: Marks<NodeId>,
    /// Nodes that no item stands on.
    pub stale: Marks<NodeId>,
    /// How each item stands, as its jobs were last looked at.
    pub known: Numbered<ItemId, Known>,
    /// How each item stood when it was last looked at.
    pub standing: Numbered<ItemId, Standing>,
    pub timers: BTreeSet<(Timestamp, Timer)>,
    pub dirty_changes: VecDeque<ChangeNumber>,
    pub dirty_items: Marks<ItemId>,
    pub dirty_queues: Marks<QueueName>,
    pub dirty_landings: Marks<EffectId>,
    pub dirty_confirms: Marks<ChangeNumber>,
    pub dirty_keys: Marks<VerdictKey>,
    pub dirty_references: bool,
    pub dirty_runs: bool,
    pub dirty_builds: bool,
    pub dirty_expected: bool,
    pub dirty_reports: bool,
    pub dirty_alternatives: bool,
}

impl Index {
    /// The index of a state that was restored.
    pub fn of(state: &State) -> Self {
        let mut index = Self { chances: Chances::restored(state), ..Self::default() };
        for change in state.changes.values() {
            index.add_change(&change.snapshot);
        }
        for item in state.stays() {
            index.add_item(item);
        }
        state.items.values().for_each(|item| index.rounds.add(item));
        for node in state.nodes.values() {
            index.note_node(node, &state.tips);
            if node.merged.is_none() && node.bad.is_none() {
                index.merging.insert(node.id);
            }
            if state.stay(node.item).is_none_or(|item| item.node != Some(node.id)) {
                index.stale.insert(node.id);
            }
        }
        for (id, build) in state.builds.iter().filter(|(_, build)| !build.stopping) {
            index.running.insert(build.key, *id);
        }
        index.timers = Timer::all(state);
        index
    }

    /// Makes an open change findable.
    pub fn add_change(&mut self, snapshot: &ChangeSnapshot) {
        if snapshot.status != ChangeStatus::Open {
            return;
        }
        self.by_revision.insert(snapshot.revision, snapshot.number);
        for parent in &snapshot.parents {
            self.children.entry(*parent).or_default().insert(snapshot.number);
        }
        self.by_change_id.entry(snapshot.change_id.clone()).or_default().insert(snapshot.number);
        if let Some(topic) = &snapshot.topic {
            self.by_topic.entry(topic.clone()).or_default().insert(snapshot.number);
        }
        for reference in snapshot.needs.iter() {
            self.referrers.entry(reference.clone()).or_default().insert(snapshot.number);
        }
    }

    /// Undoes [`Index::add_change`].
    pub fn remove_change(&mut self, snapshot: &ChangeSnapshot) {
        if self.by_revision.get(&snapshot.revision) == Some(&snapshot.number) {
            self.by_revision.remove(&snapshot.revision);
        }
        for parent in &snapshot.parents {
            take(&mut self.children, parent, snapshot.number);
        }
        take(&mut self.by_change_id, &snapshot.change_id, snapshot.number);
        if let Some(topic) = &snapshot.topic {
            take(&mut self.by_topic, topic, snapshot.number);
        }
        for reference in snapshot.needs.iter() {
            take(&mut self.referrers, reference, snapshot.number);
        }
    }

    /// Makes an item findable.
    pub fn add_item(&mut self, item: &Item) {
        for change in &item.changes {
            let number = change.number;
            match &item.pipeline {
                Pipeline::Gate => self.gate_of.insert(number, item.id),
                Pipeline::Check => self.check_of.insert(number, item.id),
                Pipeline::OnDemand(name) => self.demand_of.insert((number, name.clone()), item.id),
                Pipeline::Post | Pipeline::Periodic(_) => None,
            };
        }
        for key in &item.keys {
            self.needs.entry(*key).or_default().insert(item.id);
        }
    }

    /// Undoes [`Index::add_item`]; its keys may have become useless.
    pub fn remove_item(&mut self, item: &Item) {
        for change in &item.changes {
            let number = change.number;
            match &item.pipeline {
                Pipeline::Gate => self.gate_of.remove(&number),
                Pipeline::Check => self.check_of.remove(&number),
                Pipeline::OnDemand(name) => self.demand_of.remove(&(number, name.clone())),
                Pipeline::Post | Pipeline::Periodic(_) => None,
            };
        }
        for key in &item.keys {
            self.forget_need(*key, item.id);
        }
        self.wanting.remove(&item.claim());
        self.held.remove(&item.id);
        self.standing.remove(&item.id);
        self.known.remove(&item.id);
        self.news.remove(&item.id);
        self.stale.extend(item.node);
    }

    /// Takes in a node as it is now.
    pub fn note_node(&mut self, node: &Node, tips: &BTreeMap<Pair, Tip>) {
        self.prints.note(node, tips, &mut self.chances);
    }

    /// A node is gone.
    pub fn forget_node(&mut self, node: NodeId) {
        self.prints.forget(node);
        self.merging.remove(&node);
        self.stale.remove(&node);
    }

    /// The items of on-demand pipelines that a change is in.
    pub fn demands_of(&self, number: ChangeNumber) -> impl Iterator<Item = ItemId> {
        let first = (number, PipelineName::new(""));
        let own = self.demand_of.range(first..).take_while(move |((other, _), _)| *other == number);
        own.map(|(_, item)| *item)
    }

    /// The items in which a change is judged without landing, or with.
    pub fn stays_of(&self, number: ChangeNumber) -> Vec<ItemId> {
        let others = [self.gate_of.get(&number), self.check_of.get(&number)];
        others.into_iter().flatten().copied().chain(self.demands_of(number)).collect()
    }

    /// The item no longer needs the key's verdict.
    pub fn forget_need(&mut self, key: VerdictKey, item: ItemId) {
        take(&mut self.needs, &key, item);
        self.dirty_keys.insert(key);
    }

    /// What the last pass over a queue has found, to be kept again by [`Index::keep_memos`].
    pub fn take_memos(&mut self, queue: &QueueName) -> Box<Memos> {
        self.memos.get_mut(queue).and_then(Option::take).unwrap_or_default()
    }

    /// Keeps what a pass over a queue has found.
    pub fn keep_memos(&mut self, queue: &QueueName, memos: Box<Memos>) {
        match self.memos.get_mut(queue) {
            Some(before) => *before = Some(memos),
            None => {
                self.memos.insert(queue.clone(), Some(memos));
            }
        }
    }

    /// The order of a queue is another one: what was added up of it says nothing any more.
    pub fn order_changed(&mut self, queue: &QueueName) {
        if let Some(memos) = self.memos.get_mut(queue).and_then(Option::as_mut) {
            memos.calm = None;
        }
        self.dirty_queues.insert(queue.clone());
    }

    /// Marks a change to be looked at, once.
    pub fn touch_change(&mut self, change: ChangeNumber) {
        if !self.dirty_changes.contains(&change) {
            self.dirty_changes.push_back(change);
        }
    }
}

fn take<K: Ord + Clone, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(&value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

impl Queue {
    /// Marks everything to be looked at.
    pub(super) fn mark_all(&mut self) {
        self.index.memos.clear();
        self.index.dirty_changes = self.state.changes.keys().copied().collect();
        self.index.dirty_items = self.state.stays().map(|stay| stay.id).collect();
        self.index.dirty_queues = self.state.queues.keys().cloned().collect();
        self.index.dirty_landings = self.state.landings.keys().copied().collect();
        self.index.dirty_confirms = self.state.confirms.keys().copied().collect();
        self.index.dirty_keys = self.index.running.keys().copied().collect();
        self.index.dirty_references = true;
        self.index.dirty_runs = true;
        self.index.dirty_builds = true;
        self.index.dirty_expected = true;
        self.index.dirty_reports = true;
        self.index.dirty_alternatives = true;
    }

    /// Marks the queue of an item to be planned again.
    pub(super) fn touch_queue_of(&mut self, item: ItemId) {
        if let Some(queue) = self.state.items.get(&item).and_then(|item| item.queue.clone()) {
            self.index.news.insert(item);
            self.index.dirty_queues.insert(queue);
        } else {
            self.index.dirty_items.insert(item);
        }
    }
}
