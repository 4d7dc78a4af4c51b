//! Items that are judged together: consecutive ones of one branch, by the builds of the last of them.
//!
//! All but the last of a pool claim no slots. When the last one passes, they land in one push, all or
//! nothing, and the branch moves to the tree that was tested. When it fails, nobody is to blame yet: the
//! prefix up to the middle is built, and so on, until a prefix passes (and lands) or one item is left.
//! Everything behind in that branch waits so long. A change of a job file stands only first in a pool,
//! so that all members have the jobs of the last one's node; and none follows that lacks a job of one
//! ahead of it, whose files it does not change.

use std::collections::BTreeMap;

use crate::model::action::Decision;
use crate::model::policy::{LandingMode, QueuePolicy};
use crate::model::tree::Resolved;
use crate::model::{Action, Class, ItemId, Pair, VerdictKey};

use super::Queue;
use super::footprint::Footprints;
use super::graph;
use super::jobs::{JobState, Standing};
use super::state::{Item, Stage};
use super::strategy::{Hold, Load, most_pooled, pool_size};

/// How many items are asked for their chances.
const CHANCES_MAX: usize = 64;

/// What is planned for one branch.
#[derive(Default)]
struct Lane {
    /// Items to be built, each on the one before it, that are in no pool yet.
    run: Vec<ItemId>,
    /// The item that is built to find out who is to blame; what follows waits for that.
    doubt: Option<ItemId>,
}

/// How many items are judged as one.
#[derive(Clone, Copy)]
struct Sizes {
    /// In a pool that is begun now.
    now: usize,
    /// By a build that was bought already: its verdict costs no more when the load has fallen.
    most: usize,
}

impl Queue {
    /// Holds what is judged by something behind it. `holds` has what the strategy says so far.
    pub(super) fn plan_pools(
        &self,
        order: &[ItemId],
        queue: &QueuePolicy,
        holds: &mut BTreeMap<ItemId, Hold>,
    ) {
        let sizes = self.pool_sizes(order, queue);
        if sizes.most < 2 {
            return;
        }
        let mut lanes: BTreeMap<Pair, Lane> = BTreeMap::new();
        let mut ahead = Footprints::default();
        let mut places: BTreeMap<ItemId, usize> = BTreeMap::new();
        for (place, item) in order.iter().filter_map(|id| self.state.items.get(id)).enumerate() {
            places.insert(item.id, place);
            if item.changes.len() > 1 {
                for pair in item.pairs() {
                    pool(&lanes.remove(pair).unwrap_or_default().run, None, sizes, holds);
                }
                ahead.add(item.id, self.print_of(item), None);
                continue;
            }
            let Some(pair) = item.pairs().next() else { continue };
            let lane = lanes.entry(pair.clone()).or_default();
            let begin = lane.run.first().and_then(|first| places.get(first));
            let since = |id| begin.is_some_and(|begin| places.get(&id) > Some(begin));
            let print = self.print_of(item);
            let carried = print.and_then(|print| print.onto.first().copied());
            let apart = print.is_none_or(|print| ahead.meets_since(print, carried, since));
            ahead.add(item.id, print, carried);
            self.plan_member(item, apart, lane, sizes, holds);
        }
        for lane in lanes.values() {
            pool(&lane.run, None, sizes, holds);
        }
    }

