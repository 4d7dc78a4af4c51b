//! Footprints: whether a node still says something about an item, and which items meet.
//!
//! A node agrees with a predicted state when every branch that the item writes starts from the same
//! commit and everything that was read to judge it has the same value. Two items *meet* when either
//! writes what the other writes or reads; an item without a resolved node meets everything.

use crate::model::action::{Merge, Onto};
use crate::model::{ItemId, NodeId, Pair, Sha};

use super::Queue;
use super::pins::agrees_with_pin;
use super::print::{PairId, Print, ReadId};
use super::state::{Item, Node, Source, State};

/// A state that is expected: tips, and what items ahead are going to write.
#[derive(Clone, Default)]
pub(crate) struct Predicted {
    /// The node whose result each branch has, by the branch's number; other branches have their tips.
    nodes: Vec<Option<NodeId>>,
    /// The undecided items in it, in order.
    pub items: Vec<ItemId>,
}

impl Predicted {
    /// A node is expected to land: what it writes is so.
    pub fn write(&mut self, print: Option<&Print>, node: NodeId) {
        for pair in print.map_or(&[][..], |print| &print.onto) {
            let at = *pair as usize;
            if at >= self.nodes.len() {
                self.nodes.resize(at + 1, None);
            }
            if let Some(known) = self.nodes.get_mut(at) {
                *known = Some(node);
            }
        }
    }

    /// The node whose result a branch has.
    pub fn node(&self, pair: PairId) -> Option<NodeId> {
        self.nodes.get(pair as usize).copied().flatten()
    }

    /// All branches that are not at their tips, with the nodes whose results they have.
    pub fn written(&self) -> impl Iterator<Item = (PairId, NodeId)> {
        (0..).zip(&self.nodes).filter_map(|(pair, node)| Some((pair, (*node)?)))
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

    fn source(&self, predicted: &Predicted, id: PairId, pair: &Pair) -> Option<Source> {
        match predicted.node(id) {
            Some(node) => Some(Source::Node(node)),
            None => Some(Source::Commit(self.tips.get(pair)?.commit)),
        }
    }

    /// Whether what `node` says of its item holds in the predicted state.
    pub fn agrees(&self, node: &Node, print: &Print, predicted: &Predicted) -> bool {
        node.policy_epoch == self.policy_epoch
            && node.onto.iter().zip(&print.onto).all(|((pair, onto), id)| {
                let source = node.written(pair).map_or(*onto, |written| Source::Commit(Some(written.onto)));
                self.source(predicted, *id, pair).is_some_and(|expected| self.same(source, expected, pair))
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
                    ReadId::Branch(id) => self.branch_agrees(node, *id, pair, read.value, predicted),
                    ReadId::JobFile(id) => self.job_file_agrees(node, *id, pair, read.value, predicted),
                }
            })
    }

