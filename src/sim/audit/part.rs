//! Items of several branches: all of them land, or people are told.

use std::collections::BTreeSet;

use super::{Audit, Checked, fault};
use crate::model::policy::TopicPolicy;
use crate::model::{ChangeSnapshot, ChangeStatus, Departure, ItemId, Pair, Policy, Sha};
use crate::world::Gerrit;

impl Audit {
    /// Some branches of an item have landed: the rest of it goes on alone.
    pub(super) fn parted(&mut self, id: ItemId, commits: &[(Pair, Sha)], gerrit: &Gerrit) -> Checked {
        self.alive(id, "a part")?;
        for (pair, commit) in commits {
            if !gerrit.tip(pair).is_some_and(|tip| gerrit.git.reaches(tip, *commit)) {
                return fault("true ends", format!("item {id} counts as landed in {pair}, and is not there"));
            }
        }
        let book = self.item(id)?;
        let has_landed = |pair: &Pair| commits.iter().any(|(landed, _)| landed == pair);
        let (gone, rest) = book.changes.drain(..).partition(|change| has_landed(&change.pair));
        book.changes = rest;
        book.landed.extend::<Vec<_>>(gone);
        if book.changes.is_empty() {
            return fault("true ends", format!("item {id} has landed in part, and nothing is left of it"));
        }
        for landing in self.landings.values_mut() {
            landing.items.retain(|other| *other != id);
        }
        self.landings.retain(|_, landing| !landing.items.is_empty());
        Ok(())
    }

    /// Whether a change was landed, though the news that it is merged may not have come yet.
    fn has_landed(&self, change: &ChangeSnapshot) -> bool {
        let landed = self.items.values().filter(|book| matches!(book.ended, Some(Departure::Landed { .. })));
        landed.flat_map(|book| &book.changes).any(|own| own.revision == change.revision)
    }

    /// Where topics land together, an item holds all of its topic that the daemon knows of; the rest of one
    /// whose other half has landed does not.
    pub(super) fn check_topics(&self, items: &[ItemId], policy: &Policy) -> Checked {
        for id in items {
            let Some(book) = self.items.get(id).filter(|book| book.landed.is_empty()) else { continue };
            for change in &book.changes {
                let Some(own) = self.known.get(&change.number) else { continue };
                let queue = policy.queue_of(&change.pair);
                let unites = queue.as_ref().is_some_and(|queue| queue.topics == TopicPolicy::Together);
                let queue = queue.map(|queue| queue.name);
                let left_out = self.known.values().find(|other| {
                    other.topic == own.topic
                        && other.status == ChangeStatus::Open
                        && !self.gone.contains(&other.number)
                        && !self.has_landed(other)
                        && policy.queue_of(&other.pair()).map(|other| other.name) == queue
                        && book.changes.iter().all(|own| own.number != other.number)
                });
                if let (true, true, Some(other)) = (unites, own.topic.is_some(), left_out) {
                    let what = format!("item {id} lands without change {} of its topic", other.number);
                    return fault("topics land whole", what);
                }
            }
        }
        Ok(())
    }

    /// What landed of each item in the world is all of it, or a person was told. What is still in its queue at
    /// rest is held there by a person's stop, which was checked before: nothing is decided of it yet, and its rest
    /// goes on when that is taken back, if the core knows all that has landed.
    pub(super) fn check_halves(&self, queued: &BTreeSet<ItemId>) -> Checked {
        for (id, pairs) in &self.landed_pairs {
            let Some(book) = self.items.get(id) else { continue };
            let all: BTreeSet<&Pair> =
                book.changes.iter().chain(&book.landed).map(|change| &change.pair).collect();
            let whole = all.iter().all(|pair| pairs.contains(*pair));
            let excused = matches!(book.ended, Some(Departure::MergedElsewhere));
            let told = book.landed.iter().all(|change| self.alarmed.contains(&change.number));
            let known = pairs.iter().all(|pair| book.landed.iter().any(|change| change.pair == *pair));
            let goes_on = book.ended.is_none() && queued.contains(id) && known;
            if !whole && !excused && !goes_on && (book.landed.is_empty() || !told) {
                return fault(
                    "all or told",
                    format!(
                        "item {id} has landed in {pairs:?} and ended as {:?}, and nobody was told",
                        book.ended
                    ),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Book;
    use super::*;
    use crate::model::{ChangeNumber, ItemChange, PatchSet, Pipeline};

    const ITEM: ItemId = ItemId(7);

    fn change(number: u64, repository: &str) -> ItemChange {
        ItemChange {
            number: ChangeNumber(number),
            change_id: format!("I{number}").as_str().into(),
            pair: Pair::new(repository, "main"),
            patchset: PatchSet(1),
            revision: Sha([2; 20]),
            subject: "a change".into(),
            owner: "alice".into(),
        }
    }

    /// An item of two changes of which the first has landed in the world, be it known to the core or not.
    fn books(is_known: bool) -> Audit {
        let mut audit = Audit::default();
        let (landed, rest) = (change(1, "core"), change(2, "lib"));
        audit.landed_pairs.entry(ITEM).or_default().insert(landed.pair.clone());
        let mut book = Book::new(Pipeline::Gate, Some("main".into()), vec![rest]);
        if is_known { &mut book.landed } else { &mut book.changes }.push(landed);
        audit.items.insert(ITEM, book);
        audit
    }

    fn check(audit: &Audit, is_queued: bool) -> bool {
        audit.check_halves(&is_queued.then_some(ITEM).into_iter().collect()).is_ok()
    }

    #[test]
    fn half_of_an_item_is_no_end_of_it_only_while_the_known_rest_is_queued() {
        assert!(check(&books(true), true));
        assert!(!check(&books(true), false), "the rest is forgotten");
        assert!(!check(&books(false), true), "the core does not know that half of it has landed");
    }

    #[test]
    fn half_of_an_item_that_has_left_is_told() {
        let mut audit = books(true);
        let dequeued = Departure::Dequeued { by: "op".into(), reason: "no use".into() };
        audit.items.get_mut(&ITEM).unwrap().ended = Some(dequeued);
        assert!(!check(&audit, true) && !check(&audit, false));
        audit.alarmed.insert(ChangeNumber(1));
        assert!(check(&audit, false));
    }
}
