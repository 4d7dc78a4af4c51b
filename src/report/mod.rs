//! The words of messages: pure, from a report and the addresses to link to.
//!
//! The first line and the lines of jobs are those that readers of Zuul's messages know (the plug-in
//! zuul-results-summary and the scripts of sites): `Build failed (gate pipeline).`, then one line
//! `- JOB LINK : RESULT in 1m 02s` a job. Every message says what to do next. Floor 4.

mod departure;

use std::fmt::Write as _;

use crate::model::item::{JobOutcome, JobResult};
use crate::model::report::{Report, Says};
use crate::model::time::in_words;
use crate::model::{BuildId, ChangeNumber, Departure, Pair, Pipeline, Reason, Sha};

/// Longest name or detail in a line, in characters.
const WORDS_MAX: usize = 300;
/// Most jobs listed in one message.
const JOBS_MAX: usize = 100;

/// Where pages are.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The address under which people reach the daemon's pages; without it no change page is
    /// named, and builds are named as `build/ID`, which the plug-in can complete.
    pub public_url: Option<String>,
}

impl Links {
    /// The page of a change.
    pub fn change(&self, number: ChangeNumber) -> Option<String> {
        let url = self.public_url.as_ref()?;
        Some(format!("{}/change/{number}", url.trim_end_matches('/')))
    }

    /// The page of a build.
    pub fn build(&self, build: BuildId) -> String {
        match &self.public_url {
            Some(url) => format!("{}/build/{build}", url.trim_end_matches('/')),
            None => format!("build/{build}"),
        }
    }
}

