//! Slots: which builds run, and which are ended as no longer needed.

use crate::model::action::Decision;
use crate::model::{Action, BuildId, EffectKind, ItemId, NodeId, ResolvedJob, VerdictKey};

use super::Queue;
use super::jobs::JobState;
use super::state::Build;

impl Queue {
    /// Buys builds, most urgent first, while there are slots. A build holds its slot until nothing
    /// of it is left, even after it was told to stop.
    pub(super) fn plan_builds(&mut self) {
        while self.free_slots() > 0 {
            let Some(claim) = self.index.wanting.first().copied() else { return };
            match self.next_job(claim.2) {
                Some(job) => self.buy(claim.2, job),
                None => {
                    self.index.wanting.remove(&claim);
                }
            }
        }
        self.give_way();
    }

    /// How many more builds may be bought.
    pub(super) fn free_slots(&self) -> usize {
        let slots = self.state.policy.as_ref().map_or(0, |policy| policy.slots as usize);
        if self.state.unable.is_some() { 0 } else { slots.saturating_sub(self.state.builds.len()) }
    }

    /// The job of an item, a run or an alternative that is built next.
    pub(super) fn next_job(&self, id: ItemId) -> Option<ResolvedJob> {
        let item = self.state.stay(id)?;
        let jobs = self.jobs_of(item);
        let is_needed = |job: &ResolvedJob| {
            jobs.iter().any(|other| other.home == job.home && other.needs.contains(&job.name))
        };
        // What does not decide is not bought in advance.
        let voting = self.is_alternative(id);
        let wanted = self
            .job_states(item)
            .filter(|(job, state)| *state == JobState::Wanted && (job.voting || !voting));
        // What decides goes first, and of that what others wait for.
        wanted.map(|(job, _)| job).min_by_key(|job| (!job.voting, !is_needed(job))).cloned()
    }

    /// Buys a build of a job, for an item, a run, or the item of an alternative.
    pub(super) fn buy(&mut self, id: ItemId, job: ResolvedJob) {
        let item = self.buyer(id);
        let build = BuildId(self.state.last_build + 1);
        let ResolvedJob { name, key, spec, inputs, .. } = job;
        self.act(Action::Decision(Decision::Bought { build, key, item }));
        self.ask(EffectKind::StartBuild { build, job: name, spec, inputs });
        self.index.dirty_items.extend(self.index.needs.get(&key).into_iter().flatten());
    }

    /// Ends the build of a key that nobody needs, or that has outlived its deadline. One that an item may come to
    /// need goes on until that item's jobs are known: where only the order has changed, the same trees often serve
    /// another one.
    pub(super) fn plan_stop(&mut self, key: VerdictKey) {
        let spared = self.index.spared.remove(&key);
        let Some(id) = self.index.running.get(&key).copied() else { return };
        let Some(build) = self.state.builds.get(&id) else { return };
        let mut needing = self.index.needs.get(&key).into_iter().flatten();
        // What shows the failure is seen through to its end.
        let skips = |id: &ItemId| self.state.items.get(id).is_some_and(|item| self.skips(item, &key));
        let needed = needing.any(|id| build.failing || !self.gives_up(*id) && !skips(id));
        let is_overdue = build.deadline <= self.state.now;
        if build.stopping || needed && !is_overdue {
            return;
        }
        let mut awaited = spared.unwrap_or_else(|| self.nodes_to_come(build));
        awaited.retain(|node| self.is_to_come(*node));
        if awaited.is_empty() || is_overdue {
            self.ask(EffectKind::StopBuild { build: id });
        } else {
            self.index.spared.insert(key, awaited);
        }
    }

    /// The nodes in the queue of a build whose jobs are still to be known.
    fn nodes_to_come(&self, build: &Build) -> Vec<NodeId> {
        let policy = self.state.policy.as_ref();
        let queue = policy.and_then(|policy| policy.queue_of(&build.home)).map(|queue| queue.name);
        let order = queue.and_then(|name| self.state.queues.get(&name)).into_iter().flatten();
        order.filter_map(|id| self.state.items.get(id)?.node).filter(|node| self.is_to_come(*node)).collect()
    }

    /// Whether an item stands on a node of which the jobs are still to be known.
    fn is_to_come(&self, node: NodeId) -> bool {
        let known = self.state.nodes.get(&node).filter(|node| node.bad.is_none() && node.resolved.is_none());
        known.and_then(|known| self.state.items.get(&known.item)).is_some_and(|item| item.node == Some(node))
    }
}
