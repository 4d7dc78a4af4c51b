//! Footprints: whether a node still says something about an item, and which items meet.
//!
//! A node agrees with a predicted state when every branch that the item writes starts from the same
//! commit and everything that was read to judge it has the same value. Two items *meet* when either
//! writes what the other writes or reads; an item without a resolved node meets everything.

use crate::model::action::{Merge, Onto};
use crate::model::{ItemId, NodeId, Pair, Sha};

use super::Queue;
use super::item_set::ItemSet;
use super::pins::agrees_with_pin;
use super::print::{PairId, Print, Prints, ReadId};
use super::sheet::{Renew, Sheet};
use super::state::{Item, Node, Source, State};

/// A state that is expected: tips, and what items ahead are going to write.
#[derive(Clone, Default)]
pub(crate) struct Predicted {
    /// What is expected of each branch, by the branch's number; other branches have their tips.
    nodes: Sheet<Option<Expected>>,
    /// The undecided items in it, in order.
    pub items: Vec<ItemId>,
}

/// The node whose result a branch is expected to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expected {
    pub node: NodeId,
    /// Whether that result is known.
    pub is_merged: bool,
}

impl From<&Node> for Expected {
    fn from(node: &Node) -> Self {
        Self { node: node.id, is_merged: node.merged.is_some() }
    }
}

impl Renew for Option<Expected> {
    fn renew(&mut self) {
        *self = None;
    }
}

impl Predicted {
    /// Forgets all, but for the room that it has taken.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.items.clear();
    }

    /// A node is expected to land: what it writes is so.
    pub fn write(&mut self, print: Option<&Print>, node: Expected) {
        for pair in print.map_or(&[][..], |print| &print.onto) {
            self.write_one(*pair, node);
        }
    }

    /// The same of a node that writes one branch.
    #[inline]
    pub fn write_one(&mut self, pair: PairId, node: Expected) {
        *self.nodes.get_mut(pair) = Some(node);
    }

    /// What is expected of a branch that is not at its tip.
    #[inline]
    pub fn expected(&self, pair: PairId) -> Option<Expected> {
        self.nodes.get(pair).copied().flatten()
    }

    /// The node whose result a branch has.
    pub fn node(&self, pair: PairId) -> Option<NodeId> {
        self.expected(pair).map(|expected| expected.node)
    }

    /// All branches that are not at their tips, with the nodes whose results they have.
    pub fn written(&self) -> impl Iterator<Item = (PairId, NodeId)> {
        self.nodes.iter().filter_map(|(pair, expected)| Some((pair, (*expected)?.node)))
    }
}

/// A predicted state, with the tips that it rests on.
struct Expectation<'a> {
    predicted: &'a Predicted,
    prints: &'a Prints,
}

impl Expectation<'_> {
    /// From what a branch is taken, if anything is known of it.
    fn source(&self, pair: PairId) -> Option<Source> {
        match self.predicted.node(pair) {
            Some(node) => Some(Source::Node(node)),
            None => Some(Source::Commit(self.prints.tip(pair)?)),
        }
    }
}

impl State {
    /// The commit that a source stands for, where it is known by now.
    fn commit_of(&self, source: Source, pair: &Pair) -> Option<Option<Sha>> {
        match source {
            Source::Commit(commit) => Some(commit),
            Source::Node(node) => Some(Some(self.nodes.get(&node)?.written(pair)?.commit)),
        }
    }

    fn same(&self, a: Source, b: Source, pair: &Pair) -> bool {
        if a == b {
            return true;
        }
        let (a, b) = (self.commit_of(a, pair), self.commit_of(b, pair));
        a.is_some() && a == b
    }

