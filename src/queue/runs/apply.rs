//! What decisions about runs change in the state.

use std::collections::BTreeSet;

use super::super::Queue;
use super::super::state::Item;
use super::{Hunt, JobAt, Run};
use crate::model::action::Decision;
use crate::model::item::JobResult;
use crate::model::report::{Report, Says};
use crate::model::run::{Blame, Move, Probe, RunOutcome};
use crate::model::view::RunView;
use crate::model::{ItemChange, ItemId, Pair, Pipeline, Sha};

/// Jobs at branches whose last verdict is remembered.
const VERDICTS_MAX: usize = 5_000;
/// Branches of pipelines whose last run is remembered.
const ENDED_MAX: usize = 2_000;

impl Queue {
    /// Applies a decision about runs; any other is none of its concern.
    pub(in crate::queue) fn apply_run(&mut self, decision: &Decision) {
        match decision {
            Decision::RunBegun { run, pipeline, tips, probe } => {
                self.run_begun(*run, pipeline, tips, probe.as_ref());
            }
            Decision::RunEnded { run, pair, outcome, .. } => self.run_ended(*run, pair, outcome),
            Decision::Suspected { run, job, home, tips, moves, sure } => {
                let Some(stay) = self.state.stay(*run) else { return };
                let key = (stay.pipeline.clone(), job.clone(), home.clone());
                let results = self.job_results(*run);
                let shown = results.into_iter().find(|shown| shown.job == *job && shown.home == *home);
                if let Some(shown) = shown {
                    let since = stay.entered_at;
                    self.suspect(key, *run, since, (tips, moves, *sure), shown);
                }
            }
            Decision::Dropped { pipeline, job, home } => {
                let hunt = self.state.runs.hunts.remove(&(pipeline.clone(), job.clone(), home.clone()));
                self.index.dirty_items.extend(hunt.and_then(|hunt| hunt.probe));
                self.index.dirty_runs = true;
            }
            Decision::Blamed { run } => self.blamed(*run),
            _ => {}
        }
    }

    fn run_begun(&mut self, id: ItemId, pipeline: &Pipeline, tips: &[(Pair, Sha)], probe: Option<&Probe>) {
        self.state.last_item = self.state.last_item.max(id.0);
        self.state.last_rank += 1;
        let (now, rank) = (self.state.now, self.state.last_rank);
        let mut stay = Item::new(id, pipeline.clone(), None, &[], (now, rank));
        let runs = &mut self.state.runs;
        match (probe, tips.first()) {
            (Some(probe), _) => {
                let key = (pipeline.clone(), probe.job.clone(), probe.home.clone());
                if let Some(hunt) = runs.hunts.get_mut(&key) {
                    stay.entered_at = hunt.since;
                    hunt.probe = Some(id);
                }
            }
            (None, Some((pair, _))) => {
                runs.owed.remove(&(pipeline.clone(), pair.clone()));
            }
            (None, None) => {}
        }
        runs.under_way.insert(id, Run { stay, tips: tips.to_vec(), probe: probe.cloned() });
        self.index.dirty_items.insert(id);
    }

    fn run_ended(&mut self, id: ItemId, pair: &Pair, outcome: &RunOutcome) {
        let (jobs, verdicts) = (self.job_results(id), self.verdicts_of(id));
        let Some(run) = self.state.runs.under_way.remove(&id) else { return };
        self.index.remove_item(&run.stay);
        self.index.dirty_runs = true;
        self.index.dirty_builds = true;
        if let (Some(job), Some(probe)) = (run.job(), &run.probe) {
            return self.probed(&job, id, probe.after, outcome, jobs);
        }
        let pipeline = run.stay.pipeline.clone();
        for (job, home, mut verdict) in verdicts {
            let key = (pipeline.clone(), job, home);
            let before = self.state.runs.verdicts.get(&key);
            verdict.blame = before.filter(|_| !verdict.passed).and_then(|before| before.blame.clone());
            self.state.runs.verdicts.insert(key, verdict);
        }
        while self.state.runs.verdicts.len() > VERDICTS_MAX {
            self.state.runs.verdicts.pop_first();
        }
        self.remember_end(run, pair, outcome, jobs);
    }

