//! The answers of the API: names that stay, whatever the program's own types are called. The description
//! for programs is `openapi.json` beside this file; a test compares the two.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::event::Scope;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::run::{Blame, RunOutcome};
use crate::model::tree::Unneeded;
use crate::model::view::{BuildView, DepartedView, ItemView, PauseView, RunView, WaitingView};
use crate::model::{ChangeNumber, Departure, ItemChange, Reason, Timestamp};
use crate::web::picture::Times;
use crate::web::state::{State, reason_kind};
use crate::web::words;

/// What answers are made with beside the view.
pub struct Maker<'a> {
    /// Where changes are reviewed, without a slash at the end.
    pub review_url: Option<&'a str>,
    /// The daemon's own address for people, ending in a slash.
    pub public_url: &'a str,
    /// When builds began and how long they probably take.
    pub times: &'a Times,
}

/// A patch set of a change.
#[derive(Serialize)]
pub struct Change {
    number: u64,
    patchset: u64,
    change_id: String,
    revision: String,
    repository: String,
    branch: String,
    subject: String,
    owner: String,
    page: String,
    review: Option<String>,
}

/// Why something waits, or how it ended.
#[derive(Serialize)]
pub struct Why {
    kind: &'static str,
    text: String,
}

/// A job of an item.
#[derive(Serialize)]
pub struct Job {
    name: String,
    repository: String,
    branch: String,
    result: &'static str,
    voting: bool,
    build: Option<u64>,
    log: Option<String>,
    started_at: Option<String>,
    duration_ms: i64,
    estimate_ms: Option<i64>,
    detail: String,
    needs: Vec<String>,
}

/// An item of a queue or of the check.
#[derive(Serialize)]
pub struct Item {
    id: u64,
    pipeline: String,
    queue: Option<String>,
    place: Option<usize>,
    place_words: String,
    hidden: bool,
    state: &'static str,
    entered_at: String,
    changes: Vec<Change>,
    tested_on: Vec<u64>,
    contains: Vec<u64>,
    reason: Why,
    jobs: Vec<Job>,
    unneeded: Vec<Spared>,
}

/// A job that a matcher spares an item.
#[derive(Serialize)]
pub struct Spared {
    name: String,
    repository: String,
    branch: String,
    why: String,
}

/// An approved change in no queue.
#[derive(Serialize)]
pub struct Waiting {
    change: Change,
    reason: Why,
}

/// An item that ended.
#[derive(Serialize)]
pub struct Departed {
    item: u64,
    pipeline: String,
    queue: Option<String>,
    landed: bool,
    entered_at: String,
    ended_at: String,
    changes: Vec<Change>,
    reason: Why,
    commits: Vec<Commit>,
    jobs: Vec<Job>,
    unneeded: Vec<Spared>,
}

/// What landed where.
#[derive(Serialize)]
pub struct Commit {
    repository: String,
    branch: String,
    commit: String,
}

/// A run at the tip of a branch.
#[derive(Serialize)]
pub struct Run {
    id: u64,
    pipeline: String,
    repository: String,
    branch: String,
    commit: String,
    began_at: String,
    ended_at: Option<String>,
    outcome: Option<&'static str>,
    text: String,
    probes: Option<String>,
    jobs: Vec<Job>,
    blames: Vec<Blamed>,
}

/// Since when a job fails.
#[derive(Serialize)]
pub struct Blamed {
    job: String,
    text: String,
    changes: Vec<u64>,
    build: Option<u64>,
}

/// A stop.
#[derive(Serialize)]
pub struct Pause {
    scope: &'static str,
    name: Option<String>,
    reason: String,
    by: String,
    since: String,
}

/// A build.
#[derive(Serialize)]
pub struct Build {
    id: u64,
    job: String,
    repository: String,
    branch: String,
    result: &'static str,
    started_at: Option<String>,
    deadline: Option<String>,
    duration_ms: Option<i64>,
    estimate_ms: Option<i64>,
    log: String,
}

