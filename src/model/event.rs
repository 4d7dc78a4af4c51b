//! What the core is told. Events are whole observations, never deltas: one that is lost, doubled or
//! late costs time, not correctness.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tree::{Prepared, Resolved};
use super::{
    Account, BuildId, ChangeId, ChangeNumber, ChangeSnapshot, EffectId, NodeId, Pair, PipelineName, Policy,
    QueueName, Reference, Repository, Sha, Target, Timestamp, Verdict,
};

/// One event. The time at which it is accepted is given beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A configuration is in force from now on; the first event of all.
    PolicyChanged {
        /// The configuration.
        policy: Arc<Policy>,
    },
    /// A change was read from the review host.
    ChangeSeen {
        /// All of it.
        snapshot: ChangeSnapshot,
    },
    /// The review host knows no such change, or does not show it to the daemon.
    ChangeGone {
        /// Its number.
        number: ChangeNumber,
    },
    /// A branch's tip was read.
    TipSeen {
        /// The branch.
        pair: Pair,
        /// Its commit; `None` when there is no such branch.
        commit: Option<Sha>,
    },
    /// First half of the answer to `PrepareNode`. It ends the effect unless it is `Merged`.
    NodePrepared {
        /// The effect.
        effect: EffectId,
        /// The node.
        node: NodeId,
        /// What was found.
        outcome: Prepared,
    },
    /// Second half, after `Merged`; ends the effect.
    JobsResolved {
        /// The effect.
        effect: EffectId,
        /// The node.
        node: NodeId,
        /// What was found.
        outcome: Resolved,
    },
    /// A build was seen.
    BuildSeen {
        /// The build.
        build: BuildId,
        /// How it stands.
        phase: BuildPhase,
    },
    /// An executor listed all builds that it has, running or not yet collected. Others that it was
    /// given before `asked_at` are lost.
    BuildsListed {
        /// When the list was asked for.
        asked_at: Timestamp,
        /// The builds that it knows.
        known: Vec<BuildId>,
    },
    /// What the review host's own settings say.
    HostSeen {
        /// Whether it submits all open changes of a topic with one of them.
        whole_topics: bool,
    },
    /// The review host answers again after it could not be reached, or for the first time since a start; what was
    /// missed meanwhile was told before.
    HostBack,
    /// What the executors can do.
    CapabilitiesSeen {
        /// Why no build can be run, with the remedy; `None` when all is well.
        unable: Option<Arc<str>>,
    },
    /// The answer to `Look`: each change as it is now, read after the look was asked for.
    Looked {
        /// The effect.
        effect: EffectId,
        /// When the reading began.
        at: Timestamp,
        /// The changes asked for that are visible.
        changes: Vec<ChangeSnapshot>,
        /// Those that are not.
        gone: Vec<ChangeNumber>,
    },
    /// The answer to `ObserveCommit`: the open changes that the commit could close.
    CommitSeen {
        /// The effect.
        effect: EffectId,
        /// The commit.
        commit: Sha,
        /// The Change-Id asked for.
        change_id: Option<ChangeId>,
        /// Open changes with that revision or Change-Id on the branch.
        changes: Vec<ChangeSnapshot>,
    },
    /// The answer to `FindReferences`.
    ReferencesFound {
        /// The effect.
        effect: EffectId,
        /// Each reference asked for, with the changes that it names as far as they are visible.
        found: Vec<(Reference, Vec<Target>)>,
    },
    /// The answer to `Land`.
    PushEnded {
        /// The effect.
        effect: EffectId,
        /// One entry per push asked for.
        pushes: Vec<(Pair, Outcome)>,
    },
    /// The review host has landed the change that it was told to submit; an answer to `Land` or
    /// `ObservePush`.
    Submitted {
        /// The effect.
        effect: EffectId,
        /// The branch.
        pair: Pair,
        /// Its tip now.
        tip: Sha,
        /// The commit as which the change has landed.
        commit: Sha,
        /// Whether its tree is the one that was tested.
        same_tree: bool,
    },
    /// The answer to `ObservePush`.
    PushSeen {
        /// The effect.
        effect: EffectId,
        /// The branch.
        pair: Pair,
        /// Its tip now; `None` when the branch is gone.
        tip: Option<Sha>,
        /// Whether the tip is, or descends from, the commit that was pushed.
        contains: bool,
    },
    /// Any other effect ended; also a look or an observation that failed.
    EffectEnded {
        /// The effect.
        effect: EffectId,
        /// How.
        outcome: Outcome,
    },
    /// A periodic pipeline is due.
    Due {
        /// The pipeline.
        pipeline: PipelineName,
        /// The moment at which it was to run.
        at: Timestamp,
    },
    /// A person asks for something.
    Operator {
        /// Given back in the answer.
        request: u64,
        /// Who asks.
        by: Account,
        /// What.
        command: Command,
    },
    /// The daemon was started again: what was awaited is begun anew and has its time again.
    Restarted,
    /// Time has passed.
    Wake,
}

/// How an effect ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done.
    Applied,
    /// The other side said no; asking again would not help.
    Refused(Arc<str>),
    /// It was not done; asking again may help.
    Failed(Arc<str>),
    /// It was not done, and never will be as it is: what it needs is no longer there and has to be made anew.
    Gone(Arc<str>),
    /// It may have been done, or may yet be.
    Unknown(Arc<str>),
}

/// How a build stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BuildPhase {
    /// It runs.
    Running,
    /// It runs, but will fail.
    Failing {
        /// In words.
        why: Arc<str>,
    },
    /// It is over, and nothing of it is left running.
    Finished {
        /// What it says.
        verdict: Verdict,
        /// How long it ran, in milliseconds.
        duration_ms: i64,
    },
}

/// What a person can ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Put a change in its queue without looking at its approval (the last look still does).
    Enqueue {
        /// The change.
        change: ChangeNumber,
    },
    /// Take a change out of its queue.
    Dequeue {
        /// The change.
        change: ChangeNumber,
        /// Why: the author is told.
        reason: Arc<str>,
    },
    /// Put changes at the head of their queue, in this order.
    Promote {
        /// The changes.
        changes: Vec<ChangeNumber>,
    },
    /// Check a change once more, or run another pipeline on it.
    Recheck {
        /// The change.
        change: ChangeNumber,
        /// The on-demand pipeline; the check where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline: Option<PipelineName>,
    },
    /// Stop landing.
    Pause {
        /// Where.
        scope: Scope,
        /// Why: shown on everything that waits.
        reason: Arc<str>,
    },
    /// Land again.
    Resume {
        /// Where; must be as it was paused.
        scope: Scope,
        /// Why: kept in the journal.
        reason: Arc<str>,
    },
}

/// Where landing is stopped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere.
    Everything,
    /// In one queue.
    Queue(QueueName),
    /// In one repository.
    Repository(Repository),
}
