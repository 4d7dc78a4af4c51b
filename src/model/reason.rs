//! Why something waits. Each wait has a reason, and each reason is a sentence.

use std::fmt;
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
                | Self::NoChangeId
                | Self::Form { .. }
                | Self::ReadOnly { .. }
                | Self::NoBranch { .. }
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { .. }
            | Self::NewApproval
            | Self::Unchanged { .. }
            | Self::Veto { .. }
            | Self::Requirements { .. }
            | Self::Parent { .. }
            | Self::ParentReplaced { .. }
            | Self::ParentAbandoned { .. }
            | Self::Depends { .. }
            | Self::DependsElsewhere { .. }
            | Self::DependsOnAbandoned { .. }
            | Self::DependsOnNothing { .. }
            | Self::Together { .. }
            | Self::Apart { .. }
            | Self::Rebase { .. }
            | Self::NoChangeId
            | Self::Form { .. }
            | Self::ReadOnly { .. } => self.say_outside(f),
            Self::Window { .. }
            | Self::Share { .. }
            | Self::Pooled { .. }
            | Self::Doubt { .. }
            | Self::Turn { .. }
            | Self::Tip { .. }
            | Self::NoBranch { .. }
            | Self::Preparing
            | Self::PreparingAgain { .. }
            | Self::NoJob
            | Self::NothingNeeded { .. }
            | Self::ConflictAhead { .. }
            | Self::JobFileAhead { .. } => self.say_unbuilt(f),
            Self::Observing => write!(f, "waits for an answer from the review host"),
            Self::Paused { scope, reason, by } => write!(f, "{scope} is stopped by {by}: {reason}"),
            Self::DependencyFails { change } => {
                write!(f, "waits for {}, on which it rests and which is expected to leave", change.named())
            }
            Self::FailedAhead { jobs } => {
                write!(f, "failed {} on top of items that are not decided yet", join(jobs))
            }
            Self::Failed { jobs } => {
                write!(f, "failed {}, and leaves when its other builds have ended", join(jobs))
            }
            Self::Slots { waiting, slots } => {
                write!(f, "{waiting} of its builds wait for one of {slots} slots")
            }
            Self::Executor { why } => write!(f, "its builds cannot be run: {why}"),
            Self::Building { jobs } => write!(f, "{} running", join(jobs)),
            Self::BuildAgain { why, .. } => {
                write!(f, "a build ended without a verdict and is run again: {why}")
            }
            Self::Ahead { change } => {
                write!(f, "passed; waits for {} ahead of it to be decided", change.named())
            }
            Self::Voting => write!(f, "passed; its vote is being posted"),
            Self::Looking => write!(f, "passed; the last look before landing"),
            Self::AskedAgain { why } => write!(f, "passed; the review host is asked again: {why}"),
            Self::Landing => write!(f, "is being pushed"),
            Self::UnknownPush { until } => {
                let until = until.of_day();
                write!(f, "a push ended without an answer and may still land; looked at until {until}")
            }
            Self::Moved { pair } => {
                write!(f, "{pair} moved while it was being landed: tested again if need be")
            }
            Self::Finishing => write!(f, "decided; its last builds are ending"),
            Self::Unseen => write!(f, "a change that you may not see"),
        }
    }
}

