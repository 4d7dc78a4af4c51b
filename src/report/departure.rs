//! How a stay ended, in sentences: what happened, and what to do next.

use crate::model::{ChangeNumber, Departure, JobName, Pipeline, Reason};

/// Most files or jobs named.
const NAMED_MAX: usize = 20;
/// What brings a change back once its approval is used up.
const VOTE_AGAIN: &str = "To try again, give the approving vote anew (take the old one back first)";

/// What brings it back where it is not.
const KEPT: &str = "Its approval stays: it is tried again by itself when its branch has moved";

/// What happened and what to do next. `keeps` says that the approval is not used up by a failure.
pub(super) fn explain(departure: &Departure, pipeline: &Pipeline, keeps: bool) -> String {
    if let (Pipeline::OnDemand(name), Some(words)) = (pipeline, demanded(departure)) {
        return words.replace("PIPELINE", name.as_str());
    }
    match departure {
        Departure::Landed { commits } => {
            let landed: Vec<String> =
                commits.iter().map(|(pair, commit)| format!("{pair} is now at {}", commit.short())).collect();
            let detail = if landed.is_empty() { String::new() } else { format!(": {}", landed.join(", ")) };
            format!("It has landed{detail}. There is nothing to do.")
        }
        Departure::Failed { jobs } => format!(
            "{}, and nothing ahead of this change can alter that. Look at the log and upload a repaired patch set. {}.",
            failed(jobs),
            again(keeps)
        ),
        Departure::Checked { passed: true } if keeps => {
            "All voting jobs passed. It has its approval, and enters the gate by itself once nothing else keeps it from that.".to_owned()
        }
        Departure::Checked { passed: true } => {
            "All voting jobs passed. It needs an approval to enter the gate.".to_owned()
        }
        Departure::Checked { passed: false } => {
            "A voting job failed. Look at its log and upload a repaired patch set, which is checked by itself.".to_owned()
        }
        Departure::Conflict { pair, paths, with } => format!(
            "It cannot be merged into {pair} with what is there or ahead of it{}{}. Rebase it onto the branch, resolve the conflict, and upload the result{}.",
            landed_before(with),
            conflicting(paths),
            anew(pipeline, keeps)
        ),
        Departure::BrokenJobFile { pair, why } => format!(
            "The job file of {pair} cannot be used: {why}. Repair the file and upload a new patch set{}.",
            anew(pipeline, keeps)
        ),
        Departure::Closure { commit, change, why } => {
            let whose = change.map(|change| format!(" of change {change}")).unwrap_or_default();
            let operators = match change {
                Some(_) => "",
                None => " Where it comes from a branch that may be merged, an operator names that in the queue's `merge-from`.",
            };
            format!(
                "Landing it would bring in commit {}{whose}, which nobody approved: {why}. Have that commit reviewed and approved for this branch, or rebase this change so that it does not contain it{}.{operators}",
                commit.short(),
                anew(pipeline, keeps)
            )
        }
        Departure::MergedElsewhere if *pipeline == Pipeline::Check => "It has landed. There is nothing to do.".to_owned(),
        Departure::Unfit { why } if *pipeline == Pipeline::Check => format!("It cannot be judged: {why}."),
        Departure::Unfit { why } => {
            format!("It cannot land in the form that its project asks for: {why}. {VOTE_AGAIN}, once that is done.")
        }
        Departure::Refused { why } => format!(
            "Gerrit refused it: {why}. An operator repairs what the message names. {}{}.",
            again(keeps),
            if keeps { "" } else { ", once that is done" }
        ),
        Departure::Requirement { name } if keeps => {
            format!("The submit requirement {name} is not met any more. Meet it. {KEPT}.")
        }
        other => withdrawn(other),
    }
}

/// The endings of what was asked for that need other words than those of check and gate.
fn demanded(departure: &Departure) -> Option<String> {
    const AGAIN: &str = "Ask again with the same comment, or `seakeeper recheck CHANGE --pipeline PIPELINE`";
    Some(match departure {
        Departure::Checked { passed: true } => {
            "All voting jobs passed. There is nothing to do.".to_owned()
        }
        Departure::Checked { passed: false } => format!(
            "A voting job failed. Look at its log. {AGAIN}, to have what failed built anew."
        ),
        Departure::NewPatchSet { patchset } => {
            format!("Patch set {patchset} was uploaded, so this run has ended. {AGAIN}, for the new one.")
        }
        // By whom does not matter to whoever asked: mostly it is the daemon that lands it.
        Departure::MergedElsewhere => {
            "The change has landed, so this run has ended. There is nothing to do.".to_owned()
        }
        Departure::Abandoned => format!(
            "The change was abandoned, so this run has ended. There is nothing to do. {AGAIN}, if it is restored."
        ),
        Departure::Unfit { why } => format!("It cannot be judged in the pipeline PIPELINE: {why}."),
        Departure::QueueRemoved => {
            "The configuration has no pipeline PIPELINE for this branch any more. Ask an operator whether that is meant.".to_owned()
        }
        _ => return None,
    })
}

