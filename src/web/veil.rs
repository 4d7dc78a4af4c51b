//! The one place where a view loses what its readers may not see. It stands between the core's view
//! and the desk; pages, API and streams are written from what comes out of it and cannot leak more.
//!
//! A change counts as hidden unless it is known to be readable. In a queue its place stays, as *a
//! change that you may not see*; elsewhere nothing of it is left, and where others' reasons name it,
//! they name [`ChangeNumber::UNSEEN`].

use std::collections::BTreeSet;

use super::mask::Mask;
use super::mentioned::mentioned;
use crate::model::event::Scope;
use crate::model::item::JobResult;
use crate::model::past::Past;
use crate::model::run::{Blame, Move, RunOutcome};
use crate::model::tree::Unneeded;
use crate::model::view::{
    BuildView, DepartedView, ItemView, PauseView, QueueView, RunView, View, WaitingView,
};
use crate::model::{ChangeNumber, Departure, ItemChange, Pair, Reason, Repository, Sha};

/// What stands for a hidden number or name in running text.
pub const HIDDEN: &str = "(hidden)";

/// What the readers may see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Veil {
    /// All of it: nothing is hidden.
    pub everything: bool,
    /// Changes that are known to be readable.
    pub changes: BTreeSet<ChangeNumber>,
    /// Repositories that are known to be readable.
    pub repositories: BTreeSet<Repository>,
    /// Repositories that the daemon knows and that are not known to be readable.
    pub hidden: BTreeSet<Repository>,
}

impl Veil {
    /// Whether the change may be shown.
    pub fn shows(&self, number: ChangeNumber) -> bool {
        self.everything || number == ChangeNumber::UNSEEN || self.changes.contains(&number)
    }

    /// The view as its readers may see it.
    pub fn over(&self, view: &View) -> View {
        if self.everything {
            return view.clone();
        }
        let hidden: BTreeSet<ChangeNumber> =
            mentioned(view).into_iter().filter(|number| !self.shows(*number)).collect();
        let mask = Mask::of(&self.hidden).and_changes(view, &hidden);
        let cover = Cover { hidden: &hidden, veil: self, mask };
        let queues = view.queues.iter().map(|queue| QueueView {
            name: queue.name.clone(),
            items: queue.items.iter().map(|item| cover.place(item)).collect(),
        });
        let queues: Vec<QueueView> = queues.collect();
        let runs: Vec<RunView> = view.runs.iter().filter_map(|run| cover.run(run)).collect();
        let checks: Vec<ItemView> = view.checks.iter().filter_map(|item| cover.item(item)).collect();
        let shown: BTreeSet<_> = queues
            .iter()
            .flat_map(|queue| &queue.items)
            .chain(&checks)
            .filter(|item| !item.changes.is_empty())
            .map(|item| item.item)
            .chain(runs.iter().map(|run| run.run))
            .collect();
        View {
            at: view.at,
            queues,
            checks,
            waiting: view.waiting.iter().filter_map(|entry| cover.waiting(entry)).collect(),
            departed: view.departed.iter().filter_map(|entry| cover.departed(entry)).collect(),
            paused: view.paused.iter().map(|entry| cover.pause(entry)).collect(),
            builds: view
                .builds
                .iter()
                .filter(|build| shown.contains(&build.item))
                .map(|build| BuildView { home: cover.pair(&build.home), ..build.clone() })
                .collect(),
            builds_running: view.builds_running,
            slots: view.slots,
            effects: view.effects,
            unable: view.unable.as_ref().map(|why| cover.text(why)),
            flakes: view
                .flakes
                .iter()
                .filter(|flake| self.repositories.contains(&flake.repository))
                .cloned()
                .collect(),
            runs,
        }
    }
}

/// `text` without the numbers for which `hides` holds.
pub fn redact(text: &str, hides: impl Fn(ChangeNumber) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        kept.push_str(before);
        let hidden = digits.parse().is_ok_and(|number| number > 0 && hides(ChangeNumber(number)));
        kept.push_str(if hidden { HIDDEN } else { digits });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

struct Cover<'a> {
    hidden: &'a BTreeSet<ChangeNumber>,
    veil: &'a Veil,
    mask: Mask,
}

