//! The leaving rule, checked when an item is decided.

use super::oracle::{Judged, judge};
use super::rest::rests_on_older;
use super::{Audit, Checked, fault};
use crate::model::{
    ChangeNumber, ChangeStatus, Departure, EffectId, ItemId, JobName, LandingForm, Pair, Reason, Sha,
    Timestamp,
};
use crate::sim::setting::Setting;
use crate::world::Gerrit;

impl Audit {
    /// Checks the end of a gate item.
    pub(super) fn check_leaving(
        &self,
        at: Timestamp,
        id: ItemId,
        departure: &Departure,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        let pushing = self.landings.iter().find(|(_, landing)| landing.items.contains(&id));
        match departure {
            Departure::Landed { commits } => return self.check_contained(id, commits, gerrit),
            _ => self.check_push(at, id, pushing.map(|(effect, _)| *effect))?,
        }
        if let Departure::Dependency { change, .. } = departure
            && self.items.values().any(|book| {
                let its = book.changes.iter().any(|own| own.number == *change);
                its && matches!(book.ended, Some(Departure::Landed { .. }))
            })
        {
            return fault("true ends", format!("item {id} leaves with change {change}, which has landed"));
        }
        if let Departure::Held { reason } = departure
            && let Reason::ParentReplaced { change }
            | Reason::ParentAbandoned { change }
            | Reason::ParentElsewhere { change } = reason
        {
            return self.check_unrooted(id, *change, reason, gerrit);
        }
        // What is still asked of a change is for people to say, as its votes are.
        let is_asked = matches!(departure, Departure::Held { reason: Reason::Requirements { .. } });
        let judged = matches!(
            departure,
            Departure::Failed { .. }
                | Departure::Conflict { .. }
                | Departure::BrokenJobFile { .. }
                | Departure::Closure { .. }
                | Departure::Held { .. }
        );
        if !judged || is_asked {
            return Ok(());
        }
        for ahead in self.ahead(id) {
            if self.meet(ahead, id) {
                return fault(
                    "leaving rule",
                    format!(
                        "item {id} leaves as {departure:?} while item {ahead}, which it meets, is not decided"
                    ),
                );
            }
        }
        self.check_unblamed(id, departure, gerrit)?;
        if matches!(departure, Departure::Closure { .. }) {
            return Ok(());
        }
        self.check_pinned(at, id)?;
        if let Departure::Failed { jobs } = departure {
            self.check_blame(id, jobs)?;
        }
        self.check_oracle(id, departure, gerrit, setting)
    }

    /// What counts as landed is in its branches, all of it.
    fn check_contained(&self, id: ItemId, commits: &[(Pair, Sha)], gerrit: &Gerrit) -> Checked {
        let book = self.items.get(&id);
        let mut written = book.into_iter().flat_map(|book| &book.changes).map(|change| &change.pair);
        if let Some(pair) = written.find(|pair| !commits.iter().any(|(landed, _)| landed == *pair)) {
            return fault("true ends", format!("item {id} counts as landed without its part in {pair}"));
        }
        for (pair, commit) in commits {
            let landed = gerrit.tip(pair).is_some_and(|tip| gerrit.git.reaches(tip, *commit));
            if !landed {
                return fault(
                    "true ends",
                    format!("item {id} counts as landed, and {pair} does not contain it"),
                );
            }
        }
        Ok(())
    }

    /// What rests on an earlier patch set has to be rebased: it is not to blame for what comes of its merge.
    fn check_unblamed(&self, id: ItemId, departure: &Departure, gerrit: &Gerrit) -> Checked {
        let Some(book) = self.items.get(&id) else { return Ok(()) };
        let rests = |revision: &Sha| {
            let commit = gerrit.git.commit(*revision);
            commit.is_some_and(|commit| commit.parents.iter().any(|parent| self.replaced.contains(parent)))
        };
        let blamed = book.changes.iter().find(|change| {
            let form = gerrit.form_of(&change.pair.repository);
            !form.rewrites(parents_of(gerrit, change.revision)) && rests(&change.revision)
        });
        match blamed {
            Some(change) => fault(
                "unblamed",
                format!(
                    "change {} rests on an earlier patch set, and leaves as {departure:?}",
                    change.number
                ),
            ),
            None => Ok(()),
        }
    }

