//! What moves branches, and makes runs due: landings, pushes of others, and time.

use super::super::Queue;
use super::super::state::{Item, Landing};
use crate::model::job::RunsFor;
use crate::model::run::Move;
use crate::model::tree::Resolved;
use crate::model::{EffectId, ItemChange, JobPolicy, Pair, Pipeline, PipelineName, Policy, Sha, Timestamp};

/// Moves of one branch that are remembered.
const MOVES_OF_BRANCH_MAX: usize = 200;
/// Moves that are remembered, over all branches.
const MOVES_MAX: usize = 2_000;

/// What a push of the daemon has brought into a branch.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    /// The commits that one item after another made of the branch, with the item's changes.
    pub steps: Vec<(Sha, Vec<ItemChange>)>,
    /// Whether jobs are to run after it.
    pub post: bool,
}

impl Queue {
    /// What a push brings into its branch, item by item where each rests on the one before.
    pub(in crate::queue) fn landed_by(&self, effect: EffectId) -> Option<Landed> {
        let landing = self.state.landings.get(&effect)?;
        let items: Vec<&Item> = landing.items.iter().filter_map(|id| self.state.items.get(id)).collect();
        let is_followed = |item: &&Item| match self.node_of(item).and_then(|node| node.resolved.as_ref()) {
            Some(Resolved::Jobs { post, .. }) => *post,
            // Its node was lost with a restart while it was on its way.
            _ => self.may_follow(&landing.pair),
        };
        let post = items.iter().any(is_followed);
        let steps = self.steps_of(landing, &items).unwrap_or_else(|| {
            let changes = items.iter().flat_map(|item| changes_in(item, &landing.pair));
            vec![(landing.new, changes.collect())]
        });
        Some(Landed { steps, post })
    }

    /// The commits of a push item by item; `None` where they are no chain from the old tip to the new.
    fn steps_of(&self, landing: &Landing, items: &[&Item]) -> Option<Vec<(Sha, Vec<ItemChange>)>> {
        let mut steps = Vec::new();
        let mut at = landing.old;
        for item in items {
            let written = self.node_of(item)?.written(&landing.pair)?;
            if written.onto != at {
                return None;
            }
            at = written.commit;
            steps.push((at, changes_in(item, &landing.pair)));
        }
        (at == landing.new).then_some(steps)
    }

    /// A branch has moved: runs may be due there, and whoever looks for a culprit wants to know.
    pub(in crate::queue) fn branch_moved(
        &mut self,
        pair: &Pair,
        before: Option<Sha>,
        commit: Option<Sha>,
        landed: Option<Landed>,
    ) {
        let (before, commit) = match (before, commit) {
            (Some(before), Some(commit)) if before != commit => (before, commit),
            (_, None) => return self.branch_gone(pair),
            _ => return,
        };
        let due = landed.as_ref().map_or_else(|| self.may_follow(pair), |landed| landed.post);
        if due {
            self.state.runs.owed.insert((Pipeline::Post, pair.clone()));
            self.index.dirty_runs = true;
        }
        let runs = &mut self.state.runs;
        if runs.verdicts.is_empty() && runs.under_way.is_empty() && runs.owed.is_empty() {
            // Nothing has passed here that could fail now.
            return;
        }
        runs.moves.extend(moves(pair, before, commit, landed));
        while runs.moves.len() > MOVES_MAX {
            runs.moves.pop_front();
        }
        let own = runs.moves.iter().filter(|moved| moved.pair == *pair).count();
        for _ in MOVES_OF_BRANCH_MAX..own {
            let oldest = runs.moves.iter().position(|moved| moved.pair == *pair);
            oldest.and_then(|at| runs.moves.remove(at));
        }
    }

    /// A push of the daemon has turned out to be in what looked like somebody's: it is told apart.
    pub(in crate::queue) fn tell_apart(&mut self, pair: &Pair, before: Sha, landed: Landed) {
        let runs = &mut self.state.runs;
        let found = runs.moves.iter().rposition(|moved| {
            moved.pair == *pair && moved.before == before && moved.others && moved.changes.is_empty()
        });
        let Some(at) = found else { return };
        let Some(whole) = runs.moves.remove(at) else { return };
        let Some(ours) = landed.steps.last().map(|(commit, _)| *commit) else { return };
        let mut parts = moves(pair, before, ours, Some(landed));
        parts.extend(moves(pair, ours, whole.commit, None));
        for (place, part) in parts.into_iter().enumerate() {
            runs.moves.insert(at + place, part);
        }
    }

    fn branch_gone(&mut self, pair: &Pair) {
        let runs = &mut self.state.runs;
        runs.owed.retain(|(_, other)| other != pair);
        runs.verdicts.retain(|(_, _, home), _| home != pair);
        self.index.dirty_runs = true;
        self.index.dirty_items.extend(self.state.runs.under_way.keys());
    }

