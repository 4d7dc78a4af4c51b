//! Why something waits. Each wait has a reason, and each reason is a sentence.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::in_words;
use super::{Account, ChangeNumber, JobName, Label, Pair, QueueName, Repository, Timestamp};

/// Why an item, or an approved change that is not yet an item, is not further on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// It has no approval that counts.
    Approval {
        /// The label asked for.
        label: Label,
        /// The least value.
        min: i32,
    },
    /// The approval was used up by an attempt that ended; a new vote is needed.
    NewApproval,
    /// It failed on this state of its branch, and comes back when the branch moves (policy B).
    Unchanged {
        /// The branch.
        pair: Pair,
    },
    /// Someone's vote stands against it.
    Veto {
        /// The label.
        label: Label,
        /// Who.
        by: Account,
    },
    /// Submit requirements are not met.
    Requirements {
        /// Their names.
        names: Vec<Arc<str>>,
    },
    /// The change that it rests on is not in the queue.
    Parent {
        /// That change.
        change: ChangeNumber,
        /// What keeps that one waiting, where that is not a first approval.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Box<Reason>>,
    },
    /// It rests on a commit of a change of which another patch set is the present one.
    ParentReplaced {
        /// That change.
        change: ChangeNumber,
    },
    /// It rests on a change that was abandoned.
    ParentAbandoned {
        /// That change.
        change: ChangeNumber,
    },
    /// A change that it depends on is not in the queue.
    Depends {
        /// That change.
        change: ChangeNumber,
    },
    /// A change that it depends on lands elsewhere.
    DependsElsewhere {
        /// That change.
        change: ChangeNumber,
        /// Its queue; `None` where no queue gates its branch.
        queue: Option<QueueName>,
        /// It is in that queue now.
        #[serde(default)]
        is_queued: bool,
    },
    /// A change that it depends on was abandoned.
    DependsOnAbandoned {
        /// That change.
        change: ChangeNumber,
    },
    /// A `Depends-On` footer names nothing that can be waited for.
    DependsOnNothing {
        /// The footer's value.
        text: Arc<str>,
        /// What is wrong with it, fit for "which {why}".
        why: Arc<str>,
    },
    /// A change that lands together with it cannot enter yet.
    Together {
        /// That change.
        change: ChangeNumber,
    },
    /// It lands together with a change with which it never can.
    Apart {
        /// That change.
        change: ChangeNumber,
    },
    /// A change that it depends on is expected to leave.
    DependencyFails {
        /// That change.
        change: ChangeNumber,
    },
    /// Its branch takes fast-forwards only, and has moved on.
    Rebase {
        /// The branch.
        pair: Pair,
    },
    /// It would land as another commit, and has no Change-Id by which that could close it.
    NoChangeId,
    /// The review host does not say how the repository lands changes, or in an unknown form.
    Form {
        /// The repository.
        repository: Repository,
    },
    /// The repository takes nothing now.
    ReadOnly {
        /// The repository.
        repository: Repository,
    },
    /// Something must be asked of the review host first.
    Observing,
    /// Landing is stopped by a person.
    Paused {
        /// What is stopped, in words.
        scope: Arc<str>,
        /// Why.
        reason: Arc<str>,
        /// By whom.
        by: Account,
    },
    /// Too far back in the queue to be built yet.
    Window {
        /// How many items are built at once.
        size: u32,
    },
    /// The branch's tip is not known yet.
    Tip {
        /// The branch.
        pair: Pair,
    },
    /// The branch does not exist.
    NoBranch {
        /// The branch.
        pair: Pair,
    },
    /// Enough changes of its owner, or to its repository, are being built.
    Share {
        /// Whose, in words.
        of: Arc<str>,
        /// How many are built at once.
        most: u32,
    },
    /// It is judged together with changes behind it, by builds of the last of them.
    Pooled {
        /// That last change.
        with: ChangeNumber,
    },
    /// Changes ahead of it were judged together and failed: which one is to blame is being found out.
    Doubt {
        /// The change that is built to find out.
        change: ChangeNumber,
    },
    /// Its queue builds one item after another, and what is ahead is not decided.
    Turn {
        /// The nearest change ahead that it meets.
        change: ChangeNumber,
    },
    /// Its merge is being made.
    Preparing,
    /// Making its merge failed for reasons that are not its own; tried again.
    PreparingAgain {
        /// What went wrong.
        why: Arc<str>,
        /// When it is tried again.
        at: Timestamp,
    },
    /// No job is configured for it: nothing would judge it, so nothing lands.
    NoJob,
    /// Jobs are configured for it, and none of them runs for the files that it changes: nothing would judge
    /// it either.
    NothingNeeded {
        /// These jobs.
        jobs: Vec<JobName>,
    },
    /// It conflicts with something ahead that may yet leave.
    ConflictAhead {
        /// The branch.
        pair: Pair,
        /// The files, as far as they are known.
        paths: Vec<Arc<str>>,
        /// The changes to that branch that it was merged onto.
        changes: Vec<ChangeNumber>,
    },
    /// A job file that it does not alter cannot be used.
    JobFile {
        /// The branch that it is in.
        pair: Pair,
        /// What is wrong with it.
        why: Arc<str>,
    },
    /// It rests on a change that is for another branch.
    ParentElsewhere {
        /// That change.
        change: ChangeNumber,
    },
    /// With what is ahead, which may yet leave, a job file cannot be used.
    JobFileAhead {
        /// The branch that it is in.
        pair: Pair,
        /// What is wrong with it.
        why: Arc<str>,
        /// The changes to that branch that it was merged onto.
        changes: Vec<ChangeNumber>,
    },
    /// It failed, but on top of items that are not decided yet: they may be the cause.
    FailedAhead {
        /// The failed jobs.
        jobs: Vec<JobName>,
    },
    /// It failed, and leaves when its other builds have ended.
    Failed {
        /// The failed jobs.
        jobs: Vec<JobName>,
    },
    /// Builds wait for a slot.
    Slots {
        /// How many builds of it wait.
        waiting: u32,
        /// How many slots there are.
        slots: u32,
    },
    /// No executor can run its builds now.
    Executor {
        /// The remedy, in words.
        why: Arc<str>,
    },
    /// Builds are running.
    Building {
        /// The jobs.
        jobs: Vec<JobName>,
    },
    /// The infrastructure failed; tried again.
    BuildAgain {
        /// What went wrong.
        why: Arc<str>,
        /// When it is tried again.
        at: Timestamp,
    },
    /// It passed; what is ahead must be decided first.
    Ahead {
        /// The nearest change ahead that it meets.
        change: ChangeNumber,
        /// The stop that keeps that one from landing, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Box<Reason>>,
    },
    /// Its vote is being posted.
    Voting,
    /// The last look before landing.
    Looking,
    /// It passed, and what comes before its push was asked of the review host in vain; it is asked again.
    AskedAgain {
        /// What went wrong.
        why: Arc<str>,
    },
    /// It is being pushed.
    Landing,
    /// A push ended without an answer: it may still land until then.
    UnknownPush {
        /// The end of the settle time.
        until: Timestamp,
    },
    /// The push was refused because the branch had moved; the new tip is being read.
    Moved {
        /// The branch.
        pair: Pair,
    },
    /// Its outcome is known; what is left of its builds is waited for.
    Finishing,
    /// The reader may not see the change, so neither why it waits. The core never says this; it stands
    /// in views from which something was taken out.
    Unseen,
}

impl Reason {
    /// Whether its author is told of it even where another wait of the same patch set was told: it is about
    /// how the repository takes changes, or about what the change rests on, and ends otherwise.
    pub fn is_told_apart(&self) -> bool {
        matches!(
            self,
            Self::Rebase { .. }
                | Self::ParentReplaced { .. }
                | Self::JobFile { .. }
                | Self::NoChangeId
                | Self::Form { .. }
                | Self::ReadOnly { .. }
                | Self::NoBranch { .. }
        )
    }
}

/// How long something has waited, in words.
pub fn waited(since: Timestamp, now: Timestamp) -> String {
    in_words(now.since_ms(since))
}
