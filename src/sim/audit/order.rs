//! The order of the queues, as operators change it.

use std::collections::BTreeSet;

use super::Audit;
use crate::model::{ChangeNumber, Class, ItemId, QueueName};

impl Audit {
    /// Items that an operator has moved to the head: first what is being pushed, then each with what
    /// it rests on before it.
    pub(super) fn promote(&mut self, changes: &[ChangeNumber]) {
        let pushing: BTreeSet<ItemId> =
            self.landings.values().flat_map(|landing| landing.items.clone()).collect();
        let orders: Vec<(QueueName, Vec<ItemId>)> =
            self.order.iter().map(|(name, order)| (name.clone(), order.clone())).collect();
        for (name, order) in orders {
            let mut first: Vec<ItemId> = order.iter().copied().filter(|id| pushing.contains(id)).collect();
            for number in changes {
                self.move_up(*number, &order, &mut first);
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

    fn move_up(&self, number: ChangeNumber, order: &[ItemId], first: &mut Vec<ItemId>) {
        let holds = |id: &&ItemId| {
            let book = self.items.get(id);
            book.is_some_and(|book| book.changes.iter().any(|change| change.number == number))
        };
        let Some(id) = order.iter().find(holds).copied().filter(|id| !first.contains(id)) else { return };
        for parent in self.known.get(&number).map_or(&[][..], |known| &known.parents) {
            let owner = self.known.values().find(|known| known.revision == *parent);
            if let Some(owner) = owner.filter(|owner| owner.number != number) {
                self.move_up(owner.number, order, first);
            }
        }
        if !first.contains(&id) {
            first.push(id);
        }
    }
}
