//! What the last pass over a queue has found of its items, so that the next one goes past those of which
//! nothing that it would look at has changed.
//!
//! Derived, never stored. It saves time and decides nothing: only items in plain standing are gone past, and
//! where debug assertions are on, as in all simulations, each is held against what a look would find.

use std::sync::Arc;

use crate::model::policy::{OutsidePolicy, QueuePolicy, StrategyPolicy};
use crate::model::{Class, ItemId, Timestamp};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::{Expected, Predicted};
use super::jobs::Standing;
use super::pool::{Sizes, is_hurried};
use super::predict::Odds;
use super::print::{PairId, Print};
use super::state::Item;
use super::strategy::Hold;
use super::touched::Touched;

/// How far ahead an item is looked for in what the last pass has left: further on it counts as new.
const NEAR: usize = 8;

/// How many items of a queue are asked for their chances.
const CHANCES_MAX: u32 = 64;

/// After how long all items of a queue are looked at again, whatever is remembered of them, in milliseconds.
const LOOK_AGAIN_MS: i64 = 60_000;

/// What the last pass over a queue has found, in its order.
#[derive(Default)]
pub(crate) struct Memos {
    all: Vec<Memo>,
    pub unbuilt: Unbuilt,
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

/// The items of a queue that are still to be built.
#[derive(Clone, Copy, Default)]
pub(crate) struct Unbuilt {
    pub count: u32,
    /// The sum of the chances of the first of them to pass.
    chances: u64,
}

impl Unbuilt {
    /// Counts an item, in order, with its chance to pass.
    pub fn add(&mut self, chance: impl FnOnce() -> u64) {
        if self.count < CHANCES_MAX {
            self.chances += chance();
        }
        self.count = self.count.saturating_add(1);
    }

