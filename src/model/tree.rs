//! What a node's preparation found: the merged commits, or why there are none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ChangeId, JobName, Pair, Reason, ResolvedJob, Sha};

/// What a node writes in one branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// The branch.
    pub pair: Pair,
    /// The commit that would become its tip: made once, pushed as it is.
    pub commit: Sha,
    /// That commit's tree.
    pub tree: Sha,
    /// The commit that it was merged onto, its first parent (or itself after a fast-forward).
    pub onto: Sha,
    /// The blob of the job file in that tree, if there is one.
    pub job_file: Option<Sha>,
}

/// A commit that a push would bring in beside the daemon's own merges and the items' patch sets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Foreign {
    /// The branch it would enter.
    pub pair: Pair,
    /// The commit.
    pub commit: Sha,
    /// Its Change-Id footer, by which Gerrit may close a change.
    pub change_id: Option<ChangeId>,
    /// Whether a branch named in `merge-from` already contains it.
    pub merged_from: bool,
}

/// The end of `PrepareNode`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Prepared {
    /// The merge is there. `foreign` is what the closure walk found, at most 100 commits.
    Merged {
        /// One entry per branch that the item writes.
        writes: Vec<Written>,
        /// Commits on the way from the old tip that are neither ours nor the items'.
        foreign: Vec<Foreign>,
    },
    /// The item cannot be merged there.
    Conflict {
        /// The branch in which it failed.
        pair: Pair,
        /// The files concerned, as git names them (lossy UTF-8), at most 20.
        paths: Vec<Arc<str>>,
    },
    /// The node that this one rests on has no commits: the core plans anew.
    NoParent,
    /// It cannot land as things are, which is not a fault of it: it waits outside the queue.
    Held {
        /// Why, and what ends the wait.
        reason: Reason,
    },
    /// The item needs what no rebase or wait here gives, for example what is in the branch already.
    Unfit {
        /// In words for the author, with the remedy.
        why: Arc<str>,
    },
    /// Nothing was learnt: network, disk, a repository that cannot be read. Tried again.
    Failed {
        /// In words for the operator.
        why: Arc<str>,
    },
}

/// One thing that judging an item has read, with the value it had.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Read {
    /// What was read.
    pub unit: Unit,
    /// The commit of a branch, the blob of a job file; `None` where there is none.
    pub value: Option<Sha>,
}

/// What a footprint is made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Unit {
    /// A branch's content; also a preferred branch that does not exist (value `None`).
    Branch(Pair),
    /// The job file at a branch, alone: else each change to a repository would meet all others.
    JobFile(Pair),
}

impl Unit {
    /// The branch that it lies in.
    pub fn pair(&self) -> &Pair {
        match self {
            Self::Branch(pair) | Self::JobFile(pair) => pair,
        }
    }
}

/// A job that its matcher spares an item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unneeded {
    /// The job.
    pub job: JobName,
    /// The branch for which it would have run.
    pub home: Pair,
    /// Why, fit for "was not needed: {why}".
    pub why: Arc<str>,
}

/// J(item, node): the jobs of an item at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Resolved {
    /// The jobs, sorted by name and home, and what was read to know them and their inputs.
    Jobs {
        /// The jobs with their keys; empty when nothing is configured.
        jobs: Vec<ResolvedJob>,
        /// All that was read, at the value read.
        reads: Vec<Read>,
        /// Branches whose job file this item alters (against its parent node or by its own diff).
        alters_job_files: Vec<Pair>,
        /// `noop` was asked for: it lands without a build.
        noop: bool,
        /// Jobs that matchers have left out, as far as they are listed. They are only shown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unneeded: Vec<Unneeded>,
        /// Whether jobs are to run after the landing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        post: bool,
    },
    /// A job file cannot be used.
    Broken {
        /// The branch whose file it is.
        pair: Pair,
        /// File, line, key and remedy, in words for the author.
        why: Arc<str>,
        /// What was read before it broke.
        reads: Vec<Read>,
        /// Whether the item alters that file itself; where it does not, others have broken it.
        #[serde(default = "blamed")]
        own: bool,
    },
    /// Nothing was learnt; tried again.
    Failed {
        /// In words for the operator.
        why: Arc<str>,
    },
}

/// Versions before said nothing of it, and blamed the item.
fn blamed() -> bool {
    true
}