    /// Puts an item into its lane. `apart` says that something of another branch stands between it and
    /// the run, with which neither could land before the other.
    fn plan_member(
        &self,
        item: &Item,
        apart: bool,
        lane: &mut Lane,
        sizes: Sizes,
        holds: &mut BTreeMap<ItemId, Hold>,
    ) {
        if matches!(item.stage, Stage::Landing(_) | Stage::Deploying(_)) {
            return;
        }
        if let Some(doubt) = lane.doubt {
            holds.insert(item.id, Hold::Doubt(doubt));
            return;
        }
        if !self.closure_is_clean(item.id) {
            // It may have to leave, which it can only when what is ahead of it is decided.
            pool(&std::mem::take(&mut lane.run), None, sizes, holds);
            return;
        }
        let standing = self.standing_now(item);
        let last = lane.run.last().and_then(|last| self.state.items.get(last));
        let follows = last.is_none_or(|last| {
            let rests_on_run = || self.contains(item, last.id);
            !apart && !self.alters_job_files(item) && rests_on_run() && self.has_jobs_of(item, last)
        });
        // Who is held back judges nobody, though it may have come by a verdict.
        let begun =
            self.is_begun_now(item) && (standing == Standing::Passed || !holds.contains_key(&item.id));
        match standing {
            Standing::Failing | Standing::Failed if follows && !lane.run.is_empty() => {
                let run = std::mem::take(&mut lane.run);
                let middle = run.len().div_ceil(2);
                let (first, behind) = run.split_at(middle);
                pool(first, None, Sizes { now: first.len(), ..sizes }, holds);
                lane.doubt = first.last().copied();
                if let Some(doubt) = lane.doubt {
                    holds.extend(behind.iter().map(|id| (*id, Hold::Doubt(doubt))));
                }
            }
            Standing::Failing | Standing::Failed => {}
            Standing::Passed | Standing::Building if begun => {
                let run = std::mem::take(&mut lane.run);
                pool(&run, follows.then_some(item.id), sizes, holds);
            }
            Standing::Building if !holds.contains_key(&item.id) && item.place.class != Class::Probation => {
                if !follows {
                    pool(&std::mem::take(&mut lane.run), None, sizes, holds);
                }
                lane.run.push(item.id);
            }
            _ => pool(&std::mem::take(&mut lane.run), None, sizes, holds),
        }
    }

    /// How many items of the queue may be judged as one.
    fn pool_sizes(&self, order: &[ItemId], queue: &QueuePolicy) -> Sizes {
        let pushes = queue.landing == LandingMode::Push && self.state.push_limits.is_empty();
        let most = if pushes { most_pooled(queue).min(queue.max_items_per_push) } else { 1 };
        let now = if most > 1 { pool_size(queue, self.load(order)).min(most) } else { 1 };
        let [now, most] = [now, most].map(|size| usize::try_from(size).unwrap_or(1).max(1));
        Sizes { now, most }
    }

    /// Whether items of the queue are judged together, or would be now.
    pub(super) fn makes_batches(&self, order: &[ItemId], queue: &QueuePolicy) -> bool {
        let is_pooled = |id| matches!(self.index.held.get(id), Some(Hold::Pooled(_) | Hold::Doubt(_)));
        order.iter().any(is_pooled) || self.pool_sizes(order, queue).now > 1
    }

    /// What there is to build in a queue.
    fn load(&self, order: &[ItemId]) -> Load {
        let items = order.iter().filter_map(|id| self.state.items.get(id));
        let unbuilt: Vec<&Item> =
            items.filter(|item| self.standing_now(item) == Standing::Building).collect();
        let slots = self.state.policy.as_ref().map_or(1, |policy| policy.slots);
        let count = u32::try_from(unbuilt.len()).unwrap_or(u32::MAX);
        // Where there is a slot for each, it does not matter; else the next ones stand for all.
        let next = if count <= slots { 0 } else { CHANCES_MAX };
        let chances: Vec<u64> = unbuilt.iter().take(next).map(|item| self.chance(item)).collect();
        let mean = chances.iter().sum::<u64>().checked_div(chances.len() as u64);
        Load { unbuilt: count, slots, chance: mean.unwrap_or_default() }
    }

    /// Whether an item has all jobs that one ahead of it has: else its builds do not judge that one, whose
    /// files other jobs may be for.
    fn has_jobs_of(&self, item: &Item, ahead: &Item) -> bool {
        let (jobs, needed) = (self.jobs_of(item), self.jobs_of(ahead));
        // Mostly they are the same ones.
        let same = jobs.len() == needed.len()
            && jobs.iter().zip(needed).all(|(job, other)| job.name == other.name && job.home == other.home);
        same || needed.iter().all(|job| graph::find(jobs, &job.name, &job.home).is_some())
    }

