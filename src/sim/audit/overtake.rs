//! Early landing: who goes first has passed in both states that may come, and breaks nobody.

use std::collections::BTreeMap;

use super::oracle::{Judged, judge};
use super::{Audit, Book, Checked, fault};
use crate::model::action::Decision;
use crate::model::{ItemId, NodeId, Pair, Pipeline, Sha, Timestamp};
use crate::sim::setting::Setting;
use crate::world::Gerrit;

impl Audit {
    /// A decision about a stay that is no item's own.
    pub(super) fn decided_apart(
        &mut self,
        at: Timestamp,
        decision: &Decision,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        match decision {
            Decision::AlternativeBegun { alternative, of, without } => {
                self.alternative_begun(*alternative, *of, *without)
            }
            Decision::AlternativeEnded { alternative: ended }
            | Decision::OvertakingEnded { overtaking: ended } => self.alternative_ended(*ended),
            Decision::OvertakingBegun { overtaking, of, by } => self.overtaking_begun(*overtaking, *of, *by),
            Decision::Overtook { item, before } => self.overtook(*item, *before, gerrit, setting),
            run => self.run_decided(at, run, gerrit, setting),
        }
    }

    /// An item is merged behind one that stands behind it, and its queue allows that.
    pub(super) fn overtaking_begun(&mut self, id: ItemId, of: ItemId, by: ItemId) -> Checked {
        self.alive(of, "an overtaking")?;
        self.check_pair(of, by)?;
        self.alternatives.overtakings.insert(id, of);
        // What its item uses counts for it, too.
        let adopted = self.item(of)?.adopted.clone();
        let book = Book { adopted, ..Book::new(Pipeline::Gate, None, Vec::new()) };
        match self.items.insert(id, book) {
            Some(_) => fault("terminal states", format!("overtaking {id} began twice")),
            None => Ok(()),
        }
    }

    /// The first of two items is ahead of the second, and their queue lets it go first.
    fn check_pair(&mut self, of: ItemId, by: ItemId) -> Checked {
        self.alive(by, "a place before another item")?;
        if !self.ahead(by).contains(&of) {
            return fault("early landing", format!("item {by} goes before {of}, which is not ahead of it"));
        }
        let queue = self.items.get(&by).and_then(|book| book.queue.as_ref());
        let policy = self.policy.as_ref().and_then(|policy| policy.queue_named(queue?));
        if !policy.is_some_and(|queue| queue.tuning.early_landing) {
            return fault("early landing", format!("item {by} goes early and its queue does not allow that"));
        }
        Ok(())
    }

    /// An item goes before another one: nothing else undecided matters to either, it has passed with and without
    /// that one, and that one has passed behind it, as is known and in truth.
    pub(super) fn overtook(
        &mut self,
        id: ItemId,
        before: ItemId,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        self.check_pair(before, id)?;
        let wrong = |what: String| fault("early landing", format!("item {id} goes before {before}, {what}"));
        if self.landings.values().any(|push| push.items.contains(&id) || push.items.contains(&before)) {
            return wrong("of which one is being pushed".into());
        }
        if self.is_resting_on(id, before) {
            return wrong("on which it rests".into());
        }
        let ahead = self.ahead(id);
        let is_first = |other: &ItemId| self.ahead(before).contains(other);
        let meets = |other: &&ItemId| {
            **other != before && (self.meet(**other, id) || is_first(other) && self.meet(**other, before))
        };
        if let Some(other) = ahead.iter().find(meets) {
            return wrong(format!("though item {other} is ahead, undecided, and meets one of them"));
        }
        let alone = self.passed_stay(id, &self.alternatives.of);
        let behind = self.passed_stay(before, &self.alternatives.overtakings);
        let (Some(alone), Some(_), true) = (alone, behind, self.has_all_passes(id)) else {
            return wrong("and it is not known that both pass in either order".into());
        };
        self.check_orders(id, before, alone, gerrit, setting)?;
        self.move_early(id, before);
        Ok(())
    }

    /// In truth, too, in one of the worlds that the daemon may take for the present one.
    fn check_orders(
        &self,
        id: ItemId,
        before: ItemId,
        alone: ItemId,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        let Some(policy) = self.policy.clone() else { return Ok(()) };
        let mut said = Vec::new();
        for tips in self.worlds() {
            let mut judged = |item: ItemId, behind: Option<ItemId>| {
                let mut tips = self.as_pinned(item, &tips);
                behind.into_iter().for_each(|behind| self.land_on(&mut tips, behind));
                let changes = self.items.get(&item).map_or(&[][..], |book| &book.changes);
                judge(gerrit, setting, &policy, changes, &tips)
            };
            let all = [judged(id, None), judged(id, Some(before)), judged(before, Some(alone))];
            if all.iter().all(|judged| *judged == Judged::Passed) {
                return Ok(());
            }
            said.push(all);
        }
        fault(
            "early landing",
            format!("item {id} goes before {before}; without it, with it, and that behind it: {said:?}"),
        )
    }

    fn land_on(&self, tips: &mut BTreeMap<Pair, Sha>, id: ItemId) {
        let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
        let writes = node.and_then(|node| node.writes.as_ref()).into_iter().flatten();
        tips.extend(writes.map(|written| (written.pair.clone(), written.commit)));
    }

    /// A stay of an item, of those in a book, that is not over and has passed.
    fn passed_stay(&self, of: ItemId, book: &BTreeMap<ItemId, ItemId>) -> Option<ItemId> {
        let is_alive = |id: &ItemId| self.items.get(id).is_some_and(|book| book.ended.is_none());
        let mut own = book.iter().filter(|(_, item)| **item == of).map(|(id, _)| *id);
        own.find(|id| is_alive(id) && self.has_all_passes(*id))
    }

    /// Whether a stay uses passes of all voting jobs of its node.
    fn has_all_passes(&self, id: ItemId) -> bool {
        let book = self.items.get(&id);
        let node = book.and_then(|book| self.nodes.get::<NodeId>(&book.node?));
        book.zip(node).is_some_and(|(book, node)| {
            let mut voting = node.jobs().iter().filter(|job| job.voting);
            node.resolved.is_some() && voting.all(|job| book.adopted.get(&job.key) == Some(&true))
        })
    }

    fn move_early(&mut self, id: ItemId, before: ItemId) {
        let Some(class) = self.items.get(&id).map(|book| book.class) else { return };
        let queue = self.items.get(&id).and_then(|book| book.queue.clone());
        let Some(order) = queue.and_then(|queue| self.order.get_mut(&queue)) else { return };
        let Some(to) = order.iter().position(|other| *other == before) else { return };
        let passed = order.iter().copied().skip(to).take_while(|other| *other != id).collect::<Vec<_>>();
        order.retain(|other| *other != id);
        order.insert(to, id);
        for other in passed {
            if let Some(book) = self.items.get_mut(&other) {
                book.overtaken += u32::from(class < book.class);
            }
        }
    }
}
