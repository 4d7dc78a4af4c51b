//! Runs of jobs at the tips of branches: how they end, and what has landed since a job passed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BuildId, ItemChange, JobName, Pair, Sha};

/// A branch has moved on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// The branch.
    pub pair: Pair,
    /// Its commit before.
    pub before: Sha,
    /// Its commit since then.
    pub commit: Sha,
    /// The changes that came in, as far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ItemChange>,
    /// Whether something else came in: a push beside the daemon.
    pub others: bool,
    /// Whether more came in than is remembered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
}

/// What a run looks at to find out since when a job fails.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// The job.
    pub job: JobName,
    /// The branch that it is for.
    pub home: Pair,
    /// After how many of the suspects the branches are looked at.
    pub after: usize,
}

/// How a run at a tip ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RunOutcome {
    /// All voting jobs passed.
    Passed,
    /// Voting jobs failed.
    Failed {
        /// Which.
        jobs: Vec<JobName>,
    },
    /// No voting job failed, but some have no verdict: the infrastructure failed too often.
    NoVerdict {
        /// Which.
        jobs: Vec<JobName>,
    },
    /// The job file cannot be used.
    BrokenJobFile {
        /// Why, in words for whoever repairs it.
        why: Arc<str>,
    },
    /// There is no job in the pipeline for the branch.
    NoJob,
    /// It could not begin before the branch moved on; the newer tip is judged instead.
    Superseded,
    /// It came to no end of its own.
    Stopped {
        /// Why, in words.
        why: Arc<str>,
    },
}

impl RunOutcome {
    /// Its name for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::NoVerdict { .. } => "no-verdict",
            Self::BrokenJobFile { .. } => "broken-job-file",
            Self::NoJob => "no-job",
            Self::Superseded => "superseded",
            Self::Stopped { .. } => "stopped",
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { jobs } => write!(f, "failed: {}", listed(jobs)),
            Self::NoVerdict { jobs } => write!(f, "has no verdict: {}", listed(jobs)),
            Self::BrokenJobFile { why } => write!(f, "cannot be judged: {why}"),
            Self::NoJob => f.write_str("has no job"),
            Self::Superseded => f.write_str("was overtaken by a newer tip"),
            Self::Stopped { why } => write!(f, "was stopped: {why}"),
        }
    }
}

/// Since when a job fails at the tip of a branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blame {
    /// The job.
    pub job: JobName,
    /// The branch that it is for.
    pub home: Pair,
    /// What came in when it began to fail; empty where that could not be found out.
    pub moves: Vec<Move>,
    /// The build that shows the failure.
    pub build: Option<BuildId>,
    /// Why nothing was found out; empty where something was.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub why: Arc<str>,
}

impl Blame {
    /// The one change that it can be, if it is one.
    pub fn change(&self) -> Option<(&Move, &ItemChange)> {
        match self.moves.as_slice() {
            [only] if !only.others && !only.forgotten => match only.changes.as_slice() {
                [change] => Some((only, change)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, home, moves, why, .. } = self;
        if moves.is_empty() {
            return write!(f, "{job} fails on {home}; since when is not known: {why}");
        }
        let several = moves.len() > 1 || moves.iter().any(|moved| moved.changes.len() > 1);
        write!(f, "{job} fails on {home} since {}", if several { "one of these landed: " } else { "" })?;
        for (at, moved) in moves.iter().enumerate() {
            let changes: Vec<String> = moved.changes.iter().map(|change| change.number.named()).collect();
            let mut what = changes.join(", ");
            let more = [
                (moved.others, "a push beside the queue"),
                (moved.forgotten, "what is no longer remembered"),
            ];
            for (_, words) in more.into_iter().filter(|(so, _)| *so) {
                what = if what.is_empty() { words.into() } else { format!("{what} and {words}") };
            }
            let comma = if at > 0 { "; " } else { "" };
            let (pair, commit, before) = (&moved.pair, moved.commit.short(), moved.before.short());
            write!(f, "{comma}{what} ({pair} at {commit}; it passed at {before})")?;
        }
        Ok(())
    }
}

/// Names with commas between.
fn listed(jobs: &[JobName]) -> String {
    jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")
}
