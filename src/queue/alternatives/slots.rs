//! Slots of alternatives: after everybody else, within their share, and only until somebody else wants them.

use std::cmp::Reverse;

use super::super::Queue;
use super::super::jobs::{JobState, Standing};
use super::super::state::Build;
use super::super::strategy::alternative_slots;
use crate::model::{BuildId, EffectKind, ItemId, Policy, QueueName};

impl Queue {
    /// Slots that nobody but alternatives would use.
    pub(super) fn spare_slots(&self) -> usize {
        if self.index.wanting.is_empty() { self.free_slots() } else { 0 }
    }

    /// Whether an alternative has builds to come and none under way.
    pub(super) fn waits_for_slots(&self, id: ItemId) -> bool {
        let Some(stay) = self.state.stay(id) else { return false };
        let runs = |key| self.index.running.contains_key(key);
        self.is_unbuilt_alternative(id) && !stay.keys.iter().any(runs)
    }

    /// Buys builds for alternatives, the likeliest to be needed first.
    pub(super) fn build_alternatives(&mut self, policy: &Policy) {
        if self.state.alternatives.is_empty() || self.spare_slots() == 0 {
            return;
        }
        let is_built = |id: &ItemId| {
            let own = self.state.alternatives.get(id);
            own.is_some_and(|own| !self.has_come(own) && self.standing(&own.stay) == Standing::Building)
        };
        let ids = self.state.alternatives.keys().copied().filter(is_built);
        let mut claims: Vec<(Reverse<u64>, ItemId)> =
            ids.map(|id| (Reverse(self.likelihood_of(id)), id)).collect();
        claims.sort_unstable();
        for (_, id) in claims {
            let Some(name) = self.state.stay(id).and_then(|stay| stay.queue.clone()) else { continue };
            let share = policy.queue_named(&name).map_or(0, |queue| alternative_slots(queue, policy.slots));
            while self.spare_slots() > 0 && self.slots_used(&name) < share {
                let Some(job) = self.next_job(id) else { break };
                self.buy(id, job);
            }
        }
    }

    /// How likely it is that an alternative will be needed, as things stand.
    fn likelihood_of(&self, id: ItemId) -> u64 {
        let Some(own) = self.state.alternatives.get(&id) else { return 0 };
        let order = own.stay.queue.as_ref().and_then(|name| self.state.queues.get(name));
        let order = order.map_or(&[][..], |order| order);
        self.likelihood(own.of, own.without, order, &self.risks(order))
    }

    /// How many slots the alternatives of a queue hold for themselves alone.
    fn slots_used(&self, queue: &QueueName) -> usize {
        let of_queue = |build: &&Build| {
            let mut only = self.only_for_alternatives(build);
            only.any(|id| self.state.stay(id).is_some_and(|stay| stay.queue.as_ref() == Some(queue)))
        };
        self.state.builds.values().filter(of_queue).count()
    }

    /// The alternatives that need a build, if nobody else does.
    fn only_for_alternatives(&self, build: &Build) -> impl Iterator<Item = ItemId> {
        let needing = self
            .index
            .needs
            .get(&build.key)
            .filter(|needing| needing.iter().all(|id| self.is_alternative(*id)));
        needing.into_iter().flatten().copied()
    }

    /// Ends builds of alternatives where others want slots and none is free: the least likely to be needed
    /// first, and not more than are wanted. What an item is about to take over stays.
    pub(in crate::queue) fn give_way(&mut self) {
        if self.state.alternatives.is_empty() || self.state.unable.is_some() {
            return;
        }
        let stays = self.index.wanting.iter().filter_map(|claim| self.state.stay(claim.2));
        let wanted =
            stays.flat_map(|stay| self.job_states(stay)).filter(|(_, state)| *state == JobState::Wanted);
        let slots = self.state.builds.len();
        let leaving = self.state.builds.values().filter(|build| build.stopping).count();
        let missing = wanted.take(slots).count().saturating_sub(leaving);
        let mut own: Vec<(u64, Reverse<BuildId>)> = Vec::new();
        for (id, build) in self.state.builds.iter().filter(|(_, build)| !build.stopping && missing > 0) {
            let taken_over =
                |id: &ItemId| self.state.alternatives.get(id).is_some_and(|own| self.is_handed_over(own));
            let needing: Vec<ItemId> = self.only_for_alternatives(build).collect();
            let likelihood = needing.iter().map(|id| self.likelihood_of(*id)).max();
            if let Some(likelihood) = likelihood.filter(|_| !needing.iter().any(taken_over)) {
                own.push((likelihood, Reverse(*id)));
            }
        }
        own.sort_unstable();
        for (_, Reverse(build)) in own.into_iter().take(missing) {
            self.ask(EffectKind::StopBuild { build });
        }
    }
}
