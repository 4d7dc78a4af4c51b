//! What the review host has landed: what each push closed, and as which commit.

use super::{Audit, Book, Checked, LandingBook, fault};
use crate::model::action::Push;
use crate::model::{ChangeNumber, EffectId, Outcome, Pair, Sha, Timestamp};

impl Audit {
    /// Marks that a push has taken effect. `closed` is what it has closed, each with the commit as which it counts as landed, and `open`
    /// a change of it that it has not.
    pub fn mark_landed(
        &mut self,
        effect: EffectId,
        push: &Push,
        closed: &[(ChangeNumber, Sha)],
        open: Option<ChangeNumber>,
    ) -> Checked {
        if !self.landed.insert(effect) {
            return fault("effects once", format!("the push of effect {effect} has landed twice"));
        }
        for id in self.pushed.get(&effect).into_iter().flatten() {
            self.landed_pairs.entry(*id).or_default().insert(push.pair.clone());
        }
        for (number, commit) in closed {
            let stands_for = |revision: &Sha| {
                revision == commit
                    || push.submit.as_ref().is_some_and(|submit| submit.change == *number)
                    || self.copy_of(*number, *revision, &push.pair, *commit) == Some(*commit)
            };
            if !push.changes.iter().any(|(change, _, revision)| change == number && stands_for(revision)) {
                return fault(
                    "nothing unapproved lands",
                    format!(
                        "the push of effect {effect} has merged change {number} at {}, which is not in it",
                        commit.short()
                    ),
                );
            }
        }
        if let Some(number) = open {
            return fault(
                "what lands is closed",
                format!("the push of effect {effect} has landed change {number}, which is still open"),
            );
        }
        self.landings_seen += u32::try_from(closed.len()).unwrap_or(0);
        self.check_landed(effect, push)
    }

    /// The review host has landed a change; another tree than the tested one must be told of.
    pub(super) fn submitted(
        &mut self,
        effect: EffectId,
        pair: &Pair,
        tip: Sha,
        commit: Sha,
        same_tree: bool,
    ) {
        self.tell(pair, commit);
        self.tell(pair, tip);
        let found = self.landings.iter_mut().find(|(id, landing)| {
            landing.push.pair == *pair && (**id == effect || landing.push.submit.is_some())
        });
        let Some((_, landing)) = found else { return };
        landing.applied = true;
        if !same_tree {
            self.alarms.extend(landing.push.submit.as_ref().map(|submit| submit.change));
        }
    }

    /// Records the answer to a push.
    pub(super) fn push_ended(&mut self, at: Timestamp, effect: EffectId, pushes: &[(Pair, Outcome)]) {
        let settle = self.policy.as_ref().map_or(0, |policy| policy.limits.settle_ms);
        let Some(landing) = self.landings.get_mut(&effect) else { return };
        let push = landing.push.clone();
        match pushes.iter().find(|(pair, _)| *pair == push.pair).map(|(_, outcome)| outcome) {
            Some(Outcome::Applied) => {
                landing.applied = true;
                self.tell(&push.pair, push.new);
            }
            Some(Outcome::Unknown(_)) => {
                landing.unknown_until.get_or_insert(at.plus_ms(settle));
            }
            Some(Outcome::Failed(_) | Outcome::Gone(_) | Outcome::Refused(_)) => {
                self.landings.remove(&effect);
            }
            None => {}
        }
    }

    /// Reads what was seen of a push of unknown outcome.
    pub(super) fn push_seen(&mut self, at: Timestamp, pair: &Pair, tip: Option<Sha>, contains: bool) {
        if let Some(tip) = tip {
            self.tell(pair, tip);
        }
        let limits = self.policy.as_ref().map(|policy| policy.limits.clone()).unwrap_or_default();
        let over = |landing: &LandingBook| {
            landing.push.pair == *pair
                && !contains
                && (landing.push.submit.is_none() && tip != Some(landing.push.old)
                    || landing.settles_at(&limits) <= at)
        };
        self.landings.retain(|_, landing| !over(landing));
    }

    /// What the node of a change's item writes for it.
    fn copy_of(&self, number: ChangeNumber, revision: Sha, pair: &Pair, commit: Sha) -> Option<Sha> {
        let holds = |book: &&Book| {
            book.queue.is_some()
                && book.changes.iter().any(|change| change.number == number && change.revision == revision)
        };
        let book = self.items.values().rfind(holds)?;
        let several = book.changes.iter().filter(|change| change.pair == *pair).count() > 1;
        if several {
            // Of several copies on top of one another only the last is written down.
            return Some(commit);
        }
        self.nodes.get(&book.node?)?.written(pair)
    }
}