    /// The mean chance of an item to pass: the next ones stand for all.
    pub fn chance(&self) -> u64 {
        self.chances.checked_div(u64::from(self.count.min(CHANCES_MAX))).unwrap_or_default()
    }
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

/// What there is to know of an item in plain standing, for itself and for those behind it.
pub(crate) struct Plain {
    pub node: Expected,
    pub print: Arc<Print>,
    /// What it writes, where that is one branch.
    pub writes: Option<PairId>,
    pub standing: Standing,
    /// A build of it was bought, or a verdict is in use.
    pub is_begun: bool,
    /// It is no part of the likeliest path.
    pub is_beside: bool,
    pub is_on_probation: bool,
    /// It goes before what came before it.
    pub is_hurried: bool,
    /// It has several changes.
    pub has_several: bool,
    /// It has only one, and has to do with no branch but that one's.
    pub is_simple: bool,
    pub is_landing: bool,
    /// One of its parents is an open change.
    pub rests_on_open: bool,
    /// What its chance to pass depends on, while it is to be built.
    pub odds: Odds,
    /// The state with which its node agrees.
    basis: Basis,
}

/// What was expected of the branches that a node has to do with.
#[derive(Default)]
pub(crate) struct Basis(Vec<(PairId, Option<Expected>, u32)>);

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
                self.all
                    .insert(place.min(self.all.len()), Memo { item, left: None, plain: None, hold: None });
            }
        }
        self.is_same = false;
    }

    /// Some items are no longer here.
    fn forget(&mut self, places: std::ops::Range<usize>) {
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
        self.all.iter().all(|memo| memo.plain.as_ref().is_some_and(|plain| plain.is_simple))
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
        let held = self.all.iter_mut().zip(holds);
        for (memo, hold) in held.filter(|(memo, _)| touched.has(memo.plain.as_ref())) {
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

impl Plain {
    /// The branch that it has to do with, if it is only one.
    #[inline]
    pub fn lane(&self) -> Option<PairId> {
        self.writes.filter(|_| self.is_simple)
    }

    /// Whether strategies and pools find the same of it as of another state of the item.
    fn is_held_as(&self, other: &Self) -> bool {
        let stands = |plain: &Self| {
            let class = (plain.is_on_probation, plain.is_hurried);
            (plain.node, plain.standing, plain.is_begun, plain.is_landing, class)
        };
        stands(self) == stands(other) && Arc::ptr_eq(&self.print, &other.print)
    }
}

impl Queue {
    /// Something that a pass looks at has changed about an item.
    pub(super) fn news_about(&mut self, id: ItemId) {
        if self.state.items.get(&id).is_some_and(|item| item.queue.is_some()) {
            self.index.news.insert(id);
        }
    }

    /// What is expected of the branches that an item's node has to do with.
    pub(super) fn basis_of(&self, item: &Item, predicted: &Predicted) -> Basis {
        let Some(print) = self.print_of(item) else { return Basis::default() };
        let mut basis = Basis(Vec::with_capacity(print.onto.len() + print.reads.len()));
        for pair in print.pairs() {
            // Mostly a job reads what its item writes.
            if basis.0.first().is_none_or(|(known, ..)| *known != pair) {
                basis.0.push((pair, predicted.expected(pair), self.index.prints.version(pair)));
            }
        }
        basis
    }

    /// What is to be remembered of an item that was just looked at; `basis` is with what its node agrees, if
    /// that is known.
    pub(super) fn plain_of(&self, id: ItemId, basis: Option<Basis>) -> Option<Plain> {
        let item = self.state.items.get(&id)?;
        let node = self.node_of(item)?;
        let is_landing = item.stage.is_pushed();
        let basis = if is_landing { Basis::default() } else { basis? };
        let standing = if is_landing { Standing::Passed } else { self.standing_now(item) };
        let changes = || item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let brings_in = node.merged.as_ref().is_some_and(|merged| !merged.foreign.is_empty());
        let depends = !node.depends.is_empty() || changes().any(|change| !change.snapshot.needs.is_empty());
        let is_odd = standing.is_failing() || standing == Standing::NoJob || item.prepare.is_some();
        if !is_landing && (is_odd || brings_in || depends) {
            return None;
        }
        let open = |parent| self.index.by_revision.contains_key(parent);
        let print = self.index.prints.share(node.id)?;
        let writes = match &*print.onto {
            [only] => Some(*only),
            _ => None,
        };
        Some(Plain {
            node: node.into(),
            writes,
            is_simple: item.changes.len() == 1 && writes.is_some_and(|own| print.is_of(own)),
            print,
            standing,
            is_begun: is_landing || self.is_begun_now(item),
            is_beside: self.is_beside(item, standing),
            is_on_probation: item.place.class == Class::Probation,
            is_hurried: is_hurried(item),
            has_several: item.changes.len() > 1,
            is_landing,
            odds: if standing == Standing::Building { self.odds(item) } else { Odds::default() },
            rests_on_open: changes().any(|change| change.snapshot.parents.iter().any(open)),
            basis,
        })
    }

    /// Whether a look at an item would find what the last one has found; `is_same` where this pass has left to it
    /// what the last one did.
    #[inline]
    pub(super) fn is_as_before(&self, plain: &Plain, ahead: &Ahead, is_same: bool) -> bool {
        let versions = &self.index.prints;
        let expects = |(pair, expected, version): &(PairId, Option<Expected>, u32)| {
            ahead.predicted.expected(*pair) == *expected && versions.version(*pair) == *version
        };
        let is_calm = ahead.failing.is_empty() && ahead.stuck.is_empty();
        let as_before = || is_same && is_calm || plain.basis.0.iter().all(expects);
        let parents_stay = || !plain.rests_on_open || ahead.failing.is_empty();
        let is_stuck = || ahead.stuck.iter().any(|id| plain.print.carries.has(*id));
        plain.is_landing || (is_calm || parents_stay() && !is_stuck()) && as_before()
    }

    /// Whether a pass over a queue can go past items: nothing but their nodes, what these rest on and how
    /// they stand decides what becomes of them.
    pub(super) fn may_go_past(&self, queue: &QueuePolicy) -> bool {
        let Some(priority) = self.state.policy.as_ref().map(|policy| &policy.priority) else { return false };
        let has_shares = priority.most_per_owner.is_some() || priority.most_per_repository.is_some();
        let looks_at_all = matches!(queue.strategy, StrategyPolicy::Serial | StrategyPolicy::Zuul);
        !has_shares && !looks_at_all && queue.outside == OutsidePolicy::Strict
    }

    /// Holds what is remembered of an item against the item itself.
    pub(super) fn check_plain(&self, id: ItemId, plain: &Plain, ahead: &Ahead) {
        let changed = self.changed_since(id, plain, ahead);
        assert_eq!(
            changed, None,
            "of {id:?} something has changed since it was looked at, and nobody has told"
        );
    }

    /// What of an item is not as it is remembered, in words.
    fn changed_since(&self, id: ItemId, plain: &Plain, ahead: &Ahead) -> Option<&'static str> {
        let (Some(item), Some(known)) =
            (self.state.items.get(&id), self.plain_of(id, Some(Basis::default())))
        else {
            return Some("it is no longer in plain standing");
        };
        let fails = || self.failing_parent(item, ahead) || self.failing_dependency(item, ahead).is_some();
        let agrees = || self.node_of(item).is_some_and(|node| self.agrees(node, &ahead.predicted));
        let stands =
            (known.standing, known.is_begun, known.is_beside, known.is_on_probation, known.is_hurried);
        if known.is_landing != plain.is_landing {
            Some("whether it is being pushed")
        } else if known.node != plain.node {
            Some("its node")
        } else if known.odds != plain.odds {
            Some("what its chance depends on")
        } else if stands
            != (plain.standing, plain.is_begun, plain.is_beside, plain.is_on_probation, plain.is_hurried)
        {
            Some("how it stands")
        } else if plain.is_landing {
            None
        } else if !agrees() {
            Some("what its node rests on")
        } else if fails() {
            Some("what it rests on is expected to leave")
        } else if self.without_branch(item).is_some() || !self.depends_of(item).is_empty() {
            Some("its branches")
        } else {
            None
        }
    }
}
