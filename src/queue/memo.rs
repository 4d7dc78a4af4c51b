//! What the last pass over a queue has found of its items, so that the next one goes past those of which
//! nothing that it would look at has changed.
//!
//! Derived, never stored. It saves time and decides nothing: only items in plain standing are gone past, and
//! where debug assertions are on, as in all simulations, each is held against what a look would find.

use crate::model::policy::{OutsidePolicy, QueuePolicy, StrategyPolicy};
use crate::model::{ItemId, Timestamp};

use super::Queue;
use super::footprint::Expected;
use super::jobs::Standing;
use super::plain::Plain;
use super::pool::Sizes;
use super::print::{PairId, Print};
use super::strategy::Hold;
use super::tally::{Tally, Unbuilt};
use super::touched::Touched;

/// How far ahead an item is looked for in what the last pass has left: further on it counts as new.
const NEAR: usize = 8;

/// After how long all items of a queue are looked at again, whatever is remembered of them, in milliseconds.
const LOOK_AGAIN_MS: i64 = 60_000;

/// What the last pass over a queue has found, in its order.
#[derive(Default)]
pub(crate) struct Memos {
    all: Vec<Memo>,
    /// Of each the little that is asked for most, so that a look along all of them is a short one.
    briefs: Vec<Brief>,
    /// How many of these items have to do with more than one branch, as far as that is known.
    entangled: usize,
    pub unbuilt: Unbuilt,
    /// What the last whole pass has added up, if it can be amended.
    pub calm: Option<Calm>,
    /// Of what size the pools were that were made; `None` where there were none to make.
    sizes: Option<Sizes>,
    /// Whose pools may have to be made otherwise.
    touched: Touched,
    /// The strategy held some items itself when pools were made last.
    was_held: bool,
    /// When all items were looked at.
    made_at: Timestamp,
    /// How often a tip had changed when the last whole pass began; `None` where it was not whole.
    tips: Option<u64>,
    /// So far this pass has left to each item what the last one did.
    is_same: bool,
}

/// What a pass has added up that found nothing but items in plain standing, none of them failing or held by the
/// strategy.
#[derive(Clone, Copy)]
pub(crate) struct Calm {
    pub tally: Tally,
    /// How far the strategy looked ahead, where that changes.
    pub window: Option<u32>,
    /// How often a chance had changed.
    pub chances: u64,
}

/// What a pass has found of an item.
struct Memo {
    item: ItemId,
    /// The node that it left to those behind it, if any.
    left: Option<Expected>,
    /// `None` where the item is looked at each time.
    plain: Option<Plain>,
    /// Why its builds claim no slots, if that was said of it.
    hold: Option<Option<Hold>>,
}

/// What is asked for most of an item.
#[derive(Clone, Copy)]
pub(crate) struct Brief {
    /// The branch that it has to do with, if it is known to be only one.
    pub lane: Option<PairId>,
    /// How it stands, if that is plain and it is not being pushed.
    pub standing: Option<Standing>,
    /// Its jobs are not known.
    pub is_opaque: bool,
}

impl Memos {
    /// Forgets all once in a while, so that what nobody has told costs a delay and no more.
    pub fn renew(&mut self, now: Timestamp) {
        if now.since_ms(self.made_at) >= LOOK_AGAIN_MS {
            *self = Self { made_at: now, ..Self::default() };
        }
    }

    /// Begins a pass; `tips` is how often a tip has changed by now.
    pub fn begin(&mut self, tips: u64) {
        self.is_same = self.tips.take() == Some(tips);
        self.calm = None;
    }

    /// Whether the last pass was whole, and on these tips.
    pub fn is_whole(&self, tips: u64) -> bool {
        self.tips == Some(tips)
    }

    /// How many items it found within reach.
    pub fn reach(&self) -> usize {
        self.all.len()
    }

