//! How an item's jobs stand at its node: which verdicts it may use, and what is still to be built.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::action::Decision;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::tree::{Resolved, Unneeded};
use crate::model::{Action, BuildId, Departure, ItemId, JobName, ResolvedJob, Timestamp, Verdict};

use super::Queue;
use super::graph;
use super::state::{Item, Node, Record};

/// How one job stands for one item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum JobState {
    Passed,
    Failed,
    /// The infrastructure failed too often.
    Errored,
    Running(BuildId),
    /// Running, and sure to fail.
    Failing(BuildId),
    Wanted,
    /// To be built again, not before then.
    Paused(Timestamp),
    /// Not to be built yet: what it needs has not passed.
    Blocked,
    /// Not to be built at all: what it needs has failed.
    Skipped,
}

impl JobState {
    /// Whether a build was bought, or a verdict is in use.
    pub fn is_begun(&self) -> bool {
        !matches!(self, Self::Wanted | Self::Paused(_) | Self::Blocked)
    }
}

/// How an item stands at its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Standing {
    #[default]
    Unprepared,
    /// The node is being made.
    Preparing,
    /// There is no such node: conflict, broken job file, and the like.
    Bad,
    /// Nothing is configured to judge it.
    NoJob,
    /// Verdicts are missing.
    Building,
    /// A voting build is sure to fail, but has not ended.
    Failing,
    /// A voting job failed.
    Failed,
    /// All voting jobs passed.
    Passed,
}

/// What a look at an item's jobs has found, and is kept.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Known {
    standing: Standing,
    /// A build of it was bought, or a verdict is in use.
    begun: bool,
}

/// What a look at an item's jobs has found.
struct Found {
    known: Known,
    /// There is a build to be bought.
    wants: bool,
}

impl Standing {
    /// Whether items behind must be judged without it.
    pub fn is_failing(self) -> bool {
        matches!(self, Self::Bad | Self::Failing | Self::Failed)
    }
}

impl Standing {
    /// Whether a voting job has failed, or is sure to.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Failing | Self::Failed)
    }
}

impl Queue {
    /// The item's current node.
    pub(super) fn node_of(&self, item: &Item) -> Option<&Node> {
        self.state.nodes.get(&item.node?)
    }

    /// The item's jobs at its current node; empty while they are not known.
    pub(super) fn jobs_of(&self, item: &Item) -> &[ResolvedJob] {
        match self.node_of(item).and_then(|node| node.resolved.as_ref()) {
            Some(Resolved::Jobs { jobs, .. }) => jobs,
            _ => &[],
        }
    }

    /// The jobs that matchers spare the item at its current node.
    pub(super) fn unneeded_of(&self, item: &Item) -> &[Unneeded] {
        match self.node_of(item).and_then(|node| node.resolved.as_ref()) {
            Some(Resolved::Jobs { unneeded, .. }) => unneeded,
            _ => &[],
        }
    }

    /// How `job` stands for `item`, whatever it needs.
    pub(super) fn own_state(&self, item: &Item, job: &ResolvedJob) -> JobState {
        if let Some(adopted) = item.adopted.get(&job.key) {
            return if adopted.passed { JobState::Passed } else { JobState::Failed };
        }
        if let Some(id) = self.index.running.get(&job.key) {
            let failing = self.state.builds.get(id).is_some_and(|build| build.failing);
            let is_last = || item.failures.get(&job.key).copied().unwrap_or(0) + 1 >= self.attempts_of(job);
            return if failing && is_last() { JobState::Failing(*id) } else { JobState::Running(*id) };
        }
        let Some(retry) = item.lost.get(&job.key) else { return JobState::Wanted };
        let attempts = self.state.policy.as_ref().map_or(1, |policy| policy.limits.infrastructure_attempts);
        if retry.count >= attempts {
            JobState::Errored
        } else if retry.at > self.state.now {
            JobState::Paused(retry.at)
        } else {
            JobState::Wanted
        }
    }

    /// Whether a recorded verdict may be used by this stay. A failure counts when it came about
    /// during the stay, and after the last attempt; a pass of a key that has also failed counts
    /// only for the stay that bought it.
    fn usable(&self, item: &Item, job: &ResolvedJob, record: &Record) -> bool {
        let own = record.item == self.buyer(item.id);
        match record.verdict {
            Verdict::Pass => {
                let age_ms = self.state.now.since_ms(record.at);
                let young = job.reuse_ms.is_none_or(|limit| limit > 0 && age_ms <= limit);
                own || record.failures == 0 && young
            }
            Verdict::Fail { .. } => {
                let here = item.failures.get(&job.key).copied().unwrap_or(0);
                let during = own || record.at >= item.entered_at;
                during && here.max(1) >= self.attempts_of(job)
            }
            Verdict::NoVerdict { .. } => false,
        }
    }