impl Reason {
    /// Says why a change is not in a queue; says nothing of what an item waits for there.
    fn say_outside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { label, min } => write!(f, "waits for a vote of {label} +{min}"),
            Self::NewApproval => write!(
                f,
                "its approval was used up by the last attempt: waits for a new vote (take the old one back, then vote again)"
            ),
            Self::Unchanged { pair } => {
                write!(
                    f,
                    "failed on the present state of {pair}: tried again when that has moved, or after a new vote"
                )
            }
            Self::Veto { label, by } => write!(f, "waits until {by} takes back a negative vote on {label}"),
            Self::Requirements { names } => {
                write!(f, "waits for the submit requirement {}", names.join(", "))
            }
            Self::Rebase { pair } => write!(
                f,
                "rebase needed: {pair} is moved by fast-forward only and has moved on since the change was made"
            ),
            Self::NoChangeId => write!(
                f,
                "has no Change-Id in the last paragraph of its commit message: it would land as another commit, which then closes no change"
            ),
            Self::Form { repository } => {
                write!(
                    f,
                    "waits until the review host names a submit type of {repository} that can be landed"
                )
            }
            Self::ReadOnly { repository } => {
                write!(f, "waits until {repository} is no longer read-only")
            }
            _ => self.say_needed(f),
        }
    }

    /// Says which other change keeps one from entering.
    fn say_needed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent { change } => {
                write!(f, "waits for {}, on which it rests, to be approved", change.named())
            }
            Self::ParentReplaced { change } => write!(
                f,
                "rests on another commit of {} than its present patch set: rebase it onto that one, or onto the branch",
                change.named()
            ),
            Self::ParentAbandoned { change } => {
                write!(f, "rests on {}, which was abandoned", change.named())
            }
            Self::Depends { change } => {
                write!(
                    f,
                    "depends on {} (Depends-On), and waits for it to be approved and enter the queue",
                    change.named()
                )
            }
            Self::DependsElsewhere { change, queue: Some(queue) } => {
                write!(f, "depends on {}, and waits for it to land from the queue {queue}", change.named())
            }
            Self::DependsElsewhere { change, queue: None } => {
                write!(
                    f,
                    "depends on {}, and waits for it to land; no queue gates its branch",
                    change.named()
                )
            }
            Self::DependsOnAbandoned { change } => {
                write!(f, "depends on {}, which was abandoned", change.named())
            }
            Self::DependsOnNothing { text, why } => {
                write!(f, "has the footer `Depends-On: {text}`, which {why}")
            }
            Self::Together { change } => {
                write!(
                    f,
                    "lands together with {} (by its topic, or by Depends-On in a circle), and waits for that to be ready",
                    change.named()
                )
            }
            Self::Apart { change } => write!(
                f,
                "lands together with {}, and the two can never land together: that takes one queue for both, which lands by push, and one on top of the other where their branch takes fast-forwards only",
                change.named()
            ),
            _ => Ok(()),
        }
    }

    /// Says why builds are not begun yet.
    fn say_unbuilt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window { size } => {
                write!(f, "waits for its turn: the first {size} items of a queue are built at once")
            }
            Self::Share { of, most } => {
                write!(f, "waits for its turn: {most} changes {of} are built at once")
            }
            Self::Pooled { with } => {
                write!(f, "is judged together with {}, which contains it", with.named())
            }
            Self::Doubt { change } => write!(
                f,
                "is built when it is known who is to blame for a failure ahead of it: {} is being built for that",
                change.named()
            ),
            Self::Turn { change } => write!(f, "is built when {} ahead of it is decided", change.named()),
            Self::Tip { pair } => write!(f, "waits for the tip of {pair} to be read"),
            Self::NoBranch { pair } => {
                write!(f, "{pair} does not exist: create the branch, or move the change")
            }
            Self::NoJob => write!(
                f,
                "no job is configured for it, so nothing would test it: declare a [[job]] for its repository (commands = [\"true\"] to land without a test)"
            ),
            Self::ConflictAhead { pair, paths, changes } => {
                let files =
                    if paths.is_empty() { String::new() } else { format!("{} in ", paths.join(", ")) };
                let until = undecided(changes);
                write!(f, "cannot be merged with what is ahead of it ({files}{pair}): waits until {until}")
            }
            Self::JobFileAhead { pair, why, changes } => {
                let until = undecided(changes);
                write!(
                    f,
                    "the job file of {pair} cannot be used with what is ahead ({why}): waits until {until}"
                )
            }
            Self::NothingNeeded { jobs } => write!(
                f,
                "none of its jobs runs for the files that it changes ({}), so nothing would test it: declare a [[job]] that does (commands = [\"true\"] to land without a test)",
                join(jobs)
            ),
            Self::Preparing => write!(f, "its merge with what is ahead is being made"),
            Self::PreparingAgain { why, .. } => {
                write!(f, "its merge could not be made and is tried again: {why}")
            }
            _ => Ok(()),
        }
    }
}

/// What is waited for where these changes are ahead.
fn undecided(changes: &[ChangeNumber]) -> String {
    match changes {
        [] => "that is decided".into(),
        [one] => format!("{} is decided", one.named()),
        several => {
            let named: Vec<String> = several.iter().map(|change| change.named()).collect();
            format!("{} are decided", named.join(", "))
        }
    }
}

fn join(jobs: &[JobName]) -> String {
    jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")
}

/// How long something has waited, in words.
pub fn waited(since: Timestamp, now: Timestamp) -> String {
    in_words(now.since_ms(since))
}