    fn branch_agrees(
        &self,
        node: &Node,
        id: PairId,
        pair: &Pair,
        read: Option<Sha>,
        predicted: &Predicted,
    ) -> bool {
        let here = node.overlaid(pair).map_or(Source::Commit(read), Source::Node);
        match self.source(predicted, id, pair) {
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
        predicted: &Predicted,
    ) -> bool {
        match predicted.node(id) {
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
    /// An item without a resolved node: it meets everything.
    opaque: Option<ItemId>,
    /// The last item with a resolved node.
    last: Option<ItemId>,
    /// Who has to do with each branch, by its number.
    of: Vec<Parties>,
}

/// Who has to do with a branch.
#[derive(Clone, Copy, Default)]
struct Parties {
    writers: Nearest,
    readers: Nearest,
    alterers: Nearest,
    consulters: Nearest,
}

/// An item, with the branch whose push would carry it.
#[derive(Clone, Copy)]
struct Entry {
    id: ItemId,
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
    fn outside(&self, carried: Option<PairId>) -> Option<ItemId> {
        let last = self.last?;
        if last.carried.is_none() || last.carried != carried {
            return Some(last.id);
        }
        self.other.map(|other| other.id)
    }
}

impl Footprints {
    /// Adds an item at its node. `carried` names the branch whose push would land it together with
    /// others of that branch: those do not count it as something to wait for.
    pub fn add(&mut self, id: ItemId, print: Option<&Print>, carried: Option<PairId>) {
        let entry = Entry { id, carried };
        let Some(print) = print.filter(|print| print.resolved) else {
            self.opaque = Some(id);
            return;
        };
        self.last = Some(id);
        for pair in &print.onto {
            self.at_mut(*pair).writers.put(entry);
        }
        for read in &print.reads {
            match read {
                ReadId::Branch(pair) => self.at_mut(*pair).readers.put(entry),
                ReadId::JobFile(pair) => self.at_mut(*pair).consulters.put(entry),
            }
        }
        for pair in &print.alters {
            self.at_mut(*pair).alterers.put(entry);
        }
    }

    /// An item among these that one at a node meets, other than those that the push of `carried` lands
    /// together with it.
    pub fn met_by(&self, print: Option<&Print>, carried: Option<PairId>) -> Option<ItemId> {
        let Some(print) = print.filter(|print| print.resolved) else {
            return self.opaque.or(self.last);
        };
        if self.opaque.is_some() {
            return self.opaque;
        }
        let at = |pair: PairId| self.at(pair);
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

    /// Whether one at a node meets one of these for which `since` holds, other than those that the push of
    /// `carried` lands together with it.
    pub fn meets_since(
        &self,
        print: &Print,
        carried: Option<PairId>,
        since: impl Fn(ItemId) -> bool,
    ) -> bool {
        let found = |nearest: Nearest| nearest.outside(carried).is_some_and(&since);
        let at = |pair: PairId| self.at(pair).copied().unwrap_or_default();
        self.opaque.is_some_and(&since)
            || print.onto.iter().any(|pair| found(at(*pair).writers) || found(at(*pair).readers))
            || print.reads.iter().any(|read| match read {
                ReadId::Branch(pair) => found(at(*pair).writers),
                ReadId::JobFile(pair) => found(at(*pair).alterers),
            })
            || print.alters.iter().any(|pair| found(at(*pair).consulters))
    }

    fn at(&self, pair: PairId) -> Option<&Parties> {
        self.of.get(pair as usize)
    }

    fn at_mut(&mut self, pair: PairId) -> &mut Parties {
        let at = pair as usize;
        if at >= self.of.len() {
            self.of.resize(at + 1, Parties::default());
        }
        &mut self.of[at]
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
        let ahead = overlay.iter().map(|(_, node)| *node).chain(onto);
        let ahead: Vec<&Node> =
            ahead.filter(|ahead| *ahead != node).filter_map(|ahead| self.state.nodes.get(&ahead)).collect();
        let all = || ahead.iter().flat_map(|ahead| ahead.contains.iter().chain([&ahead.item]));
        // Each of many nodes contains nearly the same items: they are marked rather than sorted.
        let (Some(least), Some(most)) = (all().min(), all().max()) else { return Vec::new() };
        let place = |id: &ItemId| usize::try_from(id.0 - least.0).unwrap_or_default();
        let mut seen = vec![false; place(most) + 1];
        let mut items: Vec<(u64, ItemId)> = Vec::new();
        for id in all() {
            if let Some(seen) = seen.get_mut(place(id))
                && !std::mem::replace(seen, true)
                && let Some(item) = self.state.items.get(id)
            {
                items.push((item.rank, *id));
            }
        }
        items.sort_unstable();
        items.into_iter().map(|(_, id)| id).collect()
    }

    /// The footprint of an item at its node.
    pub(super) fn print_of(&self, item: &Item) -> Option<&Print> {
        self.index.prints.get(item.node?)
    }

    /// Whether what an item's node says holds in a state.
    pub(super) fn agrees(&self, node: &Node, predicted: &Predicted) -> bool {
        self.index.prints.get(node.id).is_some_and(|print| self.state.agrees(node, print, predicted))
    }
}
