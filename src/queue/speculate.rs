//! Which node each item of a queue is judged at.
//!
//! A pass walks the queue in order, carrying the state that the undecided items ahead are expected
//! to leave: the tips, and on top of them what every item ahead that has not failed writes. An
//! item whose node no longer agrees with that state on the item's footprint gets a new node; what
//! its jobs read may well be unchanged, and then no build is done again.
//!
//! How far it goes, and which items claim slots, is the queue's strategy's to say.

use crate::model::action::{Decision, Merge, Onto};
use crate::model::policy::{QueuePolicy, StrategyPolicy};
use crate::model::{
    Action, ChangeNumber, ChangeSnapshot, Class, Departure, EffectKind, ItemId, LandingForm, NodeId, Pair,
    Pipeline, QueueName, Reason, Sha, Timestamp,
};

use super::Queue;
use super::ahead::Ahead;
use super::footprint::{Expected, Predicted};
use super::jobs::Standing;
use super::memo::Memos;
use super::plain::Plain;
use super::state::{Item, Node};
use super::strategy::{Hold, Seat, Walk, is_unbuilt, walk};

/// A place in a queue as strategies count it.
pub(super) fn steps(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl Queue {
    /// Plans one queue: nodes, departures, votes, looks and pushes.
    pub(super) fn plan_queue(&mut self, name: &QueueName) {
        let Some(policy) = self.state.policy.clone() else { return };
        let Some(queue) = policy.queue_named(name) else {
            for item in self.state.queues.get(name).into_iter().flatten() {
                self.index
                    .dirty_changes
                    .extend(self.state.items.get(item).map(|item| item.changes[0].number));
            }
            return;
        };
        let mut ahead = self.index.ahead.take().unwrap_or_default();
        let mut order = std::mem::take(&mut ahead.order);
        order.clear();
        order.extend_from_slice(self.state.queues.get(name).map_or(&[][..], |order| order));
        self.pass_over(&order, name, queue, policy.slots, &mut ahead);
        ahead.order = order;
        self.index.ahead = Some(ahead);
    }

    fn pass_over(
        &mut self,
        order: &[ItemId],
        name: &QueueName,
        queue: &QueuePolicy,
        slots: u32,
        ahead: &mut Ahead,
    ) {
        let mut memos = self.index.take_memos(name);
        memos.renew(self.state.now);
        let window = self.window(name, queue);
        let reach = match self.amend(order, queue, (slots, window), ahead, &mut memos) {
            Some(reach) => reach,
            None => {
                let mut walk = walk(queue, slots, window);
                let Some((reach, beyond)) = self.walk_along(order, queue, ahead, &mut *walk, &mut memos)
                else {
                    // Someone left: what follows is planned on the new order.
                    self.index.keep_memos(name, memos);
                    self.index.dirty_queues.insert(name.clone());
                    return;
                };
                self.note_calm(name, window, ahead, &mut memos);
                self.hold_tail(name, &order[reach..], beyond);
                reach
            }
        };
        let front = &order[..reach];
        self.hold_front(front, queue, ahead, &mut memos);
        if order.is_empty() {
            self.index.memos.remove(name);
        } else {
            self.index.keep_memos(name, memos);
        }
        if let Some(last) = ahead.last_passed {
            self.plan_landings(&front[..=last], name, queue, &mut ahead.landing);
        }
        self.collect_nodes();
    }

    /// Plans the items of a queue in order. Says how many there are within reach, and how those behind are
    /// held; `None` when one of them has left.
    fn walk_along(
        &mut self,
        order: &[ItemId],
        queue: &QueuePolicy,
        ahead: &mut Ahead,
        walk: &mut dyn Walk,
        memos: &mut Memos,
    ) -> Option<(usize, Option<Hold>)> {
        let goes_past = self.may_go_past(queue);
        let tips = self.index.prints.changed();
        ahead.clear(order.len());
        memos.begin(tips);
        for (place, id) in order.iter().enumerate() {
            let is_too_far = walk.is_too_far(steps(place));
            if is_too_far && self.is_beyond(*id) {
                memos.complete(place, tips);
                return Some((place, Some(walk.limit())));
            }
            memos.align(place, *id);
            if let Some(plain) = memos.plain(place).filter(|_| goes_past)
                && (plain.is_landing || !is_too_far)
                && !self.index.news.contains(id)
                && self.is_as_before(plain, ahead, memos.is_same())
            {
                self.go_past(*id, place, plain, ahead, walk);
                continue;
            }
            let has_left = self.plan_item(*id, place, queue, ahead, walk);
            if has_left {
                return None;
            }
            self.index.news.remove(id);
            let basis = ahead.basis.take();
            let left = self.left_by(*id, ahead);
            let plain = self.plain_of(*id, basis).filter(|_| goes_past);
            match &plain {
                Some(plain) if plain.is_landing => {}
                Some(plain) => self.note_plain(place, plain, ahead),
                None => {
                    ahead.has_others = true;
                    self.note_found(*id, place, ahead);
                }
            }
            memos.note(place, plain, left);
        }
        memos.complete(order.len(), tips);
        Some((order.len(), None))
    }

    /// Goes past an item that is as it was found before.
    pub(super) fn go_past(
        &self,
        id: ItemId,
        place: usize,
        plain: &Plain,
        ahead: &mut Ahead,
        walk: &mut dyn Walk,
    ) {
        if cfg!(debug_assertions) {
            self.check_plain(id, plain, ahead);
        }
        if !plain.is_landing {
            walk.count(plain.standing);
            self.note_plain(place, plain, ahead);
        }
        ahead.undecided.push(Some(plain.node.node));
        if !plain.is_beside {
            match plain.writes {
                Some(pair) => ahead.predicted.write_one(pair, plain.node),
                None => ahead.predicted.write(Some(&plain.print), plain.node),
            }
            ahead.predicted.items.push(id);
        }
    }

    /// Notes of an item in plain standing what the rest of the pass asks for.
    #[inline]
    fn note_plain(&self, place: usize, plain: &Plain, ahead: &mut Ahead) {
        ahead.note(place, plain.standing, || plain.is_to_begin(), || self.index.chances.of(&plain.odds));
    }

    /// The same of another item that was planned.
    fn note_found(&self, id: ItemId, place: usize, ahead: &mut Ahead) {
        let Some(item) = self.state.items.get(&id) else { return };
        let is_to_begin = || item.place.class != Class::Probation && !self.is_begun_now(item);
        ahead.note(place, self.standing_now(item), is_to_begin, || self.chance(item));
    }

    /// The node that an item has left to those behind it, which is what they are expected to be built on.
    fn left_by(&self, id: ItemId, ahead: &Ahead) -> Option<Expected> {
        let item = self.state.items.get(&id).filter(|_| ahead.predicted.items.last() == Some(&id))?;
        self.node_of(item).map(Expected::from)
    }

    /// Whether neither this item, which is too far back, nor any behind it is looked at in this pass: it has
    /// no node, so that what is behind meets it and cannot land before it.
    fn is_beyond(&self, id: ItemId) -> bool {
        self.state.items.get(&id).is_some_and(|item| item.node.is_none())
    }

    /// Plans one item on what is ahead; true when it has left.
    fn plan_item(
        &mut self,
        id: ItemId,
        place: usize,
        queue: &QueuePolicy,
        ahead: &mut Ahead,
        walk: &mut dyn Walk,
    ) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        if item.stage.is_pushed() {
            self.carry(id, Standing::Passed, ahead);
            return false;
        }
        if self.failing_parent(item, ahead) || self.failing_dependency(item, ahead).is_some() {
            self.index.standing.insert(id, Standing::Bad);
            // Its node contains what is expected to leave: nothing is built there.
            ahead.hold(place, Some(Hold::Leaving));
            ahead.failing.insert(id);
            ahead.undecided.push(None);
            return false;
        }
        if walk.is_too_far(steps(place)) {
            // It may have been within a wider window before.
            ahead.hold(place, Some(walk.limit()));
            ahead.undecided.push(None);
            return false;
        }
        if let Some(pair) = self.without_branch(item) {
            self.end(id, Departure::Held { reason: Reason::NoBranch { pair } });
            return true;
        }
        let agrees = self.ensure_node(id, queue, ahead);
        let Some(item) = self.state.items.get(&id) else { return false };
        ahead.basis = agrees.then(|| self.basis_of(item, &ahead.predicted));
        let meets = walk.asks_what_it_meets() && self.meets_one_of(item, &ahead.undecided);
        let standing = self.standing_now(item);
        let stuck = self.is_stuck(item, agrees, ahead);
        let hold = if stuck { Some(Hold::Leaving) } else { walk.holds(Seat { meets, standing }) };
        let hold = hold.or_else(|| self.share(item, standing, ahead));
        ahead.hold(place, hold);
        if stuck {
            ahead.stuck.insert(id);
        }
        if (standing == Standing::Passed || standing == Standing::Building)
            && let Some(left) = self.judge_foreign(id, ahead)
        {
            return left;
        }
        if standing == Standing::NoJob {
            let why = self.state.items.get(&id).map_or(Reason::NoJob, |item| self.no_job(item));
            self.end(id, Departure::Unfit { why: why.to_string().into() });
            return true;
        }
        if standing.is_failing() && self.conclude_failure(id, standing, ahead) {
            return true;
        }
        self.carry(id, standing, ahead);
        false
    }

    /// Adds an item to what is ahead of those that follow.
    pub(super) fn carry(&self, id: ItemId, standing: Standing, ahead: &mut Ahead) {
        let Some(item) = self.state.items.get(&id) else { return };
        let (node, print) = (self.node_of(item), self.print_of(item));
        ahead.undecided.push(item.node);
        match node {
            Some(_) if self.is_beside(item, standing) => {}
            Some(node) if !standing.is_failing() => {
                ahead.predicted.write(print, node.into());
                ahead.predicted.items.push(id);
            }
            _ if standing.is_failing() => {
                ahead.failing.insert(id);
            }
            _ => {}
        }
    }

    /// Whether an item is on probation: it has no part in the likeliest path before it has passed.
    pub(super) fn is_beside(&self, item: &Item, standing: Standing) -> bool {
        item.place.class == Class::Probation && standing != Standing::Passed
    }

    /// Whether its node contains what is expected to leave, or may: it would have another one by now if a tip were
    /// not in doubt, or rests on such a node. Nothing is built there.
    fn is_stuck(&self, item: &Item, agrees: bool, ahead: &Ahead) -> bool {
        let contains = |other: &ItemId| self.print_of(item).is_some_and(|print| print.carries.has(*other));
        ahead.stuck.iter().any(contains) || !agrees && ahead.failing.iter().any(contains)
    }

    /// Whether it rests on an item ahead that is expected to leave.
    pub(super) fn failing_parent(&self, item: &Item, ahead: &Ahead) -> bool {
        if ahead.failing.is_empty() {
            return false;
        }
        let changes = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
        let alone =
            |seen: &ChangeSnapshot| seen.form.is_some_and(|form| form.ignores_parents(seen.parents.len()));
        let resting = changes.map(|change| &change.snapshot).filter(|seen| !alone(seen));
        let mut parents = resting.flat_map(|seen| seen.parents.iter());
        parents.any(|parent| {
            let number = self.index.by_revision.get(parent);
            let ahead_of_it = number.and_then(|number| self.index.gate_of.get(number));
            ahead_of_it.is_some_and(|id| *id != item.id && ahead.failing.contains(id))
        })
    }

    /// Whether an item that is still to be built exceeds a share.
    fn share(&self, item: &Item, standing: Standing, ahead: &mut Ahead) -> Option<Hold> {
        let priority = &self.state.policy.as_ref()?.priority;
        if is_unbuilt(standing) { ahead.shares.take(item, priority) } else { None }
    }

    /// Gives the item a node that agrees with what is ahead, if it has none; says whether it has one now.
    fn ensure_node(&mut self, id: ItemId, queue: &QueuePolicy, ahead: &Ahead) -> bool {
        let Some(item) = self.state.items.get(&id) else { return false };
        let retry_due = item.prepare.as_ref().is_some_and(|retry| retry.at > self.state.now);
        if retry_due {
            return false;
        }
        let of_use = self.node_of(item).filter(|node| self.is_of_use(item, node));
        let zuul = queue.strategy == StrategyPolicy::Zuul;
        let holds =
            |node: &Node| self.agrees(node, &ahead.predicted) && (!zuul || self.has_chain(node, ahead));
        if of_use.is_some_and(holds) {
            return true;
        }
        let doubted = of_use.and_then(|node| self.doubted_read(node, &ahead.predicted));
        if let Some(pair) = doubted {
            self.observe_tip(pair);
            return false;
        }
        let merges: Option<Vec<Merge>> =
            item.changes.iter().map(|change| self.merge_of(item, change, queue, &ahead.predicted)).collect();
        let Some(merges) = merges else {
            self.observe_tips(id);
            return false;
        };
        let overlay = self.overlay(&ahead.predicted);
        self.make_node(id, Pipeline::Gate, merges, overlay);
        true
    }

    /// Whether a node may still be an item's, if it agrees with what is ahead.
    pub(super) fn is_of_use(&self, item: &Item, node: &Node) -> bool {
        let is_lost = self.must_repeat(node) || self.counts_landed(item.id);
        !is_lost && node.depends == self.depends_of(item)
    }

    /// What the branches are in a predicted state where items ahead write them, sorted by branch.
    pub(super) fn overlay(&self, predicted: &Predicted) -> Vec<(Pair, NodeId)> {
        let named = predicted.written().filter_map(|(id, node)| {
            let print = self.index.prints.get(node)?;
            let at = print.onto.iter().position(|written| *written == id)?;
            let (pair, _) = self.state.nodes.get(&node)?.onto.get(at)?;
            Some((pair.clone(), node))
        });
        let mut overlay: Vec<(Pair, NodeId)> = named.collect();
        overlay.sort_unstable();
        overlay
    }

    /// Whether a node contains exactly the items ahead that are expected to land.
    fn has_chain(&self, node: &Node, ahead: &Ahead) -> bool {
        let undecided = node.contains.iter().filter(|id| self.state.items.contains_key(id));
        undecided.eq(ahead.predicted.items.iter())
    }

    /// Whether a node's preparation ended without an answer, so that it has to be made again.
    pub(super) fn must_repeat(&self, node: &Node) -> bool {
        use crate::model::tree::{Prepared, Resolved};
        matches!(node.bad, Some(Prepared::NoParent | Prepared::Failed { .. }))
            || matches!(node.resolved, Some(Resolved::Failed { .. }))
    }

    /// Bases the item on a new node and asks for it.
    pub(super) fn make_node(
        &mut self,
        id: ItemId,
        pipeline: Pipeline,
        merges: Vec<Merge>,
        overlay: Vec<(Pair, NodeId)>,
    ) {
        let old = self.state.items.get(&id).and_then(|item| item.node);
        self.withdraw_vote(id);
        let date = self.date_for(id);
        let node = NodeId(self.state.last_node + 1);
        self.act(Action::Decision(Decision::Based { item: id, node }));
        let depends = self.state.items.get(&id).map(|item| self.depends_of(item)).unwrap_or_default();
        let tips = Vec::new();
        let pins = self.pins_for(id, &depends);
        self.ask(EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins });
        if let Some(old) = old {
            self.release(old);
        }
        // That it stands so is no news to who has asked for it.
        self.index.standing.insert(id, Standing::Preparing);
        self.index.dirty_items.insert(id);
    }

    /// The date of an item's merges. Where only the configuration has changed it stays as it was, and where
    /// an alternative has foreseen them it is that one's: the same merges then are the same commits, and even
    /// builds that read the history go on.
    fn date_for(&self, id: ItemId) -> Timestamp {
        let old = self.state.items.get(&id).and_then(|item| self.node_of(item));
        let kept = old.filter(|node| node.policy_epoch != self.state.policy_epoch).map(|node| node.date);
        let kept = kept.or_else(|| self.date_foreseen(id));
        kept.filter(|date| *date > Timestamp::default()).unwrap_or(self.state.now)
    }

    pub(super) fn merge_of(
        &self,
        item: &Item,
        change: &crate::model::ItemChange,
        queue: &QueuePolicy,
        predicted: &Predicted,
    ) -> Option<Merge> {
        let tip = self.state.tips.get(&change.pair)?.commit?;
        let foretold = self.index.prints.known(&change.pair).and_then(|pair| predicted.node(pair));
        let onto = match foretold {
            Some(node) => Onto::Node(node),
            None => Onto::Commit(tip),
        };
        Some(Merge {
            change: change.clone(),
            onto,
            tip,
            allowed: self.allowed(item, change, predicted),
            merge_from: queue.merge_from.clone(),
            form: self.form_of(change.number),
        })
    }

    pub(super) fn form_of(&self, number: ChangeNumber) -> Option<LandingForm> {
        self.state.changes.get(&number)?.snapshot.form
    }

    /// The patch sets that may come in with `change`: those of its item and those ahead on its branch.
    fn allowed(&self, item: &Item, change: &crate::model::ItemChange, predicted: &Predicted) -> Vec<Sha> {
        let ahead = predicted.items.iter().filter_map(|id| self.state.items.get(id));
        let all = ahead.chain([item]).flat_map(|item| item.changes.iter());
        all.filter(|other| other.pair == change.pair).map(|other| other.revision).collect()
    }

    /// Asks for tips that are not known, unless they are being read.
    pub(super) fn observe_tips(&mut self, id: ItemId) {
        let Some(item) = self.state.items.get(&id) else { return };
        let unknown: Vec<Pair> =
            item.pairs().filter(|pair| !self.state.tips.contains_key(pair)).cloned().collect();
        for pair in unknown {
            self.observe_tip(pair);
        }
    }

    /// Asks for one tip, unless it is being read.
    pub(super) fn observe_tip(&mut self, pair: Pair) {
        let asked = self.state.effects.values().any(
            |pending| matches!(&pending.effect.kind, EffectKind::ObserveTip { pair: other } if *other == pair),
        );
        let paused = self.state.retries.get(&tip_name(&pair)).is_some_and(|retry| retry.at > self.state.now);
        if !asked && !paused {
            self.ask(EffectKind::ObserveTip { pair });
        }
    }

    /// Lets go of nodes that no item stands on and no merge under way starts from.
    pub(super) fn collect_nodes(&mut self) {
        let stale: Vec<NodeId> = self.index.stale.iter().copied().collect();
        for node in stale {
            self.release(node);
        }
    }
}

/// Under which name failures to read a tip are counted.
pub(super) fn tip_name(pair: &Pair) -> String {
    format!("tip {pair}")
}
