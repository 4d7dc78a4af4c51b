//! What the core remembers: facts as observed, and what it has asked for. All of it is in the
//! snapshot; what can be derived lies in [`super::index`] instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alternatives::Alternative;
use super::depend::Named;
use super::flake::Flakes;
use super::numbered::Numbered;
use super::operator::Dequeued;
use super::order::Turns;
use super::outdated::Outdated;
use super::overtake::Overtaking;
use super::pins::Pins;
use super::predict::Outcomes;
use super::recorded::Recorded;
use super::runs::Runs;
use crate::model::action::Submit;
use crate::model::event::Scope;
use crate::model::past::Past;
use crate::model::report::Report;
use crate::model::tree::{Foreign, Prepared, Resolved, Written};
use crate::model::view::{DepartedView, PauseView};
use crate::model::{
    Account, Action, BuildId, ChangeNumber, ChangeSnapshot, Effect, EffectId, ItemChange, ItemId, JobName,
    NodeId, Pair, Pipeline, PipelineName, Place, Policy, QueueName, Reason, Reference, Repository, Sha,
    Timestamp, Verdict, VerdictKey,
};

/// Everything that a snapshot holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub now: Timestamp,
    pub policy: Option<Arc<Policy>>,
    /// Counts configurations: jobs resolved under another one are resolved anew.
    pub policy_epoch: u64,
    /// Counts moves of tips that may have changed a job file.
    pub tip_epoch: u64,
    pub last_item: u64,
    pub last_node: u64,
    pub last_build: u64,
    pub last_effect: u64,
    pub last_rank: u64,
    /// Each in a box of its own: they are large, and the tree moves what stands beside one that goes.
    pub changes: BTreeMap<ChangeNumber, Box<Change>>,
    /// Changes that an operator asked for before the daemon knew them.
    pub expected: BTreeMap<ChangeNumber, Account>,
    #[serde(with = "super::pairs")]
    pub tips: BTreeMap<Pair, Tip>,
    /// What is pinned outside of each queue.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<QueueName, Pins>,
    pub queues: BTreeMap<QueueName, Vec<ItemId>>,
    /// Whose turn it is in each queue.
    #[serde(default)]
    pub turns: BTreeMap<QueueName, Turns>,
    /// How wide the window of each queue is, where it grows.
    #[serde(default)]
    pub windows: BTreeMap<QueueName, u32>,
    /// How builds have ended.
    #[serde(default, with = "super::pairs")]
    pub outcomes: BTreeMap<(JobName, Repository), Outcomes>,
    /// Which jobs end differently with the same trees.
    #[serde(default, with = "super::pairs", skip_serializing_if = "BTreeMap::is_empty")]
    pub flakes: BTreeMap<(JobName, Repository), Flakes>,
    pub checks: BTreeSet<ItemId>,
    pub items: Numbered<ItemId, Item>,
    pub nodes: Numbered<NodeId, Node>,
    pub records: Recorded<Record>,
    pub builds: Numbered<BuildId, Build>,
    pub effects: Numbered<EffectId, Pending>,
    pub landings: BTreeMap<EffectId, Landing>,
    pub confirms: BTreeMap<ChangeNumber, Confirm>,
    pub outgoing: VecDeque<Outgoing>,
    #[serde(with = "super::pairs")]
    pub paused: BTreeMap<Scope, PauseView>,
    pub departed: VecDeque<DepartedView>,
    pub unable: Option<Arc<str>>,
    /// Whether the review host submits whole topics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_topics: bool,
    /// Answers of `ObserveCommit`: what a commit would close, by commit.
    pub commits: BTreeMap<Sha, Vec<ChangeNumber>>,
    /// How many items a push may carry, where a larger one was refused.
    #[serde(with = "super::pairs")]
    pub push_limits: BTreeMap<Pair, u32>,
    /// What footers name, where it was looked up or may be forgotten.
    #[serde(with = "super::pairs", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<Reference, Named>,
    /// When changes that are closed and forgotten were last modified, so that late news of them is known
    /// as such. Bounded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub closed: BTreeMap<ChangeNumber, Timestamp>,
    /// Earlier patch sets of changes, by their commit: of which change, and when a newer one was seen. Bounded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<Sha, (ChangeNumber, Timestamp)>,
    /// Patch sets of changes that were abandoned.
    #[serde(default)]
    pub given_up: BTreeMap<Sha, ChangeNumber>,
    /// Observations that failed, by what was observed.
    pub retries: BTreeMap<String, Retry>,
    /// Until when nothing that waits to be said is said, unless the review host is heard before. Not stored: each
    /// start begins it anew.
    #[serde(skip)]
    pub quiet_until: Timestamp,
    /// Runs at the tips of branches.
    #[serde(default, skip_serializing_if = "Runs::is_empty")]
    pub runs: Runs,
    /// Items built a second time, on another path than the likeliest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alternatives: BTreeMap<ItemId, Alternative>,
    /// Items as they would be judged behind others that are behind them now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overtakings: BTreeMap<ItemId, Overtaking>,
}

