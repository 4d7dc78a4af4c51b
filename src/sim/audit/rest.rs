//! What must hold once everything is healed and nothing moves any more.

use super::books::Book;
use super::{Audit, Checked, fault};
use crate::model::report::{Report, Says};
use crate::model::view::{ItemView, View, WaitingView};
use crate::model::{
    ChangeNumber, ChangeStatus, Departure, ItemId, LandingForm, Pipeline, Policy, Reason, Reference, Sha,
};
use crate::sim::setting::JOB_FILE;
use crate::world::Gerrit;
use crate::world::gerrit::{Change, REVIEW, VERIFIED};

/// What is left at the end of a run.
pub struct Remaining<'a> {
    /// What the core shows.
    pub view: &'a View,
    /// The world.
    pub gerrit: &'a Gerrit,
    /// Builds that the executor still runs.
    pub running: usize,
    /// Items with messages that the review host has refused.
    pub refused: &'a std::collections::BTreeSet<ItemId>,
}

impl Audit {
    /// Whether a report tells of a stay what is no longer so: that has ended, or is a check of an earlier patch set.
    pub fn is_outdated(&self, report: &Report) -> bool {
        let ended = self.items.get(&report.item).and_then(|book| book.ended.as_ref());
        let has_left = ended.is_some_and(|ended| !matches!(ended, Departure::Landed { .. }));
        let of_stay = matches!(report.says, Some(Says::Started { .. } | Says::FirstFailure { .. }));
        has_left && of_stay || report.pipeline == Pipeline::Check && self.replaced.contains(&report.revision)
    }

    /// Checks what is left.
    ///
    /// # Errors
    /// A broken promise.
    pub fn at_rest(&self, rest: &Remaining<'_>) -> Checked {
        let Some(policy) = self.policy.clone() else { return Ok(()) };
        if rest.running > 0 || rest.view.builds_running > 0 {
            return fault("no orphan builds", format!("{} builds run at rest", rest.running));
        }
        for queue in &rest.view.queues {
            for item in &queue.items {
                self.check_waiting_item(item, !rest.view.paused.is_empty())?;
            }
        }
        if let Some(check) = rest.view.checks.first() {
            return fault("liveness", format!("check item {} is still there: {}", check.item, check.words));
        }
        if rest.view.effects > 0 {
            return fault("liveness", format!("{} effects are still awaited", rest.view.effects));
        }
        for waiting in &rest.view.waiting {
            check_waiting(waiting, rest.gerrit)?;
        }
        for change in rest.gerrit.changes() {
            check_change(change, rest, &policy)?;
        }
        self.check_covered(rest)?;
        self.check_no_alternative_is_left()?;
        self.check_told(rest)?;
        self.check_demands(rest)?;
        let queued = rest.view.queues.iter().flat_map(|queue| &queue.items).map(|item| item.item);
        self.check_halves(&queued.collect())?;
        self.check_beliefs(rest)
    }

    /// An item may wait for good only where a person has stopped something.
    fn check_waiting_item(&self, item: &ItemView, held: bool) -> Checked {
        let stopped = held || !self.paused.is_empty();
        let explained = match item.reason {
            Reason::Paused { .. } | Reason::Ahead { .. } | Reason::Turn { .. } => stopped,
            Reason::ConflictAhead { .. }
            | Reason::JobFileAhead { .. }
            | Reason::FailedAhead { .. }
            | Reason::DependencyFails { .. }
            | Reason::Window { .. } => stopped,
            Reason::Share { .. } | Reason::Pooled { .. } | Reason::Doubt { .. } => stopped,
            _ => false,
        };
        if explained {
            return Ok(());
        }
        fault("liveness", format!("item {} is still in its queue: {}", item.item, item.words))
    }

