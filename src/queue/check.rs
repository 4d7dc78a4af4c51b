//! Check items, and those that somebody asked for: a patch set, judged once, on the tip of its branch and on top of the open changes that
//! its footers name. Those are only looked through: nothing is said about them.

use std::collections::BTreeSet;

use crate::model::action::{Merge, Onto};
use crate::model::{ChangeNumber, ChangeSnapshot, ChangeStatus, ItemChange, ItemId, Pair, Reference};

use super::Queue;
use super::admit::item_change;
use super::jobs::Standing;
use super::state::Node;

/// The most changes that one is checked on top of.
const CONTEXT_MAX: usize = 50;

impl Queue {
    /// Plans a check item: one node, judged once; under another configuration the same merge is looked at
    /// again, for other jobs may judge it.
    pub(super) fn plan_check_item(&mut self, id: ItemId, standing: Standing) {
        let Some(item) = self.state.items.get(&id) else { return };
        let node = self.node_of(item);
        let reconfigured = node.filter(|node| node.policy_epoch != self.state.policy_epoch);
        let again = reconfigured.is_some() || node.is_none_or(|node| self.must_repeat(node));
        if !again {
            return self.conclude_check(id, standing);
        }
        let due = item.prepare.as_ref().is_none_or(|retry| retry.at <= self.state.now);
        let before = reconfigured.filter(|node| node.bad.is_none());
        match self.check_merges(&item.changes[0], before) {
            Ok(Some(merges)) if due => {
                let pipeline = item.pipeline.clone();
                self.make_node(id, pipeline, merges, Vec::new());
            }
            Ok(_) => {}
            Err(unknown) => self.observe_tip(unknown),
        }
    }

    /// What a check merges, the change itself last; `None` where there is no branch, and the branch whose
    /// tip is to be asked for where that is not known.
    fn check_merges(&self, change: &ItemChange, before: Option<&Node>) -> Result<Option<Vec<Merge>>, Pair> {
        let mut merges = Vec::new();
        for change in self.context_of(change).into_iter().chain([change.clone()]) {
            let start = before.and_then(|node| node.start_of(&change.pair));
            let tip = start.map(Some).or_else(|| self.state.tips.get(&change.pair).map(|tip| tip.commit));
            let Some(tip) = tip else { return Err(change.pair) };
            let Some(tip) = tip else { return Ok(None) };
            let (allowed, form) = (vec![change.revision], self.form_of(change.number));
            merges.push(Merge {
                change,
                onto: Onto::Commit(tip),
                tip,
                allowed,
                merge_from: Vec::new(),
                form,
            });
        }
        Ok(Some(merges))
    }

    /// The open changes that a change needs by its footers, however many lie between, each after what it
    /// needs itself.
    fn context_of(&self, change: &ItemChange) -> Vec<ItemChange> {
        let mut context = Vec::new();
        let mut seen = BTreeSet::from([change.number]);
        self.add_needed(change.number, change, &mut seen, &mut context);
        context
    }

    fn add_needed(
        &self,
        number: ChangeNumber,
        change: &ItemChange,
        seen: &mut BTreeSet<ChangeNumber>,
        context: &mut Vec<ItemChange>,
    ) {
        let Some(known) = self.state.changes.get(&number) else { return };
        for needed in self.open_dependencies(&known.snapshot) {
            if seen.len() > CONTEXT_MAX || !seen.insert(needed) {
                continue;
            }
            self.add_needed(needed, change, seen, context);
            let Some(needed) = self.state.changes.get(&needed).map(|needed| &needed.snapshot) else {
                continue;
            };
            if self.can_be_looked_through(needed) && !self.rests_on(needed, change.number) {
                context.push(item_change(needed));
            }
        }
    }

    fn can_be_looked_through(&self, needed: &ChangeSnapshot) -> bool {
        let gated =
            self.state.policy.as_ref().is_some_and(|policy| policy.queue_of(&needed.pair()).is_some());
        gated && needed.form.is_some() && needed.status == ChangeStatus::Open && !needed.private
    }

    /// Whether a change rests on another one, which then would come in with it.
    fn rests_on(&self, change: &ChangeSnapshot, below: ChangeNumber) -> bool {
        let mut todo: Vec<ChangeNumber> = self.open_parents(change).collect();
        let mut seen = BTreeSet::new();
        while let Some(number) = todo.pop() {
            if number == below {
                return true;
            }
            if seen.insert(number)
                && let Some(known) = self.state.changes.get(&number)
            {
                todo.extend(self.open_parents(&known.snapshot));
            }
        }
        false
    }

    /// Whether what the footers of a change name is still to be found out; it is asked for then.
    pub(super) fn awaits_references(&mut self, number: ChangeNumber) -> bool {
        let Some(change) = self.state.changes.get(&number) else { return false };
        let is_open = |reference: &Reference| {
            !matches!(reference, Reference::Wrong { .. }) && self.targets(reference).is_none()
        };
        let open = change.snapshot.needs.iter().any(is_open);
        if open {
            self.want_references(number);
        }
        open
    }
}