/// A change and what the daemon has made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub snapshot: ChangeSnapshot,
    /// Approvals that an attempt has used up, while they stand.
    pub used: Vec<(Account, Timestamp)>,
    /// The revision that the check has taken up.
    pub checked: Option<Sha>,
    /// The revision for which somebody asked for another check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Sha>,
    /// On-demand pipelines that somebody asked for, and the revision for which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub demanded: BTreeMap<PipelineName, Sha>,
    /// The revision that an operator put into the queue.
    pub forced: Option<Sha>,
    /// The revision whose author was told what it waits for.
    pub told: Option<Sha>,
    /// The revision whose author was told what keeps it from landing in its project's form.
    #[serde(default)]
    pub told_held: Option<Sha>,
    /// Why it was sent back to wait when its node was made.
    #[serde(default)]
    pub held: Option<Held>,
    /// The daemon's own vote that was to be taken back though the change was in no queue.
    pub unvoted: Option<Timestamp>,
    /// Under policy B: the revision that failed, and the tip on which it did.
    pub failed: Option<(Sha, Option<Sha>)>,
    /// The revision whose check has failed.
    #[serde(default)]
    pub check_failed: Option<Sha>,
    /// No job was configured for this revision, at this policy and these job files.
    pub jobless: Option<(Sha, u64, u64)>,
    /// Jobs that were configured for that revision, and that matchers spared it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<JobName>,
}

/// What keeps a change from landing as things are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub revision: Sha,
    pub policy_epoch: u64,
    pub reason: Reason,
    /// When it is tried again, where nothing tells that the reason is gone.
    pub until: Option<Timestamp>,
    /// The tip of its branch then, or of the one whose job file cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Sha>,
}

/// A branch's tip.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tip {
    /// `None` when there is no such branch.
    pub commit: Option<Sha>,
    /// The job file at the tip, where it is known; written as absent where it is not, since "known
    /// to have none" and "not known" would otherwise read the same.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub job_file: Option<Option<Sha>>,
    /// The state's `tip_epoch` at the last move that may have changed the job file.
    pub epoch: u64,
    /// Earlier tips, newest last: a late report of one is not believed at once.
    pub before: VecDeque<Sha>,
    /// It must be read again before anything is pushed onto it.
    pub stale: bool,
}

/// Where an item stands on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It is being judged.
    Queued,
    /// The last look is under way.
    Looking(EffectId),
    /// The last look was taken then, and nothing stood against it.
    Looked(Timestamp),
    /// It is in a push.
    Landing(EffectId),
    /// It landed and its site is being deployed; only queues with deploying sites have this stage.
    Deploying(EffectId),
}

impl Stage {
    /// Whether nothing can keep it from landing any more: it is in a push, or beyond.
    pub fn is_pushed(self) -> bool {
        matches!(self, Self::Landing(_) | Self::Deploying(_))
    }
}

/// One stay of changes in a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub id: ItemId,
    pub pipeline: Pipeline,
    pub queue: Option<QueueName>,
    pub changes: Vec<ItemChange>,
    pub entered_at: Timestamp,
    /// Order of claims to slots.
    pub rank: u64,
    /// Its place in its queue.
    #[serde(default)]
    pub place: Place,
    pub node: Option<NodeId>,
    pub stage: Stage,
    /// Verdicts in use; a key names its job and home too.
    pub adopted: BTreeMap<VerdictKey, Adopted>,
    /// Builds of this stay that failed, per key.
    pub failures: BTreeMap<VerdictKey, u32>,
    /// Builds that ended without a verdict, per key.
    pub lost: BTreeMap<VerdictKey, Retry>,
    /// Preparation that failed.
    pub prepare: Option<Retry>,
    /// A last look or a push that failed without deciding anything.
    pub look: Option<Retry>,
    /// What the last look found unmet.
    pub unmet: Option<Arc<str>>,
    pub told_start: bool,
    pub told_failure: bool,
    pub told_passed: bool,
    /// The daemon's vote was left by this stay.
    pub voted: bool,
    /// Why its vote cannot be left, once the review host has refused it.
    pub vote_refused: Option<Arc<str>>,
    /// The node for which its changes were read once more before it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reread: Option<NodeId>,
    /// An operator takes it out.
    pub dequeued: Option<Dequeued>,
    /// The item behind it whose builds judge it, too.
    #[serde(default)]
    pub covered: Option<ItemId>,
    /// Items on top of which it could not be merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran_into: Vec<ItemId>,
    /// Keys whose builds it still needs.
    pub keys: BTreeSet<VerdictKey>,
    /// What has happened to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// What of it has landed while the rest could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub landed: Vec<LandedPart>,
}

/// A change that has landed without all that were to land with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LandedPart {
    pub change: ItemChange,
    /// The tip that its push made of its branch.
    pub commit: Sha,
}

