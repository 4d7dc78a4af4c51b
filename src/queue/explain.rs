//! Why each item is not further on.

use crate::model::tree::{Prepared, Resolved};
use crate::model::{ChangeNumber, JobName, Pair, Reason};

use super::Queue;
use super::jobs::{JobState, Standing};
use super::state::{Item, Stage};
use super::strategy::Hold;

/// The most jobs that a reason names of those that are spared.
const NAMED_MAX: usize = 10;

impl Queue {
    /// The reason for an item's present wait.
    pub(super) fn reason(&self, item: &Item, ahead: Option<ChangeNumber>) -> Reason {
        match item.stage {
            Stage::Looking(_) | Stage::Looked(_) => return self.stopped(item).unwrap_or(Reason::Looking),
            Stage::Deploying(_) => return Reason::Landing,
            Stage::Landing(_) => {
                let own = self.state.landings.values().filter(|landing| landing.items.contains(&item.id));
                let unknown = own.filter_map(|landing| landing.unknown.as_ref()).next();
                return unknown
                    .map_or(Reason::Landing, |unknown| Reason::UnknownPush { until: unknown.until });
            }
            Stage::Queued => {}
        }
        let standing = self.standing(item);
        let expected = self.index.standing.get(&item.id);
        if expected == Some(&Standing::Bad)
            && let Some(change) = self.failing_below(item, standing)
        {
            return Reason::DependencyFails { change };
        }
        match standing {
            Standing::Unprepared => self.unprepared(item),
            Standing::Preparing => self.preparing(item),
            Standing::NoJob => self.no_job(item),
            Standing::Bad => self.unmergeable(item),
            Standing::Failed if ahead.is_none() && self.is_unfinished(item) => {
                Reason::Failed { jobs: self.failed_jobs(item) }
            }
            Standing::Failing | Standing::Failed => Reason::FailedAhead { jobs: self.failed_jobs(item) },
            Standing::Building => self.building(item, ahead),
            Standing::Passed => self.passed(item, ahead),
        }
    }

    /// What to say of an item whose node is not fit to be built.
    fn unmergeable(&self, item: &Item) -> Reason {
        let Some(node) = self.node_of(item) else { return Reason::Preparing };
        if let Some(Resolved::Broken { pair, why, .. }) = &node.resolved {
            let changes = self.ahead_in(item, pair);
            return Reason::JobFileAhead { pair: pair.clone(), why: why.clone(), changes };
        }
        let paused = item.prepare.as_ref().is_some_and(|retry| retry.at > self.state.now);
        let (pair, paths) = match (&node.bad, item.pairs().next()) {
            (Some(Prepared::Conflict { pair, paths }), _) => (pair, &paths[..]),
            (Some(Prepared::NoParent | Prepared::Failed { .. }), _) if paused => return self.preparing(item),
            // What is due and not done rests on something that is expected to leave.
            (Some(_), Some(pair)) => (pair, &[][..]),
            _ => return self.preparing(item),
        };
        let paths = paths.iter().take(NAMED_MAX).cloned().collect();
        Reason::ConflictAhead { pair: pair.clone(), paths, changes: self.ahead_in(item, pair) }
    }

    /// The undecided changes to a branch that an item was merged onto, in order.
    fn ahead_in(&self, item: &Item, pair: &Pair) -> Vec<ChangeNumber> {
        let contained = self.node_of(item).map_or(&[][..], |node| &node.contains);
        let items = contained.iter().filter_map(|id| self.state.items.get(id));
        let changes = items.flat_map(|item| &item.changes).filter(|change| change.pair == *pair);
        changes.map(|change| change.number).take(NAMED_MAX).collect()
    }

    /// A change in another item that the item rests or depends on and that is expected to leave.
    fn failing_below(&self, item: &Item, standing: Standing) -> Option<ChangeNumber> {
        let known = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let parents = known.flat_map(|change| self.open_parents(&change.snapshot));
        let others = |number: &ChangeNumber| self.index.gate_of.get(number).is_some_and(|id| *id != item.id);
        let below: Vec<ChangeNumber> =
            parents.chain(self.undecided_dependencies(item)).filter(others).collect();
        let fails = |number: &&ChangeNumber| {
            let other = self.index.gate_of.get(number);
            other.and_then(|id| self.index.standing.get(id)).is_some_and(|standing| standing.is_failing())
        };
        // What would bring in a foreign commit is expected to leave, too, and has nothing else against it.
        let unmade = matches!(standing, Standing::Unprepared | Standing::Preparing);
        below.iter().find(fails).or_else(|| below.first().filter(|_| unmade)).copied()
    }

    /// What to say of an item that no job judges at its node.
    pub(super) fn no_job(&self, item: &Item) -> Reason {
        no_job(self.unneeded_of(item).iter().map(|spared| spared.job.clone()).collect())
    }

    fn unprepared(&self, item: &Item) -> Reason {
        if let Some(retry) = &item.prepare {
            return Reason::PreparingAgain { why: retry.why.clone(), at: retry.at };
        }
        for pair in item.pairs() {
            match self.state.tips.get(pair) {
                None => return Reason::Tip { pair: pair.clone() },
                Some(tip) if tip.commit.is_none() => return Reason::NoBranch { pair: pair.clone() },
                Some(_) => {}
            }
        }
        self.beyond_window(item).unwrap_or(Reason::Preparing)
    }