    /// A pass has come to its end, after so many items; what is behind them is forgotten.
    pub fn complete(&mut self, items: usize, tips: u64) {
        self.forget(items..self.all.len().max(items));
        self.tips = Some(tips);
    }

    /// Whether this pass has so far left to each item what the last one did, on the same tips.
    #[inline]
    pub fn is_same(&self) -> bool {
        self.is_same
    }

    /// Has what is known of an item stand at its place.
    #[inline]
    pub fn align(&mut self, place: usize, item: ItemId) {
        if self.all.get(place).is_none_or(|memo| memo.item != item) {
            self.shift(place, item);
        }
    }

    fn shift(&mut self, place: usize, item: ItemId) {
        let rest = self.all.get(place..).unwrap_or_default();
        match rest.iter().take(NEAR).position(|memo| memo.item == item) {
            Some(gone) => self.forget(place..place + gone),
            None => {
                let place = place.min(self.all.len());
                self.all.insert(place, Memo { item, left: None, plain: None, hold: None });
                self.briefs.insert(place, Brief::of(None));
                self.entangled += 1;
            }
        }
        self.is_same = false;
    }

    /// Some items are no longer here.
    fn forget(&mut self, places: std::ops::Range<usize>) {
        for brief in self.briefs.drain(places.clone()) {
            self.entangled -= usize::from(brief.lane.is_none());
        }
        for memo in self.all.drain(places) {
            // If its jobs were not known it stood between any two.
            self.touched.add(0, memo.plain.as_ref());
        }
    }

    /// What is known of the item at a place.
    #[inline]
    pub fn plain(&self, place: usize) -> Option<&Plain> {
        self.all.get(place)?.plain.as_ref()
    }

    /// Notes what was found of the item at a place, and what it has left to those behind it.
    pub fn note(&mut self, place: usize, plain: Option<Plain>, left: Option<Expected>) {
        let Some(memo) = self.all.get_mut(place) else { return };
        self.is_same &= memo.left == left;
        memo.left = left;
        let now = Brief::of(plain.as_ref());
        let then = std::mem::replace(&mut self.briefs[place], now);
        self.entangled += usize::from(now.lane.is_none());
        self.entangled -= usize::from(then.lane.is_none());
        let before = std::mem::replace(&mut memo.plain, plain);
        if before.as_ref().zip(memo.plain.as_ref()).is_some_and(|(before, now)| before.is_held_as(now)) {
            return;
        }
        self.touched.add(place, memo.plain.as_ref());
        // What is new here stood nowhere.
        if memo.hold.is_some() {
            self.touched.add(place, before.as_ref());
        }
    }

    /// Whether each item has to do with one branch only, as far as that is known.
    pub fn are_simple(&self) -> bool {
        self.entangled == 0
    }

    /// The node whose result a branch is expected to have before the item at a place.
    pub fn written_before(&self, place: usize, pair: PairId) -> Option<Expected> {
        let ahead = (0..place).rev().filter(|at| self.briefs[*at].may_have_to_do_with(pair));
        let mut plains = ahead.filter_map(|at| self.plain(at));
        plains.find(|plain| plain.writes_to(pair)).map(|plain| plain.node)
    }

    /// Whether an item behind a place rests on what is expected of a branch that the footprint writes.
    pub fn has_readers_behind(&self, place: usize, print: &Print) -> bool {
        let may_read = |brief: &Brief| print.onto.iter().any(|pair| brief.may_have_to_do_with(*pair));
        let behind = (place + 1..self.all.len()).filter(|at| may_read(&self.briefs[*at]));
        let mut plains = behind.filter_map(|at| self.plain(at));
        plains.any(|plain| print.onto.iter().any(|pair| plain.rests_on(*pair)))
    }

    /// What was left to those behind the item at a place.
    pub fn left(&self, place: usize) -> Option<Expected> {
        self.all.get(place)?.left
    }

    /// What is asked for most of each item, in order.
    pub fn briefs(&self) -> &[Brief] {
        &self.briefs
    }