    /// Each item that ended was told so, once.
    fn check_told(&self, rest: &Remaining<'_>) -> Checked {
        for (id, book) in self.items.iter().filter(|(_, book)| book.pipeline == Pipeline::Gate) {
            let Some(ended) = &book.ended else { continue };
            let of_item = self.said.iter().filter(|((item, _), _)| item == id);
            let said: Vec<&Report> = of_item.flat_map(|(_, said)| said).collect();
            let ends = said.iter().filter(|report| matches!(report.says, Some(Says::Ended { .. }))).count();
            let passed = said.iter().any(|report| matches!(report.says, Some(Says::Passed { .. })));
            let told = match ended {
                Departure::Failed { .. }
                | Departure::Conflict { .. }
                | Departure::BrokenJobFile { .. }
                | Departure::Closure { .. } => ends == book.changes.len(),
                Departure::Landed { .. } => ends == book.changes.len() || passed,
                _ => true,
            };
            let hidden =
                book.changes.iter().any(|change| rest.gerrit.read(change.number, &"bot".into()).is_none());
            if !told && !hidden && !rest.refused.contains(id) && !self.is_said_anew(*id, book) {
                return fault(
                    "one final report",
                    format!("item {id} ended as {ended:?} and nobody was told"),
                );
            }
        }
        Ok(())
    }

    /// Whether a later stay of one of its changes in check or gate has been told its end, or that it passed: what
    /// could not be posted of an earlier one by then is posted no more.
    pub(super) fn is_said_anew(&self, id: ItemId, book: &Book) -> bool {
        let is_last = |report: &Report| {
            matches!(report.says, Some(Says::Ended { .. } | Says::Passed { .. }))
                && matches!(report.pipeline, Pipeline::Gate | Pipeline::Check)
        };
        let later = self.said.range((id, ChangeNumber(u64::MAX))..);
        let mut of_change =
            later.filter(|((_, number), _)| book.changes.iter().any(|change| change.number == *number));
        of_change.any(|(_, said)| said.iter().any(is_last))
    }

    /// What the daemon holds for the tips is so.
    fn check_beliefs(&self, rest: &Remaining<'_>) -> Checked {
        if let Some(number) = self.alarms.first() {
            return fault(
                "a landed difference is told",
                format!("change {number} has landed with another tree than was tested, and nobody was told"),
            );
        }
        for (pair, tip) in rest.gerrit.branches() {
            let beliefs = self.beliefs(pair);
            if !beliefs.is_empty() && !beliefs.contains(tip) {
                return fault(
                    "outside pushes are seen",
                    format!("the tip of {pair} is not what the daemon was told"),
                );
            }
        }
        Ok(())
    }
}

fn approved(change: &Change) -> bool {
    let review = || change.votes.iter().filter(|vote| vote.label.as_str() == REVIEW).map(|vote| vote.value);
    review().any(|value| value >= 2) && !review().any(|value| value < 0)
}

