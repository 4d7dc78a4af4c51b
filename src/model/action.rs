//! What the core asks for. An action is data; nothing happens before it is in the journal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::report::Report;
use super::run::{Move, Probe, RunOutcome};
use super::{
    Branch, BuildId, BuildSpec, ChangeId, ChangeNumber, Class, Departure, EffectId, ItemChange, ItemId,
    JobName, LandingForm, NodeId, Pair, PatchSet, Pipeline, QueueName, Reference, Repository, ResolvedInput,
    Sha, Timestamp, VerdictKey,
};

/// References that are looked up together: one request.
pub const REFERENCES_MAX: usize = 40;

/// One action, as journaled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Something to do outside.
    Effect(Effect),
    /// Something decided, for the audit log and the oracle; nothing to do.
    Decision(Decision),
}

/// An effect and the id by which its end is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Effect {
    /// From a counter in the core's state.
    pub id: EffectId,
    /// What to do.
    pub kind: EffectKind,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Decision {
    /// An item entered.
    Entered {
        /// The item.
        item: ItemId,
        /// Into which pipeline.
        pipeline: Pipeline,
        /// The queue, for a gate item.
        queue: Option<QueueName>,
        /// What it consists of.
        changes: Vec<ItemChange>,
    },
    /// An item gets its place in its queue.
    Placed {
        /// The item.
        item: ItemId,
        /// Its class.
        class: Class,
        /// Its owner's turn.
        round: u64,
        /// It goes right before this one, and so past all behind that; `None` where it stays.
        before: Option<ItemId>,
    },
    /// An item is judged at this node from now on; the next effect prepares it.
    Based {
        /// The item.
        item: ItemId,
        /// The node.
        node: NodeId,
    },
    /// A verdict is used for an item, and holds while the item stays.
    Adopted {
        /// The item.
        item: ItemId,
        /// The job.
        job: JobName,
        /// The branch that the job is for.
        home: Pair,
        /// The key.
        key: VerdictKey,
    },
    /// An item is judged by the builds of one behind it, at that one's node; both land in one push.
    Pooled {
        /// The item.
        item: ItemId,
        /// The one behind it.
        with: ItemId,
    },
    /// A build is bought for a key; the next effect starts it.
    Bought {
        /// The build.
        build: BuildId,
        /// The key.
        key: VerdictKey,
        /// The item that needs it first.
        item: ItemId,
    },
    /// Some branches of an item have landed and others not: the rest of it goes on alone.
    Parted {
        /// The item.
        item: ItemId,
        /// The branches that have, with their tips.
        commits: Vec<(Pair, Sha)>,
    },
    /// An item is decided: it landed or left.
    Ended {
        /// The item.
        item: ItemId,
        /// The pipeline it was in.
        pipeline: Pipeline,
        /// How.
        departure: Departure,
        /// The verdicts it rests on.
        verdicts: Vec<(JobName, VerdictKey, Option<BuildId>)>,
    },
    /// An item is also built on the path without one item ahead of it, in case that one fails. What is begun
    /// has an id of an item, and nodes and builds as those have; it lands nothing.
    AlternativeBegun {
        /// The alternative.
        alternative: ItemId,
        /// The item.
        of: ItemId,
        /// The one ahead that it is built without.
        without: ItemId,
    },
    /// An alternative is of no use any more.
    AlternativeEnded {
        /// The alternative.
        alternative: ItemId,
    },
    /// An item is also merged on top of one behind it, to see whether that one may go first. What is begun has an
    /// id of an item, and a node as those have; nothing is built for it, and it lands nothing.
    OvertakingBegun {
        /// What is begun.
        overtaking: ItemId,
        /// The item.
        of: ItemId,
        /// The one behind it.
        by: ItemId,
    },
    /// That is of no use any more.
    OvertakingEnded {
        /// What was begun.
        overtaking: ItemId,
    },
    /// An item goes before another one that it was behind: both pass in either order.
    Overtook {
        /// The item.
        item: ItemId,
        /// The other one, right before which it goes.
        before: ItemId,
    },
    /// A run at the tip of a branch begins. Its id is one of an item's; it has nodes and builds as those do.
    RunBegun {
        /// The run.
        run: ItemId,
        /// For which pipeline.
        pipeline: Pipeline,
        /// The branch that it judges, at its commit, and before other branches that are not at their tips.
        tips: Vec<(Pair, Sha)>,
        /// What it is to find out, where it looks at the past.
        probe: Option<Probe>,
    },
    /// A run is over.
    RunEnded {
        /// The run.
        run: ItemId,
        /// Its pipeline.
        pipeline: Pipeline,
        /// The branch that it judged.
        pair: Pair,
        /// How it ended.
        outcome: RunOutcome,
    },
    /// A job that passed at the tip of a branch before fails there now: since when is to be found out.
    Suspected {
        /// The run in which it fails.
        run: ItemId,
        /// The job.
        job: JobName,
        /// The branch that it is for.
        home: Pair,
        /// The branches that it reads, as they were when it passed; its home first.
        tips: Vec<(Pair, Sha)>,
        /// What came in since, in order.
        moves: Vec<Move>,
        /// Whether that it passed before needs no confirmation: the same configuration said so.
        sure: bool,
    },
    /// A suspicion comes to nothing: the job passes again, or is no more.
    Dropped {
        /// The pipeline.
        pipeline: Pipeline,
        /// The job.
        job: JobName,
        /// The branch that it is for.
        home: Pair,
    },
    /// What could be found out about the failures of a run has been.
    Blamed {
        /// The run.
        run: ItemId,
    },
}

