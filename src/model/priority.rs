//! Who goes first: classes of urgency, and the place that an item has in its queue.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Account;

/// Who goes before whom in every queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PriorityPolicy {
    /// Whether owners take turns, so that many changes of one owner do not hold up the others.
    pub fair_share: bool,
    /// How many changes of one owner make a turn.
    pub changes_per_turn: u32,
    /// The hashtag that makes a change urgent; without one only an operator moves changes.
    pub urgent_hashtag: Option<Arc<str>>,
    /// The hashtag counts on changes that one of these owns or has approved; on all where empty.
    pub urgent_accounts: Vec<Account>,
    /// How many urgent changes may go before one that was there earlier.
    pub urgent_overtakes: u32,
    /// How many changes of one owner are built at once, in each queue; `None` for as many as there are.
    pub most_per_owner: Option<u32>,
    /// How many changes to one repository are built at once, in each queue; `None` for as many.
    pub most_per_repository: Option<u32>,
}

impl Default for PriorityPolicy {
    fn default() -> Self {
        Self {
            fair_share: true,
            changes_per_turn: 3,
            urgent_hashtag: None,
            urgent_accounts: Vec::new(),
            urgent_overtakes: 20,
            most_per_owner: None,
            most_per_repository: None,
        }
    }
}

/// Which items go first; the first of these before all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Class {
    /// An operator has moved it to the head.
    Promoted,
    /// It, or what rests on it, is urgent.
    Urgent,
    /// It takes turns with those of other owners.
    #[default]
    Normal,
    /// It will probably fail: others are built without it until it has passed.
    Probation,
}

/// Where an item stands in its queue, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// Its class.
    pub class: Class,
    /// Its owner's turn: an item goes before those of its class that have a later one.
    pub round: u64,
    /// How many items of a class before its own have gone past it.
    pub overtaken: u32,
    /// How often others have gone past it while it was being built.
    pub disturbed: u32,
    /// It has gone past a slower one, as both pass in either order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_early: bool,
}