    /// How many are built at once, where the item is behind those.
    pub(super) fn beyond_window(&self, item: &Item) -> Option<Reason> {
        match self.index.held.get(&item.id) {
            Some(Hold::Window(size)) => Some(Reason::Window { size: *size }),
            _ => None,
        }
    }

    fn preparing(&self, item: &Item) -> Reason {
        let failed = self.node_of(item).is_some_and(|node| {
            matches!(node.bad, Some(Prepared::Failed { .. }))
                || matches!(node.resolved, Some(Resolved::Failed { .. }))
        });
        match &item.prepare {
            Some(retry) if failed => Reason::PreparingAgain { why: retry.why.clone(), at: retry.at },
            _ => Reason::Preparing,
        }
    }

    fn building(&self, item: &Item, ahead: Option<ChangeNumber>) -> Reason {
        let mut running: Vec<JobName> = Vec::new();
        let mut waiting = 0_u32;
        let mut again = None;
        for (job, state) in self.job_states(item) {
            match state {
                JobState::Running(_) | JobState::Failing(_) => running.push(job.name.clone()),
                JobState::Wanted => waiting += 1,
                JobState::Paused(at) => again = item.lost.get(&job.key).map(|retry| (retry.why.clone(), at)),
                // What needs others waits for what they wait for.
                JobState::Blocked | JobState::Skipped => {}
                JobState::Passed | JobState::Failed | JobState::Errored => {}
            }
        }
        if !running.is_empty() {
            return Reason::Building { jobs: running };
        }
        match (self.index.held.get(&item.id), ahead) {
            (Some(Hold::Share { of, most }), _) => return Reason::Share { of: of.clone(), most: *most },
            (Some(Hold::Turn | Hold::Leaving), Some(change)) => return Reason::Turn { change },
            (Some(Hold::Pooled(with)), _) => {
                return self.first_change(*with).map_or(Reason::Preparing, |with| Reason::Pooled { with });
            }
            (Some(Hold::Doubt(by)), _) => {
                return self.first_change(*by).map_or(Reason::Preparing, |change| Reason::Doubt { change });
            }
            _ => {}
        }
        if let Some((why, at)) = again {
            return Reason::BuildAgain { why, at };
        }
        if let Some(why) = &self.state.unable {
            return Reason::Executor { why: why.clone() };
        }
        Reason::Slots { waiting, slots: self.state.policy.as_ref().map_or(0, |policy| policy.slots) }
    }

    /// What keeps an item from being built or landed for now, where that is no build that runs, nor one ahead of it.
    pub(super) fn hindrance_of(&self, item: &Item) -> Option<Reason> {
        let stopped = self.stopped(item).or_else(|| self.beyond_window(item));
        let told = |reason: &Reason| match reason {
            Reason::ConflictAhead { changes, .. } => !changes.is_empty(),
            _ => matches!(
                reason,
                Reason::JobFileAhead { .. }
                    | Reason::Share { .. }
                    | Reason::Executor { .. }
                    | Reason::PreparingAgain { .. }
                    | Reason::BuildAgain { .. }
            ),
        };
        stopped.or_else(|| Some(self.reason(item, None)).filter(told))
    }

    /// The stop that an item is in.
    fn stopped(&self, item: &Item) -> Option<Reason> {
        self.pause_of(item).map(|(scope, pause)| Reason::Paused {
            scope: super::operator::scope_words(scope).into(),
            reason: pause.reason.clone(),
            by: pause.by.clone(),
        })
    }

    fn passed(&self, item: &Item, ahead: Option<ChangeNumber>) -> Reason {
        if let Some(stopped) = self.stopped(item) {
            return stopped;
        }
        if self.closure_is_asked(item.id) {
            return Reason::Observing;
        }
        if let Some(change) = ahead {
            let ahead = self.index.gate_of.get(&change).and_then(|id| self.state.items.get(id));
            let why = ahead.filter(|ahead| self.standing_now(ahead) == Standing::Passed);
            let why = why.and_then(|ahead| self.stopped(ahead)).map(Box::new);
            return Reason::Ahead { change, why };
        }
        // It was within a wider window before.
        self.beyond_window(item).unwrap_or_else(|| self.nearly_landed(item))
    }

    /// What is asked of the review host before an item's push, and whether that was asked in vain before.
    fn nearly_landed(&self, item: &Item) -> Reason {
        if self.has_voted(item.id) {
            let again = item.look.as_ref().filter(|retry| retry.at > self.state.now);
            return again.map_or(Reason::Looking, |retry| Reason::AskedAgain { why: retry.why.clone() });
        }
        let again = self.state.outgoing.iter().any(|outgoing| {
            let is_waiting = outgoing.effect.is_none() && outgoing.tries > 0;
            let is_its = outgoing.report.item == item.id && outgoing.report.vote.is_some();
            is_its && (is_waiting || outgoing.tries > 1)
        });
        if again { Reason::AskedAgain { why: "it has not taken the vote".into() } } else { Reason::Voting }
    }
}

/// Why a change waits that no job judges, if these are spared.
pub(super) fn no_job(mut spared: Vec<JobName>) -> Reason {
    spared.dedup();
    spared.truncate(NAMED_MAX);
    if spared.is_empty() { Reason::NoJob } else { Reason::NothingNeeded { jobs: spared } }
}
