//! What the audit writes down of items, nodes and pushes.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::action::{Merge, Onto, Push};
use crate::model::policy::Limits;
use crate::model::tree::{Prepared, Read, Resolved, Written};
use crate::model::{
    Class, Departure, ItemChange, ItemId, NodeId, Pair, Pipeline, QueueName, ResolvedJob, Sha, Timestamp,
    VerdictKey,
};

/// An item.
#[derive(Clone, Debug)]
pub struct Book {
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// Its queue.
    pub queue: Option<QueueName>,
    /// What it consists of.
    pub changes: Vec<ItemChange>,
    /// The node at which it is judged.
    pub node: Option<NodeId>,
    /// Keys of its jobs, as they were last found.
    pub keys: BTreeSet<VerdictKey>,
    /// Verdicts in use: whether they are passes.
    pub adopted: BTreeMap<VerdictKey, bool>,
    /// When it entered.
    pub entered_at: Timestamp,
    /// The item behind it by which it is judged.
    pub pooled: Option<ItemId>,
    /// Its class in its queue.
    pub class: Class,
    /// Its owner's turn there.
    pub round: u64,
    /// How many of a class before its own have gone past it.
    pub overtaken: u32,
    /// Builds that it has caused.
    pub bought: u32,
    /// What of it has landed without the rest.
    pub landed: Vec<ItemChange>,
    /// How it ended.
    pub ended: Option<Departure>,
}

impl Book {
    /// An item that has just entered.
    pub fn new(pipeline: Pipeline, queue: Option<QueueName>, changes: Vec<ItemChange>) -> Self {
        Self {
            pipeline,
            queue,
            changes,
            node: None,
            keys: BTreeSet::new(),
            adopted: BTreeMap::new(),
            entered_at: Timestamp::default(),
            pooled: None,
            class: Class::Normal,
            round: 0,
            overtaken: 0,
            bought: 0,
            landed: Vec::new(),
            ended: None,
        }
    }
}

/// A node.
#[derive(Clone, Debug)]
pub struct NodeBook {
    /// Whose it is.
    pub item: ItemId,
    /// Nodes that it is merged onto.
    pub onto: Vec<NodeId>,
    /// Nodes that give it its other branches. What those in turn had beside them is of no concern.
    pub beside: Vec<(Pair, NodeId)>,
    /// What it was given for the tips of branches outside of its queue.
    pub pins: Vec<(Pair, Option<Sha>)>,
    /// Branches of what its item depends on: these are never pinned.
    pub depends: Vec<Pair>,
    /// What it writes, once merged.
    pub writes: Option<Vec<Written>>,
    /// Its jobs, once found.
    pub resolved: Option<Resolved>,
    /// Why it could not be made.
    pub bad: Option<Prepared>,
}

impl NodeBook {
    /// A node that was asked for.
    pub fn new(item: ItemId) -> Self {
        let (onto, beside, pins, depends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { item, onto, beside, pins, depends, writes: None, resolved: None, bad: None }
    }

    /// Writes down what it rests on.
    pub fn rests_on(&mut self, merges: &[Merge], overlay: &[(Pair, NodeId)]) {
        let onto = merges.iter().filter_map(|merge| match merge.onto {
            Onto::Node(node) => Some(node),
            Onto::Commit(_) => None,
        });
        self.onto = onto.collect();
        self.beside = overlay.to_vec();
    }

    /// Its jobs; empty while they are not known.
    pub fn jobs(&self) -> &[ResolvedJob] {
        match &self.resolved {
            Some(Resolved::Jobs { jobs, .. }) => jobs,
            _ => &[],
        }
    }

    /// What was read to find them.
    pub fn reads(&self) -> &[Read] {
        match &self.resolved {
            Some(Resolved::Jobs { reads, .. } | Resolved::Broken { reads, .. }) => reads,
            _ => &[],
        }
    }

    /// The commit that it writes in a branch.
    pub fn written(&self, pair: &Pair) -> Option<Sha> {
        self.writes.as_ref()?.iter().find(|written| written.pair == *pair).map(|written| written.commit)
    }
}

/// A push under way.
#[derive(Clone, Debug)]
pub struct LandingBook {
    /// The push.
    pub push: Push,
    /// Its items that are not decided.
    pub items: Vec<ItemId>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// It is known to have landed.
    pub applied: bool,
    /// Its outcome is unknown, and it may land until then.
    pub unknown_until: Option<Timestamp>,
}

impl LandingBook {
    /// From when on it can no longer land: after the settle time, counted from when its outcome
    /// became unknown, or from when an answer was given up.
    pub fn settles_at(&self, limits: &Limits) -> Timestamp {
        let silent = self.asked_at.plus_ms(limits.effect_ms + limits.settle_ms);
        self.unknown_until.map_or(silent, |until| until.min(silent))
    }
}