/// The branch state that a merge starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Onto {
    /// A commit that the repository has (a tip).
    Commit(Sha),
    /// What this node, prepared earlier or asked for earlier, writes in the same branch.
    Node(NodeId),
}

/// One merge of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merge {
    /// The change, at the patch set to merge.
    pub change: ItemChange,
    /// What it is merged onto.
    pub onto: Onto,
    /// The tip from which the closure walk starts.
    pub tip: Sha,
    /// Patch sets that may come in: those of the items ahead on this branch, and its own.
    pub allowed: Vec<Sha>,
    /// Branches whose commits may come in with a merge commit.
    pub merge_from: Vec<Branch>,
    /// How it is put there; `None` where that is not known, and then nothing is.
    #[serde(default)]
    pub form: Option<LandingForm>,
}

/// One branch to move.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Push {
    /// The branch.
    pub pair: Pair,
    /// The tip that it must have.
    pub old: Sha,
    /// The tip that it gets.
    pub new: Sha,
    /// The items' patch sets: the closure is checked once more against them.
    pub changes: Vec<(ChangeNumber, PatchSet, Sha)>,
    /// Branches whose commits may come in with a merge commit.
    pub merge_from: Vec<Branch>,
    /// Commits that the core has judged harmless when the nodes were prepared.
    pub judged: Vec<Sha>,
    /// The review host is to land the only change instead, in a commit of its own.
    #[serde(default)]
    pub submit: Option<Submit>,
}

/// A change that the review host lands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Submit {
    /// The change.
    pub change: ChangeNumber,
    /// Its Change-Id, by which the commit is found that it has landed as.
    pub change_id: ChangeId,
    /// Its patch set's commit.
    pub revision: Sha,
    /// The branch's tip before.
    pub old: Sha,
    /// The tree that was tested.
    pub tree: Sha,
}

/// What there is to do outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EffectKind {
    /// Merge an item and find its jobs. Answer: `NodePrepared`, then `JobsResolved`. Asking again
    /// is harmless: the same node gives the same commits (their dates are `date`).
    PrepareNode {
        /// The node.
        node: NodeId,
        /// The date of the merge commits.
        date: Timestamp,
        /// For which pipeline its jobs are.
        pipeline: Pipeline,
        /// The merges, in order; one per change.
        merges: Vec<Merge>,
        /// What items ahead write: the node whose state a branch has here. Branches not named have
        /// their tips.
        overlay: Vec<(Pair, NodeId)>,
        /// Branches of changes that the item depends on: inputs of all its jobs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        depends: Vec<Pair>,
        /// For a run at a tip, which has no merges: the branch that it judges, at its commit, and then
        /// other branches that are not at their tips.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tips: Vec<(Pair, Sha)>,
        /// What counts for the tips of branches outside of the item's queue; `None` for no such branch.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pins: Vec<(Pair, Option<Sha>)>,
    },
    /// The node's commits need no longer be kept. No answer.
    ReleaseNode {
        /// The node.
        node: NodeId,
    },
    /// Run a build. Answer: `BuildSeen`. Asking again is harmless: the build's id names it.
    StartBuild {
        /// The build.
        build: BuildId,
        /// The job, for people.
        job: JobName,
        /// What to run.
        spec: Arc<BuildSpec>,
        /// What to check out; the first is the home.
        inputs: Vec<ResolvedInput>,
    },
    /// End a build. Answer: `BuildSeen` with `Finished`, when nothing of it is left.
    StopBuild {
        /// The build.
        build: BuildId,
    },
    /// Read these changes now. Answer: `Looked`, or `EffectEnded` with a failure.
    Look {
        /// The changes.
        changes: Vec<(ChangeNumber, Repository)>,
    },
    /// Push, or let the review host submit. Answer: `PushEnded`, or `Submitted`. Never asked again: after a restart its outcome is unknown.
    Land {
        /// After this moment it must be refused: the look is too old.
        valid_until: Timestamp,
        /// Branches to move, in order.
        pushes: Vec<Push>,
    },
    /// See whether a push of unknown outcome has landed. Answer: `PushSeen`.
    ObservePush {
        /// The branch.
        pair: Pair,
        /// The commit that was pushed.
        new: Sha,
        /// What the review host was to land instead; answered by `Submitted` where it has.
        #[serde(default)]
        submit: Option<Submit>,
    },
    /// Read a change. Answer: `ChangeSeen` or `ChangeGone`, then `EffectEnded`.
    ObserveChange {
        /// The change.
        change: ChangeNumber,
        /// Its repository.
        repository: Repository,
    },
    /// Find the changes that a commit could close. Answer: `CommitSeen`.
    ObserveCommit {
        /// The branch.
        pair: Pair,
        /// The commit.
        commit: Sha,
        /// Its Change-Id.
        change_id: Option<ChangeId>,
    },
    /// Find the changes that footers name, at most [`REFERENCES_MAX`]. Answer: `ReferencesFound`, or
    /// `EffectEnded` with a failure.
    FindReferences {
        /// What the footers say.
        references: Vec<Reference>,
    },
    /// Read a tip. Answer: `TipSeen`, then `EffectEnded`.
    ObserveTip {
        /// The branch.
        pair: Pair,
    },
    /// Close a change whose commit has landed but which stayed open. Answer: `EffectEnded`.
    CloseChange {
        /// The change.
        change: ChangeNumber,
        /// Its repository.
        repository: Repository,
        /// Its patch set.
        revision: Sha,
    },
    /// Say something on a change, or vote. Answer: `EffectEnded`. The effect's id is in the tag.
    Report(Report),
}