    /// Where the last item is that stands so and is not being pushed.
    pub fn last_that(&self, stands: impl Fn(Standing) -> bool) -> Option<usize> {
        self.briefs.iter().rposition(|brief| brief.standing.is_some_and(&stands))
    }

    /// The items that are still to be built, in order, as far as they are in plain standing.
    pub fn to_build(&self) -> impl Iterator<Item = &Plain> {
        let is_unbuilt = |brief: &Brief| brief.standing == Some(Standing::Building);
        let found = self.briefs.iter().zip(&self.all).filter(move |(brief, _)| is_unbuilt(brief));
        found.filter_map(|(_, memo)| memo.plain.as_ref())
    }

    /// Whose pools may have to be made otherwise than when this was asked for last, if any; `sizes` are those of
    /// the pools to be made, `last_built` is where the last item stands whose builds are known, and `is_held` says
    /// whether the strategy holds some items itself.
    pub fn take_touched(
        &mut self,
        sizes: Option<Sizes>,
        last_built: Option<usize>,
        is_held: bool,
    ) -> Option<Touched> {
        let mut touched = std::mem::take(&mut self.touched);
        if std::mem::replace(&mut self.sizes, sizes) != sizes {
            touched.add_all();
        }
        if !touched.is_any() {
            return None;
        }
        touched.end(last_built);
        let was_held = std::mem::replace(&mut self.was_held, is_held);
        if was_held || is_held || !self.are_simple() {
            touched.add_all();
        }
        Some(touched)
    }

    /// Whether the items are held so.
    pub fn are_held(&self, holds: &[Option<Hold>]) -> bool {
        self.all.iter().map(|memo| memo.hold.as_ref()).eq(holds.iter().map(Some))
    }

    /// Notes how the items of these branches are held; gives those of which something else was said before, or
    /// nothing.
    pub fn hold(&mut self, holds: &[Option<Hold>], touched: &Touched) -> Vec<(ItemId, Option<Hold>)> {
        let mut news = Vec::new();
        let held = self.briefs.iter().zip(self.all.iter_mut().zip(holds));
        for (_, (memo, hold)) in held.filter(|(brief, _)| touched.has(brief.lane)) {
            let is_same = match (&memo.hold, hold) {
                (Some(None), None) => true,
                (before, hold) => before.as_ref() == Some(hold),
            };
            if !is_same {
                news.push((memo.item, hold.clone()));
                memo.hold = Some(hold.clone());
            }
        }
        news
    }
}

impl Brief {
    fn of(plain: Option<&Plain>) -> Self {
        Self {
            lane: plain.and_then(Plain::lane),
            standing: plain.filter(|plain| !plain.is_landing).map(|plain| plain.standing),
            is_opaque: plain.is_none_or(|plain| !plain.print.resolved),
        }
    }

    #[inline]
    fn may_have_to_do_with(self, pair: PairId) -> bool {
        self.lane.is_none_or(|lane| lane == pair)
    }
}

impl Queue {
    /// Something that a pass looks at has changed about an item.
    pub(super) fn news_about(&mut self, id: ItemId) {
        if self.state.items.get(&id).is_some_and(|item| item.queue.is_some()) {
            self.index.news.insert(id);
        }
    }

    /// Whether a pass over a queue can go past items: nothing but their nodes, what these rest on and how
    /// they stand decides what becomes of them.
    pub(super) fn may_go_past(&self, queue: &QueuePolicy) -> bool {
        let Some(priority) = self.state.policy.as_ref().map(|policy| &policy.priority) else { return false };
        let has_shares = priority.most_per_owner.is_some() || priority.most_per_repository.is_some();
        let looks_at_all = matches!(queue.strategy, StrategyPolicy::Serial | StrategyPolicy::Zuul);
        !has_shares && !looks_at_all && queue.outside == OutsidePolicy::Strict
    }
}
