//! What depends on what, derived anew from the footers as people wrote them.

use std::collections::BTreeSet;

use super::{Audit, Book, Checked, fault};
use crate::model::action::Push;
use crate::model::{ChangeNumber, ChangeStatus, Departure, ItemId, Pair, Reason, Reference, Sha};
use crate::world::Gerrit;

/// An item whose dependency has just left: it must leave in the same step.
#[derive(Clone, Debug)]
pub struct Orphan {
    item: ItemId,
    left: ItemId,
    /// Any of these is to blame.
    culprits: BTreeSet<ChangeNumber>,
}

/// The changes that the footers of a patch set name.
pub fn needs_of(gerrit: &Gerrit, revision: Sha) -> BTreeSet<ChangeNumber> {
    let mut found = BTreeSet::new();
    for reference in gerrit.needs.get(&revision).map_or(&[][..], |needs| needs) {
        match reference {
            Reference::Number(number) => drop(found.insert(*number)),
            Reference::Id(id) => {
                let named = gerrit.changes().filter(|change| change.change_id == *id);
                found.extend(named.map(|change| change.number));
            }
            Reference::Wrong { .. } => {}
        }
    }
    found.retain(|number| gerrit.change(*number).is_none_or(|change| change.revision() != revision));
    found
}

/// Branches that the dependencies of patch sets are for.
pub fn depends_of(gerrit: &Gerrit, revisions: &[Sha]) -> Vec<Pair> {
    let needs = revisions.iter().flat_map(|revision| needs_of(gerrit, *revision));
    let pairs = needs.filter_map(|number| gerrit.change(number).map(|change| change.pair.clone()));
    pairs.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Audit {
    /// Nothing lands before what it depends on, unless the two are one item.
    pub(super) fn check_dependencies(&self, push: &Push, gerrit: &Gerrit) -> Checked {
        let mut before = BTreeSet::new();
        for (number, _, revision) in &push.changes {
            let needs = gerrit.needs.get(revision).map_or(&[][..], |needs| needs);
            if needs.iter().any(|reference| matches!(reference, Reference::Wrong { .. })) {
                return fault("dependencies first", format!("change {number} lands with a wrong footer"));
            }
            let holds =
                |book: &&Book, change: ChangeNumber| book.changes.iter().any(|own| own.number == change);
            let book = self.items.values().rfind(|book| book.queue.is_some() && holds(book, *number));
            for needed in needs_of(gerrit, *revision) {
                if book.is_some_and(|book| holds(&book, needed)) {
                    continue;
                }
                let status = gerrit.change(needed).map(|change| change.status);
                if status != Some(ChangeStatus::Merged) && !before.contains(&needed) {
                    return fault(
                        "dependencies first",
                        format!("change {number} is pushed before change {needed}, which it depends on"),
                    );
                }
            }
            before.insert(*number);
        }
        Ok(())
    }

    /// Notes which items must follow one that leaves.
    pub(super) fn note_orphans(&mut self, left: ItemId, departure: &Departure, gerrit: &Gerrit) {
        let stays = matches!(departure, Departure::Landed { .. } | Departure::MergedElsewhere);
        let Some(book) = self.items.get(&left).filter(|book| book.queue.is_some() && !stays) else { return };
        let gone: BTreeSet<ChangeNumber> = book.changes.iter().map(|change| change.number).collect();
        let culprit = match departure {
            Departure::Dependency { culprit: Some(culprit), .. } => Some(*culprit),
            _ => None,
        };
        // Of several that leave as one, those that it names.
        let needed = |id: &ItemId| -> BTreeSet<ChangeNumber> {
            let changes = self.items.get(id).into_iter().flat_map(|other| &other.changes);
            changes
                .flat_map(|change| needs_of(gerrit, change.revision))
                .filter(|need| gone.contains(need))
                .collect()
        };
        let pushed = |id: &ItemId| self.landings.values().any(|landing| landing.items.contains(id));
        let order =
            book.queue.as_ref().and_then(|queue| self.order.get(queue)).map_or(&[][..], |order| order);
        let others = order.iter().copied().filter(|id| *id != left && !pushed(id));
        let found = others.map(|item| (item, needed(&item))).filter(|(_, needed)| !needed.is_empty());
        let orphans: Vec<Orphan> = found
            .map(|(item, needed)| {
                let culprits = culprit.map_or(needed, |culprit| BTreeSet::from([culprit]));
                Orphan { item, left, culprits }
            })
            .collect();
        self.orphans.extend(orphans);
    }

    /// At the end of a step whoever had to follow has left, with the culprit's name.
    pub(super) fn check_orphans(&mut self) -> Checked {
        for orphan in std::mem::take(&mut self.orphans) {
            let ended = self.items.get(&orphan.item).and_then(|book| book.ended.as_ref());
            match ended {
                Some(Departure::Dependency { culprit: Some(culprit), .. })
                    if orphan.culprits.contains(culprit) => {}
                // It rested on a patch set, too; that this is so is looked at for itself.
                Some(Departure::Held {
                    reason: Reason::ParentReplaced { .. } | Reason::ParentAbandoned { .. },
                }) => {}
                Some(Departure::Landed { .. } | Departure::MergedElsewhere) => {}
                other => {
                    return fault(
                        "dependents follow",
                        format!(
                            "item {} left because of one of {:?}, and item {}, which depends on it, stands as {other:?}",
                            orphan.left, orphan.culprits, orphan.item
                        ),
                    );
                }
            }
        }
        Ok(())
    }
}