    /// Adopts what is known, claims slots for what is not, and tells the queue if the item now
    /// stands otherwise.
    pub(super) fn plan_jobs(&mut self, id: ItemId) {
        let news = self.adopt_known(id);
        self.supersede_check(id);
        let Some(item) = self.state.items.get(&id) else { return };
        let Found { known, wants } = self.find(item);
        let standing = known.standing;
        let goes_on = standing.has_failed() && item.pipeline.lands() && !self.fails_fast(item);
        let landing = item.stage.is_pushed();
        let builds =
            !landing && (standing == Standing::Building || goes_on) && !self.index.held.contains_key(&id);
        let wants = builds && wants;
        let (claim, lands) = (item.claim(), item.pipeline.lands());
        let keys = if standing.has_failed() { item.keys.clone() } else { Default::default() };
        let found = self.index.known.insert(id, known);
        if lands && (news || found != Some(known)) {
            self.index.news.insert(id);
        }
        self.claim_slots(claim, wants);
        let before = self.index.standing.insert(id, standing);
        if before != Some(standing) {
            // Where one build has failed, the others may be of no use.
            self.index.dirty_keys.extend(keys);
        }
        if !lands {
            self.plan_check_item(id, standing);
        } else if before != Some(standing) || news && standing.has_failed() {
            self.touch_queue_of(id);
        }
    }

    /// Has an item or a run stand among those that want slots, or not.
    pub(super) fn claim_slots(&mut self, claim: (u8, u64, ItemId), wants: bool) {
        if wants {
            self.index.wanting.insert(claim);
            self.index.dirty_builds = true;
        } else {
            self.index.wanting.remove(&claim);
        }
    }

    /// Adopts the verdicts that are known for the jobs of an item or a run; true when there were some.
    pub(super) fn adopt_known(&mut self, id: ItemId) -> bool {
        let Some(item) = self.state.stay(id) else { return false };
        let found: Vec<_> = self
            .jobs_of(item)
            .iter()
            .filter(|job| !item.adopted.contains_key(&job.key))
            .filter(|job| {
                self.state.records.get(&job.key).is_some_and(|record| self.usable(item, job, record))
            })
            .map(|job| (job.name.clone(), job.home.clone(), job.key))
            .collect();
        let news = !found.is_empty();
        for (job, home, key) in found {
            self.act(Action::Decision(Decision::Adopted { item: id, job, home, key }));
        }
        news
    }

    /// Once the gate knows the jobs of a change, its check has nothing left to say.
    fn supersede_check(&mut self, id: ItemId) {
        let Some(item) = self.state.items.get(&id) else { return };
        if self.index.check_of.is_empty() || !item.pipeline.lands() || self.jobs_of(item).is_empty() {
            return;
        }
        let checks: Vec<ItemId> = item
            .changes
            .iter()
            .filter_map(|change| self.index.check_of.get(&change.number).copied())
            .collect();
        for check in checks {
            self.end(check, Departure::Superseded);
        }
    }

    /// What was found of an item, unless there is news of it.
    fn known_of(&self, item: &Item) -> Option<Known> {
        let known = self.index.known.get(&item.id).copied()?;
        (!self.index.dirty_items.contains(&item.id)).then_some(known)
    }

    /// How an item stands: as it was found, or worked out.
    pub(super) fn standing_now(&self, item: &Item) -> Standing {
        self.known_of(item).map_or_else(|| self.standing(item), |known| known.standing)
    }

    /// Whether a build of an item was bought, or a verdict is in use: as it was found, or worked out.
    pub(super) fn is_begun_now(&self, item: &Item) -> bool {
        self.known_of(item).map_or_else(|| self.is_begun(item), |known| known.begun)
    }

    /// How an item stands, from its node and its jobs.
    pub(super) fn standing(&self, item: &Item) -> Standing {
        self.find(item).known.standing
    }

    /// How an item without jobs to be judged by stands.
    fn unjudged(&self, item: &Item) -> Option<Standing> {
        let Some(node) = self.node_of(item) else { return Some(Standing::Unprepared) };
        if node.bad.is_some() {
            return Some(Standing::Bad);
        }
        match &node.resolved {
            None | Some(Resolved::Failed { .. }) => Some(Standing::Preparing),
            Some(Resolved::Broken { .. }) => Some(Standing::Bad),
            Some(Resolved::Jobs { jobs, noop: false, .. }) if jobs.is_empty() => Some(Standing::NoJob),
            Some(Resolved::Jobs { .. }) => None,
        }
    }