/// A queue in numbers.
#[derive(Serialize)]
pub struct QueueSummary {
    /// Its name.
    pub name: String,
    /// How many items it has.
    pub depth: usize,
    /// How many of them are in each state.
    pub states: BTreeMap<&'static str, usize>,
}

/// How the daemon is.
#[derive(Serialize)]
pub struct Status {
    /// The daemon's version.
    pub version: &'static str,
    /// When the view was taken.
    pub at: String,
    /// Whether it can gate.
    pub ready: bool,
    /// What is wrong, each with its remedy.
    pub problems: Vec<String>,
    /// Its queues in numbers.
    pub queues: Vec<QueueSummary>,
    /// Approved changes in no queue yet.
    pub waiting: usize,
    /// Items in check.
    pub checks: usize,
    /// Builds that hold a slot.
    pub builds_running: u32,
    /// Slots.
    pub slots: u32,
    /// Stops.
    pub pauses: usize,
    /// Runs at tips under way.
    pub runs: usize,
}

impl Maker<'_> {
    fn change(&self, change: &ItemChange) -> Change {
        let repository = change.pair.repository.to_string();
        Change {
            number: change.number.0,
            patchset: change.patchset.0,
            change_id: change.change_id.to_string(),
            revision: change.revision.to_string(),
            branch: change.pair.branch.to_string(),
            subject: change.subject.to_string(),
            owner: change.owner.to_string(),
            page: format!("{}change/{}", self.public_url, change.number),
            review: self.review_url.map(|url| {
                format!("{url}/c/{}/+/{}", super::super::pieces::escape_path(&repository), change.number)
            }),
            repository,
        }
    }

    fn changes(&self, changes: &[ItemChange]) -> Vec<Change> {
        changes.iter().map(|change| self.change(change)).collect()
    }

    fn log(&self, build: crate::model::BuildId) -> String {
        format!("{}build/{build}", self.public_url)
    }

    fn job(&self, job: &JobResult) -> Job {
        let running = job.result == JobOutcome::Running;
        let started = job.build.filter(|_| running).and_then(|build| self.times.started.get(&build));
        Job {
            name: job.job.to_string(),
            repository: job.home.repository.to_string(),
            branch: job.home.branch.to_string(),
            result: words::outcome(job.result),
            voting: job.voting,
            build: job.build.map(|build| build.0),
            log: job.build.map(|build| self.log(build)),
            started_at: started.map(|at| words::moment(*at)),
            duration_ms: job.duration_ms,
            estimate_ms: self.times.estimates.get(&job.job).copied(),
            detail: job.detail.to_string(),
            needs: job.needs.iter().map(ToString::to_string).collect(),
        }
    }

    fn jobs(&self, jobs: &[JobResult]) -> Vec<Job> {
        jobs.iter().map(|job| self.job(job)).collect()
    }

    /// An item, with its queue and its place from 1 where it is in one.
    pub fn item(&self, item: &ItemView, queue: Option<(&str, usize)>) -> Item {
        Item {
            id: item.item.0,
            pipeline: item.pipeline.to_string(),
            queue: queue.map(|(name, _)| name.to_owned()),
            place: queue.map(|(_, place)| place),
            place_words: item.place.clone(),
            hidden: item.changes.is_empty(),
            state: State::of(item).word(),
            entered_at: words::moment(item.entered_at),
            changes: self.changes(&item.changes),
            tested_on: item.on_top_of.iter().map(|number: &ChangeNumber| number.0).collect(),
            contains: item.contains.iter().map(|id| id.0).collect(),
            reason: why(&item.reason, &item.words),
            jobs: self.jobs(&item.jobs),
            unneeded: item.unneeded.iter().map(spared).collect(),
        }
    }

    /// An approved change in no queue.
    pub fn waiting(&self, entry: &WaitingView) -> Waiting {
        Waiting { change: self.change(&entry.change), reason: why(&entry.reason, &entry.words) }
    }

    /// An item that ended.
    pub fn departed(&self, entry: &DepartedView) -> Departed {
        let commits = match &entry.departure {
            Departure::Landed { commits } => &commits[..],
            _ => &[],
        };
        let commits = commits.iter().map(|(pair, commit)| Commit {
            repository: pair.repository.to_string(),
            branch: pair.branch.to_string(),
            commit: commit.to_string(),
        });
        Departed {
            item: entry.item.0,
            pipeline: entry.pipeline.to_string(),
            queue: entry.queue.as_ref().map(ToString::to_string),
            landed: matches!(entry.departure, Departure::Landed { .. }),
            entered_at: words::moment(entry.entered_at),
            ended_at: words::moment(entry.ended_at),
            changes: self.changes(&entry.changes),
            reason: Why { kind: words::departure_kind(&entry.departure), text: words::ended(entry) },
            commits: commits.collect(),
            jobs: self.jobs(&entry.jobs),
            unneeded: entry.unneeded.iter().map(spared).collect(),
        }
    }

    /// A run at the tip of a branch.
    pub fn run(&self, run: &RunView) -> Run {
        let blamed = |blame: &Blame| Blamed {
            job: blame.job.to_string(),
            text: blame.to_string(),
            changes: blame
                .moves
                .iter()
                .flat_map(|moved| &moved.changes)
                .map(|change| change.number.0)
                .collect(),
            build: blame.build.map(|build| build.0),
        };
        Run {
            id: run.run.0,
            pipeline: run.pipeline.to_string(),
            repository: run.pair.repository.to_string(),
            branch: run.pair.branch.to_string(),
            commit: run.commit.to_string(),
            began_at: words::moment(run.began_at),
            ended_at: run.ended_at.map(words::moment),
            outcome: run.outcome.as_ref().map(RunOutcome::kind),
            text: run.words.clone(),
            probes: run.probes.as_ref().map(ToString::to_string),
            jobs: self.jobs(&run.jobs),
            blames: run.blames.iter().map(blamed).collect(),
        }
    }

    /// A build that runs.
    pub fn running(&self, build: &BuildView, now: Timestamp) -> Build {
        Build {
            id: build.build.0,
            job: build.job.to_string(),
            repository: build.home.repository.to_string(),
            branch: build.home.branch.to_string(),
            result: words::outcome(JobOutcome::Running),
            started_at: Some(words::moment(build.started_at)),
            deadline: Some(words::moment(build.deadline)),
            duration_ms: Some(now.since_ms(build.started_at).max(0)),
            estimate_ms: self.times.estimates.get(&build.job).copied(),
            log: self.log(build.build),
        }
    }

    /// A build whose verdict some item uses, or used.
    pub fn ended(&self, job: &JobResult, build: crate::model::BuildId) -> Build {
        Build {
            id: build.0,
            job: job.job.to_string(),
            repository: job.home.repository.to_string(),
            branch: job.home.branch.to_string(),
            result: words::outcome(job.result),
            started_at: None,
            deadline: None,
            duration_ms: Some(job.duration_ms),
            estimate_ms: self.times.estimates.get(&job.job).copied(),
            log: self.log(build),
        }
    }
}

fn why(reason: &Reason, text: &str) -> Why {
    Why { kind: reason_kind(reason), text: text.to_owned() }
}

fn spared(spared: &Unneeded) -> Spared {
    Spared {
        name: spared.job.to_string(),
        repository: spared.home.repository.to_string(),
        branch: spared.home.branch.to_string(),
        why: spared.why.to_string(),
    }
}

/// A stop.
pub fn pause(entry: &PauseView) -> Pause {
    let (scope, name) = match &entry.scope {
        Scope::Everything => ("everything", None),
        Scope::Queue(queue) => ("queue", Some(queue.to_string())),
        Scope::Repository(repository) => ("repository", Some(repository.to_string())),
    };
    Pause {
        scope,
        name,
        reason: entry.reason.to_string(),
        by: entry.by.to_string(),
        since: words::moment(entry.at),
    }
}
