//! Who leaves: an item that failed leaves only where nothing undecided could change that.

use crate::model::report::Says;
use crate::model::tree::{Prepared, Resolved};
use crate::model::{Departure, EffectKind, ItemId, Pipeline};

use super::Queue;
use super::footprint::Predicted;
use super::jobs::Standing;
use super::speculate::Ahead;
use super::state::Item;

impl Queue {
    /// Whether what the item's node says is final: it agrees with the tips, and nothing undecided
    /// ahead meets the item. Elsewhere a failure is a prediction.
    pub(super) fn settled(&self, id: ItemId, ahead: &Ahead) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        let node = self.node_of(item);
        node.is_some_and(|node| self.state.agrees(node, &Predicted::default()))
            && ahead.undecided.met_by(item, node, None).is_none()
    }

    /// Lets a failing item leave if that is settled, else tells its author of the first failure.
    pub(super) fn conclude_failure(&mut self, id: ItemId, standing: Standing, ahead: &Ahead) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        if standing != Standing::Failing
            && self.settled(id, ahead)
            && let Some(departure) = self.failure(item)
        {
            if matches!(departure, Departure::Unfit { .. }) && !self.is_reread(id) {
                return false;
            }
            self.end(id, departure);
            return true;
        }
        if standing != Standing::Bad {
            self.tell_first_failure(id);
        }
        false
    }

    /// Whether the item's changes were read since its node turned out to be unfit; asks for it where not.
    /// A branch may tell of somebody's landing before the change itself does.
    fn is_reread(&mut self, id: ItemId) -> bool {
        let Some(item) = self.state.items.get(&id) else { return true };
        let changes = item.changes.clone();
        if item.reread != item.node {
            for change in changes {
                let (number, repository) = (change.number, change.pair.repository.clone());
                self.ask(EffectKind::ObserveChange { change: number, repository });
            }
            return false;
        }
        !self.state.effects.values().any(|pending| {
            let EffectKind::ObserveChange { change, .. } = &pending.effect.kind else { return false };
            changes.iter().any(|own| own.number == *change)
        })
    }

    /// Why the item fails at its node.
    fn failure(&self, item: &Item) -> Option<Departure> {
        let node = self.node_of(item)?;
        match &node.bad {
            Some(Prepared::Conflict { pair, paths }) => {
                return Some(Departure::Conflict { pair: pair.clone(), paths: paths.clone() });
            }
            Some(Prepared::Unfit { why }) => return Some(Departure::Unfit { why: why.clone() }),
            Some(Prepared::Held { reason }) => return Some(Departure::Held { reason: reason.clone() }),
            Some(_) => return None,
            None => {}
        }
        if let Some(Resolved::Broken { pair, why, .. }) = &node.resolved {
            return Some(Departure::BrokenJobFile { pair: pair.clone(), why: why.clone() });
        }
        let jobs = self.failed_jobs(item);
        (!jobs.is_empty()).then_some(Departure::Failed { jobs })
    }

    fn tell_first_failure(&mut self, id: ItemId) {
        let Some(item) = self.state.items.get(&id) else { return };
        if item.told_failure || item.told_passed {
            return;
        }
        let failed = self.failed_jobs(item);
        let results = self.job_results(id);
        let Some(result) = results.into_iter().find(|result| result.voting && failed.contains(&result.job))
        else {
            return;
        };
        let on_top_of = self.on_top_of(item);
        self.speak_for(id, None, Some(Says::FirstFailure { failed: result, on_top_of }));
    }

    /// Ends a check item once everything it has to say is known.
    pub(super) fn conclude_check(&mut self, id: ItemId, standing: Standing) {
        let Some(item) = self.state.items.get(&id) else { return };
        debug_assert!(item.pipeline == Pipeline::Check);
        let departure = match standing {
            Standing::Passed => Departure::Checked { passed: true },
            Standing::Failed => Departure::Checked { passed: false },
            Standing::NoJob => Departure::Unfit { why: crate::model::Reason::NoJob.to_string().into() },
            Standing::Bad => match self.failure(item) {
                Some(departure) => departure,
                None => return,
            },
            Standing::Unprepared | Standing::Preparing | Standing::Building | Standing::Failing => return,
        };
        self.end(id, departure);
    }

    /// Whether the end of a gate item uses up its approval.
    pub(super) fn uses_up_approval(&self, item: &Item, departure: &Departure) -> bool {
        let keeps = self.state.policy.as_ref().is_some_and(|policy| {
            let queue = policy.queues.iter().find(|queue| Some(&queue.name) == item.queue.as_ref());
            queue.is_some_and(|queue| queue.after_failure == crate::model::policy::AfterFailure::Keep)
        });
        match departure {
            Departure::Failed { .. }
            | Departure::Conflict { .. }
            | Departure::BrokenJobFile { .. }
            | Departure::Closure { .. }
            | Departure::Requirement { .. }
            | Departure::Refused { .. } => !keeps,
            Departure::Unfit { .. } => self.node_of(item).is_some_and(|node| node.bad.is_some()),
            Departure::Dequeued { .. } => true,
            _ => false,
        }
    }
}