    /// Whether what `node` says of its item holds in the predicted state.
    fn agrees(&self, node: &Node, print: &Print, state: &Expectation) -> bool {
        node.policy_epoch == self.policy_epoch
            && node.onto.iter().zip(&*print.onto).all(|((pair, onto), id)| {
                let source = node.written(pair).map_or(*onto, |written| Source::Commit(Some(written.onto)));
                state.source(*id).is_some_and(|expected| self.same(source, expected, pair))
            })
            && node.reads().iter().zip(&print.reads).all(|(read, id)| {
                let (ReadId::Branch(own) | ReadId::JobFile(own)) = id;
                let pair = read.unit.pair();
                if print.onto.contains(own) {
                    return true;
                }
                if let Some(pin) = self.pin_of(node, pair) {
                    return agrees_with_pin(node, read, pin);
                }
                match id {
                    ReadId::Branch(id) => self.branch_agrees(node, *id, pair, read.value, state),
                    ReadId::JobFile(id) => self.job_file_agrees(node, *id, pair, read.value, state),
                }
            })
    }

    fn branch_agrees(
        &self,
        node: &Node,
        id: PairId,
        pair: &Pair,
        read: Option<Sha>,
        state: &Expectation,
    ) -> bool {
        let here = node.overlaid(pair).map_or(Source::Commit(read), Source::Node);
        match state.source(id) {
            Some(expected) => {
                self.same(here, expected, pair) || self.same(Source::Commit(read), expected, pair)
            }
            // A branch that nobody has seen is as it was read.
            None => true,
        }
    }

    fn job_file_agrees(
        &self,
        node: &Node,
        id: PairId,
        pair: &Pair,
        read: Option<Sha>,
        state: &Expectation,
    ) -> bool {
        match state.predicted.node(id) {
            Some(expected) if node.overlaid(pair) == Some(expected) => true,
            Some(expected) => {
                let written = self.nodes.get(&expected).and_then(|node| node.written(pair));
                written.is_some_and(|written| written.job_file == read)
            }
            None => match self.tips.get(pair) {
                Some(tip) => match tip.job_file {
                    Some(known) => known == read,
                    None => node.overlaid(pair).is_none() && tip.epoch <= node.asked_epoch,
                },
                None => true,
            },
        }
    }
}

/// The footprints of a set of items, so that one item can be held against all of them at once.
#[derive(Default)]
pub(crate) struct Footprints {
    /// The place of an item without a resolved node: it meets everything.
    opaque: Option<usize>,
    /// The place of the last item with a resolved node.
    last: Option<usize>,
    /// Who has to do with each branch, by its number.
    of: Sheet<Parties>,
}

/// Who has to do with a branch.
#[derive(Clone, Copy, Default)]
struct Parties {
    writers: Nearest,
    readers: Nearest,
    alterers: Nearest,
    consulters: Nearest,
}

impl Renew for Parties {
    fn renew(&mut self) {
        *self = Self::default();
    }
}

/// An item by its place, with the branch whose push would carry it.
#[derive(Clone, Copy)]
struct Entry {
    place: usize,
    carried: Option<PairId>,
}

/// The nearest of several items, and the nearest that another push carries than that one's.
#[derive(Clone, Copy, Default)]
struct Nearest {
    last: Option<Entry>,
    other: Option<Entry>,
}

impl Nearest {
    fn put(&mut self, entry: Entry) {
        if self.last.is_some_and(|last| last.carried != entry.carried) {
            self.other = self.last;
        }
        self.last = Some(entry);
    }

    /// The nearest item that the push of `carried` does not land.
    fn outside(&self, carried: Option<PairId>) -> Option<usize> {
        let last = self.last?;
        if last.carried.is_none() || last.carried != carried {
            return Some(last.place);
        }
        self.other.map(|other| other.place)
    }
}

impl Footprints {
    /// Forgets all, but for the room that it has taken.
    pub fn clear(&mut self) {
        self.opaque = None;
        self.last = None;
        self.of.clear();
    }

    /// Adds the item at a place, at its node. `carried` names the branch whose push would land it together
    /// with others of that branch: those do not count it as something to wait for.
    pub fn add(&mut self, place: usize, print: Option<&Print>, carried: Option<PairId>) {
        let entry = Entry { place, carried };
        let Some(print) = print.filter(|print| print.resolved) else {
            self.opaque = Some(place);
            return;
        };
        self.last = Some(place);
        for pair in &*print.onto {
            self.of.get_mut(*pair).writers.put(entry);
        }
        for read in &print.reads {
            match read {
                ReadId::Branch(pair) => self.of.get_mut(*pair).readers.put(entry),
                ReadId::JobFile(pair) => self.of.get_mut(*pair).consulters.put(entry),
            }
        }
        for pair in &print.alters {
            self.of.get_mut(*pair).alterers.put(entry);
        }
    }

