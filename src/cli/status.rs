//! `seakeeper status`: the picture that the page shows, in a terminal.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::{change_arg, client, output};
use crate::model::item::JobResult;
use crate::model::run::RunOutcome;
use crate::model::time::in_words;
use crate::model::view::{DepartedView, ItemView, RunView, View};
use crate::model::{ChangeNumber, ItemChange, Pipeline, Timestamp};
use crate::web::clean::one_line;
use crate::web::words;

/// The most ended items that are shown when no change is asked for.
const DEPARTED_MAX: usize = 10;

/// What it takes.
#[derive(Args, Debug)]
pub struct Status {
    /// Only this change: its number or its address.
    #[arg(value_parser = change_arg::parse)]
    change: Option<ChangeNumber>,
    #[command(flatten)]
    at: DaemonAt,
    /// Write it as JSON: the whole view, or the part of it that concerns the change.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper status
  seakeeper status 1234
  seakeeper status --json | jq '.queues[].items[].words'";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or knows nothing of the change.
    pub fn run(&self) -> Result<(), Failure> {
        let mut view = client::fetch_view(&self.at)?;
        if let Some(number) = self.change {
            keep_only(&mut view, number);
            let known = view.queues.iter().any(|queue| !queue.items.is_empty());
            if !known && view.checks.is_empty() && view.waiting.is_empty() && view.departed.is_empty() {
                return Err(Failure::new(Exit::Failed, format_args!("find change {number}")).hint(
                    "it may not be approved yet, be gated by no queue, be private, or have ended long ago",
                ));
            }
        }
        if self.json {
            return output::say_json(&view);
        }
        output::say(describe(&view, self.change.is_none(), now()).join("\n"))
    }
}

/// Leaves of the view what concerns one change.
fn keep_only(view: &mut View, number: ChangeNumber) {
    let among = |changes: &[ItemChange]| changes.iter().any(|change| change.number == number);
    for queue in &mut view.queues {
        queue.items.retain(|item| among(&item.changes));
    }
    view.queues.retain(|queue| !queue.items.is_empty());
    view.checks.retain(|item| among(&item.changes));
    view.waiting.retain(|entry| entry.change.number == number);
    view.departed.retain(|entry| among(&entry.changes));
    view.runs.retain(|run| {
        let moves = run.blames.iter().flat_map(|blame| &blame.moves);
        moves.flat_map(|moved| &moved.changes).any(|change| change.number == number)
    });
}

fn describe(view: &View, whole: bool, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for stop in &view.paused {
        let (scope, by, since) = (words::scope(&stop.scope), &stop.by, in_words(now.since_ms(stop.at)));
        lines.push(one_line(format_args!("STOPPED: {scope} by {by} for {since}: {}", stop.reason)));
    }
    if let Some(why) = &view.unable {
        lines.push(one_line(format_args!("NO BUILDS: {why}")));
    }
    for queue in &view.queues {
        lines.push(one_line(format_args!("queue {}: {} items", queue.name, queue.items.len())));
        queue.items.iter().for_each(|item| describe_item(&mut lines, item, now));
    }
    if !view.waiting.is_empty() {
        lines.push(format!("approved, not yet in a queue: {}", view.waiting.len()));
    }
    for entry in &view.waiting {
        lines.push(name(&entry.change));
        lines.push(one_line(format_args!("      {}", entry.words)));
    }
    if !view.checks.is_empty() {
        lines.push(format!("check and on demand: {} items", view.checks.len()));
        view.checks.iter().for_each(|item| {
            if let Pipeline::OnDemand(name) = &item.pipeline {
                lines.push(one_line(format_args!("  in {name}:")));
            }
            describe_item(&mut lines, item, now);
        });
    }
    if whole {
        view.runs.iter().for_each(|run| describe_run(&mut lines, run, now));
    }
    let most = if whole { DEPARTED_MAX } else { usize::MAX };
    if !view.departed.is_empty() {
        lines.push("landed and left, newest first:".into());
    }
    view.departed.iter().take(most).for_each(|entry| describe_departed(&mut lines, entry, now));
    if whole {
        lines.push(format!("{} of {} slots are building", view.builds_running, view.slots));
    }
    lines
}

fn describe_item(lines: &mut Vec<String>, item: &ItemView, now: Timestamp) {
    lines.extend(item.changes.iter().map(name));
    let since = in_words(now.since_ms(item.entered_at));
    lines.push(one_line(format_args!("      {} (here for {since})", item.words)));
    if !item.place.is_empty() {
        lines.push(one_line(format_args!("      {}", item.place)));
    }
    if !item.on_top_of.is_empty() {
        let ahead: Vec<_> = item.on_top_of.iter().map(ToString::to_string).collect();
        lines.push(format!("      tested on top of {}", ahead.join(", ")));
    }
    lines.extend(item.jobs.iter().map(describe_job));
}

fn describe_run(lines: &mut Vec<String>, run: &RunView, now: Timestamp) {
    let RunView { pipeline, pair, commit, words, .. } = run;
    let when = match run.ended_at {
        None => format!("under way for {}", in_words(now.since_ms(run.began_at))),
        Some(at) => format!("{} ago", in_words(now.since_ms(at))),
    };
    let probes = run.probes.as_ref().map(|job| format!("finding out since when {job} fails; "));
    let words = format!("{}{words}", probes.unwrap_or_default());
    lines.push(one_line(format_args!("{pipeline} run of {pair} at {}: {words} ({when})", commit.short())));
    lines.extend(run.blames.iter().map(|blame| one_line(format_args!("      {blame}"))));
    if run.outcome != Some(RunOutcome::Passed) {
        lines.extend(run.jobs.iter().map(describe_job));
    }
}

fn describe_departed(lines: &mut Vec<String>, entry: &DepartedView, now: Timestamp) {
    lines.extend(entry.changes.iter().map(name));
    let since = in_words(now.since_ms(entry.ended_at));
    lines.push(one_line(format_args!("      {} ({since} ago)", words::ended(entry))));
    lines.extend(entry.jobs.iter().map(describe_job));
}

fn describe_job(job: &JobResult) -> String {
    let took = if job.duration_ms > 0 { format!(" in {}", in_words(job.duration_ms)) } else { String::new() };
    let detail = if job.detail.is_empty() { String::new() } else { format!(" ({})", job.detail) };
    let build = job.build.map_or_else(String::new, |build| format!(", build {build}"));
    one_line(format_args!("      - {} {}{took}{detail}{build}", job.job, words::outcome(job.result)))
}

fn name(change: &ItemChange) -> String {
    one_line(format_args!("  {},{} {}: {}", change.number, change.patchset, change.pair, change.subject))
}

/// The wall clock, for ages.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
