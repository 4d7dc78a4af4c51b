//! Runs at tips: none is lost or doubled, each says the truth, and what has landed is covered in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, Book, Checked, Remaining, fault};
use crate::model::action::Decision;
use crate::model::job::RunsFor;
use crate::model::report::{Report, Says};
use crate::model::run::RunOutcome;
use crate::model::{Departure, ItemId, JobName, Pair, Pipeline, Sha, Timestamp};
use crate::sim::fakes::site::{failing, passes_in};
use crate::sim::fakes::trees::landed_as;
use crate::sim::setting::Setting;
use crate::world::Gerrit;

/// A run under way.
#[derive(Debug)]
struct RunBook {
    pipeline: Pipeline,
    pair: Pair,
    commit: Sha,
    /// The job of which it looks for the culprit; the others are of no concern to it.
    probes: Option<JobName>,
}

/// What is written down of runs.
#[derive(Debug, Default)]
pub struct RunBooks {
    under_way: BTreeMap<ItemId, RunBook>,
    /// The commit that the last post run of a branch has judged, for good.
    covered: BTreeMap<Pair, Sha>,
    /// Branches that have moved on while jobs were to run after that.
    moved: BTreeSet<Pair>,
}

impl Audit {
    /// Reads a decision about runs.
    ///
    /// # Errors
    /// A broken promise.
    pub(super) fn run_decided(
        &mut self,
        at: Timestamp,
        decision: &Decision,
        gerrit: &Gerrit,
        setting: &Setting,
    ) -> Checked {
        match decision {
            Decision::RunBegun { run, pipeline, tips, probe } => {
                let Some((pair, commit)) = tips.first().cloned() else {
                    return fault("runs", format!("run {run} judges nothing"));
                };
                let twin = |other: &RunBook| {
                    let full = other.probes.is_none() && probe.is_none();
                    full && other.pipeline == *pipeline && other.pair == pair
                };
                if self.runs.under_way.values().any(twin) {
                    return fault("runs not doubled", format!("two {pipeline} runs of {pair} at once"));
                }
                let known = self.tips.get(&pair).is_some_and(|tips| tips.contains(&commit));
                if probe.is_none() && !known {
                    return fault("runs", format!("run {run} judges {pair} where its tip never was"));
                }
                let book = Book { entered_at: at, ..Book::new(pipeline.clone(), None, Vec::new()) };
                if self.items.insert(*run, book).is_some() {
                    return fault("terminal states", format!("run {run} began twice"));
                }
                let probes = probe.as_ref().map(|probe| probe.job.clone());
                let pipeline = pipeline.clone();
                self.runs.under_way.insert(*run, RunBook { pipeline, pair, commit, probes });
                Ok(())
            }
            Decision::RunEnded { run, outcome, .. } => self.run_ended(*run, outcome, gerrit, setting),
            _ => Ok(()),
        }
    }

    fn run_ended(
        &mut self,
        run: ItemId,
        outcome: &RunOutcome,
        gerrit: &Gerrit,
        setting: &Setting,
    ) -> Checked {
        self.alive(run, "an end")?;
        let Some(RunBook { pipeline, pair, commit, probes }) = self.runs.under_way.remove(&run) else {
            return fault("runs", format!("run {run} ends and never began"));
        };
        let book = self.item(run)?;
        book.ended = Some(Departure::Checked { passed: *outcome == RunOutcome::Passed });
        let node = book.node.and_then(|node| self.nodes.get(&node));
        let counts = |job: &JobName| probes.as_ref().is_none_or(|sought| sought == job);
        let failed = node.map(|node| {
            let all = failing(gerrit, &setting.poison, node.jobs());
            all.into_iter().filter(counts).collect::<Vec<_>>()
        });
        let so = match (outcome, failed) {
            _ if !self.deterministic => true,
            (RunOutcome::Passed, Some(failed)) => failed.is_empty(),
            (RunOutcome::Failed { .. }, Some(failed)) => !failed.is_empty(),
            _ => true,
        };
        if !so {
            return fault("runs say the truth", format!("run {run} of {pair} ends as {outcome:?}"));
        }
        if pipeline == Pipeline::Post && probes.is_none() && *outcome != RunOutcome::Superseded {
            self.runs.covered.insert(pair, commit);
        }
        Ok(())
    }

    /// The daemon was told that a branch has moved on.
    pub(super) fn run_may_follow(&mut self, pair: &Pair) {
        let jobs = self.policy.as_ref().map(|policy| policy.jobs.clone()).unwrap_or_default();
        let concerned = jobs.iter().any(|job| {
            job.pipelines.has(&Pipeline::Post)
                && (job.repositories.matches(pair.repository.as_str())
                    || job.runs_for != RunsFor::Own
                        && job.inputs.iter().any(|input| input.repository == pair.repository))
        });
        if concerned {
            self.runs.moved.insert(pair.clone());
        }
    }

    /// A change is blamed: its landing must be what made the job fail.
    pub(super) fn check_culprit(&self, report: &Report, gerrit: &Gerrit, setting: &Setting) -> Checked {
        let Some(Says::Culprit { jobs, pair, before }) = &report.says else { return Ok(()) };
        let landed = gerrit
            .change(report.change)
            .zip(gerrit.tip(pair))
            .and_then(|(change, tip)| landed_as(gerrit, tip, *before, report.revision, &change.change_id));
        let Some(landed) = landed else { return Ok(()) };
        let (before, after) = (gerrit.git.tree_of(*before), gerrit.git.tree_of(landed));
        for job in jobs.iter().filter(|job| job.home == *pair && self.deterministic) {
            let reads_more = self.policy.as_ref().is_some_and(|policy| {
                policy.jobs.iter().any(|known| known.name == job.job && !known.inputs.is_empty())
                    || policy.sites.iter().any(|site| site.inputs && site.has(&pair.repository))
            });
            let so = passes_in(&before, &setting.poison, &job.job)
                && !passes_in(&after, &setting.poison, &job.job);
            if !so && !reads_more {
                return fault(
                    "true culprits",
                    format!("change {} is blamed for {}, which it did not break", report.change, job.job),
                );
            }
        }
        Ok(())
    }

    /// Once nothing moves, each landing is covered by a run that has ended, and none is left.
    pub(super) fn check_covered(&self, rest: &Remaining<'_>) -> Checked {
        if let Some(run) = rest.view.runs.iter().find(|run| run.outcome.is_none()) {
            return fault(
                "liveness",
                format!("the {} run of {} is still there: {}", run.pipeline, run.pair, run.words),
            );
        }
        let Some(policy) = &self.policy else { return Ok(()) };
        for pair in self.runs.moved.iter().filter(|pair| policy.queue_of(pair).is_some()) {
            let tip = rest.gerrit.tip(pair);
            if tip.is_some() && self.runs.covered.get(pair).copied() != tip {
                return fault(
                    "landings are covered",
                    format!("no post run has judged {pair} as it is at the end"),
                );
            }
        }
        Ok(())
    }
}