    /// What is said to rest on a patch set that cannot land does so.
    fn check_unrooted(&self, id: ItemId, parent: ChangeNumber, reason: &Reason, gerrit: &Gerrit) -> Checked {
        let (Some(book), Some(known)) = (self.items.get(&id), self.known.get(&parent)) else { return Ok(()) };
        // Where only their own difference lands, nothing below them matters.
        let firm = book.changes.iter().filter(|change| {
            let form = gerrit.form_of(&change.pair.repository);
            form == LandingForm::RebaseIfNecessary || !form.rewrites(parents_of(gerrit, change.revision))
        });
        let mut own = firm.map(|change| change.revision);
        let so = match reason {
            Reason::ParentElsewhere { .. } => {
                book.changes.iter().all(|change| change.pair != known.pair())
                    && own.any(|own| gerrit.git.reaches(own, known.revision))
            }
            Reason::ParentAbandoned { .. } => {
                known.status == ChangeStatus::Abandoned
                    && own.any(|own| gerrit.git.reaches(own, known.revision))
            }
            _ => own.any(|own| rests_on_older(gerrit, own, (parent, known.revision))),
        };
        if so {
            return Ok(());
        }
        fault("true ends", format!("item {id} leaves because it {reason}, which is not so"))
    }

    /// What may still land cannot leave.
    fn check_push(&self, at: Timestamp, id: ItemId, effect: Option<EffectId>) -> Checked {
        let Some(landing) = effect.and_then(|effect| self.landings.get(&effect)) else { return Ok(()) };
        // A submit may land on any tip.
        let fenced = landing.push.submit.is_none();
        let moved = fenced && !self.beliefs(&landing.push.pair).contains(&landing.push.old);
        let limits = self.policy.as_ref().map(|policy| policy.limits.clone()).unwrap_or_default();
        let over = landing.settles_at(&limits) <= at || moved;
        if over && !landing.applied {
            return Ok(());
        }
        fault("a push of unknown outcome may land", format!("item {id} leaves while its push may still land"))
    }

    fn check_oracle(
        &self,
        id: ItemId,
        departure: &Departure,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        let (Some(policy), Some(book)) = (self.policy.clone(), self.items.get(&id)) else { return Ok(()) };
        let mut said = Vec::new();
        for tips in self.worlds() {
            let judged = judge(gerrit, setting, &policy, &book.changes, &self.as_pinned(id, &tips));
            let agrees = match (departure, &judged) {
                (Departure::Conflict { .. }, Judged::Conflict)
                | (Departure::BrokenJobFile { .. }, Judged::Broken)
                | (Departure::Held { reason: Reason::JobFile { .. } }, Judged::Broken)
                | (Departure::Held { reason: Reason::Rebase { .. } }, Judged::Rebase) => true,
                (Departure::Failed { jobs }, Judged::Failed(failing)) => {
                    jobs.iter().any(|job| failing.contains(job)) || self.by_chance(id, jobs)
                }
                (Departure::Failed { jobs }, Judged::Passed) => self.by_chance(id, jobs),
                _ => false,
            };
            if agrees {
                return Ok(());
            }
            said.push(judged);
        }
        fault("serial oracle", format!("item {id} leaves as {departure:?}, judged alone it is {said:?}"))
    }

    /// Whether a failure is explained by chance: builds that fail without a reason, or
    /// infrastructure that failed too often.
    fn by_chance(&self, id: ItemId, jobs: &[JobName]) -> bool {
        let Some(book) = self.items.get(&id) else { return false };
        let Some(node) = book.node.and_then(|node| self.nodes.get(&node)) else { return false };
        node.jobs().iter().filter(|job| job.voting && jobs.contains(&job.name)).any(|job| {
            let tally = self.tallies.get(&job.key).copied().unwrap_or_default();
            !self.deterministic && tally.failures > 0 || book.adopted.get(&job.key) != Some(&false)
        })
    }
}

fn parents_of(gerrit: &Gerrit, revision: Sha) -> usize {
    gerrit.git.commit(revision).map_or(0, |commit| commit.parents.len())
}
