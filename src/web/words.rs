//! Words for what a view holds: how a stay ended, how a job stands, what is stopped, when it was.
//! The words for waiting are in the view itself.

use crate::model::event::Scope;
use crate::model::item::JobOutcome;
use crate::model::tree::Unneeded;
use crate::model::view::{DepartedView, FlakeView};
use crate::model::{ChangeNumber, Departure, JobName, Timestamp};
use crate::report::lack_verdicts;

/// What is known of a flaky job, in a sentence without its subject.
pub fn flake(flake: &FlakeView) -> String {
    let times = if flake.proven == 1 { "once".to_owned() } else { format!("{} times", flake.proven) };
    let repeats = if flake.repeated == 1 { "repeated build" } else { "repeated builds" };
    format!(
        "failed and passed with the same content {times}; {} of {} {repeats} passed",
        flake.passed, flake.repeated
    )
}

/// How a stay ended of which all is known, in a sentence without its subject.
pub fn ended(entry: &DepartedView) -> String {
    match &entry.departure {
        // By whom does not matter to what only judged it: mostly it is the daemon that lands it.
        Departure::MergedElsewhere if !entry.pipeline.lands() => "has landed meanwhile".into(),
        Departure::Failed { jobs } if lack_verdicts(&entry.jobs) => {
            format!("came to no verdict in {}", jobs_in_words(jobs))
        }
        Departure::Checked { passed: false } if lack_verdicts(&entry.jobs) => {
            "checked: a voting job came to no verdict".into()
        }
        departure => self::departure(departure),
    }
}

/// How a stay in a queue ended, in a sentence without its subject.
pub fn departure(departure: &Departure) -> String {
    match departure {
        Departure::Landed { commits } => {
            let commits: Vec<_> =
                commits.iter().map(|(pair, commit)| format!("{pair} as {}", commit.short())).collect();
            format!("landed in {}", commits.join(", "))
        }
        Departure::Failed { jobs } => format!("failed {}", jobs_in_words(jobs)),
        Departure::Conflict { pair, paths, with } => {
            let landed = match &with[..] {
                [] => String::new(),
                with => format!(" (meanwhile landed: {})", named(with)),
            };
            let files = if paths.is_empty() { String::new() } else { format!(" in {}", paths.join(", ")) };
            format!("conflicts with {pair}{files}{landed}: rebase it")
        }
        Departure::BrokenJobFile { pair, why } => format!("the job file of {pair} cannot be used: {why}"),
        Departure::Closure { commit, why, .. } => {
            format!("would bring in commit {}, which nobody approved: {why}", commit.short())
        }
        Departure::Unfit { why } => format!("cannot be landed as its project asks: {why}"),
        Departure::NewPatchSet { patchset } => format!("patch set {patchset} was uploaded"),
        Departure::VoteWithdrawn { why } => format!("its approval no longer stands: {why}"),
        Departure::Held { reason } => reason.to_string(),
        Departure::Dependency { change, culprit: Some(culprit) } if culprit != change => {
            format!("{}, on which it rests, left because of {}", change.named(), culprit.named())
        }
        Departure::Dependency { change, .. } => format!("{}, on which it rests, left", change.named()),
        Departure::Regrouped { change } => {
            format!("what lands together has changed: {} joined or left", change.named())
        }
        Departure::Requirement { name } => format!("the submit requirement {name} was not met"),
        Departure::Refused { why } => format!("the review host refused it: {why}"),
        Departure::Dequeued { by, reason } => format!("taken out by {by}: {reason}"),
        Departure::Abandoned => "was abandoned".into(),
        Departure::MergedElsewhere => "was landed by someone else".into(),
        Departure::Gone => "is gone, or no longer visible to the daemon".into(),
        Departure::WorkInProgress => "was marked work in progress".into(),
        Departure::Private => "was marked private".into(),
        Departure::Moved => "was moved to another branch".into(),
        Departure::QueueRemoved => "its queue is no longer configured".into(),
        Departure::Superseded => "a later stay judges the same patch set".into(),
        Departure::Checked { passed: true } => "checked: every voting job passed".into(),
        Departure::Checked { passed: false } => "checked: a voting job failed".into(),
    }
}