/// The endings that someone's act brought about.
fn withdrawn(departure: &Departure) -> String {
    match departure {
        Departure::NewPatchSet { patchset } => {
            format!("Patch set {patchset} was uploaded, so this one left. The new one enters by itself when the approving votes stand on it.")
        }
        Departure::VoteWithdrawn { why } => {
            format!("A vote changed: {why}. It enters again by itself when the approving votes stand and no vote is against it.")
        }
        Departure::Abandoned => "It was abandoned. Once restored it enters again by itself when the approving votes stand.".to_owned(),
        Departure::MergedElsewhere => "It was landed by someone else. There is nothing to do.".to_owned(),
        Departure::Gone => {
            "It is no longer visible to the daemon: deleted, or made private. Make it visible and approve it again to bring it back.".to_owned()
        }
        Departure::WorkInProgress => {
            "It was marked work in progress. Once marked ready it enters again by itself when the approving votes stand.".to_owned()
        }
        Departure::Private => "It was marked private. Once unmarked it enters again by itself when the approving votes stand.".to_owned(),
        Departure::Moved => "It was moved to another branch. It enters the queue there by itself when the approving votes stand there.".to_owned(),
        Departure::Dependency { change, culprit } => {
            let because = match culprit {
                Some(culprit) if culprit != change => format!(", because change {culprit} did"),
                _ => String::new(),
            };
            format!(
                "Change {change}, on which it rests or depends or with which it lands, left the queue{because}. Repair that one and have it approved, or take the dependency out of this one. Its approval stays: it enters again by itself when that change is in the queue."
            )
        }
        Departure::Regrouped { change } => format!(
            "Change {change} joined or left what lands together with it, or has to land before it. It enters again by itself, in its new place."
        ),
        Departure::Held { reason } => format!("{} {}", sentence("It", reason), super::next_step(reason)),
        Departure::Requirement { name } => format!(
            "The submit requirement {name} is not met any more. Meet it; {}.",
            "the change enters again with the next approving vote"
        ),
        Departure::Dequeued { by, reason } => {
            format!("{by} took it out of the queue: {reason}. Ask them when it may come back; {}.", "it needs a new approving vote then")
        }
        Departure::QueueRemoved => {
            "The configuration has no queue for its branch any more. Ask an operator whether that is meant.".to_owned()
        }
        _ => "A later run judges the same patch set; its outcome is posted here. There is nothing to do.".to_owned(),
    }
}

/// A wait as a sentence about the change; some are said of something else.
pub(super) fn sentence(change: &str, reason: &Reason) -> String {
    match reason {
        Reason::NoBranch { .. }
        | Reason::NoJob
        | Reason::NothingNeeded { .. }
        | Reason::JobFile { .. }
        | Reason::JobFileAhead { .. }
        | Reason::Rebase { .. }
        | Reason::Paused { .. }
        | Reason::Executor { .. }
        | Reason::Preparing
        | Reason::PreparingAgain { .. }
        | Reason::NewApproval
        | Reason::Slots { .. }
        | Reason::Building { .. }
        | Reason::BuildAgain { .. }
        | Reason::UnknownPush { .. }
        | Reason::Moved { .. } => format!("{change} waits: {reason}."),
        _ => format!("{change} {reason}."),
    }
}

/// What to do where builds came to no verdict, however often they were run.
pub(super) fn without_verdict(pipeline: &Pipeline, keeps: bool) -> String {
    let again = match pipeline {
        Pipeline::Gate if keeps => format!("{KEPT}; or ask an operator for `seakeeper enqueue`"),
        Pipeline::Gate => format!("{VOTE_AGAIN}, or ask an operator for `seakeeper enqueue`"),
        Pipeline::Check => "To try again, ask an operator for `seakeeper recheck`".to_owned(),
        _ => "To try again, ask with the same comment".to_owned(),
    };
    format!(
        "Its builds came to no verdict, however often they were run: the infrastructure failed, not this change. {again}, once that is repaired."
    )
}

fn again(keeps: bool) -> &'static str {
    if keeps { KEPT } else { VOTE_AGAIN }
}

fn anew(pipeline: &Pipeline, keeps: bool) -> &'static str {
    match pipeline {
        // Whether its votes count for the next patch set is a matter of the review host's copy rules.
        Pipeline::Gate if keeps => "",
        Pipeline::Gate => "; a new approval is needed then",
        Pipeline::Check => "; it is checked by itself then",
        _ => "; ask again with the same comment then",
    }
}

fn failed(jobs: &[JobName]) -> String {
    match jobs {
        [] => "A voting job failed".to_owned(),
        [job] => format!("The job {job} failed"),
        jobs => format!("The jobs {} failed", named(jobs.iter().map(JobName::as_str), jobs.len())),
    }
}

/// What a change was tried on top of, and has landed.
fn landed_before(with: &[ChangeNumber]) -> String {
    let names: Vec<String> = with.iter().map(|change| change.named()).collect();
    match &names[..] {
        [] => String::new(),
        [one] => format!(": {one} has landed meanwhile"),
        more => {
            format!(": these have landed meanwhile: {}", named(more.iter().map(String::as_str), more.len()))
        }
    }
}

fn conflicting(paths: &[std::sync::Arc<str>]) -> String {
    match paths {
        [] => String::new(),
        paths => format!(". The conflict is in {}", named(paths.iter().map(AsRef::as_ref), paths.len())),
    }
}

fn named<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let mut text =
        names.take(NAMED_MAX).map(|name| super::short(name).to_owned()).collect::<Vec<_>>().join(", ");
    if count > NAMED_MAX {
        text.push_str(&format!(" and {} more", count - NAMED_MAX));
    }
    text
}
