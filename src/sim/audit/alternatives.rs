//! Alternatives to the likeliest path: whose they are, what they may use, and that nothing of them is left.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, Book, Checked, fault};
use crate::model::event::BuildPhase;
use crate::model::policy::StrategyPolicy;
use crate::model::{
    BuildId, Departure, Effect, EffectId, EffectKind, Event, ItemId, NodeId, Pipeline, QueueName, Timestamp,
    VerdictKey,
};

/// What is written down of alternatives, and of builds that run.
#[derive(Debug, Default)]
pub struct AlternativeBooks {
    /// The item of each, though it may have ended.
    pub(super) of: BTreeMap<ItemId, ItemId>,
    /// The same of items as they would be behind others that may go first.
    pub(super) overtakings: BTreeMap<ItemId, ItemId>,
    /// Their nodes that were not let go.
    nodes: BTreeSet<NodeId>,
    /// Builds that hold a slot and were not told to stop, with when they began.
    running: BTreeMap<BuildId, (VerdictKey, Timestamp)>,
    /// The builds that effects start.
    starts: BTreeMap<EffectId, BuildId>,
}

impl Audit {
    /// An item is built a second time: it and the one left out are undecided, in this order, and its queue
    /// allows it.
    pub(super) fn alternative_begun(&mut self, id: ItemId, of: ItemId, without: ItemId) -> Checked {
        self.alive(of, "an alternative")?;
        self.alive(without, "an alternative without it")?;
        let wrong =
            |what: &str| fault("alternatives", format!("item {of} is built without {without}, {what}"));
        if !self.ahead(of).contains(&without) {
            return wrong("which is not ahead of it");
        }
        let queue = self.items.get(&of).and_then(|book| book.queue.clone());
        if queue.is_none_or(|queue| self.alternative_slots(&queue) == 0) {
            return wrong("and its queue does not allow that");
        }
        let has_one = |(other, item): (&ItemId, &ItemId)| *item == of && self.is_undecided(*other);
        if self.alternatives.of.iter().any(has_one) {
            return wrong("though it has an alternative");
        }
        self.alternatives.of.insert(id, of);
        // What its item uses counts for it, too.
        let adopted = self.item(of)?.adopted.clone();
        let book = Book { adopted, ..Book::new(Pipeline::Gate, None, Vec::new()) };
        match self.items.insert(id, book) {
            Some(_) => fault("terminal states", format!("alternative {id} began twice")),
            None => Ok(()),
        }
    }

    pub(super) fn alternative_ended(&mut self, id: ItemId) -> Checked {
        self.alive(id, "an end")?;
        self.item(id)?.ended = Some(Departure::Superseded);
        Ok(())
    }

    /// The item of an alternative; an item itself.
    pub(super) fn item_of(&self, id: ItemId) -> ItemId {
        self.alternatives
            .of
            .get(&id)
            .or_else(|| self.alternatives.overtakings.get(&id))
            .copied()
            .unwrap_or(id)
    }

    /// What a build is bought for: the item at its node, or else its alternative.
    pub(super) fn stay_for(&self, item: ItemId, key: &VerdictKey) -> ItemId {
        let wants = |id: ItemId| {
            let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
            node.is_some_and(|node| node.jobs().iter().any(|job| job.key == *key))
        };
        let mut own = self.alternatives.of.iter().filter(|(_, of)| **of == item).map(|(id, _)| *id);
        let found = own.find(|id| self.is_undecided(*id) && wants(*id));
        found.filter(|_| !wants(item)).unwrap_or(item)
    }