/// The message of a report; empty for one that says nothing.
pub fn compose(report: &Report, links: &Links) -> String {
    let Some(says) = &report.says else { return String::new() };
    let pipeline = report.pipeline.name();
    let mut text = match says {
        Says::Started { position, waits } => started(report, *position, waits.as_ref()),
        Says::Waiting { reason } => {
            let wait = departure::sentence("This change", reason);
            format!("Waiting ({pipeline} pipeline).\n\n{wait}\n{}\n", next_step(reason))
        }
        Says::FirstFailure { failed, on_top_of } => first_failure(report, failed, on_top_of, links),
        Says::Passed { jobs } => {
            let next = match report.pipeline {
                Pipeline::Gate if jobs.is_empty() => {
                    "No job has to pass for it (`noop`). It lands by itself in its turn; there is nothing to do."
                }
                Pipeline::Gate => {
                    "All voting jobs passed. It lands by itself in its turn; there is nothing to do."
                }
                Pipeline::Check => "All voting jobs passed. It needs an approval to enter the gate.",
                _ => "All voting jobs passed.",
            };
            format!(
                "Build succeeded ({pipeline} pipeline).\n\n{}{next}\n",
                job_lines(jobs, report.change, links)
            )
        }
        Says::Ended { departure, jobs, keeps } => ended(report, (departure, *keeps), jobs, links),
        Says::Culprit { jobs, pair, before } => culprit(report, jobs, (pair, *before), links),
        Says::Alarm { text } => format!("Attention ({pipeline} pipeline).\n\n{text}\n"),
    };
    if let Some(page) = links.change(report.change) {
        let _ = writeln!(text, "\nDetails: {page}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// How a stay ended, and what to do next, in words. `keeps` says that a failure does not use up the approval.
pub fn ending(departure: &Departure, pipeline: &Pipeline, keeps: bool) -> String {
    departure::explain(departure, pipeline, keeps)
}

fn started(report: &Report, position: u32, waits: Option<&Reason>) -> String {
    let place = match &report.queue {
        Some(queue) => format!("It is number {position} in the queue {queue}. "),
        None => String::new(),
    };
    let next = match waits {
        Some(reason) => format!("{} The outcome is posted here.", departure::sentence("For now it", reason)),
        None => "The outcome is posted here; there is nothing to do.".to_owned(),
    };
    format!("Starting {} jobs.\n\n{place}{next}\n", report.pipeline.name())
}

fn first_failure(report: &Report, failed: &JobResult, on_top_of: &[ChangeNumber], links: &Links) -> String {
    let line = job_line(failed, report.change, links);
    let start = format!("A job failed ({} pipeline).\n\n{line}\n", report.pipeline.name());
    if on_top_of.is_empty() {
        return format!(
            "{start}Nothing ahead of this change can alter that: look at the log now, and upload a repair.\n"
        );
    }
    format!(
        "{start}It was built on top of {}, not decided yet. If one of them leaves the queue, this change is built again by itself; look at the log to see whose fault it is, and upload a repair if it is this change's.\n",
        changes(on_top_of)
    )
}

fn ended(
    report: &Report,
    (departure, keeps): (&Departure, bool),
    jobs: &[JobResult],
    links: &Links,
) -> String {
    let pipeline = report.pipeline.name();
    let first = match departure {
        Departure::Landed { .. } | Departure::Checked { passed: true } => "Build succeeded",
        Departure::Conflict { .. } => "Merge failed",
        Departure::Failed { .. } | Departure::Checked { passed: false } | Departure::BrokenJobFile { .. } => {
            "Build failed"
        }
        _ => "Build canceled",
    };
    let why = match departure {
        Departure::Failed { .. } | Departure::Checked { passed: false } if lack_verdicts(jobs) => {
            departure::without_verdict(&report.pipeline, keeps)
        }
        _ => departure::explain(departure, &report.pipeline, keeps),
    };
    format!("{first} ({pipeline} pipeline).\n\n{}{why}\n", job_lines(jobs, report.change, links))
}

/// Whether voting jobs have no verdict and none has failed.
pub fn lack_verdicts(jobs: &[JobResult]) -> bool {
    let has = |wanted| jobs.iter().any(|job| job.voting && job.result == wanted);
    has(JobOutcome::Error) && !has(JobOutcome::Failure) && !has(JobOutcome::Running)
}

/// Tells a change that has landed that jobs fail since.
fn culprit(report: &Report, jobs: &[JobResult], (pair, before): (&Pair, Sha), links: &Links) -> String {
    let logs: Vec<String> = jobs.iter().filter_map(|job| job.build).map(|build| links.build(build)).collect();
    let named: Vec<String> = jobs
        .iter()
        .take(JOBS_MAX)
        .map(|job| {
            let of = if job.home.repository == pair.repository {
                String::new()
            } else {
                format!(" of {}", job.home.repository)
            };
            format!("`{}`{of}", short(job.job.as_str()))
        })
        .collect();
    let (fail, they) = if jobs.len() == 1 { ("fails", "it") } else { ("fail", "they") };
    let log = if logs.len() == 1 { "Log" } else { "Logs" };
    format!(
        "Build failed ({} pipeline).\n\n{}Since this change landed, {} {fail} on {} ({they} passed at {}). {log}: {}. Revert it or repair it.\n",
        report.pipeline.name(),
        job_lines(jobs, report.change, links),
        named.join(", "),
        pair.branch,
        before.short(),
        logs.join(", "),
    )
}

fn job_lines(jobs: &[JobResult], change: ChangeNumber, links: &Links) -> String {
    let mut lines = String::new();
    for job in jobs.iter().take(JOBS_MAX) {
        // A job may have run for several repositories.
        let has_twin = jobs.iter().any(|other| other.job == job.job && other.home != job.home);
        let home = if has_twin { format!(" (for {})", short(&job.home.to_string())) } else { String::new() };
        let _ = writeln!(lines, "{}{home}", job_line(job, change, links));
    }
    if jobs.len() > JOBS_MAX {
        let _ = writeln!(lines, "And {} more jobs.", jobs.len() - JOBS_MAX);
    }
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines
}

/// `- JOB LINK : RESULT in TIME`, as the readers' regular expressions want it.
fn job_line(job: &JobResult, change: ChangeNumber, links: &Links) -> String {
    let name: String =
        short(job.job.as_str()).chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    let link = match job.build {
        Some(build) => format!("{} ", links.build(build)),
        None => links.change(change).map(|page| format!("{page} ")).unwrap_or_default(),
    };
    let time = in_words(job.duration_ms);
    let detail = short(&job.detail).replace(['\n', '\r'], " ");
    let result = match job.result {
        JobOutcome::Success => format!("SUCCESS in {time}"),
        JobOutcome::Failure if detail.starts_with("timed out") => format!("TIMED_OUT in {time}"),
        JobOutcome::Failure => format!("FAILURE in {time}"),
        JobOutcome::Error if detail.is_empty() => format!("ERROR no verdict in {time}"),
        JobOutcome::Error => format!("ERROR {detail} in {time}"),
        JobOutcome::Aborted => format!("ABORTED in {time}"),
        JobOutcome::Running => format!("CANCELED in {time}"),
        JobOutcome::Waiting | JobOutcome::Skipped => "SKIPPED".to_owned(),
    };
    let voting = if job.voting { "" } else { " (non-voting)" };
    let remark = match job.result {
        JobOutcome::Error | JobOutcome::Waiting | JobOutcome::Running => String::new(),
        _ if detail.is_empty() => String::new(),
        _ => format!(" ({detail})"),
    };
    format!("- {name} {link}: {result}{voting}{remark}")
}

/// What to do about a wait for another change.
fn step_at_another(reason: &Reason) -> &'static str {
    match reason {
        Reason::Parent { why: Some(_), .. } => "Next: see to that change, or rebase this one off it.",
        Reason::Parent { why: None, .. } => "Next: have that change approved, or rebase this one off it.",
        Reason::ParentReplaced { .. } => {
            "Next: rebase it (the button Rebase does) and have the result approved; this patch set keeps its vote, and cannot land."
        }
        Reason::ParentElsewhere { .. } => {
            "Next: rebase this change onto its own branch, or move one of the two in Gerrit."
        }
        Reason::ParentAbandoned { .. } => "Next: restore that change, or rebase this one off it.",
        Reason::Depends { .. } => {
            "Next: have that change approved; this one enters the queue behind it by itself, without another vote."
        }
        Reason::DependsElsewhere { .. } => {
            "Next: land that change; this one enters its queue by itself then, without another vote."
        }
        Reason::DependsOnAbandoned { .. } => {
            "Next: restore that change, or upload a patch set without the footer."
        }
        Reason::Together { .. } => {
            "Next: have that change approved; all of them enter the queue together by themselves then."
        }
        Reason::Apart { .. } => {
            "Next: take one of the footers (or the topic) out, rebase one onto the other where the branch takes fast-forwards only, or ask an operator to gate both repositories in one queue."
        }
        _ => "Next: nothing to do; it goes on by itself.",
    }
}

/// What to do about a wait.
fn next_step(reason: &Reason) -> &'static str {
    match reason {
        Reason::Approval { .. } => "Next: a reviewer with the right to gives that vote.",
        Reason::NewApproval => {
            "Next: a reviewer takes the old vote back and votes again, best after a repair."
        }
        Reason::Veto { .. } => "Next: settle the objection with its author, or upload a new patch set.",
        Reason::Requirements { .. } => {
            "Next: meet these requirements; the change enters the queue by itself then."
        }
        Reason::Parent { .. }
        | Reason::ParentReplaced { .. }
        | Reason::ParentAbandoned { .. }
        | Reason::ParentElsewhere { .. }
        | Reason::Depends { .. }
        | Reason::DependsElsewhere { .. }
        | Reason::DependsOnAbandoned { .. }
        | Reason::Together { .. }
        | Reason::Apart { .. } => step_at_another(reason),
        Reason::JobFile { .. } => {
            "Next: whoever has broken that file, or the configuration that it relies on, repairs it; the change goes on by itself then."
        }
        Reason::DependsOnNothing { .. } => "Next: upload a patch set with a correct footer, or without it.",
        Reason::Rebase { .. } => {
            "Next: rebase it onto the branch (the button Rebase does) and have the result approved; it enters the queue by itself then."
        }
        Reason::NoChangeId => {
            "Next: add the footer Change-Id that this change has in Gerrit (git commit --amend, with Gerrit's commit-msg hook installed) and upload the result."
        }
        Reason::Form { .. } => {
            "Next: an administrator sets one of Gerrit's own submit types; the change goes on by itself then."
        }
        Reason::ReadOnly { .. } => {
            "Next: an administrator makes the project active; the change goes on by itself then."
        }
        Reason::Paused { .. } => "Next: nothing for the author; it goes on when landing is resumed.",
        Reason::NoBranch { .. } => "Next: once the branch exists, the change goes on by itself.",
        Reason::NoJob | Reason::NothingNeeded { .. } => {
            "Next: an operator, or the repository's job file, declares a job; the change goes on by itself then."
        }
        Reason::Executor { .. } => {
            "Next: an operator repairs the executor; the change goes on by itself then."
        }
        Reason::PreparingAgain { .. } | Reason::BuildAgain { .. } | Reason::AskedAgain { .. } => {
            "Next: nothing for the author; tell an operator if it does not pass."
        }
        Reason::UnknownPush { .. } => "Next: nothing for the author; the branch is being watched.",
        Reason::FailedAhead { .. }
        | Reason::ConflictAhead { .. }
        | Reason::JobFileAhead { .. }
        | Reason::DependencyFails { .. } => {
            "Next: wait for what is ahead, or upload a repair if this change is at fault."
        }
        Reason::Failed { .. } => "Next: upload a repair, or wait for what its other builds say.",
        _ => "Next: nothing to do; it goes on by itself.",
    }
}

fn changes(numbers: &[ChangeNumber]) -> String {
    let named: Vec<String> = numbers.iter().take(20).map(ToString::to_string).collect();
    let noun = if numbers.len() == 1 { "change" } else { "changes" };
    let more = if numbers.len() > 20 { format!(" and {} more", numbers.len() - 20) } else { String::new() };
    format!("{noun} {}{more}", named.join(", "))
}

fn short(text: &str) -> &str {
    text.char_indices().nth(WORDS_MAX).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