    /// The place of one among these that an item at a node meets, other than those that the push of
    /// `carried` lands together with it.
    pub fn met_by(&self, print: Option<&Print>, carried: Option<PairId>) -> Option<usize> {
        let Some(print) = print.filter(|print| print.resolved) else {
            return self.opaque.or(self.last);
        };
        if self.opaque.is_some() {
            return self.opaque;
        }
        let at = |pair: PairId| self.of.get(pair);
        let written = print.onto.iter().find_map(|pair| {
            let parties = at(*pair)?;
            parties.writers.outside(carried).or_else(|| parties.readers.outside(carried))
        });
        let read = || {
            print.reads.iter().find_map(|read| match read {
                ReadId::Branch(pair) => at(*pair)?.writers.outside(carried),
                ReadId::JobFile(pair) => at(*pair)?.alterers.outside(carried),
            })
        };
        let altered = || print.alters.iter().find_map(|pair| at(*pair)?.consulters.outside(carried));
        written.or_else(read).or_else(altered)
    }

    /// Whether an item at a node meets one of these behind the place `begin`, other than those that the push
    /// of `carried` lands together with it.
    pub fn meets_behind(&self, print: &Print, carried: Option<PairId>, begin: usize) -> bool {
        let since = |place: usize| place > begin;
        let found = |nearest: Nearest| nearest.outside(carried).is_some_and(since);
        let at = |pair: PairId| self.of.get(pair).copied().unwrap_or_default();
        self.opaque.is_some_and(since)
            || print.onto.iter().any(|pair| found(at(*pair).writers) || found(at(*pair).readers))
            || print.reads.iter().any(|read| match read {
                ReadId::Branch(pair) => found(at(*pair).writers),
                ReadId::JobFile(pair) => found(at(*pair).alterers),
            })
            || print.alters.iter().any(|pair| found(at(*pair).consulters))
    }
}

impl Queue {
    /// The undecided items ahead that a node contains: those behind its overlay and its merges.
    pub(super) fn contained(
        &self,
        node: NodeId,
        merges: &[Merge],
        overlay: &[(Pair, NodeId)],
    ) -> Vec<ItemId> {
        let onto = merges.iter().filter_map(|merge| match merge.onto {
            Onto::Node(node) => Some(node),
            Onto::Commit(_) => None,
        });
        let ahead = overlay.iter().map(|(_, node)| *node).chain(onto).filter(|ahead| *ahead != node);
        // Each of many nodes contains nearly the same items.
        let mut all = ItemSet::default();
        ahead.filter_map(|ahead| self.index.prints.get(ahead)).for_each(|print| all.join(&print.carries));
        let known = all.iter().filter_map(|id| Some((self.state.items.get(&id)?.rank, id)));
        let mut items: Vec<(u64, ItemId)> = known.collect();
        items.sort_unstable();
        items.into_iter().map(|(_, id)| id).collect()
    }

    /// The footprint of an item at its node.
    pub(super) fn print_of(&self, item: &Item) -> Option<&Print> {
        self.index.prints.get(item.node?)
    }

    /// Whether an item meets one of these nodes' items; `None` stands for one that meets everything.
    pub(super) fn meets_one_of(&self, item: &Item, nodes: &[Option<NodeId>]) -> bool {
        let print = self.print_of(item);
        let meets = |node: &Option<NodeId>| {
            let other = node.and_then(|node| self.index.prints.get(node));
            print.zip(other).is_none_or(|(print, other)| print.meets(other))
        };
        nodes.iter().rev().any(meets)
    }

    /// Whether what an item's node says holds in a state.
    pub(super) fn agrees(&self, node: &Node, predicted: &Predicted) -> bool {
        let prints = &self.index.prints;
        let state = Expectation { predicted, prints };
        prints.get(node.id).is_some_and(|print| self.state.agrees(node, print, &state))
    }
}