/// A verdict that an item uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Adopted {
    pub job: JobName,
    pub passed: bool,
    pub why: Arc<str>,
    pub build: BuildId,
    pub duration_ms: i64,
}

/// Something that went wrong and is tried again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Retry {
    pub count: u32,
    pub at: Timestamp,
    pub why: Arc<str>,
}

/// A speculative state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub id: NodeId,
    pub item: ItemId,
    /// What each of the item's branches is merged onto.
    pub onto: Vec<(Pair, Source)>,
    /// What other branches are here: as items ahead leave them. Sorted by branch.
    pub overlay: Arc<Vec<(Pair, NodeId)>>,
    /// Branches of changes that its item depends on, read by all jobs. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Pair>,
    /// What counts for the tips of branches outside of its queue. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<(Pair, Option<Sha>)>,
    pub policy_epoch: u64,
    /// The date of its merge commits; 0 where an older version made it.
    #[serde(default)]
    pub date: Timestamp,
    /// The state's `tip_epoch` when it was asked for.
    pub asked_epoch: u64,
    /// The tips from which what it brings in is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted_from: Vec<(Pair, Sha)>,
    pub merged: Option<Merged>,
    pub resolved: Option<Resolved>,
    pub bad: Option<Prepared>,
    /// Undecided items ahead that it contains, in order.
    pub contains: Vec<ItemId>,
}

/// A node's merges.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Merged {
    pub writes: Vec<Written>,
    pub foreign: Vec<Foreign>,
}

/// Where a branch's state comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Source {
    Commit(Option<Sha>),
    Node(NodeId),
}

/// What is known about a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub passes: u32,
    pub failures: u32,
    pub verdict: Verdict,
    pub build: BuildId,
    /// The item that the build was bought for.
    pub item: ItemId,
    pub at: Timestamp,
    pub duration_ms: i64,
}

/// A build that holds a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Build {
    pub key: VerdictKey,
    pub item: ItemId,
    pub job: JobName,
    pub home: Pair,
    pub effect: EffectId,
    pub started_at: Timestamp,
    pub deadline: Timestamp,
    /// It runs, or is at least known to the executor.
    pub seen: bool,
    pub failing: bool,
    pub stopping: bool,
}

/// An effect whose end is awaited.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub effect: Effect,
    pub since: Timestamp,
}

/// A push under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Landing {
    pub pair: Pair,
    pub old: Sha,
    pub new: Sha,
    pub job_file: Option<Sha>,
    pub items: Vec<ItemId>,
    /// The branch is known to contain it.
    pub landed: bool,
    /// It may yet land: until then it is only watched.
    pub unknown: Option<Unknown>,
    /// The review host lands it.
    #[serde(default)]
    pub submit: Option<Submit>,
    /// The review host has landed another tree than the one that was tested.
    #[serde(default)]
    pub differs: bool,
}

/// The state of a push of unknown outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unknown {
    pub until: Timestamp,
    pub next_look: Timestamp,
    pub pause_ms: i64,
    pub asked: Option<EffectId>,
}

/// A change that landed and must become merged on the review host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Confirm {
    pub pair: Pair,
    pub commit: Sha,
    pub revision: Sha,
    pub item: ItemId,
    pub due: Timestamp,
    pub step: ConfirmStep,
}

/// How far the care for such a change has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum ConfirmStep {
    /// The review host is given time.
    Waiting,
    Reading(EffectId),
    /// Still open: to be closed over REST.
    Open,
    Closing(EffectId),
    /// Closed over REST, as far as is known.
    Closed,
    Rereading(EffectId),
    /// To be handed to a person.
    Hopeless,
}

/// Something to say, until it is said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub report: Report,
    pub due: Timestamp,
    /// It may wait until no landing is under way.
    pub patient: bool,
    pub tries: u32,
    pub effect: Option<EffectId>,
    /// The last attempt, whose answer did not come in time: it may still come.
    pub given_up: Option<EffectId>,
    /// What of it is not to be said again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<Outdated>,
}

impl Change {
    /// A change that nothing was made of yet.
    pub fn new(snapshot: ChangeSnapshot) -> Self {
        Self {
            snapshot,
            used: Vec::new(),
            checked: None,
            recheck: None,
            demanded: BTreeMap::new(),
            forced: None,
            told: None,
            told_held: None,
            held: None,
            unvoted: None,
            failed: None,
            check_failed: None,
            jobless: None,
            spared: Vec::new(),
        }
    }
}

impl Item {
    /// Its place among those that want slots: by pipeline, the gate first, then by age.
    pub fn claim(&self) -> (u8, u64, ItemId) {
        (self.pipeline.urgency(), self.rank, self.id)
    }

    /// The branches that it writes.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.changes.iter().map(|change| &change.pair)
    }
}

/// What a step has brought about so far.
#[derive(Default)]
pub(crate) struct Out {
    pub actions: Vec<Action>,
    pub notes: Vec<super::Note>,
}

/// Reads a value that is there, `null` included.
fn known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Sha>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