/// The kind of a departure as one stable word, for metrics and for telling them apart by colour.
pub fn departure_kind(departure: &Departure) -> &'static str {
    match departure {
        Departure::Landed { .. } => "landed",
        Departure::Failed { .. } => "failed",
        Departure::Conflict { .. } => "conflict",
        Departure::BrokenJobFile { .. } => "broken_job_file",
        Departure::Closure { .. } => "closure",
        Departure::Unfit { .. } => "unfit",
        Departure::NewPatchSet { .. } => "new_patch_set",
        Departure::VoteWithdrawn { .. } => "vote_withdrawn",
        Departure::Abandoned => "abandoned",
        Departure::MergedElsewhere => "merged_elsewhere",
        Departure::Gone => "gone",
        Departure::WorkInProgress => "work_in_progress",
        Departure::Private => "private",
        Departure::Moved => "moved",
        Departure::Dependency { .. } => "dependency",
        Departure::Held { .. } => "held",
        Departure::Regrouped { .. } => "regrouped",
        Departure::Requirement { .. } => "requirement",
        Departure::Refused { .. } => "refused",
        Departure::Dequeued { .. } => "dequeued",
        Departure::QueueRemoved => "queue_removed",
        Departure::Superseded => "superseded",
        Departure::Checked { passed: true } => "check_passed",
        Departure::Checked { passed: false } => "check_failed",
    }
}

/// Changes by their numbers.
fn named(changes: &[ChangeNumber]) -> String {
    changes.iter().map(|change| change.named()).collect::<Vec<_>>().join(", ")
}

/// How a job stands, as one lower-case word.
pub fn outcome(outcome: JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Waiting => "waiting",
        JobOutcome::Running => "running",
        JobOutcome::Success => "success",
        JobOutcome::Failure => "failure",
        JobOutcome::Error => "error",
        JobOutcome::Aborted => "aborted",
        JobOutcome::Skipped => "skipped",
    }
}

/// That a job was not needed, and why.
pub fn unneeded(spared: &Unneeded) -> String {
    format!("`{}` for {} was not needed: {}", spared.job, spared.home, spared.why)
}

/// What a stop covers.
pub fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Everything => "everything".into(),
        Scope::Queue(queue) => format!("queue {queue}"),
        Scope::Repository(repository) => format!("repository {repository}"),
    }
}

/// A moment as `2026-01-31T12:34:56Z`.
pub fn moment(at: Timestamp) -> String {
    let second = at.0.div_euclid(1000);
    jiff::Timestamp::from_second(second).map_or_else(|_| at.to_string(), |stamp| stamp.to_string())
}

fn jobs_in_words(jobs: &[JobName]) -> String {
    jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pair;

    #[test]
    fn moments_read_as_dates() {
        for (millis, expected) in [(0, "1970-01-01T00:00:00Z"), (1_769_862_896_789, "2026-01-31T12:34:56Z")] {
            assert_eq!(moment(Timestamp(millis)), expected);
        }
    }

    #[test]
    fn a_conflict_names_its_files_and_the_remedy() {
        let pair = Pair::new("core", "main");
        let words = departure(&Departure::Conflict {
            pair: pair.clone(),
            paths: vec!["a.c".into(), "b.c".into()],
            with: vec![],
        });
        assert_eq!(words, "conflicts with core main in a.c, b.c: rebase it");
        let landed = Departure::Conflict { pair, paths: vec![], with: vec![ChangeNumber(7)] };
        assert_eq!(departure(&landed), "conflicts with core main (meanwhile landed: change 7): rebase it");
    }
}