    fn remember_end(&mut self, run: Run, pair: &Pair, outcome: &RunOutcome, jobs: Vec<JobResult>) {
        let key = (run.stay.pipeline.clone(), pair.clone());
        let runs = &mut self.state.runs;
        match outcome {
            RunOutcome::Superseded => {
                runs.owed.insert(key);
                return;
            }
            RunOutcome::NoJob => {
                runs.ended.remove(&key);
                return;
            }
            _ => {}
        }
        let commit = run.tips.first().map(|(_, commit)| *commit).unwrap_or_default();
        let ended = RunView {
            run: run.stay.id,
            pipeline: run.stay.pipeline,
            pair: pair.clone(),
            commit,
            began_at: run.stay.entered_at,
            ended_at: Some(self.state.now),
            words: outcome.to_string(),
            outcome: Some(outcome.clone()),
            probes: None,
            jobs,
            blames: Vec::new(),
        };
        runs.ended.insert(key, ended);
        if runs.ended.len() > ENDED_MAX {
            let oldest =
                runs.ended.iter().min_by_key(|(_, ended)| ended.ended_at).map(|(key, _)| key.clone());
            oldest.and_then(|key| runs.ended.remove(&key));
        }
    }

    fn suspect(
        &mut self,
        key: JobAt,
        origin: ItemId,
        since: crate::model::Timestamp,
        (tips, moves, sure): (&[(Pair, Sha)], &[Move], bool),
        shown: JobResult,
    ) {
        let hunt = Hunt {
            origin,
            since,
            tips: tips.to_vec(),
            suspects: moves.iter().map(|moved| vec![moved.clone()]).collect(),
            sure,
            good: 0,
            bad: moves.len(),
            shown,
            unknown: None,
            probe: None,
        };
        self.state.runs.hunts.insert(key, hunt);
        self.index.dirty_runs = true;
    }

    /// What a look at the past says.
    fn probed(
        &mut self,
        job: &JobAt,
        run: ItemId,
        after: usize,
        outcome: &RunOutcome,
        mut jobs: Vec<JobResult>,
    ) {
        let Some(hunt) = self.state.runs.hunts.get_mut(job).filter(|hunt| hunt.probe == Some(run)) else {
            return;
        };
        hunt.probe = None;
        match outcome {
            RunOutcome::Passed => {
                hunt.sure = true;
                hunt.good = hunt.good.max(after);
            }
            RunOutcome::Failed { .. } if after == 0 => {
                let why = "it fails now where it passed before, so no change is to blame: the configuration, the executor, or what the job depends on beside its branches has changed";
                hunt.unknown = Some(why.into());
            }
            RunOutcome::Failed { .. } => {
                hunt.bad = hunt.bad.min(after);
                hunt.shown = jobs.pop().unwrap_or_else(|| hunt.shown.clone());
            }
            _ => hunt.skip(after),
        }
    }

    /// Notes since when jobs fail, and tells the changes that did it.
    fn blamed(&mut self, origin: ItemId) {
        let of_run = |(job, hunt): (&JobAt, &Hunt)| {
            (hunt.origin == origin).then(|| (job.clone(), hunt.blame(job), hunt.shown.clone()))
        };
        let found: Vec<(JobAt, Blame, JobResult)> = self.state.runs.hunts.iter().filter_map(of_run).collect();
        let mut told: Vec<(Move, ItemChange, Vec<JobResult>)> = Vec::new();
        let mut pipelines = BTreeSet::new();
        for (job, blame, shown) in found {
            self.state.runs.hunts.remove(&job);
            let reports = self.state.policy.as_ref().is_some_and(|policy| policy.pipelines.reports(&job.0));
            pipelines.insert(job.0.clone());
            if let (true, Some((moved, change))) = (reports, blame.change()) {
                match told.iter_mut().find(|(_, other, _)| other.number == change.number) {
                    Some((_, _, jobs)) => jobs.push(shown),
                    None => told.push((moved.clone(), change.clone(), vec![shown])),
                }
            }
            if let Some(known) = self.state.runs.verdicts.get_mut(&job) {
                known.blame = Some(blame);
            }
        }
        let Some(pipeline) = pipelines.pop_first() else { return };
        for (moved, change, jobs) in told {
            let says = Says::Culprit { jobs, pair: moved.pair, before: moved.before };
            let report = Report {
                change: change.number,
                repository: change.pair.repository,
                patchset: change.patchset,
                revision: change.revision,
                item: origin,
                pipeline: pipeline.clone(),
                queue: None,
                vote: None,
                says: Some(says),
                again_of: None,
            };
            self.say_later(report, false);
        }
    }
}
