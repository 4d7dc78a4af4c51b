//! Items: what lands together, and how a stay in a queue ends.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Account, ChangeId, ChangeNumber, JobName, Pair, PatchSet, Reason, Sha};

/// One change of an item, at the patch set with which it came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemChange {
    /// The change.
    pub number: ChangeNumber,
    /// Its Change-Id.
    pub change_id: ChangeId,
    /// The patch set judged.
    pub patchset: PatchSet,
    /// That patch set's commit.
    pub revision: Sha,
    /// Where it lands.
    pub pair: Pair,
    /// For pages and messages.
    pub subject: Arc<str>,
    /// For pages and messages.
    pub owner: Account,
}

/// One job's outcome as messages and pages show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobResult {
    /// The job.
    pub job: JobName,
    /// The branch that it ran for.
    pub home: Pair,
    /// `SUCCESS`, `FAILURE`, `TIMED_OUT`, `ERROR`, `ABORTED`, `SKIPPED`, `REUSED`: words that readers of
    /// Zuul's messages know (`REUSED` is a success too).
    pub result: JobOutcome,
    /// How long it ran, in milliseconds; 0 where it did not.
    pub duration_ms: i64,
    /// The build that says so, for its page and log.
    pub build: Option<super::BuildId>,
    /// Whether it decides.
    pub voting: bool,
    /// A few words more, as in `exit code 3`.
    pub detail: Arc<str>,
    /// The jobs for the same branch that had to pass first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<JobName>,
}

/// How a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum JobOutcome {
    /// It has no build yet.
    Waiting,
    /// Its build runs.
    Running,
    /// It passed.
    Success,
    /// It failed.
    Failure,
    /// The infrastructure failed too often.
    Error,
    /// It was stopped as no longer needed.
    Aborted,
    /// A job that it needs has failed or has no verdict: it is not built.
    Skipped,
}

/// How a stay in a queue ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Departure {
    /// It landed; the commit that was pushed for it.
    Landed {
        /// The tip that its push made of each branch.
        commits: Vec<(Pair, Sha)>,
    },
    /// Voting jobs failed where nothing ahead could change that.
    Failed {
        /// The failed jobs.
        jobs: Vec<JobName>,
    },
    /// It cannot be merged.
    Conflict {
        /// The branch.
        pair: Pair,
        /// The files.
        paths: Vec<Arc<str>>,
        /// Changes that it was tried on top of, and that have landed meanwhile.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<ChangeNumber>,
    },
    /// A job file cannot be used.
    BrokenJobFile {
        /// The branch.
        pair: Pair,
        /// Why.
        why: Arc<str>,
    },
    /// A push would bring in a commit that nobody approved.
    Closure {
        /// The commit.
        commit: Sha,
        /// The change that Gerrit would close with it, where known.
        change: Option<ChangeNumber>,
        /// In words, with the remedy.
        why: Arc<str>,
    },
    /// It cannot land in the form that its project asks for.
    Unfit {
        /// In words, with the remedy.
        why: Arc<str>,
    },
    /// A newer patch set was uploaded.
    NewPatchSet {
        /// The newer one.
        patchset: PatchSet,
    },
    /// Its approval was withdrawn, or a negative vote stands against it.
    VoteWithdrawn {
        /// In words: which vote.
        why: Arc<str>,
    },
    /// It was abandoned.
    Abandoned,
    /// It was landed by someone else.
    MergedElsewhere,
    /// It is gone: deleted, made private, or no longer visible to the daemon.
    Gone,
    /// It was marked work in progress.
    WorkInProgress,
    /// It was marked private.
    Private,
    /// It was moved to another branch.
    Moved,
    /// A change that it rests or depends on left.
    Dependency {
        /// That change.
        change: ChangeNumber,
        /// The change whose end took them all out; `None` where it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        culprit: Option<ChangeNumber>,
    },
    /// What lands together is no longer the same: a change has joined or left its topic or circle.
    Regrouped {
        /// That change, or one of them.
        change: ChangeNumber,
    },
    /// It cannot land as things are, through no fault of its own.
    Held {
        /// Why, and what ends the wait.
        reason: Reason,
    },
    /// A submit requirement is not met at the last look.
    Requirement {
        /// Its name.
        name: Arc<str>,
    },
    /// The review host refused the push or the vote.
    Refused {
        /// In the host's words, with the remedy where known.
        why: Arc<str>,
    },
    /// An operator took it out.
    Dequeued {
        /// Who.
        by: Account,
        /// Why.
        reason: Arc<str>,
    },
    /// The configuration no longer has its queue.
    QueueRemoved,
    /// A later stay or another pipeline judges the same patch set.
    Superseded,
    /// The check is done; what it says is in the jobs.
    Checked {
        /// Whether every voting job passed.
        passed: bool,
    },
}

impl Departure {
    /// Whether the change keeps its approval and waits outside its queue: it was never judged.
    pub fn goes_back_to_waiting(&self) -> bool {
        matches!(self, Self::Dependency { .. } | Self::Held { .. } | Self::Regrouped { .. })
    }

    /// Whether the item itself was found wanting, rather than overtaken by events.
    pub fn blames_item(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Conflict { .. }
                | Self::BrokenJobFile { .. }
                | Self::Closure { .. }
                | Self::Unfit { .. }
                | Self::Requirement { .. }
                | Self::Refused { .. }
        )
    }
}