impl Cover<'_> {
    fn hides(&self, changes: &[ItemChange]) -> bool {
        changes.iter().any(|change| self.hidden.contains(&change.number))
    }

    fn number(&self, number: ChangeNumber) -> ChangeNumber {
        if self.hidden.contains(&number) { ChangeNumber::UNSEEN } else { number }
    }

    fn text(&self, text: &str) -> std::sync::Arc<str> {
        self.mask.over(&redact(text, |number| self.hidden.contains(&number))).into()
    }

    /// A branch; of one in a hidden repository only that there is one.
    fn pair(&self, pair: &Pair) -> Pair {
        if self.veil.hidden.contains(&pair.repository) { Pair::new(HIDDEN, HIDDEN) } else { pair.clone() }
    }

    fn repository(&self, repository: &Repository) -> Repository {
        if self.veil.hidden.contains(repository) { HIDDEN.into() } else { repository.clone() }
    }

    /// An item of a queue; of a hidden one only the place is left.
    fn place(&self, item: &ItemView) -> ItemView {
        self.item(item).unwrap_or_else(|| ItemView {
            item: item.item,
            pipeline: item.pipeline.clone(),
            changes: Vec::new(),
            entered_at: item.entered_at,
            on_top_of: Vec::new(),
            contains: Vec::new(),
            jobs: Vec::new(),
            words: Reason::Unseen.to_string(),
            reason: Reason::Unseen,
            place: String::new(),
            past: Vec::new(),
            unneeded: Vec::new(),
        })
    }

    fn item(&self, item: &ItemView) -> Option<ItemView> {
        if self.hides(&item.changes) {
            return None;
        }
        let reason = self.reason(&item.reason);
        Some(ItemView {
            on_top_of: item.on_top_of.iter().map(|number| self.number(*number)).collect(),
            jobs: self.jobs(&item.jobs),
            words: reason.to_string(),
            reason,
            past: self.past(&item.past),
            unneeded: self.unneeded(&item.unneeded),
            ..item.clone()
        })
    }

    /// A run at the tip of a branch whose repository is known to be readable.
    fn run(&self, run: &RunView) -> Option<RunView> {
        if !self.veil.repositories.contains(&run.pair.repository) {
            return None;
        }
        let outcome = run.outcome.as_ref().map(|outcome| match outcome {
            RunOutcome::BrokenJobFile { why } => RunOutcome::BrokenJobFile { why: self.text(why) },
            RunOutcome::Stopped { why } => RunOutcome::Stopped { why: self.text(why) },
            other => other.clone(),
        });
        Some(RunView {
            outcome,
            jobs: self.jobs(&run.jobs),
            blames: run.blames.iter().map(|blame| self.blame(blame)).collect(),
            words: self.text(&run.words).to_string(),
            ..run.clone()
        })
    }

    /// Since when a job fails; of what came in then nothing, where part of it is hidden.
    fn blame(&self, blame: &Blame) -> Blame {
        let hidden =
            |moved: &Move| self.veil.hidden.contains(&moved.pair.repository) || self.hides(&moved.changes);
        let home = self.pair(&blame.home);
        if blame.moves.iter().any(hidden) {
            let why = "what came in then is something that you may not see".into();
            return Blame { home, moves: Vec::new(), why, ..blame.clone() };
        }
        Blame { home, why: self.text(&blame.why), ..blame.clone() }
    }

    fn waiting(&self, entry: &WaitingView) -> Option<WaitingView> {
        if self.hidden.contains(&entry.change.number) {
            return None;
        }
        let reason = self.reason(&entry.reason);
        Some(WaitingView { change: entry.change.clone(), words: reason.to_string(), reason })
    }

    fn departed(&self, entry: &DepartedView) -> Option<DepartedView> {
        if self.hides(&entry.changes) {
            return None;
        }
        let (departure, jobs) = (self.departure(&entry.departure), self.jobs(&entry.jobs));
        let (past, unneeded) = (self.past(&entry.past), self.unneeded(&entry.unneeded));
        Some(DepartedView { departure, jobs, past, unneeded, ..entry.clone() })
    }

    fn unneeded(&self, unneeded: &[Unneeded]) -> Vec<Unneeded> {
        let cover = |spared: &Unneeded| Unneeded {
            job: spared.job.clone(),
            home: self.pair(&spared.home),
            why: self.text(&spared.why),
        };
        unneeded.iter().map(cover).collect()
    }

    fn past(&self, past: &[Past]) -> Vec<Past> {
        let cover =
            |entry: &Past| Past { at: entry.at, what: entry.what.with_numbers(|number| self.number(number)) };
        past.iter().map(cover).collect()
    }

    fn pause(&self, entry: &PauseView) -> PauseView {
        let scope = match &entry.scope {
            Scope::Repository(repository) if !self.veil.repositories.contains(repository) => {
                Scope::Repository("that you may not see".into())
            }
            scope => scope.clone(),
        };
        PauseView { scope, reason: self.text(&entry.reason), ..entry.clone() }
    }

    fn jobs(&self, jobs: &[JobResult]) -> Vec<JobResult> {
        let cover = |job: &JobResult| JobResult {
            detail: self.text(&job.detail),
            home: self.pair(&job.home),
            ..job.clone()
        };
        jobs.iter().map(cover).collect()
    }

    /// A reason without hidden numbers. Each kind stands here, so that a new one must be thought of.
    fn reason(&self, reason: &Reason) -> Reason {
        match reason {
            Reason::Parent { change, why } => Reason::Parent {
                change: self.number(*change),
                why: why.as_ref().map(|why| Box::new(self.reason(why))),
            },
            Reason::ParentReplaced { change } => Reason::ParentReplaced { change: self.number(*change) },
            Reason::ParentAbandoned { change } => Reason::ParentAbandoned { change: self.number(*change) },
            Reason::ParentElsewhere { change } => Reason::ParentElsewhere { change: self.number(*change) },
            Reason::Depends { change } => Reason::Depends { change: self.number(*change) },
            Reason::DependsOnAbandoned { change } => {
                Reason::DependsOnAbandoned { change: self.number(*change) }
            }
            Reason::Together { change } => Reason::Together { change: self.number(*change) },
            Reason::Apart { change } => Reason::Apart { change: self.number(*change) },
            Reason::DependencyFails { change } => Reason::DependencyFails { change: self.number(*change) },
            Reason::Turn { change } => Reason::Turn { change: self.number(*change) },
            Reason::Doubt { change } => Reason::Doubt { change: self.number(*change) },
            Reason::Ahead { change, why } => Reason::Ahead {
                change: self.number(*change),
                why: why.as_ref().map(|why| Box::new(self.reason(why))),
            },
            Reason::Pooled { with } => Reason::Pooled { with: self.number(*with) },
            Reason::DependsElsewhere { change, queue, is_queued } => Reason::DependsElsewhere {
                change: self.number(*change),
                queue: queue.clone(),
                is_queued: *is_queued,
            },
            Reason::DependsOnNothing { .. }
            | Reason::ConflictAhead { .. }
            | Reason::JobFile { .. }
            | Reason::JobFileAhead { .. }
            | Reason::PreparingAgain { .. }
            | Reason::AskedAgain { .. }
            | Reason::BuildAgain { .. }
            | Reason::Executor { .. }
            | Reason::Paused { .. }
            | Reason::Requirements { .. }
            | Reason::Unchanged { .. }
            | Reason::Tip { .. }
            | Reason::NoBranch { .. }
            | Reason::Moved { .. }
            | Reason::Rebase { .. }
            | Reason::Form { .. }
            | Reason::ReadOnly { .. } => self.worded(reason),
            Reason::Approval { .. }
            | Reason::NewApproval
            | Reason::Veto { .. }
            | Reason::Observing
            | Reason::Window { .. }
            | Reason::Share { .. }
            | Reason::Preparing
            | Reason::NoJob
            | Reason::NothingNeeded { .. }
            | Reason::FailedAhead { .. }
            | Reason::Failed { .. }
            | Reason::Slots { .. }
            | Reason::Building { .. }
            | Reason::Voting
            | Reason::Looking
            | Reason::Landing
            | Reason::UnknownPush { .. }
            | Reason::Finishing
            | Reason::NoChangeId
            | Reason::Unseen => reason.clone(),
        }
    }

    /// A reason with names and texts, without those that are hidden.
    fn worded(&self, reason: &Reason) -> Reason {
        match reason {
            Reason::DependsOnNothing { text, why } => {
                Reason::DependsOnNothing { text: self.text(text), why: self.text(why) }
            }
            Reason::ConflictAhead { pair, paths, changes } => Reason::ConflictAhead {
                pair: self.pair(pair),
                paths: paths.iter().map(|path| self.text(path)).collect(),
                changes: changes.iter().map(|change| self.number(*change)).collect(),
            },
            Reason::JobFile { pair, why } => Reason::JobFile { pair: self.pair(pair), why: self.text(why) },
            Reason::JobFileAhead { pair, why, changes } => Reason::JobFileAhead {
                pair: self.pair(pair),
                why: self.text(why),
                changes: changes.iter().map(|change| self.number(*change)).collect(),
            },
            Reason::PreparingAgain { why, at } => Reason::PreparingAgain { why: self.text(why), at: *at },
            Reason::AskedAgain { why } => Reason::AskedAgain { why: self.text(why) },
            Reason::BuildAgain { why, at } => Reason::BuildAgain { why: self.text(why), at: *at },
            Reason::Executor { why } => Reason::Executor { why: self.text(why) },
            Reason::Paused { scope, reason, by } => {
                let hidden = scope.strip_prefix("repository ");
                let hidden =
                    hidden.is_some_and(|name| !self.veil.repositories.contains(&Repository::from(name)));
                let scope = if hidden { "its repository".into() } else { scope.clone() };
                Reason::Paused { scope, reason: self.text(reason), by: by.clone() }
            }
            Reason::Requirements { names } => {
                Reason::Requirements { names: names.iter().map(|name| self.text(name)).collect() }
            }
            Reason::Unchanged { pair } => Reason::Unchanged { pair: self.pair(pair) },
            Reason::Tip { pair } => Reason::Tip { pair: self.pair(pair) },
            Reason::NoBranch { pair } => Reason::NoBranch { pair: self.pair(pair) },
            Reason::Moved { pair } => Reason::Moved { pair: self.pair(pair) },
            Reason::Rebase { pair } => Reason::Rebase { pair: self.pair(pair) },
            Reason::Form { repository } => Reason::Form { repository: self.repository(repository) },
            Reason::ReadOnly { repository } => Reason::ReadOnly { repository: self.repository(repository) },
            _ => reason.clone(),
        }
    }

    /// How a stay ended, without hidden numbers and the commits that belong to them.
    fn departure(&self, departure: &Departure) -> Departure {
        match departure {
            Departure::Dependency { change, culprit } => Departure::Dependency {
                change: self.number(*change),
                culprit: culprit.map(|number| self.number(number)),
            },
            Departure::Regrouped { change } => Departure::Regrouped { change: self.number(*change) },
            Departure::Closure { commit, change, why } => {
                let hidden = change.is_some_and(|number| self.hidden.contains(&number));
                Departure::Closure {
                    commit: if hidden { Sha([0; 20]) } else { *commit },
                    change: change.map(|number| self.number(number)),
                    why: if hidden {
                        "its change is one that you may not see".into()
                    } else {
                        self.text(why)
                    },
                }
            }
            Departure::BrokenJobFile { pair, why } => {
                Departure::BrokenJobFile { pair: self.pair(pair), why: self.text(why) }
            }
            Departure::Conflict { pair, paths, with } => Departure::Conflict {
                pair: self.pair(pair),
                paths: paths.clone(),
                with: with.iter().map(|change| self.number(*change)).collect(),
            },
            Departure::Unfit { why } => Departure::Unfit { why: self.text(why) },
            Departure::Held { reason } => Departure::Held { reason: self.reason(reason) },
            Departure::VoteWithdrawn { why } => Departure::VoteWithdrawn { why: self.text(why) },
            Departure::Refused { why } => Departure::Refused { why: self.text(why) },
            Departure::Dequeued { by, reason } => {
                Departure::Dequeued { by: by.clone(), reason: self.text(reason) }
            }
            Departure::Landed { .. }
            | Departure::Failed { .. }
            | Departure::NewPatchSet { .. }
            | Departure::Abandoned
            | Departure::MergedElsewhere
            | Departure::Gone
            | Departure::WorkInProgress
            | Departure::Private
            | Departure::Moved
            | Departure::Requirement { .. }
            | Departure::QueueRemoved
            | Departure::Superseded
            | Departure::Checked { .. } => departure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_numbers_are_taken_out_of_running_text_and_no_others() {
        let hides = |number| number == ChangeNumber(12);
        for (text, expected) in [
            ("", ""),
            ("no number", "no number"),
            ("change 12 of 120", "change (hidden) of 120"),
            ("refs/changes/12/12/1", "refs/changes/(hidden)/(hidden)/1"),
            ("exit code 3", "exit code 3"),
            ("99999999999999999999999", "99999999999999999999999"),
            ("é12é", "é(hidden)é"),
        ] {
            assert_eq!(redact(text, hides), expected);
        }
    }
}
