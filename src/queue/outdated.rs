//! Reports that could not be posted when they were due, and that are no longer so: a later one about the same
//! change has said how it ended, or voted, or the item has another node than the one that was voted on. Said all the
//! same they would leave a wrong vote for good.

use serde::{Deserialize, Serialize};

use crate::model::report::{Report, Says};
use crate::model::{ChangeNumber, Departure, EffectId, ItemId, Pipeline, Sha};

use super::Queue;
use super::state::Outgoing;

/// What of a report no longer counts, should it have to be said again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Outdated {
    /// Its vote.
    Vote,
    /// All of it.
    All,
}

impl Outgoing {
    /// Takes away what is outdated; says whether anything is left to be said.
    pub fn keeps_after(&mut self, outdated: Outdated) -> bool {
        self.report.vote = None;
        outdated == Outdated::Vote && self.report.says.is_some()
    }
}

/// Whether check and gate say it: each knows better than the other before it.
fn is_of_review(report: &Report) -> bool {
    matches!(report.pipeline, Pipeline::Gate | Pipeline::Check)
}

impl Queue {
    /// A report is made: what of earlier ones about its change has not been posted by now is outdated.
    pub(super) fn outdate_before(&mut self, report: &Report, effect: EffectId) {
        let outdated = match (&report.says, &report.vote) {
            (Some(Says::Passed { .. } | Says::Ended { .. }), _) => Outdated::All,
            (_, Some(_)) => Outdated::Vote,
            _ => return,
        };
        if is_of_review(report) && report.again_of.is_none() {
            let change = report.change;
            self.outdate(outdated, |earlier| {
                earlier.effect != Some(effect)
                    && earlier.report.change == change
                    && is_of_review(&earlier.report)
            });
        }
    }

    /// An item has another node: that an earlier one has passed is to be said no more.
    pub(super) fn outdate_votes_of(&mut self, item: ItemId) {
        // The words may have been given up, and the vote alone be tried again.
        let passed = |report: &Report| {
            let has_vote = report.vote.as_ref().is_some_and(|(_, value)| *value > 0);
            has_vote || matches!(report.says, Some(Says::Passed { .. }))
        };
        let is_waiting = |waiting: &Outgoing| {
            waiting.effect.is_none() && waiting.report.item == item && passed(&waiting.report)
        };
        if self.state.outgoing.iter().any(is_waiting)
            && let Some(item) = self.state.items.get_mut(&item)
        {
            item.told_passed = false;
        }
        self.outdate(Outdated::All, |earlier| earlier.report.item == item && passed(&earlier.report));
    }

    /// A stay has ended otherwise than by landing: what was only true while it went on is said no more.
    pub(super) fn outdate_stay(&mut self, item: ItemId) {
        let of_stay = |report: &Report| {
            let has_vote = report.vote.as_ref().is_some_and(|(_, value)| *value > 0);
            let words = matches!(
                report.says,
                Some(Says::Started { .. } | Says::FirstFailure { .. } | Says::Passed { .. })
            );
            has_vote || words
        };
        self.outdate(Outdated::All, |earlier| earlier.report.item == item && of_stay(&earlier.report));
    }

    /// A change is in the queue again: that it was taken out, and how it would come back, is said no more.
    pub(super) fn outdate_removal(&mut self, number: ChangeNumber) {
        self.outdate(Outdated::All, |earlier| {
            let is_removal =
                |says: &Says| matches!(says, Says::Ended { departure: Departure::Dequeued { .. }, .. });
            earlier.report.change == number && earlier.report.says.as_ref().is_some_and(is_removal)
        });
    }

    /// A change has another patch set: what the check has found of the one before is said no more.
    pub(super) fn outdate_check(&mut self, number: ChangeNumber, before: Sha) {
        self.outdate(Outdated::All, |earlier| {
            let report = &earlier.report;
            report.change == number && report.revision == before && report.pipeline == Pipeline::Check
        });
    }

    /// After a restart what was on its way is begun again, in no order: not what a later report has overtaken.
    pub(super) fn drop_overtaken(&mut self) {
        for mut outgoing in std::mem::take(&mut self.state.outgoing) {
            match outgoing.effect.filter(|_| outgoing.outdated.is_some()) {
                Some(effect) => {
                    self.state.effects.remove(&effect);
                    outgoing.report.again_of.get_or_insert(effect);
                    (outgoing.effect, outgoing.due) = (None, self.state.now);
                    self.say_again(outgoing);
                }
                None => self.state.outgoing.push_back(outgoing),
            }
        }
    }

    /// What waits to be said again is said without what is outdated, or not at all; what is on its way may yet be
    /// posted.
    fn outdate(&mut self, outdated: Outdated, is_meant: impl Fn(&Outgoing) -> bool) {
        self.state.outgoing.retain_mut(|earlier| {
            if earlier.tries == 0 || !is_meant(earlier) {
                return true;
            }
            if earlier.effect.is_none() {
                return earlier.keeps_after(outdated);
            }
            earlier.outdated = earlier.outdated.max(Some(outdated));
            true
        });
    }
}