/// The reason that a waiting change is given must be true.
fn check_waiting(waiting: &WaitingView, gerrit: &Gerrit) -> Checked {
    let Some(change) = gerrit.change(waiting.change.number) else {
        return fault("liveness", format!("change {} waits and does not exist", waiting.change.number));
    };
    let open = |number: ChangeNumber| {
        gerrit.change(number).is_some_and(|change| change.status == ChangeStatus::Open)
    };
    let so = match &waiting.reason {
        Reason::Veto { label, by } => {
            change.votes.iter().any(|vote| vote.label == *label && vote.by == *by && vote.value < 0)
        }
        Reason::Requirements { .. } => change.blocked || !approved(change),
        Reason::Parent { change, .. } => open(*change),
        Reason::Depends { change } | Reason::DependsElsewhere { change, .. } => open(*change),
        Reason::ParentReplaced { change: parent } => gerrit
            .change(*parent)
            .is_some_and(|now| rests_on_older(gerrit, change.revision(), (*parent, now.revision()))),
        Reason::DependsOnAbandoned { change } | Reason::ParentAbandoned { change } => {
            gerrit.change(*change).is_some_and(|change| change.status == ChangeStatus::Abandoned)
        }
        Reason::Together { change } | Reason::Apart { change } => open(*change),
        Reason::DependsOnNothing { .. } => names_nothing(change.number, gerrit),
        Reason::Rebase { pair } => {
            let (revision, tip) = (change.revision(), gerrit.tip(pair));
            gerrit.form_of(&pair.repository) == LandingForm::FastForwardOnly
                && tip.is_some_and(|tip| !gerrit.git.reaches(revision, tip))
        }
        Reason::NoChangeId => {
            let commit = gerrit.git.commit(change.revision());
            commit.is_some_and(|commit| commit.change_id.is_none())
        }
        Reason::ParentElsewhere { change: parent } => open(*parent),
        Reason::JobFile { pair, .. } => gerrit.tip(pair).is_some_and(|tip| {
            let tree = gerrit.git.tree_of(tip);
            tree.get(JOB_FILE).is_some_and(|file| &**file == "nonsense")
        }),
        Reason::NewApproval | Reason::NoJob | Reason::NothingNeeded { .. } | Reason::Unchanged { .. } => true,
        _ => false,
    };
    if so && change.status == ChangeStatus::Open {
        return Ok(());
    }
    fault("liveness", format!("change {} waits for no good reason: {}", change.number, waiting.words))
}

/// Whether a patch set brings in a commit of a change of which another one counts.
pub(super) fn rests_on_older(gerrit: &Gerrit, revision: Sha, (parent, now): (ChangeNumber, Sha)) -> bool {
    let Some(parent) = gerrit.change(parent) else { return false };
    let Some(tip) = gerrit.tip(&parent.pair) else { return false };
    gerrit.git.between(tip, revision).into_iter().any(|commit| {
        let its = gerrit.git.commit(commit).and_then(|commit| commit.change_id.as_ref());
        let is_its = || parent.patchsets.iter().any(|patch| patch.commit == commit);
        commit != now && (its == Some(&parent.change_id) || is_its())
    })
}

/// Whether a footer of a change makes no sense, or names what the daemon cannot see or the change itself.
fn names_nothing(number: ChangeNumber, gerrit: &Gerrit) -> bool {
    let revision = gerrit.change(number).map(Change::revision).unwrap_or_default();
    let bot = "bot".into();
    let is_something = |reference: &Reference| {
        gerrit.changes().any(|change| {
            let meant = match reference {
                Reference::Number(named) => change.number == *named,
                Reference::Id(id) => change.change_id == *id,
                Reference::Wrong { .. } => false,
            };
            meant && change.number != number && change.is_visible_to(&bot)
        })
    };
    gerrit.needs.get(&revision).is_some_and(|needs| !needs.iter().all(is_something))
}

/// An approved change is in its queue or waits for a reason; no stray vote stands.
fn check_change(change: &Change, rest: &Remaining<'_>, policy: &Policy) -> Checked {
    if change.status != ChangeStatus::Open || change.private {
        return Ok(());
    }
    let queued = rest.view.queues.iter().flat_map(|queue| &queue.items);
    let queued = queued.flat_map(|item| &item.changes).any(|queued| queued.number == change.number);
    let waiting = rest.view.waiting.iter().any(|waiting| waiting.change.number == change.number);
    let ready = approved(change) && !change.work_in_progress && !change.blocked;
    if ready && policy.queue_of(&change.pair).is_some() && !queued && !waiting {
        return fault("liveness", format!("change {} is approved and forgotten", change.number));
    }
    let voted = change.votes.iter().any(|vote| {
        vote.label.as_str() == VERIFIED && vote.by == policy.account && vote.value == policy.gate.success
    });
    // What comments ask for may leave the same vote.
    let by_demand = policy.pipelines.on_demand.iter().any(|own| own.success == policy.gate.success);
    if voted && !queued && !policy.check.enabled && !by_demand {
        return fault(
            "votes are withdrawn",
            format!("change {} left its queue with the daemon's vote", change.number),
        );
    }
    Ok(())
}