    /// Whether a job may be for the tip of a branch after somebody has pushed there: what a job file says
    /// is known only when it is read.
    fn may_follow(&self, pair: &Pair) -> bool {
        self.state.policy.as_ref().is_some_and(|policy| may_run(policy, &Pipeline::Post, pair))
    }

    /// A periodic pipeline is due. A moment that has been heeded, or lies before one, counts no more.
    pub(in crate::queue) fn heed_due(&mut self, name: PipelineName, at: Timestamp) {
        let Some(policy) = self.state.policy.clone() else { return };
        let Some(last) = self.state.runs.due.get_mut(&name).filter(|last| **last < at) else { return };
        *last = at;
        let pipeline = Pipeline::Periodic(name);
        let tips = self.state.tips.iter().filter(|(_, tip)| tip.commit.is_some());
        let branches: Vec<Pair> =
            tips.map(|(pair, _)| pair).filter(|pair| may_run(&policy, &pipeline, pair)).cloned().collect();
        for pair in branches {
            if self.runs_at(&pipeline, &pair) {
                let text = format!(
                    "the {pipeline} run of {pair} is skipped: the one before is still under way; give it more slots, or let it run less often"
                );
                self.out.notes.push(super::super::Note::Said(text));
            } else {
                self.state.runs.owed.insert((pipeline.clone(), pair));
            }
        }
        self.index.dirty_runs = true;
    }

    /// Whether a run of the pipeline is under way at the branch; searches for culprits do not count.
    pub(super) fn runs_at(&self, pipeline: &Pipeline, pair: &Pair) -> bool {
        let mut runs = self.state.runs.under_way.values().filter(|run| run.probe.is_none());
        runs.any(|run| run.stay.pipeline == *pipeline && run.pair() == Some(pair))
    }

    /// Follows another configuration: what it no longer has is forgotten, and a pipeline whose times are
    /// new waits for the first of them.
    pub(in crate::queue) fn configure_runs(&mut self, policy: &Policy) {
        let before = self.state.policy.clone();
        let now = self.state.now;
        let runs = &mut self.state.runs;
        runs.due.retain(|name, _| policy.pipelines.periodic(name).is_some());
        for periodic in &policy.pipelines.periodic {
            let earlier = before.as_ref().and_then(|before| before.pipelines.periodic(&periodic.name));
            let same = |earlier: &crate::model::pipeline::PeriodicPolicy| {
                earlier.cron == periodic.cron && earlier.time_zone == periodic.time_zone
            };
            if !earlier.is_some_and(same) || !runs.due.contains_key(&periodic.name) {
                runs.due.insert(periodic.name.clone(), now);
            }
        }
        let is_there = |pipeline: &Pipeline| match pipeline {
            Pipeline::Periodic(name) => policy.pipelines.periodic(name).is_some(),
            _ => true,
        };
        runs.owed.retain(|(pipeline, pair)| is_there(pipeline) && may_run(policy, pipeline, pair));
        runs.verdicts.retain(|(pipeline, _, _), _| is_there(pipeline));
        runs.ended.retain(|(pipeline, pair), _| is_there(pipeline) && may_run(policy, pipeline, pair));
    }
}

/// Whether the pipeline may have a job for the tip of a branch, as far as the configuration says.
pub(super) fn may_run(policy: &Policy, pipeline: &Pipeline, pair: &Pair) -> bool {
    let own = |job: &JobPolicy| {
        job.repositories.matches(pair.repository.as_str()) && job.branches.matches(pair.branch.as_str())
    };
    let reads = |job: &JobPolicy| {
        *pipeline == Pipeline::Post
            && job.runs_for != RunsFor::Own
            && (job.inputs.iter().any(|input| input.repository == pair.repository)
                || job.sites && through_a_site(policy, job, pair))
    };
    let mut jobs = policy.jobs.iter().filter(|job| job.pipelines.has(pipeline));
    jobs.any(|job| own(job) || reads(job)) || policy.job_files && policy.queue_of(pair).is_some()
}

/// Whether some home of a job is in a site with a branch's repository.
fn through_a_site(policy: &Policy, job: &JobPolicy, pair: &Pair) -> bool {
    let mut sites = policy.sites.iter().filter(|site| site.inputs && site.has(&pair.repository));
    sites.any(|site| site.repositories.meet(&job.repositories))
}

fn changes_in(item: &Item, pair: &Pair) -> Vec<ItemChange> {
    item.changes.iter().filter(|change| change.pair == *pair).cloned().collect()
}

/// A move of a branch, item by item where the daemon has made it.
fn moves(pair: &Pair, before: Sha, commit: Sha, landed: Option<Landed>) -> Vec<Move> {
    let others = landed.is_none();
    let steps = landed.map_or_else(|| vec![(commit, Vec::new())], |landed| landed.steps);
    let mut at = before;
    let step = |(commit, changes)| {
        let before = std::mem::replace(&mut at, commit);
        Move { pair: pair.clone(), before, commit, changes, others, forgotten: false }
    };
    steps.into_iter().map(step).collect()
}
