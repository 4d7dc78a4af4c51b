//! The graph of an item's jobs: which come first, whose keys theirs include, and what becomes of those
//! that need one that has failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{JobName, JobPolicy, Pair, Pipeline, Policy, ResolvedJob, VerdictKey};

use super::Queue;
use super::jobs::JobState;
use super::resolve::{Source, Stop, is_for, wrong_job};
use super::state::Item;

/// Jobs by name and home.
pub(super) type Jobs = BTreeMap<(JobName, Pair), ResolvedJob>;

/// The jobs that `job` needs, for `home`, each with who declares it. A job file's job may need those of its
/// file, and the operator's that are for that branch and pipeline in any case: else a repository could have them run
/// where the operator does not want them.
pub(super) fn needs_of<'a>(
    policy: &'a Policy,
    job: &JobPolicy,
    (home, pipeline): (&Pair, &Pipeline),
    source: Source<'a>,
) -> Result<Vec<(&'a JobPolicy, Source<'a>)>, Stop> {
    let named = |need: &JobName| {
        let own = match source {
            Source::Operator => None,
            Source::Repository(file) => file.jobs.iter().find(|other| other.name == *need),
        };
        if let Some(own) = own {
            return Ok((own, source));
        }
        let is_operators = matches!(source, Source::Operator);
        let enforced = policy.jobs.iter().find(|other| other.name == *need);
        let meant = |other: &&JobPolicy| is_for(other, home) && other.pipelines.has(pipeline);
        match enforced.filter(|enforced| is_operators || meant(enforced)) {
            Some(enforced) => Ok((enforced, Source::Operator)),
            None => {
                let what = format!(
                    "the job `{}` needs `{need}`, which is no job for it in the {pipeline}",
                    job.name
                );
                Err(wrong_job(&what, "correct the name, or take it out of `needs`", home, is_operators))
            }
        }
    };
    job.needs.iter().map(named).collect()
}

/// Puts the keys of needed jobs into the keys of those that need them, and notes how deep each stands.
/// Gives a job that needs itself, by way of others, or one that is not there: then nothing is of use.
pub(super) fn tie(jobs: &mut Jobs) -> Result<(), (JobName, Pair)> {
    let needing = jobs.iter().filter(|(_, job)| !job.needs.is_empty());
    let mut open: BTreeSet<(JobName, Pair)> = needing.map(|(at, _)| at.clone()).collect();
    for depth in 1.. {
        let Some(first) = open.first().cloned() else { break };
        let keys = |at: &(JobName, Pair)| -> Option<Vec<VerdictKey>> {
            let needs = &jobs.get(at)?.needs;
            let key = |need: &JobName| {
                let at = (need.clone(), at.1.clone());
                if open.contains(&at) { None } else { Some(jobs.get(&at)?.key) }
            };
            needs.iter().map(key).collect()
        };
        let ready: Vec<_> = open.iter().filter_map(|at| Some((at.clone(), keys(at)?))).collect();
        if ready.is_empty() {
            return Err(first);
        }
        for (at, keys) in ready {
            open.remove(&at);
            if let Some(job) = jobs.get_mut(&at) {
                job.key = job.key.after(&keys);
                job.depth = depth;
            }
        }
    }
    Ok(())
}

/// One of an item's jobs, by name and home. They are sorted so.
pub(super) fn find<'a>(
    jobs: &'a [ResolvedJob],
    name: &JobName,
    home: &Pair,
) -> Option<(usize, &'a ResolvedJob)> {
    let at = jobs.binary_search_by(|job| (&job.name, &job.home).cmp(&(name, home))).ok()?;
    jobs.get(at).map(|job| (at, job))
}

impl Queue {
    /// An item's jobs at its node, each with how it stands.
    pub(super) fn job_states<'a>(
        &'a self,
        item: &'a Item,
    ) -> impl Iterator<Item = (&'a ResolvedJob, JobState)> + 'a {
        let jobs = self.jobs_of(item);
        let tied = self.tied_states(item, jobs);
        jobs.iter().enumerate().map(move |(at, job)| {
            let tied = tied.as_ref().and_then(|states| states.get(at).cloned());
            (job, tied.unwrap_or_else(|| self.own_state(item, job)))
        })
    }

    /// How the jobs stand where some need others; `None` where none does, as mostly.
    fn tied_states(&self, item: &Item, jobs: &[ResolvedJob]) -> Option<Vec<JobState>> {
        let deepest = jobs.iter().map(|job| job.depth).max().filter(|depth| *depth > 0)?;
        let mut states: Vec<JobState> = jobs.iter().map(|job| self.own_state(item, job)).collect();
        for depth in 1..=deepest {
            for (at, job) in jobs.iter().enumerate().filter(|(_, job)| job.depth == depth) {
                if !matches!(states[at], JobState::Passed | JobState::Failed) {
                    let needs = job.needs.iter().map(|need| find(jobs, need, &job.home));
                    let needs: Vec<Option<&JobState>> =
                        needs.map(|found| found.and_then(|(at, _)| states.get(at))).collect();
                    states[at] = after(&needs, states[at].clone());
                }
            }
        }
        Some(states)
    }

    /// Whether an item is sure not to use the verdict of a key: what its job needs has failed.
    pub(super) fn skips(&self, item: &Item, key: &VerdictKey) -> bool {
        let tied = self.jobs_of(item).iter().any(|job| job.key == *key && job.depth > 0);
        tied && self.job_states(item).any(|(job, state)| job.key == *key && state == JobState::Skipped)
    }
}

/// What a job waits for, or why it is skipped: those that it needs and that have not passed, or the one
/// that has failed, though by way of others. `states` are those of `jobs`.
pub(super) fn hindrance(jobs: &[ResolvedJob], states: &[JobState], job: &ResolvedJob) -> String {
    let (mut todo, mut seen) = (vec![job], BTreeSet::new());
    while let Some(job) = todo.pop() {
        for (at, need) in job.needs.iter().filter_map(|need| find(jobs, need, &job.home)) {
            match states.get(at) {
                Some(JobState::Failed) => return format!("`{}` failed", need.name),
                Some(JobState::Errored) => return format!("`{}` has no verdict", need.name),
                Some(JobState::Skipped) if seen.insert(at) => todo.push(need),
                _ => {}
            }
        }
    }
    let open = job.needs.iter().filter(|need| {
        let state = find(jobs, need, &job.home).and_then(|(at, _)| states.get(at));
        state != Some(&JobState::Passed)
    });
    let open: Vec<String> = open.map(|need| format!("`{need}`")).collect();
    format!("waits for {}", open.join(", "))
}

/// How a job without a verdict stands, from how those that it needs do.
fn after(needs: &[Option<&JobState>], own: JobState) -> JobState {
    let has_failed =
        |need: &JobState| matches!(need, JobState::Failed | JobState::Errored | JobState::Skipped);
    if needs.iter().flatten().any(|need| has_failed(need)) {
        JobState::Skipped
    } else if matches!(own, JobState::Running(_) | JobState::Failing(_))
        || needs.iter().all(|need| *need == Some(&JobState::Passed))
    {
        own
    } else {
        JobState::Blocked
    }
}
