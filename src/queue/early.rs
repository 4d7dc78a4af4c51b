//! What the first failure of an item means for its other builds, and the end of an item for what is
//! learnt from it.

use crate::model::policy::{Growth, QueuePolicy, StrategyPolicy};
use crate::model::tree::Resolved;
use crate::model::{Departure, ItemId, NodeId, Pipeline, QueueName};

use super::Queue;
use super::jobs::JobState;
use super::state::Item;
use super::strategy::zuul;

impl Queue {
    pub(super) fn queue_policy(&self, item: &Item) -> Option<&QueuePolicy> {
        let policy = self.state.policy.as_ref()?;
        policy.queue_named(item.queue.as_ref()?)
    }

    /// Whether the first failure ends the item's other builds.
    pub(super) fn fails_fast(&self, item: &Item) -> bool {
        self.queue_policy(item).is_none_or(|queue| queue.tuning.fail_fast)
    }

    /// Whether an item has failed and wants no more verdicts.
    pub(super) fn gives_up(&self, id: ItemId) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        item.pipeline.lands() && self.fails_fast(item) && self.standing(item).has_failed()
    }

    /// Whether builds of voting jobs are still to end.
    pub(super) fn is_unfinished(&self, item: &Item) -> bool {
        let ended = |state| {
            matches!(state, JobState::Passed | JobState::Failed | JobState::Errored | JobState::Skipped)
        };
        self.job_states(item).any(|(job, state)| job.voting && !ended(state))
    }

    /// The jobs of a node with the keys that count there: for the yardstick each node has its own.
    pub(super) fn keyed(&self, node: NodeId, outcome: Resolved) -> Resolved {
        let item = self.state.nodes.get(&node).and_then(|node| self.state.items.get(&node.item));
        let queue = item.and_then(|item| self.queue_policy(item));
        match outcome {
            Resolved::Jobs { mut jobs, reads, alters_job_files, noop, unneeded, post }
                if queue.is_some_and(|queue| queue.strategy == StrategyPolicy::Zuul) =>
            {
                jobs.iter_mut().for_each(|job| job.key = job.key.at_node(node));
                Resolved::Jobs { jobs, reads, alters_job_files, noop, unneeded, post }
            }
            outcome => outcome,
        }
    }

    /// Learns from the end of an item: how wide the window may be, and what its check has said.
    pub(super) fn note_end(&mut self, item: &Item, departure: &Departure) {
        if let (Departure::Checked { passed }, Pipeline::Check) = (departure, &item.pipeline) {
            for change in &item.changes {
                if let Some(known) = self.state.changes.get_mut(&change.number) {
                    known.check_failed = (!passed).then_some(change.revision);
                }
                self.index.news.extend(self.index.gate_of.get(&change.number));
            }
        }
        let Some(queue) = self.queue_policy(item) else { return };
        let (Some(name), Some(growth)) = (item.queue.clone(), growth(queue)) else { return };
        let window = self.state.windows.entry(name).or_insert(growth.start);
        match departure {
            Departure::Landed { .. } => *window = window.saturating_add(growth.by).min(growth.ceiling),
            Departure::Failed { .. } => *window = (*window / 2).max(growth.floor),
            _ => {}
        }
    }

    /// How many items `dependent` builds at once in the queue of this name now.
    pub(super) fn window(&self, name: &QueueName, queue: &QueuePolicy) -> Option<u32> {
        let growth = growth(queue)?;
        Some(self.state.windows.get(name).copied().unwrap_or(growth.start).min(growth.ceiling))
    }
}

fn growth(queue: &QueuePolicy) -> Option<Growth> {
    match queue.strategy {
        StrategyPolicy::Zuul => Some(zuul::WINDOW),
        StrategyPolicy::Dependent { .. } => queue.tuning.growth,
        _ => None,
    }
}