    fn contains(&self, item: &Item, other: ItemId) -> bool {
        // Who is asked for mostly stands near the end.
        self.node_of(item).is_some_and(|node| node.contains.iter().rev().any(|id| *id == other))
    }

    fn alters_job_files(&self, item: &Item) -> bool {
        match self.node_of(item).and_then(|node| node.resolved.as_ref()) {
            Some(Resolved::Jobs { alters_job_files, jobs, .. }) => {
                !alters_job_files.is_empty() || jobs.is_empty()
            }
            _ => true,
        }
    }

    /// Whether an item is judged by one behind it.
    pub(super) fn is_pooled(&self, item: &Item) -> bool {
        item.pipeline.lands()
            && matches!(self.index.held.get(&item.id), Some(Hold::Pooled(_)))
            && self.standing_now(item) == Standing::Building
    }

    /// Whether an item's failure may be that of something ahead of it that nothing has judged yet: what is
    /// built for itself is built before what is behind it.
    pub(super) fn in_doubt(&self, item: &Item) -> bool {
        let build_of = |item: &Item, key: &VerdictKey| {
            item.adopted.get(key).map(|adopted| adopted.build).or(self.index.running.get(key).copied())
        };
        let failed = self
            .job_states(item)
            .filter(|(job, state)| job.voting && matches!(state, JobState::Failed | JobState::Failing(_)));
        let Some(bought) = failed.filter_map(|(job, _)| build_of(item, &job.key)).min() else { return false };
        let unjudged = |other: &Item| {
            self.standing_now(other) == Standing::Building
                && self.jobs_of(other).iter().any(|job| {
                    let later = build_of(other, &job.key).is_none_or(|build| build > bought);
                    job.voting && !other.adopted.contains_key(&job.key) && later
                })
        };
        let contained = self.node_of(item).map_or(&[][..], |node| &node.contains);
        contained.iter().filter_map(|id| self.state.items.get(id)).any(unjudged)
    }

    /// Whether all voting jobs of an item have passed at its own node, as its queue knows by now.
    pub(super) fn has_passed(&self, item: &Item) -> bool {
        self.index.standing.get(&item.id) == Some(&Standing::Passed)
            && self.standing_now(item) == Standing::Passed
    }

    /// Notes which of the items of a push are judged by one behind them, and names those.
    pub(super) fn cover(&mut self, items: &[ItemId]) -> Vec<ItemId> {
        let mut with = None;
        let mut covered = Vec::new();
        for item in items.iter().rev().filter_map(|id| self.state.items.get(id)) {
            if self.has_passed(item) {
                with = Some(item.id);
            } else if let Some(with) = with {
                covered.push((item.id, with));
            }
        }
        for (item, with) in covered.iter().rev() {
            if self.state.items.get(item).is_some_and(|item| item.covered != Some(*with)) {
                self.act(Action::Decision(Decision::Pooled { item: *item, with: *with }));
            }
        }
        covered.into_iter().rev().map(|(item, _)| item).collect()
    }
}

/// Makes pools of a run; `end`, which is built already, judges the last of them.
fn pool(run: &[ItemId], end: Option<ItemId>, sizes: Sizes, holds: &mut BTreeMap<ItemId, Hold>) {
    let judged = end.map_or(0, |_| run.len().min(sizes.most.saturating_sub(1)));
    let (free, carried) = run.split_at(run.len() - judged);
    if let Some(end) = end {
        holds.extend(carried.iter().map(|id| (*id, Hold::Pooled(end))));
    }
    for members in free.chunks(sizes.now) {
        if let Some((last, members)) = members.split_last() {
            holds.extend(members.iter().map(|id| (*id, Hold::Pooled(*last))));
        }
    }
}
