//! Items that are judged as one: who may be, and by whom.

use super::{Audit, Checked, fault};
use crate::model::policy::StrategyPolicy;
use crate::model::tree::Resolved;
use crate::model::{ItemId, NodeId, ResolvedJob};

impl Audit {
    /// An item is to be judged by one behind it.
    pub(super) fn pooled(&mut self, id: ItemId, with: ItemId) -> Checked {
        let wrong = |what: &str| fault("pools", format!("item {id} is judged by item {with}, {what}"));
        let (Some(book), Some(judge)) = (self.items.get(&id), self.items.get(&with)) else {
            return wrong("and one of them does not exist");
        };
        let queue = self.policy.as_ref().and_then(|policy| policy.queue_named(book.queue.as_ref()?));
        let allowed = queue.is_some_and(|queue| {
            matches!(queue.strategy, StrategyPolicy::Batch | StrategyPolicy::Adaptive)
                && queue.tuning.batch_max > 1
        });
        if !allowed {
            return wrong("and its queue does not allow that");
        }
        let branch = |changes: &[crate::model::ItemChange]| match changes {
            [only] => Some(only.pair.clone()),
            _ => None,
        };
        if branch(&book.changes).is_none() || branch(&book.changes) != branch(&judge.changes) {
            return wrong("and they are not of one branch");
        }
        if !self.ahead(with).contains(&id) {
            return wrong("which is not behind it");
        }
        if let Some(book) = self.items.get_mut(&id) {
            book.pooled = Some(with);
        }
        Ok(())
    }

    /// Whether the item at `place` of a push is judged by a later one of the same push.
    pub(super) fn judge_of(&self, items: &[ItemId], place: usize) -> Option<ItemId> {
        let with = self.items.get(items.get(place)?)?.pooled?;
        items.get(place + 1..)?.contains(&with).then_some(with)
    }

    /// The item at `place` of a push is judged as one with others: it leaves the job file alone unless
    /// it is the first of them, and what judges it has all of its jobs.
    pub(super) fn check_pool(
        &self,
        items: &[ItemId],
        place: usize,
        jobs: &[ResolvedJob],
        alters: bool,
    ) -> Checked {
        let Some(id) = items.get(place) else { return Ok(()) };
        let before = place.checked_sub(1).and_then(|before| self.judge_of(items, before));
        if before.is_some() && alters {
            return fault("pools", format!("item {id} alters a job file and is not the first of its pool"));
        }
        let Some(with) = self.judge_of(items, place) else { return Ok(()) };
        let node = self.items.get(&with).and_then(|book| self.nodes.get(&book.node?));
        let lacking = jobs.iter().find(|job| {
            !node.is_some_and(|node| {
                node.jobs().iter().any(|other| other.name == job.name && other.home == job.home)
            })
        });
        match lacking {
            Some(job) => fault("pools", format!("item {with} judges item {id} without its job {}", job.name)),
            None => Ok(()),
        }
    }

    /// The jobs of a node with the keys that count there: the yardstick uses no verdict twice.
    pub(super) fn keyed(&self, node: NodeId, outcome: &Resolved) -> Resolved {
        let item = self.nodes.get(&node).and_then(|book| self.items.get(&book.item));
        let name = item.and_then(|item| item.queue.as_ref());
        let queue = self.policy.as_ref().and_then(|policy| policy.queue_named(name?));
        let mut outcome = outcome.clone();
        if let (Resolved::Jobs { jobs, .. }, Some(StrategyPolicy::Zuul)) =
            (&mut outcome, queue.map(|queue| queue.strategy))
        {
            jobs.iter_mut().for_each(|job| job.key = job.key.at_node(node));
        }
        outcome
    }
}
