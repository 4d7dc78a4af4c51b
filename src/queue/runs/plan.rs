//! What a run does next: it begins, gets a node, buys builds, and ends.

use super::super::jobs::{JobState, Standing};
use super::super::state::Node;
use super::super::{Note, Queue};
use super::landed::may_run;
use super::{Run, TipVerdict};
use crate::model::action::Decision;
use crate::model::run::RunOutcome;
use crate::model::tree::{Prepared, Resolved};
use crate::model::{Action, EffectKind, ItemId, JobName, NodeId, Pair, Pipeline, Sha};

/// Runs that are being prepared at once; the others begin one after another.
const PREPARED_AT_ONCE: usize = 4;

impl Queue {
    /// Begins what is due, and goes on with what looks for culprits.
    pub(in crate::queue) fn plan_runs(&mut self) {
        self.begin_runs();
        self.plan_hunts();
    }

    fn begin_runs(&mut self) {
        let is_preparing = |node: &Node| node.bad.is_none() && node.resolved.is_none();
        let runs = self.state.runs.under_way.values();
        let preparing = runs.filter(|run| self.node_of(&run.stay).is_none_or(is_preparing)).count();
        let owed: Vec<(Pipeline, Pair, Sha)> = self
            .state
            .runs
            .owed
            .iter()
            .filter(|(pipeline, pair)| !self.runs_at(pipeline, pair))
            .filter_map(|(pipeline, pair)| {
                let commit = self.state.tips.get(pair)?.commit?;
                Some((pipeline.clone(), pair.clone(), commit))
            })
            .take(PREPARED_AT_ONCE.saturating_sub(preparing))
            .collect();
        for (pipeline, pair, commit) in owed {
            self.begin_run(pipeline, vec![(pair, commit)], None);
        }
    }

    pub(super) fn begin_run(
        &mut self,
        pipeline: Pipeline,
        tips: Vec<(Pair, Sha)>,
        probe: Option<crate::model::run::Probe>,
    ) {
        let run = ItemId(self.state.last_item + 1);
        self.act(Action::Decision(Decision::RunBegun { run, pipeline, tips, probe }));
    }

    /// Plans one run.
    pub(in crate::queue) fn plan_run(&mut self, id: ItemId) {
        if let Some(outcome) = self.reason_to_stop(id) {
            return self.end_run(id, outcome);
        }
        let Some(run) = self.state.runs.under_way.get(&id) else { return };
        let node = self.node_of(&run.stay);
        let is_old = |node: &Node| node.policy_epoch != self.state.policy_epoch || self.must_repeat(node);
        if node.is_none_or(is_old) {
            if run.stay.prepare.as_ref().is_none_or(|retry| retry.at <= self.state.now) {
                self.make_run_node(id);
            }
            return;
        }
        self.adopt_known(id);
        let Some(stay) = self.state.stay(id) else { return };
        let wants = self.job_states(stay).any(|(_, state)| state == JobState::Wanted);
        let claim = stay.claim();
        self.claim_slots(claim, wants);
        if let Some(outcome) = self.outcome_of(id) {
            self.end_run(id, outcome);
        }
    }

