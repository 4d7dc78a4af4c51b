//! The order of the queues, as operators change it.

use std::collections::BTreeSet;

use super::Audit;
use super::depend::needs_of;
use crate::model::{ChangeNumber, Class, ItemId, QueueName, Sha};
use crate::world::Gerrit;

impl Audit {
    /// Items that an operator has moved to the head: first what is being pushed, then each with what
    /// it rests on before it. Where one is in no queue, nothing is moved.
    pub(super) fn promote(&mut self, changes: &[ChangeNumber], gerrit: &Gerrit) {
        let pushing: BTreeSet<ItemId> =
            self.landings.values().flat_map(|landing| landing.items.clone()).collect();
        let orders: Vec<(QueueName, Vec<ItemId>)> =
            self.order.iter().map(|(name, order)| (name.clone(), order.clone())).collect();
        let holds = |order: &[ItemId], number: &ChangeNumber| order.iter().any(|id| self.has(*id, *number));
        if !changes.iter().all(|number| orders.iter().any(|(_, order)| holds(order, number))) {
            return;
        }
        let is_concerned = |order: &[ItemId]| changes.iter().any(|number| holds(order, number));
        let concerned: Vec<_> = orders.iter().filter(|(_, order)| is_concerned(order)).cloned().collect();
        for (name, order) in concerned {
            let mut first: Vec<ItemId> = order.iter().copied().filter(|id| pushing.contains(id)).collect();
            for number in changes {
                self.move_up(*number, &order, &mut first, &mut BTreeSet::new(), gerrit);
            }
            for id in first.iter().filter(|id| !pushing.contains(id)) {
                if let Some(book) = self.items.get_mut(id) {
                    book.class = Class::Promoted;
                }
            }
            let rest: Vec<ItemId> = order.iter().copied().filter(|id| !first.contains(id)).collect();
            self.order.insert(name, first.into_iter().chain(rest).collect());
        }
    }

    /// Whether a change is one of an item's.
    fn has(&self, id: ItemId, number: ChangeNumber) -> bool {
        self.items.get(&id).is_some_and(|book| book.changes.iter().any(|change| change.number == number))
    }

    /// What an item rests on, by the parents of its changes and then by their footers.
    fn rests_on(&self, id: ItemId, gerrit: &Gerrit) -> Vec<ChangeNumber> {
        let changes = self.items.get(&id).map_or(&[][..], |book| &book.changes);
        let known: Vec<_> = changes.iter().filter_map(|change| self.known.get(&change.number)).collect();
        let owner = |parent: &Sha| self.known.values().find(|other| other.revision == *parent);
        let parents =
            known.iter().flat_map(|known| &known.parents).filter_map(owner).map(|owner| owner.number);
        let needs: BTreeSet<ChangeNumber> =
            known.iter().flat_map(|known| needs_of(gerrit, known.revision)).collect();
        let own = |number: &ChangeNumber| changes.iter().any(|change| change.number == *number);
        parents.chain(needs).filter(|number| !own(number)).collect()
    }

    fn move_up(
        &self,
        number: ChangeNumber,
        order: &[ItemId],
        first: &mut Vec<ItemId>,
        begun: &mut BTreeSet<ItemId>,
        gerrit: &Gerrit,
    ) {
        let found = order.iter().find(|id| self.has(**id, number));
        let Some(id) = found.copied().filter(|id| !first.contains(id)) else { return };
        if !begun.insert(id) {
            return;
        }
        for other in self.rests_on(id, gerrit) {
            self.move_up(other, order, first, begun, gerrit);
        }
        if !first.contains(&id) {
            first.push(id);
        }
    }
}
