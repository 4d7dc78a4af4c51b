//! How an item stands in one word, for colours, marks and programs; the sentence says it exactly.

use crate::model::Reason;
use crate::model::view::ItemView;

/// How an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It passed and lands when it may.
    Good,
    /// Its builds run.
    Busy,
    /// It failed or conflicts where something ahead may yet change that.
    Bad,
    /// A person or something outside keeps it.
    Held,
    /// It waits for its turn.
    Waits,
    /// The reader may not see it.
    Unseen,
}

impl State {
    /// The state of an item.
    pub fn of(item: &ItemView) -> Self {
        Self::of_reason(&item.reason)
    }

    /// The state that a reason tells of.
    pub fn of_reason(reason: &Reason) -> Self {
        match reason {
            Reason::Ahead { .. } | Reason::Voting | Reason::Looking | Reason::Landing | Reason::Finishing => {
                Self::Good
            }
            Reason::Building { .. } => Self::Busy,
            Reason::FailedAhead { .. }
            | Reason::Failed { .. }
            | Reason::ConflictAhead { .. }
            | Reason::JobFileAhead { .. }
            | Reason::DependencyFails { .. } => Self::Bad,
            Reason::Paused { .. }
            | Reason::Executor { .. }
            | Reason::NoJob
            | Reason::NothingNeeded { .. }
            | Reason::NoBranch { .. }
            | Reason::PreparingAgain { .. }
            | Reason::BuildAgain { .. }
            | Reason::AskedAgain { .. }
            | Reason::UnknownPush { .. }
            | Reason::Veto { .. }
            | Reason::Requirements { .. }
            | Reason::NewApproval
            | Reason::ParentReplaced { .. }
            | Reason::ParentAbandoned { .. }
            | Reason::ParentElsewhere { .. }
            | Reason::JobFile { .. }
            | Reason::DependsOnAbandoned { .. }
            | Reason::DependsOnNothing { .. }
            | Reason::Apart { .. }
            | Reason::Rebase { .. }
            | Reason::NoChangeId
            | Reason::Form { .. }
            | Reason::ReadOnly { .. } => Self::Held,
            Reason::Approval { .. }
            | Reason::Unchanged { .. }
            | Reason::Parent { .. }
            | Reason::Depends { .. }
            | Reason::DependsElsewhere { .. }
            | Reason::Together { .. }
            | Reason::Observing
            | Reason::Window { .. }
            | Reason::Share { .. }
            | Reason::Pooled { .. }
            | Reason::Doubt { .. }
            | Reason::Tip { .. }
            | Reason::Turn { .. }
            | Reason::Preparing
            | Reason::Slots { .. }
            | Reason::Moved { .. } => Self::Waits,
            Reason::Unseen => Self::Unseen,
        }
    }

    /// Its name in the API and in the style sheet.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "passed",
            Self::Busy => "building",
            Self::Bad => "failing",
            Self::Held => "held",
            Self::Waits => "waiting",
            Self::Unseen => "hidden",
        }
    }
}

/// The kind of a reason as one stable word, for metrics and programs.
pub fn reason_kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::Approval { .. } => "approval",
        Reason::NewApproval => "new_approval",
        Reason::Unchanged { .. } => "unchanged",
        Reason::Veto { .. } => "veto",
        Reason::Requirements { .. } => "requirements",
        Reason::Parent { .. } => "parent",
        Reason::Depends { .. } => "depends",
        Reason::DependsElsewhere { .. } => "depends_elsewhere",
        Reason::DependsOnAbandoned { .. } => "depends_on_abandoned",
        Reason::DependsOnNothing { .. } => "depends_on_nothing",
        Reason::Together { .. } => "together",
        Reason::Apart { .. } => "apart",
        Reason::DependencyFails { .. } => "dependency_fails",
        Reason::Observing => "observing",
        Reason::Paused { .. } => "paused",
        Reason::Window { .. } => "window",
        Reason::Tip { .. } => "tip",
        Reason::NoBranch { .. } => "no_branch",
        Reason::Turn { .. } => "turn",
        Reason::Share { .. } => "share",
        Reason::Pooled { .. } => "pooled",
        Reason::Doubt { .. } => "doubt",
        Reason::Preparing => "preparing",
        Reason::PreparingAgain { .. } => "preparing_again",
        Reason::NoJob => "no_job",
        Reason::NothingNeeded { .. } => "nothing_needed",
        Reason::ConflictAhead { .. } => "conflict_ahead",
        Reason::JobFileAhead { .. } => "job_file_ahead",
        Reason::FailedAhead { .. } => "failed_ahead",
        Reason::Failed { .. } => "failed",
        Reason::Slots { .. } => "slots",
        Reason::Executor { .. } => "executor",
        Reason::Building { .. } => "building",
        Reason::BuildAgain { .. } => "build_again",
        Reason::Ahead { .. } => "ahead",
        Reason::Voting => "voting",
        Reason::Looking => "looking",
        Reason::AskedAgain { .. } => "asked_again",
        Reason::Landing => "landing",
        Reason::UnknownPush { .. } => "unknown_push",
        Reason::Moved { .. } => "moved",
        Reason::Finishing => "finishing",
        Reason::Rebase { .. } => "rebase",
        Reason::ParentReplaced { .. } => "parent_replaced",
        Reason::ParentAbandoned { .. } => "parent_abandoned",
        Reason::ParentElsewhere { .. } => "parent_elsewhere",
        Reason::JobFile { .. } => "job_file",
        Reason::NoChangeId => "no_change_id",
        Reason::Form { .. } => "form",
        Reason::ReadOnly { .. } => "read_only",
        Reason::Unseen => "hidden",
    }
}
