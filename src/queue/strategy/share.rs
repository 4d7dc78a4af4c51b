//! Limits on what one owner, or one repository, has built at once.

use std::collections::BTreeMap;

use super::Hold;
use crate::model::priority::PriorityPolicy;
use crate::model::{Account, Repository};
use crate::queue::state::Item;

/// How many items of each owner and each repository are being built, counted from the head.
#[derive(Default)]
pub(crate) struct Shares {
    owners: BTreeMap<Account, u32>,
    repositories: BTreeMap<Repository, u32>,
}

impl Shares {
    /// Takes an item in, or says whose share is used up.
    pub fn take(&mut self, item: &Item, priority: &PriorityPolicy) -> Option<Hold> {
        let owner = item.owner().zip(priority.most_per_owner);
        if let Some((owner, most)) = owner.filter(|(owner, most)| self.owners.get(owner) >= Some(most)) {
            return Some(Hold::Share { of: format!("of {owner}").into(), most });
        }
        for repository in item.pairs().map(|pair| &pair.repository) {
            let most =
                priority.most_per_repository.filter(|most| self.repositories.get(repository) >= Some(most));
            if let Some(most) = most {
                return Some(Hold::Share { of: format!("to {repository}").into(), most });
            }
        }
        if let Some((owner, _)) = owner {
            *self.owners.entry(owner.clone()).or_default() += 1;
        }
        if priority.most_per_repository.is_some() {
            for pair in item.pairs() {
                *self.repositories.entry(pair.repository.clone()).or_default() += 1;
            }
        }
        None
    }
}
