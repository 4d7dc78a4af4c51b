//! Items that are judged together: consecutive ones of one branch, by the builds of the last of them.
//!
//! All but the last of a pool claim no slots. When the last one passes, they land in one push, all or
//! nothing, and the branch moves to the tree that was tested. When it fails, nobody is to blame yet: the
//! prefix up to the middle is built, and so on, until a prefix passes (and lands) or one item is left.
//! Everything behind in that branch waits so long. A change of a job file stands only first in a pool,
//! so that all members have the jobs of the last one's node; and none follows that lacks a job of one
//! ahead of it, whose files it does not change.

use crate::model::action::Decision;
use crate::model::policy::{LandingMode, QueuePolicy};
use crate::model::{Action, Class, ItemId, QueueName, VerdictKey};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::Footprints;
use super::graph;
use super::jobs::{JobState, Standing};
use super::memo::{Brief, Memos};
use super::plain::Plain;
use super::print::{PairId, Print};
use super::sheet::{Renew, Sheet};
use super::state::Item;
use super::strategy::{Hold, Load, most_pooled, pool_size};
use super::tally::Unbuilt;
use super::touched::Touched;

/// What is planned for one branch. Items are named by their places.
#[derive(Default)]
struct Lane {
    /// Items to be built, each on the one before it, that are in no pool yet.
    run: Vec<usize>,
    /// The item that is built to find out who is to blame; what follows waits for that.
    doubt: Option<usize>,
}

impl Renew for Lane {
    fn renew(&mut self) {
        self.run.clear();
        self.doubt = None;
    }
}

/// What is planned for all branches, and who has to do with each. It is kept for its room only.
#[derive(Default)]
pub(crate) struct Lanes {
    of: Sheet<Lane>,
    ahead: Footprints,
}

/// What pools ask of an item.
struct Member<'a> {
    place: usize,
    id: ItemId,
    print: Option<&'a Print>,
    /// Its branch, where it has only one change and anyone has had to do with that branch.
    lane: Option<PairId>,
    is_pushed: bool,
    standing: Standing,
    is_begun: bool,
    is_on_probation: bool,
    /// It goes before what came before it: it waits for no build of what is behind.
    is_hurried: bool,
    /// All foreign commits that it would bring in were judged harmless.
    is_clean: bool,
}

/// What pools are made of: items in order, and whether each claims no slots for now.
struct Pools<'a> {
    order: &'a [ItemId],
    sizes: Sizes,
    memos: &'a Memos,
    holds: &'a mut [Option<Hold>],
}

/// How many items are judged as one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// In a pool that is begun now.
    now: usize,
    /// By a build that was bought already: its verdict costs no more when the load has fallen.
    most: usize,
}

impl Queue {
    /// Holds what is judged by something behind it, in the branches that are touched. `holds` has what the
    /// strategy says so far of each item, `memos` what is known of them.
    pub(super) fn plan_pools(
        &self,
        order: &[ItemId],
        sizes: Sizes,
        holds: &mut [Option<Hold>],
        memos: &Memos,
        touched: &Touched,
        lanes: &mut Lanes,
    ) {
        if sizes.most < 2 {
            return;
        }
        // Items of different branches that have to do with these alone stand in nobody's way.
        let are_simple = memos.are_simple();
        self.make_pools(&mut Pools { order, sizes, memos, holds }, are_simple, touched, lanes);
    }

    /// How all items would be held if each was compared with all: what is done for some of them only, or without
    /// comparing, is held against this where debug assertions are on.
    pub(super) fn pools_anew(
        &self,
        order: &[ItemId],
        sizes: Sizes,
        memos: &Memos,
        ahead: &Ahead,
    ) -> Vec<Option<Hold>> {
        let mut holds = ahead.holds.clone();
        holds.resize(order.len(), None);
        if sizes.most > 1 {
            let mut pools = Pools { order, sizes, memos, holds: &mut holds };
            self.make_pools(&mut pools, false, &Touched::all(), &mut Lanes::default());
        }
        holds
    }

