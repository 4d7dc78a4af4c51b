//! Items in plain standing: nothing but their nodes, what these rest on and how they stand decides what
//! becomes of them, so that little has to be remembered of each.

use std::sync::Arc;

use crate::model::{Class, ItemId};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::{Expected, Predicted};
use super::jobs::Standing;
use super::pool::is_hurried;
use super::predict::Odds;
use super::print::{PairId, Print};
use super::state::Item;

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

impl Basis {
    /// What is expected to be written in these branches.
    pub fn written(&self) -> impl Iterator<Item = (PairId, Expected)> {
        self.0.iter().filter_map(|(pair, expected, _)| Some((*pair, (*expected)?)))
    }
}

impl Plain {
    /// Whether it is expected to write to a branch, for those behind it.
    #[inline]
    pub fn writes_to(&self, pair: PairId) -> bool {
        let writes = || self.writes.map_or_else(|| self.print.onto.contains(&pair), |own| own == pair);
        !self.is_beside && writes()
    }

    /// Whether its node rests on what is expected of a branch.
    pub fn rests_on(&self, pair: PairId) -> bool {
        self.basis.0.iter().any(|(own, ..)| *own == pair)
    }

    /// What it leaves to those behind it.
    pub fn left(&self) -> Option<Expected> {
        (!self.is_beside).then_some(self.node)
    }

    /// Whether it is begun by its own builds, and is not yet.
    pub fn is_to_begin(&self) -> bool {
        !self.is_on_probation && !self.is_begun
    }

    /// The branch that it has to do with, if it is only one.
    #[inline]
    pub fn lane(&self) -> Option<PairId> {
        self.writes.filter(|_| self.is_simple)
    }

    /// Whether strategies and pools find the same of it as of another state of the item.
    pub fn is_held_as(&self, other: &Self) -> bool {
        let stands = |plain: &Self| {
            let class = (plain.is_on_probation, plain.is_hurried);
            (plain.node, plain.standing, plain.is_begun, plain.is_landing, class)
        };
        stands(self) == stands(other) && Arc::ptr_eq(&self.print, &other.print)
    }
}

impl Queue {
    /// What is expected of the branches that an item's node has to do with.
    pub(super) fn basis_of(&self, item: &Item, predicted: &Predicted) -> Basis {
        let print = self.print_of(item);
        print.map_or_else(Basis::default, |print| self.basis(print, |pair| predicted.expected(pair)))
    }

    /// The basis of a node with this footprint.
    pub(super) fn basis(&self, print: &Print, expected: impl Fn(PairId) -> Option<Expected>) -> Basis {
        let mut basis = Basis(Vec::with_capacity(print.onto.len() + print.reads.len()));
        for pair in print.pairs() {
            // Mostly a job reads what its item writes.
            if basis.0.first().is_none_or(|(known, ..)| *known != pair) {
                basis.0.push((pair, expected(pair), self.index.prints.version(pair)));
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
        let brings_in = node.merged.as_ref().is_some_and(|merged| !merged.foreign.is_empty());
        let (mut depends, mut rests_on_open, mut check_failed) = (!node.depends.is_empty(), false, false);
        for change in &item.changes {
            let Some(known) = self.state.changes.get(&change.number) else { continue };
            depends |= !known.snapshot.needs.is_empty();
            let mut parents = known.snapshot.parents.iter();
            rests_on_open |= parents.any(|parent| self.index.by_revision.contains_key(parent));
            check_failed |= known.check_failed == Some(change.revision);
        }
        let is_odd = standing.is_failing() || standing == Standing::NoJob || item.prepare.is_some();
        if !is_landing && (is_odd || brings_in || depends) {
            return None;
        }
        let print = self.index.prints.share(node.id)?;
        let is_building = standing == Standing::Building;
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
            odds: if is_building { self.odds(item, check_failed) } else { Odds::default() },
            rests_on_open,
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
