//! What is to be said on a change, as data; the words are made where they are posted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::item::JobResult;
use super::{
    ChangeNumber, Departure, EffectId, ItemId, Label, Pair, PatchSet, Pipeline, QueueName, Reason,
    Repository, Sha,
};

/// A message, a vote, or both, on one patch set of one change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The change.
    pub change: ChangeNumber,
    /// Its repository, which together with the number names it without an index.
    pub repository: Repository,
    /// The patch set meant.
    pub patchset: PatchSet,
    /// Its commit: the review host is told this, never "the current one".
    pub revision: Sha,
    /// The item that it is about.
    pub item: ItemId,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The queue, for a gate item.
    pub queue: Option<QueueName>,
    /// The vote to leave; 0 withdraws.
    pub vote: Option<(Label, i32)>,
    /// What to say; `None` for a vote alone.
    pub says: Option<Says>,
    /// The first attempt, where this is another one of what may have been said already: its name in the tag
    /// is what is looked for and used again.
    #[serde(default)]
    pub again_of: Option<EffectId>,
}

/// The content of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Says {
    /// Building has begun and is not over soon.
    Started {
        /// Its place in the queue, from 1.
        position: u32,
        /// What keeps it from being built or landed for now, where that is no other build.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits: Option<Reason>,
    },
    /// It cannot go on by itself: what a person must do.
    Waiting {
        /// Why.
        reason: Reason,
    },
    /// A voting job failed while something ahead is undecided, or others still run.
    FirstFailure {
        /// The job.
        failed: JobResult,
        /// The undecided changes that it was built on, in order.
        on_top_of: Vec<ChangeNumber>,
    },
    /// All voting jobs passed, and it is about to land.
    Passed {
        /// All jobs.
        jobs: Vec<JobResult>,
    },
    /// The stay ended.
    Ended {
        /// How.
        departure: Departure,
        /// All jobs, as far as they got.
        jobs: Vec<JobResult>,
        /// Its queue keeps the approval of what fails; of a check, that the change has its approval.
        #[serde(default)]
        keeps: bool,
    },
    /// Since it landed, jobs fail at the tip of a branch.
    Culprit {
        /// The jobs, each with a build that fails.
        jobs: Vec<JobResult>,
        /// The branch in which it landed.
        pair: Pair,
        /// That branch's commit before, at which they passed.
        before: Sha,
    },
    /// Something that a person should look at, after landing.
    Alarm {
        /// What happened and what to do.
        text: Arc<str>,
    },
}
