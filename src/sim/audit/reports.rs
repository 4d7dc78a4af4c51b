//! What authors are told: once, not too often, and the truth.

use super::{Audit, Checked, fault};
use crate::model::report::{Report, Says};
use crate::model::{Departure, EffectId, Pipeline};

/// Kinds of messages for one attempt at the gate: a start, a first failure, an end.
const KINDS_MAX: usize = 3;

/// One more where a pass was announced and then overtaken, as by an outside push.
const OVERTAKEN_MAX: usize = 4;

impl Audit {
    /// A message or vote has reached its change.
    ///
    /// # Errors
    /// A broken promise.
    pub fn reported(&mut self, report: &Report) -> Checked {
        let Some(says) = &report.says else { return Ok(()) };
        if report.item.0 == 0 || matches!(says, Says::Alarm { .. } | Says::Culprit { .. }) {
            return Ok(());
        }
        let said = self.said.entry((report.item, report.change)).or_default();
        let ended = |report: &&Report| matches!(report.says, Some(Says::Ended { .. }));
        let passed = said.iter().any(|report| matches!(report.says, Some(Says::Passed { .. })));
        // The start may be said again when the daemon stood still, gave up its answer and then died.
        let doubled = said.iter().any(|earlier| earlier.says == report.says) && !ended(&report);
        if !doubled {
            said.push(report.clone());
        }
        let finals = said.iter().filter(ended).count();
        if finals > 1 {
            return fault(
                "one final report",
                format!("item {} was told its end {finals} times", report.item),
            );
        }
        if said.len() > if passed { OVERTAKEN_MAX } else { KINDS_MAX } {
            return fault("few messages", format!("item {} has caused {} messages", report.item, said.len()));
        }
        self.contradiction(report)
    }

    /// That an item has passed is said again only as long as it stays at that node.
    pub(super) fn check_said_again(&mut self, effect: EffectId, report: &Report) -> Checked {
        let Some(Says::Passed { .. }) = &report.says else { return Ok(()) };
        let book = self.items.get(&report.item).filter(|book| book.ended.is_none());
        let node = book.and_then(|book| book.node);
        let Some(first) = report.again_of else {
            self.passes.insert(effect, node);
            return Ok(());
        };
        match self.passes.get(&first) {
            Some(before) if node.is_some() && *before != node => fault(
                "a pass is that of its node",
                format!("item {} is said again to have passed, and stands at another node", report.item),
            ),
            _ => Ok(()),
        }
    }

    /// A vote has reached its change: one that could not be posted in time does not come after a later one.
    ///
    /// # Errors
    /// A broken promise.
    pub fn voted(&mut self, effect: EffectId, report: &Report) -> Checked {
        let is_of_review = matches!(report.pipeline, Pipeline::Gate | Pipeline::Check);
        let Some((label, value)) = report.vote.as_ref().filter(|_| is_of_review) else { return Ok(()) };
        let first = report.again_of.unwrap_or(effect);
        match self.votes.insert(report.change, (first, *value)) {
            // Two that say the same may change places when a daemon that died begins both again.
            Some((later, other)) if later > first && other != *value => fault(
                "votes in order",
                format!(
                    "change {} gets {label} {value:+} of effect {first} after that of {later}",
                    report.change
                ),
            ),
            _ => Ok(()),
        }
    }

    fn contradiction(&self, report: &Report) -> Checked {
        let Some(book) = self.items.get(&report.item) else { return Ok(()) };
        match (&report.says, &book.ended) {
            (Some(Says::Ended { departure, .. }), Some(ended)) if departure == ended => Ok(()),
            // Whose act it was is told what it was.
            (Some(Says::Ended { .. }), Some(Departure::Dependency { change, .. }))
                if *change == report.change =>
            {
                Ok(())
            }
            (Some(Says::Ended { departure, .. }), ended) => fault(
                "true reports",
                format!(
                    "item {} was said to have ended as {departure:?}, it stands as {ended:?}",
                    report.item
                ),
            ),
            _ => Ok(()),
        }
    }
}
