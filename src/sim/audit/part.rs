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

    /// What landed of each item in the world is all of it, or a person was told.
    pub(super) fn check_halves(&self) -> Checked {
        for (id, pairs) in &self.landed_pairs {
            let Some(book) = self.items.get(id) else { continue };
            let all: BTreeSet<&Pair> =
                book.changes.iter().chain(&book.landed).map(|change| &change.pair).collect();
            let whole = all.iter().all(|pair| pairs.contains(*pair));
            let excused = matches!(book.ended, Some(Departure::MergedElsewhere));
            let told = book.landed.iter().all(|change| self.alarmed.contains(&change.number));
            if !whole && !excused && (book.landed.is_empty() || !told) {
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
