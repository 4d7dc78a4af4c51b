//! Who may do what: the permissions of a site that is set up as the manual tells.

use super::accounts::{BOT, Person};
use crate::world::Change;
use crate::world::labels::{LabelRule, VERIFIED};

impl Person {
    /// The lowest and highest value of a label that this account may give.
    pub fn range(&self, label: &LabelRule) -> Option<(i32, i32)> {
        let may = label.name != VERIFIED || self.is_admin() || self.user == BOT;
        may.then(|| (label.min(), label.max()))
    }

    /// Whether it may push to branches, and make them.
    pub fn may_push(&self) -> bool {
        self.is_admin() || self.user == BOT
    }

    /// Whether it may follow the events.
    pub fn may_stream(&self) -> bool {
        self.is_admin() || self.user == BOT
    }

    /// Whether it may abandon, restore, hide and describe a change.
    pub fn may_edit(&self, change: &Change) -> bool {
        self.is_admin() || change.owner == self.account()
    }

    /// Whether it may see a change.
    pub fn may_see(&self, change: &Change) -> bool {
        self.is_admin() || change.is_visible_to(&self.account())
    }
}