    fn make_pools(&self, pools: &mut Pools, are_simple: bool, touched: &Touched, lanes: &mut Lanes) {
        let Lanes { of: lanes, ahead } = lanes;
        lanes.clear();
        ahead.clear();
        let Pools { order, memos, .. } = *pools;
        let is_passed_over = |brief: &Brief| !brief.is_opaque && !touched.has(brief.lane);
        for (place, brief) in memos.briefs().iter().enumerate() {
            if is_passed_over(brief) {
                continue;
            }
            let (id, is_opaque) = (&order[place], brief.is_opaque);
            let known = memos.plain(place).map(|plain| Member::of(place, *id, plain));
            let Some(member) = known.or_else(|| self.member(place, *id)) else { continue };
            let Some(lane) = member.lane else {
                self.close_lanes(*id, lanes, pools);
                ahead.add(place, member.print, None);
                continue;
            };
            let lane = lanes.get_mut(lane);
            let carried = member.print.and_then(|print| print.onto.first().copied());
            let apart = lane.run.first().is_some_and(|begin| {
                member.print.is_none_or(|print| ahead.meets_behind(print, carried, *begin))
            });
            if !are_simple || is_opaque {
                ahead.add(place, member.print, carried);
            }
            self.plan_member(&member, apart, lane, pools);
        }
        for (_, lane) in lanes.iter() {
            pools.make(&lane.run, None);
        }
    }

