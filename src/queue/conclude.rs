//! Who leaves: an item that failed leaves only where nothing undecided could change that.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::item::{JobOutcome, JobResult};
use crate::model::report::Says;
use crate::model::tree::{Prepared, Resolved};
use crate::model::{
    BuildId, ChangeNumber, Departure, EffectKind, ItemId, Pair, Pipeline, Reason, Repository,
};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::Predicted;
use super::jobs::{JobState, Standing};
use super::state::Item;

impl Queue {
    /// Whether what the item's node says is final: it agrees with the tips, and nothing undecided
    /// ahead meets the item. Elsewhere a failure is a prediction.
    pub(super) fn settled(&self, id: ItemId, ahead: &Ahead) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        let node = self.node_of(item);
        node.is_some_and(|node| self.agrees(node, &Predicted::default()))
            && !self.meets_one_of(item, &ahead.undecided)
    }

    /// Lets a failing item leave if that is settled, else tells its author of the first failure.
    pub(super) fn conclude_failure(&mut self, id: ItemId, standing: Standing, ahead: &Ahead) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        let complete = self.fails_fast(item) || !self.is_unfinished(item);
        if standing != Standing::Failing
            && complete
            && self.settled(id, ahead)
            && let Some(departure) = self.failure(item)
        {
            if matches!(departure, Departure::Unfit { .. }) && !self.read_again(id) {
                return false;
            }
            self.end(id, departure);
            return true;
        }
        if standing != Standing::Bad && !(complete && self.is_decided_soon(item)) {
            self.tell_first_failure(id);
        }
        false
    }

    /// Whether all that is undecided below an item has passed and is about to land: then its end, which says it all,
    /// comes at once.
    fn is_decided_soon(&self, item: &Item) -> bool {
        let contained = self.node_of(item).map_or(&[][..], |node| &node.contains);
        let mut below = contained.iter().filter_map(|id| self.state.items.get(id)).peekable();
        let lands = |other: &Item| {
            other.stage.is_pushed()
                || self.standing_now(other) == Standing::Passed && self.pause_of(other).is_none()
        };
        below.peek().is_some() && below.all(lands)
    }

    /// Reads the item's changes once more for its node; true when that is done. A branch may tell of
    /// somebody's landing before the change itself does.
    fn read_again(&mut self, id: ItemId) -> bool {
        let Some(item) = self.state.items.get(&id) else { return true };
        let (asked, changes) = (item.reread == item.node, item.changes.clone());
        let mut done = asked;
        for change in changes {
            let (change, repository) = (change.number, change.pair.repository.clone());
            if self.observes_change(change) {
                done = false;
            } else if !asked {
                self.observe_change(change, repository);
            }
        }
        done
    }

    /// Asks for one change, unless it was asked for in vain just now.
    fn observe_change(&mut self, change: ChangeNumber, repository: Repository) {
        let retry = self.state.retries.get(&change_name(change));
        if retry.is_none_or(|retry| retry.at <= self.state.now) {
            self.ask(EffectKind::ObserveChange { change, repository });
        }
    }

    /// Whether a change is being read.
    pub(super) fn observes_change(&self, number: ChangeNumber) -> bool {
        self.state.effects.values().any(|pending| {
            matches!(pending.effect.kind, EffectKind::ObserveChange { change, .. } if change == number)
        })
    }

    /// Why the item fails at its node.
    fn failure(&self, item: &Item) -> Option<Departure> {
        let node = self.node_of(item)?;
        match &node.bad {
            Some(Prepared::Conflict { pair, paths }) => {
                let with = self.landed_below(item, pair);
                return Some(Departure::Conflict { pair: pair.clone(), paths: paths.clone(), with });
            }
            Some(Prepared::Unfit { why }) => return Some(Departure::Unfit { why: why.clone() }),
            Some(Prepared::Held { reason }) => return Some(Departure::Held { reason: reason.clone() }),
            Some(_) => return None,
            None => {}
        }
        if let Some(Resolved::Broken { pair, why, own, .. }) = &node.resolved {
            let (pair, why) = (pair.clone(), why.clone());
            return Some(match own {
                true => Departure::BrokenJobFile { pair, why },
                // It waits until whoever broke the file, or the configuration that the file relies on, has mended it.
                false => Departure::Held { reason: Reason::JobFile { pair, why } },
            });
        }
        let jobs = self.failed_jobs(item);
        (!jobs.is_empty()).then_some(Departure::Failed { jobs })
    }

    /// The changes of a branch on top of which an item could not be merged while they were undecided, and that have
    /// landed since.
    fn landed_below(&self, item: &Item, pair: &Pair) -> Vec<ChangeNumber> {
        let ended = item.ran_into.iter().filter_map(|id| self.departed(*id));
        let landed = ended.filter(|entry| matches!(entry.departure, Departure::Landed { .. }));
        let own = landed.flat_map(|entry| &entry.changes).filter(|change| change.pair == *pair);
        own.map(|change| change.number).collect()
    }

    fn tell_first_failure(&mut self, id: ItemId) {
        let Some(item) = self.state.items.get(&id) else { return };
        if item.told_failure || item.told_passed || self.in_doubt(item) {
            return;
        }
        let Some(result) = self.first_failure(item) else { return };
        let on_top_of = self.on_top_of(item);
        self.speak_for(id, None, Some(Says::FirstFailure { failed: result, on_top_of }));
    }

    /// A result that says why the item fails. A job that runs for several repositories may have failed for
    /// one of them only, so its name alone does not tell which result that is.
    fn first_failure(&self, item: &Item) -> Option<JobResult> {
        let failed = self.failed_jobs(item);
        let failing = self.job_states(item).filter_map(|(_, state)| match state {
            JobState::Failing(build) => Some(build),
            _ => None,
        });
        let failing: BTreeSet<BuildId> = failing.collect();
        let mut results = self.job_results(item.id).into_iter();
        results.find_map(|mut result| {
            let counts = result.voting && failed.contains(&result.job);
            match result.result {
                JobOutcome::Failure | JobOutcome::Error => {}
                // Its build still runs, and is known to fail.
                JobOutcome::Running if result.build.is_some_and(|build| failing.contains(&build)) => {
                    result.result = JobOutcome::Failure;
                }
                _ => return None,
            }
            counts.then_some(result)
        })
    }

    /// Ends a check item once everything it has to say is known.
    pub(super) fn conclude_check(&mut self, id: ItemId, standing: Standing) {
        let Some(item) = self.state.items.get(&id) else { return };
        debug_assert!(!item.pipeline.lands());
        let departure = match standing {
            Standing::Passed => Departure::Checked { passed: true },
            Standing::Failed => Departure::Checked { passed: false },
            Standing::NoJob => Departure::Unfit { why: self.no_job_in_words(item) },
            Standing::Bad => match self.failure(item) {
                Some(departure) => departure,
                None => return,
            },
            Standing::Unprepared | Standing::Preparing | Standing::Building | Standing::Failing => return,
        };
        self.end(id, departure);
    }

    /// That nothing judges an item, in words.
    fn no_job_in_words(&self, item: &Item) -> Arc<str> {
        match (self.no_job(item), &item.pipeline) {
            (Reason::NoJob, Pipeline::OnDemand(name)) => {
                format!("no job is for it there; name {name} in the `pipelines` of one").into()
            }
            (reason, _) => reason.to_string().into(),
        }
    }

    /// Whether what fails in an item's queue keeps its approval.
    pub(super) fn keeps_approval(&self, item: &Item) -> bool {
        self.state.policy.as_ref().is_some_and(|policy| {
            let queue = item.queue.as_ref().and_then(|name| policy.queue_named(name));
            queue.is_some_and(|queue| queue.after_failure == crate::model::policy::AfterFailure::Keep)
        })
    }

    /// Whether the end of a gate item uses up its approval.
    pub(super) fn uses_up_approval(&self, item: &Item, departure: &Departure) -> bool {
        let keeps = self.keeps_approval(item);
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

/// The name of a change among what is tried again.
pub(super) fn change_name(number: ChangeNumber) -> String {
    format!("change {number}")
}