    /// Looks at an item's node and its jobs.
    fn find(&self, item: &Item) -> Found {
        let (mut begun, mut wants) = (false, false);
        let (mut failed, mut failing, mut unfinished) = (false, false, false);
        // A gate item does not wait for what does not decide; a check reports it all.
        let check = !item.pipeline.lands();
        for (job, state) in self.job_states(item) {
            begun |= state.is_begun();
            wants |= state == JobState::Wanted;
            match state {
                JobState::Passed => {}
                // One that is skipped has not passed either, whatever it needs.
                JobState::Failed | JobState::Errored | JobState::Skipped => failed |= job.voting,
                state => {
                    failing |= job.voting && matches!(state, JobState::Failing(_));
                    unfinished |= job.voting || check;
                }
            }
        }
        let judged = match (failed, failing, unfinished) {
            (_, _, true) if check => Standing::Building,
            (true, ..) => Standing::Failed,
            (_, true, _) => Standing::Failing,
            (_, _, true) => Standing::Building,
            _ => Standing::Passed,
        };
        let standing = self.unjudged(item).unwrap_or(judged);
        Found { known: Known { standing, begun }, wants }
    }

    /// The names of the voting jobs that failed; not of those that were skipped because of them.
    pub(super) fn failed_jobs(&self, item: &Item) -> Vec<JobName> {
        let has_failed =
            |state: &JobState| matches!(state, JobState::Failed | JobState::Errored | JobState::Failing(_));
        let failed = self.job_states(item).filter(|(job, state)| job.voting && has_failed(state));
        // A job may run for several repositories.
        let names: BTreeSet<JobName> = failed.map(|(job, _)| job.name.clone()).collect();
        names.into_iter().collect()
    }

    /// The item's jobs for pages and messages.
    pub(super) fn job_results(&self, id: ItemId) -> Vec<JobResult> {
        let Some(item) = self.state.stay(id) else { return Vec::new() };
        // What is judged by one behind it has that one's results.
        let by = item.covered.and_then(|with| self.state.items.get(&with)).unwrap_or(item);
        let jobs = self.jobs_of(by);
        let states: Vec<JobState> = self.job_states(by).map(|(_, state)| state).collect();
        let mut results: Vec<JobResult> =
            jobs.iter().zip(&states).map(|(job, state)| self.job_result(by, job, state, &states)).collect();
        if let (true, Some(change)) = (by.id != id, by.changes.first()) {
            results.iter_mut().for_each(|result| {
                result.detail = format!("judged together with {}", change.number.named()).into();
            });
        }
        results
    }

    /// `states` are those of all of the item's jobs.
    fn job_result(&self, item: &Item, job: &ResolvedJob, state: &JobState, states: &[JobState]) -> JobResult {
        let none: Arc<str> = "".into();
        let hindrance = || graph::hindrance(self.jobs_of(item), states, job).into();
        let (result, build, duration_ms, detail) = match state {
            JobState::Running(id) | JobState::Failing(id) => {
                let since =
                    self.state.builds.get(id).map_or(0, |build| self.state.now.since_ms(build.started_at));
                (JobOutcome::Running, Some(*id), since, none)
            }
            JobState::Wanted | JobState::Paused(_) => (JobOutcome::Waiting, None, 0, none),
            JobState::Blocked => (JobOutcome::Waiting, None, 0, hindrance()),
            JobState::Skipped => (JobOutcome::Skipped, None, 0, hindrance()),
            JobState::Errored => {
                let why = item.lost.get(&job.key).map_or(none, |retry| retry.why.clone());
                (JobOutcome::Error, None, 0, why)
            }
            state => match item.adopted.get(&job.key) {
                Some(adopted) => {
                    let passed = *state == JobState::Passed;
                    let result = if passed { JobOutcome::Success } else { JobOutcome::Failure };
                    let reused =
                        self.state.records.get(&job.key).is_some_and(|record| record.item != item.id);
                    let detail = match (passed, reused, self.is_flaky(&job.key)) {
                        (true, true, _) => "known from an earlier build".into(),
                        (true, false, true) => "flaky: it has also failed with the same content".into(),
                        (false, _, true) => {
                            format!("{}; flaky: it has also passed with the same content", adopted.why).into()
                        }
                        (false, ..) => after_attempts(&adopted.why, item.failures.get(&job.key)),
                        _ => adopted.why.clone(),
                    };
                    (result, Some(adopted.build), adopted.duration_ms, detail)
                }
                None => (JobOutcome::Waiting, None, 0, none),
            },
        };
        JobResult {
            job: job.name.clone(),
            home: job.home.clone(),
            result,
            duration_ms,
            build,
            voting: job.voting,
            detail,
            needs: job.needs.clone(),
        }
    }
}

/// Why a job failed, and how often it did so where that was more than once.
fn after_attempts(why: &Arc<str>, failures: Option<&u32>) -> Arc<str> {
    match failures {
        Some(failures @ 2..) => format!("{why}; failed {failures} times").into(),
        _ => why.clone(),
    }
}