    fn make_run_node(&mut self, id: ItemId) {
        let Some(run) = self.state.runs.under_way.get(&id) else { return };
        let (pipeline, tips, old) = (run.stay.pipeline.clone(), run.tips.clone(), run.stay.node);
        let node = NodeId(self.state.last_node + 1);
        self.act(Action::Decision(Decision::Based { item: id, node }));
        let (merges, overlay, depends, pins) = Default::default();
        let date = self.state.now;
        self.ask(EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins });
        if let Some(old) = old {
            self.release(old);
        }
    }

    /// What ends a run whatever its builds say.
    fn reason_to_stop(&self, id: ItemId) -> Option<RunOutcome> {
        let run = self.state.runs.under_way.get(&id)?;
        let policy = self.state.policy.as_ref()?;
        let (pair, commit) = run.tips.first()?;
        let stopped = |why: &str| Some(RunOutcome::Stopped { why: why.into() });
        let tip = self.state.tips.get(pair).and_then(|tip| tip.commit);
        if tip.is_none() {
            return stopped("the branch is no more");
        }
        match &run.stay.pipeline {
            Pipeline::Periodic(name) if policy.pipelines.periodic(name).is_none() => {
                return stopped("the configuration has no such pipeline any more");
            }
            pipeline if !may_run(policy, pipeline, pair) => {
                return stopped("the configuration has no job there any more");
            }
            _ => {}
        }
        let failures = run.stay.prepare.as_ref().map_or(0, |retry| retry.count);
        match run.job() {
            Some(job) if !self.state.runs.hunts.contains_key(&job) => stopped("it is no longer needed"),
            Some(_) if failures >= policy.limits.infrastructure_attempts => {
                stopped("the commits could not be prepared")
            }
            None if failures > 0 && tip != Some(*commit) => Some(RunOutcome::Superseded),
            _ => None,
        }
    }

    /// How a run ends, if nothing is missing any more.
    fn outcome_of(&self, id: ItemId) -> Option<RunOutcome> {
        let run = self.state.runs.under_way.get(&id)?;
        let node = self.node_of(&run.stay)?;
        match (&node.bad, &node.resolved) {
            (Some(Prepared::Unfit { why }), _) => return Some(RunOutcome::Stopped { why: why.clone() }),
            (_, Some(Resolved::Broken { why, .. })) => {
                return Some(RunOutcome::BrokenJobFile { why: why.clone() });
            }
            (None, Some(Resolved::Jobs { jobs, .. })) if jobs.is_empty() => return Some(RunOutcome::NoJob),
            _ => {}
        }
        match self.standing(&run.stay) {
            Standing::Passed if run.probe.is_none() => Some(RunOutcome::Passed),
            Standing::Passed | Standing::Failed => Some(self.verdict_of(run)),
            _ => None,
        }
    }

    /// What the verdicts of a run come to. Of what looks for a culprit each job counts.
    fn verdict_of(&self, run: &Run) -> RunOutcome {
        let jobs = self.job_states(&run.stay).filter(|(job, _)| job.voting || run.probe.is_some());
        let states: Vec<(JobName, JobState)> = jobs.map(|(job, state)| (job.name.clone(), state)).collect();
        let of = |wanted: JobState| -> Vec<JobName> {
            states.iter().filter(|(_, state)| *state == wanted).map(|(name, _)| name.clone()).collect()
        };
        let (failed, lost) = (of(JobState::Failed), of(JobState::Errored));
        match (failed.is_empty(), lost.is_empty()) {
            (false, _) => RunOutcome::Failed { jobs: failed },
            (true, false) => RunOutcome::NoVerdict { jobs: lost },
            (true, true) => RunOutcome::Passed,
        }
    }

    fn end_run(&mut self, id: ItemId, outcome: RunOutcome) {
        let Some(run) = self.state.runs.under_way.get(&id) else { return };
        let (pipeline, node) = (run.stay.pipeline.clone(), run.stay.node);
        let Some((pair, commit)) = run.tips.first().cloned() else { return };
        let suspected = if run.probe.is_none() { self.suspicions(id) } else { Vec::new() };
        if run.probe.is_none() {
            self.say_end(id, &pipeline, &pair, commit, &outcome, !suspected.is_empty());
        }
        for suspicion in suspected {
            self.act(Action::Decision(suspicion));
        }
        self.act(Action::Decision(Decision::RunEnded { run: id, pipeline, pair, outcome }));
        if let Some(node) = node {
            self.release(node);
        }
    }

    /// Says in the log that a run has not passed, and what to do.
    fn say_end(
        &mut self,
        id: ItemId,
        pipeline: &Pipeline,
        pair: &Pair,
        commit: Sha,
        outcome: &RunOutcome,
        searches: bool,
    ) {
        let builds = self.job_results(id).into_iter().filter(|job| job.voting);
        let failed = builds.filter(|job| job.result == crate::model::item::JobOutcome::Failure);
        let builds: Vec<String> = failed.filter_map(|job| Some(job.build?.to_string())).collect();
        let next = match outcome {
            RunOutcome::Failed { .. } if searches => {
                "look at the log; since when it fails is being found out".to_owned()
            }
            RunOutcome::Failed { .. } => "look at the log, and repair or revert what broke it".to_owned(),
            RunOutcome::NoVerdict { .. } => {
                "see that builds can run; the next run judges the branch again".to_owned()
            }
            RunOutcome::BrokenJobFile { .. } => "repair the job file".to_owned(),
            RunOutcome::Stopped { .. } => "there is nothing to do".to_owned(),
            RunOutcome::Passed | RunOutcome::NoJob | RunOutcome::Superseded => return,
        };
        let of = if builds.is_empty() { String::new() } else { format!(" (build {})", builds.join(", ")) };
        let text = format!("the {pipeline} run of {pair} at {} {outcome}{of}: {next}", commit.short());
        self.out.notes.push(Note::Said(text));
    }

    /// What a run's verdicts are, to be remembered for each voting job: its home, what it has read, and
    /// whether it passed. Jobs without a verdict are left out.
    pub(super) fn verdicts_of(&self, id: ItemId) -> Vec<(JobName, Pair, TipVerdict)> {
        let Some(stay) = self.state.stay(id) else { return Vec::new() };
        let jobs = self.job_states(stay).filter(|(job, _)| job.voting);
        let verdicts = jobs.filter_map(|(job, state)| {
            let passed = match state {
                JobState::Passed => true,
                JobState::Failed => false,
                _ => return None,
            };
            let tips = job.inputs.iter().map(|input| (input.pair.clone(), input.commit)).collect();
            let policy_epoch = self.state.policy_epoch;
            Some((job.name.clone(), job.home.clone(), TipVerdict { passed, tips, policy_epoch, blame: None }))
        });
        verdicts.collect()
    }
}
