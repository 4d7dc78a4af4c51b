//! Pins: all items of a queue see one commit of a branch outside of it, and none that is older than the queue
//! allows.

use std::collections::{BTreeMap, BTreeSet};

use super::worlds::is_outside;
use super::{Audit, Checked, fault};
use crate::model::policy::OutsidePolicy;
use crate::model::tree::Resolved;
use crate::model::{ItemId, NodeId, Pair, Policy, QueueName, Sha, Timestamp};

/// What a queue pins.
#[derive(Clone, Copy, Debug)]
struct Pin {
    /// The commit, or that there is no such branch; not known after a renewal, until a node is given it.
    commit: Option<Option<Sha>>,
    /// When a node was the first to read it, or when it was renewed.
    at: Timestamp,
}

/// What is written down of pins.
#[derive(Debug, Default)]
pub struct PinBooks {
    of: BTreeMap<(QueueName, Pair), Pin>,
    /// When a commit was last held for the tip of its branch, or read there.
    held: BTreeMap<(Pair, Option<Sha>), Timestamp>,
    /// Nodes that were let go.
    released: BTreeSet<NodeId>,
    /// Nodes that were given pins.
    pub given: u32,
}

/// How old pins of a queue may be, in milliseconds.
fn age_of(policy: &Policy, queue: &QueueName) -> Option<i64> {
    match policy.queue_named(queue)?.outside {
        OutsidePolicy::Pinned { age_ms } => Some(age_ms),
        OutsidePolicy::Strict => None,
    }
}

impl Audit {
    /// Time has gone on: what is as old as its queue allows is renewed.
    pub(super) fn pins_age(&mut self, now: Timestamp) {
        for pair in self.told.keys() {
            for commit in self.beliefs(pair) {
                self.pins.held.insert((pair.clone(), Some(commit)), now);
            }
        }
        // Until its own push is answered a branch stands for the daemon where it stood before.
        for landing in self.landings.values() {
            self.pins.held.insert((landing.push.pair.clone(), Some(landing.push.old)), now);
        }
        let Some(policy) = self.policy.clone() else { return };
        for ((queue, _), pin) in &mut self.pins.of {
            if age_of(&policy, queue).is_some_and(|age_ms| now.since_ms(pin.at) >= age_ms) {
                *pin = Pin { commit: None, at: now };
            }
        }
    }

    /// Under another configuration only those pins stay that it would make.
    pub(super) fn pins_configured(&mut self, policy: &Policy) {
        self.pins
            .of
            .retain(|(queue, pair), _| age_of(policy, queue).is_some() && is_outside(policy, queue, pair));
    }

    /// Nothing is pinned in a queue in which nothing is left.
    pub(super) fn pins_forgotten(&mut self, queue: &QueueName) {
        if self.order.get(queue).is_none_or(Vec::is_empty) {
            self.pins.of.retain(|(other, _), _| other != queue);
        }
    }

    /// A node was let go.
    pub(super) fn pins_released(&mut self, node: NodeId) {
        self.pins.released.insert(node);
    }

    /// A node tells what it has read: the first to read a branch pins it for its queue.
    pub(super) fn pins_read(&mut self, at: Timestamp, node: NodeId) {
        let found = self.nodes.get(&node).filter(|_| !self.pins.released.contains(&node));
        // What is broken is judged by nothing.
        let Some(book) = found.filter(|book| matches!(book.resolved, Some(Resolved::Jobs { .. }))) else {
            return;
        };
        let Some(item) = self.items.get(&book.item) else { return };
        let Some(queue) = item.queue.clone().filter(|_| item.ended.is_none()) else { return };
        let own: Vec<Pair> = book.pins.iter().map(|(pair, _)| pair.clone()).collect();
        let mut read = self.pinned(book.item, node, false);
        read.retain(|(pair, _)| !own.contains(pair));
        for (pair, commit) in read {
            self.pins.held.insert((pair.clone(), commit), at);
            self.pins.of.entry((queue.clone(), pair)).or_insert(Pin { commit: Some(commit), at });
        }
    }

    /// What a node is given is of branches outside of the queue, if that pins; it is all that is pinned, as it is.
    pub(super) fn check_pins(&mut self, at: Timestamp, node: NodeId) -> Checked {
        let Some(book) = self.nodes.get(&node).cloned() else { return Ok(()) };
        let queue = self.items.get(&self.item_of(book.item)).and_then(|item| item.queue.clone());
        let Some(queue) = queue else {
            return if book.pins.is_empty() {
                Ok(())
            } else {
                fault("pins", format!("node {node} is given pins"))
            };
        };
        let allowed = self.pinned(book.item, node, true);
        self.pins.given += u32::from(!book.pins.is_empty());
        for (pair, commit) in &book.pins {
            if !allowed.iter().any(|(other, _)| other == pair) {
                return fault("pins", format!("node {node} is given {commit:?} for {pair}"));
            }
            self.check_fresh(at, &queue, pair, *commit, &format!("node {node} is given"))?;
            match self.pins.of.get_mut(&(queue.clone(), pair.clone())) {
                Some(pin) => pin.commit = Some(*commit),
                None => {
                    return fault("pins", format!("node {node} is given {pair}, which nothing has pinned"));
                }
            }
        }
        let is_given = |pair: &Pair| book.pins.iter().any(|(given, _)| given == pair);
        let missing = |pair: &Pair| !is_given(pair) && !book.depends.contains(pair);
        let lost = self
            .pins
            .of
            .iter()
            .find(|((of, pair), pin)| *of == queue && missing(pair) && pin.commit.is_some());
        if let Some(((_, pair), _)) = lost {
            return fault("pins are inherited", format!("node {node} is not given {pair}, which is pinned"));
        }
        // A branch that nobody tells of is not renewed: the next node reads it anew.
        self.pins.of.retain(|(of, pair), _| *of != queue || !missing(pair));
        Ok(())
    }

    /// What is decided of an item is decided on pins that are in force.
    pub(super) fn check_pinned(&self, at: Timestamp, id: ItemId) -> Checked {
        let Some(book) = self.items.get(&id) else { return Ok(()) };
        let (Some(queue), Some(node)) = (&book.queue, book.node) else { return Ok(()) };
        for (pair, commit) in self.pinned(id, node, false) {
            self.check_fresh(at, queue, &pair, commit, &format!("item {id} is decided with"))?;
        }
        Ok(())
    }

    /// A commit is the one that is pinned, and was the tip at some time since the pin may have been made.
    fn check_fresh(
        &self,
        at: Timestamp,
        queue: &QueueName,
        pair: &Pair,
        commit: Option<Sha>,
        who: &str,
    ) -> Checked {
        let pin = self.pins.of.get(&(queue.clone(), pair.clone()));
        if let Some(Pin { commit: Some(pinned), .. }) = pin
            && *pinned != commit
        {
            return fault("pins are inherited", format!("{who} {commit:?} of {pair}, pinned is {pinned:?}"));
        }
        let age_ms = self.policy.as_ref().and_then(|policy| age_of(policy, queue)).unwrap_or_default();
        let held = self.pins.held.get(&(pair.clone(), commit));
        // A branch that never was is not there at any time.
        let is_tip = commit.map_or(!self.tips.contains_key(pair), |tip| self.beliefs(pair).contains(&tip));
        if !is_tip && held.is_none_or(|held| at.since_ms(*held) > age_ms) {
            return fault(
                "pins are renewed",
                format!("{who} {commit:?} of {pair}, the tip at {held:?} last"),
            );
        }
        Ok(())
    }
}
