//! The reasons for waits as sentences.

use std::fmt;

use super::reason::Reason;
use super::{ChangeNumber, JobName};

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
            | Self::ParentElsewhere { .. }
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
            | Self::JobFile { .. }
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
            Self::Ahead { .. }
            | Self::Voting
            | Self::Looking
            | Self::AskedAgain { .. }
            | Self::Landing
            | Self::UnknownPush { .. }
            | Self::Moved { .. }
            | Self::Finishing => self.say_decided(f),
            Self::Unseen => write!(f, "a change that you may not see"),
        }
    }
}

impl Reason {
    /// Says what an item waits for whose builds have come to their verdicts.
    fn say_decided(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { change, why } => {
                write!(f, "passed; waits for {} ahead of it to be decided", change.named())?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ", and {why}"))
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
            _ => Ok(()),
        }
    }

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
            Self::Parent { change, why: None } => {
                write!(f, "waits for {}, on which it rests, to be approved", change.named())
            }
            Self::Parent { change, why: Some(why) } => {
                write!(f, "waits for {}, on which it rests: of that one, {why}", change.named())
            }
            Self::ParentReplaced { change } => write!(
                f,
                "rests on another commit of {} than its present patch set: rebase it onto that one, or onto the branch",
                change.named()
            ),
            Self::ParentElsewhere { change } => write!(
                f,
                "rests on {}, which is for another branch: rebase it off that, or move one of the two",
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
            Self::DependsElsewhere { change, queue: Some(queue), is_queued } => {
                let approve = if *is_queued { "" } else { ", which it has still to enter" };
                let change = change.named();
                write!(f, "depends on {change}, and waits for it to land from the queue {queue}{approve}")
            }
            Self::DependsElsewhere { change, queue: None, .. } => {
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
            Self::JobFile { pair, why } => {
                write!(f, "the job file of {pair}, which it does not alter, cannot be used: {why}")
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
