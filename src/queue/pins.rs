//! Outside inputs: branches that jobs of a queue read and that the queue does not gate.
//!
//! Where a queue says so they are pinned: all its items read one commit of such a branch, however the
//! branch moves, until the pin is as old as the queue allows or the queue is empty. For them "the tip"
//! means the pin wherever a node is held against the branches, also when it lands. The branches of changes
//! that an item depends on are never pinned for it: what it depends on must be there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::policy::OutsidePolicy;
use crate::model::tree::{Read, Unit};
use crate::model::{ItemId, NodeId, Pair, Policy, QueueName, Sha, Timestamp};

use super::Queue;
use super::state::{Node, State};
use super::timer::Timer;

/// The pins of a queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pins {
    #[serde(with = "super::pairs")]
    pub of: BTreeMap<Pair, Pin>,
}

/// A commit that counts for a branch's tip.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// `None` when there was no such branch.
    pub commit: Option<Sha>,
    /// Since when.
    pub at: Timestamp,
}

impl State {
    /// The commit that counts for the tip of `pair` in the queue of the node's item, if it is pinned there;
    /// within it `None` says that there is no such branch.
    pub fn pin_of(&self, node: &Node, pair: &Pair) -> Option<Option<Sha>> {
        if self.pins.is_empty() || node.depends.contains(pair) {
            return None;
        }
        let queue = self.stay(node.item)?.queue.as_ref()?;
        self.pins.get(queue)?.of.get(pair).map(|pin| pin.commit)
    }
}

/// Whether what a node has read agrees with the pin that counts now.
pub(super) fn agrees_with_pin(node: &Node, read: &Read, pin: Option<Sha>) -> bool {
    match &read.unit {
        Unit::Branch(_) => read.value == pin,
        // The file of a commit is the same for ever: the node has seen it where it has seen the commit.
        Unit::JobFile(pair) => {
            let given = node.pins.iter().any(|(pinned, commit)| pinned == pair && *commit == pin);
            let seen = |other: &Read| {
                matches!(&other.unit, Unit::Branch(branch) if branch == pair) && other.value == pin
            };
            given || node.reads().iter().any(seen)
        }
    }
}

/// For how long a queue pins what is outside of it, in milliseconds, if it does.
fn age_of(policy: &Policy, queue: &QueueName) -> Option<i64> {
    match policy.queue_named(queue)?.outside {
        OutsidePolicy::Pinned { age_ms } => Some(age_ms),
        OutsidePolicy::Strict => None,
    }
}

/// When the first of all pins is as old as its queue allows.
pub(super) fn oldest_pin(state: &State) -> Option<Timestamp> {
    let policy = state.policy.as_ref()?;
    let due = state.pins.iter().filter_map(|(queue, pins)| {
        let age_ms = age_of(policy, queue)?;
        pins.of.values().map(|pin| pin.at.plus_ms(age_ms)).min()
    });
    due.min()
}

fn is_outside(policy: &Policy, queue: &QueueName, pair: &Pair) -> bool {
    policy.queue_of(pair).is_none_or(|other| other.name != *queue)
}

impl Queue {
    /// The pins that a new node of the item is given.
    pub(super) fn pins_for(&self, id: ItemId, depends: &[Pair]) -> Vec<(Pair, Option<Sha>)> {
        let queue = self.state.items.get(&id).and_then(|item| item.queue.as_ref());
        let pins = queue.and_then(|queue| self.state.pins.get(queue));
        let given = pins.into_iter().flat_map(|pins| &pins.of).filter(|(pair, _)| !depends.contains(pair));
        given.map(|(pair, pin)| (pair.clone(), pin.commit)).collect()
    }

    /// Pins what a node was the first to read outside of its queue.
    pub(super) fn learn_pins(&mut self, node: NodeId) {
        let Some(policy) = &self.state.policy else { return };
        let Some(node) = self.state.nodes.get(&node) else { return };
        // What it was given is as old as the pin that it was given, though that one may be gone by now.
        let is_free = |pair: &Pair| {
            let written = node.onto.iter().any(|(written, _)| written == pair);
            let was_given = node.pins.iter().any(|(given, _)| given == pair);
            !written && !was_given && node.overlaid(pair).is_none() && !node.depends.contains(pair)
        };
        let mut free = node.reads().iter().filter_map(|read| match &read.unit {
            Unit::Branch(pair) if is_free(pair) => Some((pair, read.value)),
            _ => None,
        });
        let Some(first) = free.next() else { return };
        let queue = self.state.items.get(&node.item).and_then(|item| item.queue.clone());
        let Some(queue) = queue else { return };
        let Some(age_ms) = age_of(policy, &queue) else { return };
        let read = std::iter::once(first).chain(free).filter(|(pair, _)| is_outside(policy, &queue, pair));
        let read: Vec<(Pair, Option<Sha>)> = read.map(|(pair, value)| (pair.clone(), value)).collect();
        if read.is_empty() {
            return;
        }
        let at = self.state.now;
        let pins = self.state.pins.entry(queue).or_default();
        for (pair, commit) in read {
            pins.of.entry(pair).or_insert(Pin { commit, at });
        }
        self.wake_at(at.plus_ms(age_ms), Timer::Pins);
    }

    /// Renews pins that are as old as their queue allows: from now on they stand at the tips. One of a
    /// branch whose tip nobody tells goes, and the next node reads the branch anew.
    pub(super) fn renew_pins(&mut self) {
        let Some(policy) = self.state.policy.clone() else { return };
        let now = self.state.now;
        let mut renewed = Vec::new();
        for (queue, pins) in &mut self.state.pins {
            let Some(age_ms) = age_of(&policy, queue) else { continue };
            let tips = &self.state.tips;
            pins.of.retain(|pair, pin| {
                if now.since_ms(pin.at) < age_ms {
                    return true;
                }
                renewed.push(queue.clone());
                let Some(tip) = tips.get(pair) else { return false };
                *pin = Pin { commit: tip.commit, at: now };
                true
            });
        }
        self.index.dirty_queues.extend(renewed);
        if let Some(at) = oldest_pin(&self.state) {
            self.wake_at(at, Timer::Pins);
        }
    }

    /// Forgets the pins of a queue in which nothing is left.
    pub(super) fn forget_pins_of(&mut self, queue: &QueueName) {
        if self.state.queues.get(queue).is_none_or(|order| order.is_empty()) {
            self.state.pins.remove(queue);
        }
    }

    /// Under another configuration only those pins stay that it would make.
    pub(super) fn keep_pins(&mut self, policy: &Arc<Policy>) {
        self.state.pins.retain(|queue, pins| {
            pins.of.retain(|pair, _| is_outside(policy, queue, pair));
            age_of(policy, queue).is_some()
        });
    }
}