    /// What is asked of an item that was not gone past.
    fn member(&self, place: usize, id: ItemId) -> Option<Member<'_>> {
        let item = self.state.items.get(&id)?;
        let [only] = item.changes.as_slice() else {
            let mut member = Member::several(place, id);
            member.print = self.print_of(item);
            return Some(member);
        };
        Some(Member {
            place,
            id,
            print: self.print_of(item),
            lane: self.index.prints.known(&only.pair),
            is_pushed: item.stage.is_pushed(),
            standing: self.standing_now(item),
            is_begun: self.is_begun_now(item),
            is_on_probation: item.place.class == Class::Probation,
            is_hurried: is_hurried(item),
            is_clean: self.closure_is_clean(id),
        })
    }

    /// Something that lands as a whole stands in the way of what is before it in its branches.
    fn close_lanes(&self, id: ItemId, lanes: &mut Sheet<Lane>, pools: &mut Pools) {
        let pairs = self.state.items.get(&id).into_iter().flat_map(Item::pairs);
        for pair in pairs.filter_map(|pair| self.index.prints.known(pair)) {
            let lane = lanes.get_mut(pair);
            pools.close(lane, None);
            lane.doubt = None;
        }
    }

    /// Puts an item into its lane. `apart` says that something of another branch stands between it and
    /// the run, with which neither could land before the other.
    fn plan_member(&self, member: &Member, apart: bool, lane: &mut Lane, pools: &mut Pools) {
        if member.is_pushed {
            return;
        }
        if let Some(doubt) = lane.doubt {
            pools.hold(member.place, Hold::Doubt(pools.order[doubt]));
            return;
        }
        if !member.is_clean {
            // It may have to leave, which it can only when what is ahead of it is decided.
            pools.close(lane, None);
            return;
        }
        let follows = lane.run.last().is_none_or(|last| !apart && self.follows(member, *last, pools));
        let is_held = pools.holds[member.place].is_some();
        // Who is held back judges nobody, though it may have come by a verdict.
        let begun = member.is_begun && (member.standing == Standing::Passed || !is_held);
        match member.standing {
            Standing::Failing | Standing::Failed if follows && !lane.run.is_empty() => {
                let run = std::mem::take(&mut lane.run);
                let (first, behind) = run.split_at(run.len().div_ceil(2));
                pools.make_of(first, first.len());
                lane.doubt = first.last().copied();
                if let Some(doubt) = lane.doubt {
                    behind.iter().for_each(|place| pools.hold(*place, Hold::Doubt(pools.order[doubt])));
                }
            }
            Standing::Failing | Standing::Failed => {}
            Standing::Passed | Standing::Building if begun => {
                pools.close(lane, follows.then_some(member.id));
            }
            Standing::Building if !is_held && !member.is_on_probation => {
                if !follows {
                    pools.close(lane, None);
                }
                lane.run.push(member.place);
            }
            _ => pools.close(lane, None),
        }
    }

    /// Whether an item may judge the last one of a run, the one at the place `last`.
    fn follows(&self, member: &Member, last: usize, pools: &Pools) -> bool {
        let id = pools.order[last];
        let alters = |print: &Print| !print.resolved || !print.alters.is_empty() || print.jobs.is_empty();
        let ahead = pools.memos.plain(last).map(|plain| plain.is_hurried);
        let ahead = ahead.or_else(|| Some(is_hurried(self.state.items.get(&id)?)));
        // What is urgent waits for no build of what is behind it, and for none that the others may fail.
        ahead == Some(member.is_hurried)
            && member.print.is_some_and(|print| {
                !alters(print) && print.carries.has(id) && {
                    let ahead = self.state.items.get(&id).and_then(|item| self.print_of(item));
                    let ahead = pools.memos.plain(last).map(|plain| &*plain.print).or(ahead);
                    // Mostly they have the same jobs.
                    ahead.is_some_and(|ahead| ahead.jobs == print.jobs) || self.has_jobs_of(member.id, id)
                }
            })
    }

    /// How many items of the queue may be judged as one.
    pub(super) fn pool_sizes(&self, unbuilt: &Unbuilt, queue: &QueuePolicy) -> Sizes {
        let pushes = queue.landing == LandingMode::Push && self.state.push_limits.is_empty();
        let most = if pushes { most_pooled(queue).min(queue.max_items_per_push) } else { 1 };
        let now = if most > 1 { pool_size(queue, self.load(unbuilt)).min(most) } else { 1 };
        let [now, most] = [now, most].map(|size| usize::try_from(size).unwrap_or(1).max(1));
        Sizes { now, most }
    }

    /// Whether items of the queue are judged together, or would be now.
    pub(super) fn makes_batches(&self, order: &[ItemId], name: &QueueName, queue: &QueuePolicy) -> bool {
        let is_pooled = |id| matches!(self.index.held.get(id), Some(Hold::Pooled(_) | Hold::Doubt(_)));
        let unbuilt = self.index.memos.get(name).and_then(Option::as_deref).map(|memos| &memos.unbuilt);
        unbuilt.is_some_and(|unbuilt| self.pool_sizes(unbuilt, queue).now > 1) || order.iter().any(is_pooled)
    }

    /// What there is to build in a queue.
    fn load(&self, unbuilt: &Unbuilt) -> Load {
        let slots = self.state.policy.as_ref().map_or(1, |policy| policy.slots);
        Load { unbuilt: unbuilt.count, slots, chance: unbuilt.chance() }
    }

    /// Whether an item has all jobs that one ahead of it has: else its builds do not judge that one, whose
    /// files other jobs may be for.
    fn has_jobs_of(&self, id: ItemId, ahead: ItemId) -> bool {
        let jobs_of = |id| self.state.items.get(&id).map_or(&[][..], |item| self.jobs_of(item));
        let jobs = jobs_of(id);
        jobs_of(ahead).iter().all(|job| graph::find(jobs, &job.name, &job.home).is_some())
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

/// Whether an item goes before what came before it.
pub(super) fn is_hurried(item: &Item) -> bool {
    item.place.class <= Class::Urgent
}

impl<'a> Member<'a> {
    /// An item that was gone past.
    fn of(place: usize, id: ItemId, plain: &'a Plain) -> Self {
        if plain.has_several {
            return Self { print: Some(&plain.print), ..Self::several(place, id) };
        }
        Self {
            place,
            id,
            print: Some(&plain.print),
            lane: plain.print.onto.first().copied(),
            is_pushed: plain.is_landing,
            standing: plain.standing,
            is_begun: plain.is_begun,
            is_on_probation: plain.is_on_probation,
            is_hurried: plain.is_hurried,
            is_clean: true,
        }
    }

    /// One that lands as a whole.
    fn several(place: usize, id: ItemId) -> Self {
        Self {
            place,
            id,
            print: None,
            lane: None,
            is_pushed: false,
            standing: Standing::Unprepared,
            is_begun: false,
            is_on_probation: false,
            is_hurried: false,
            is_clean: true,
        }
    }
}

impl Pools<'_> {
    fn hold(&mut self, place: usize, hold: Hold) {
        if let Some(known) = self.holds.get_mut(place) {
            *known = Some(hold);
        }
    }

    /// Makes pools of a lane's run, which ends; `end` as for [`Pools::make`].
    fn close(&mut self, lane: &mut Lane, end: Option<ItemId>) {
        self.make(&lane.run, end);
        lane.run.clear();
    }

    /// Makes pools of a run; `end`, which is built already, judges the last of them.
    fn make(&mut self, run: &[usize], end: Option<ItemId>) {
        let judged = end.map_or(0, |_| run.len().min(self.sizes.most.saturating_sub(1)));
        let (free, carried) = run.split_at(run.len() - judged);
        if let Some(end) = end {
            carried.iter().for_each(|place| self.hold(*place, Hold::Pooled(end)));
        }
        self.make_of(free, self.sizes.now);
    }

    /// Makes pools of so many items each.
    fn make_of(&mut self, run: &[usize], size: usize) {
        for members in run.chunks(size.max(1)) {
            if let Some((last, members)) = members.split_last() {
                let last = self.order[*last];
                members.iter().for_each(|place| self.hold(*place, Hold::Pooled(last)));
            }
        }
    }
}