    /// A build begins. What only alternatives of one queue need does not exceed their share.
    pub(super) fn build_begins(
        &mut self,
        now: Timestamp,
        build: BuildId,
        key: VerdictKey,
        stay: ItemId,
    ) -> Checked {
        self.alternatives.running.insert(build, (key, now));
        let Some(of) = self.alternatives.of.get(&stay) else { return Ok(()) };
        let Some(queue) = self.items.get(of).and_then(|book| book.queue.clone()) else { return Ok(()) };
        let used = self.alternatives.running.values().filter(|(key, _)| self.only_for(&queue, key)).count();
        let most = self.alternative_slots(&queue);
        if used > most {
            return fault(
                "alternatives",
                format!("build {build} is the {used}th that only alternatives in {queue} need, of {most}"),
            );
        }
        Ok(())
    }

    /// Whether a key is needed by alternatives in a queue and by nobody else.
    fn only_for(&self, queue: &QueueName, key: &VerdictKey) -> bool {
        let mut needing =
            self.items.iter().filter(|(_, book)| book.ended.is_none() && book.keys.contains(key));
        let is_own = |(id, _): (&ItemId, &Book)| {
            let of = self.alternatives.of.get(id).or_else(|| self.alternatives.overtakings.get(id));
            let of = of.and_then(|of| self.items.get(of));
            of.is_some_and(|of| of.queue.as_ref() == Some(queue))
        };
        needing.clone().next().is_some() && needing.all(is_own)
    }

    fn alternative_slots(&self, queue: &QueueName) -> usize {
        let Some(policy) = &self.policy else { return 0 };
        let Some(queue) = policy.queue_named(queue) else { return 0 };
        let has_them = matches!(queue.strategy, StrategyPolicy::Ranked | StrategyPolicy::Adaptive);
        let most = if has_them { policy.slots * queue.tuning.alternatives / 100 } else { 0 };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn is_undecided(&self, id: ItemId) -> bool {
        self.items.get(&id).is_some_and(|book| book.ended.is_none())
    }

    /// Follows which builds hold slots.
    pub(super) fn follow_builds(&mut self, event: &Event) {
        let books = &mut self.alternatives;
        match event {
            Event::BuildSeen { build, phase: BuildPhase::Finished { .. } } => {
                books.running.remove(build);
            }
            Event::BuildsListed { asked_at, known } => {
                books.running.retain(|id, (_, since)| *since >= *asked_at || known.contains(id));
            }
            Event::EffectEnded { effect, .. } => {
                books.starts.get(effect).and_then(|build| books.running.remove(build));
            }
            _ => {}
        }
    }

    /// Follows what begins and ends builds, and which nodes of alternatives there are.
    pub(super) fn follow_effect(&mut self, effect: &Effect) {
        let books = &mut self.alternatives;
        match &effect.kind {
            EffectKind::StartBuild { build, .. } => {
                books.starts.insert(effect.id, *build);
            }
            EffectKind::StopBuild { build } => {
                books.running.remove(build);
            }
            EffectKind::PrepareNode { node, .. } => {
                let item = self.nodes.get(node).map(|book| book.item);
                let is_apart = |item| books.of.contains_key(&item) || books.overtakings.contains_key(&item);
                if item.is_some_and(is_apart) {
                    books.nodes.insert(*node);
                }
            }
            EffectKind::ReleaseNode { node } => {
                books.nodes.remove(node);
            }
            _ => {}
        }
    }

    /// Once nothing moves, no alternative is left of what has ended, and no node.
    pub(super) fn check_no_alternative_is_left(&self) -> Checked {
        let mut own = self.alternatives.of.iter().chain(&self.alternatives.overtakings);
        if let Some((id, of)) = own.find(|(id, of)| self.is_undecided(**id) && !self.is_undecided(**of)) {
            return fault("alternatives", format!("alternative {id} is left of item {of}"));
        }
        let of = |node: &NodeId| self.nodes.get(node).map(|book| book.item);
        let is_left = |node: &&NodeId| of(node).is_none_or(|id| !self.is_undecided(id));
        match self.alternatives.nodes.iter().find(is_left) {
            Some(node) => fault("alternatives", format!("node {node} of an alternative was never let go")),
            None => Ok(()),
        }
    }
}
