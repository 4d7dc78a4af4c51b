//! What pages, the socket and metrics show: derived from the core's state, never stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::Scope;
use super::item::JobResult;
use super::past::Past;
use super::{
    Account, BuildId, ChangeNumber, Departure, ItemChange, ItemId, JobName, Pair, Pipeline, QueueName,
    Reason, Repository, Timestamp,
};

/// The whole picture at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct View {
    /// When it was taken.
    pub at: Timestamp,
    /// The queues, in order of configuration.
    pub queues: Vec<QueueView>,
    /// Items of the check, oldest first.
    pub checks: Vec<ItemView>,
    /// Approved changes that are not items yet, with what they wait for.
    pub waiting: Vec<WaitingView>,
    /// Items that ended, newest first.
    pub departed: Vec<DepartedView>,
    /// What is stopped.
    pub paused: Vec<PauseView>,
    /// Builds that hold a slot, oldest first.
    #[serde(default)]
    pub builds: Vec<BuildView>,
    /// How many they are.
    pub builds_running: u32,
    /// Slots.
    pub slots: u32,
    /// Effects that are under way.
    pub effects: u32,
    /// Why executors cannot build, if so.
    pub unable: Option<Arc<str>>,
    /// Proven flakes, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flakes: Vec<FlakeView>,
}

/// A queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueueView {
    /// Its name.
    pub name: QueueName,
    /// Its items in order.
    pub items: Vec<ItemView>,
}

/// An item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemView {
    /// Its id.
    pub item: ItemId,
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// What it consists of.
    pub changes: Vec<ItemChange>,
    /// When it entered.
    pub entered_at: Timestamp,
    /// The undecided changes that its present node contains, in order.
    pub on_top_of: Vec<ChangeNumber>,
    /// The same as items; those that a reader may not see keep their places here.
    #[serde(default)]
    pub contains: Vec<ItemId>,
    /// Its jobs.
    pub jobs: Vec<JobResult>,
    /// Why it is not further on.
    pub reason: Reason,
    /// The same in words.
    pub words: String,
    /// Where it stands in its queue and why there, in words; empty for a check.
    #[serde(default)]
    pub place: String,
    /// What has happened to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
}

/// A job that has failed and passed with the same content: a proven flake.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlakeView {
    /// The job.
    pub job: JobName,
    /// The repository that it runs for.
    pub repository: Repository,
    /// For how many contents it has done so.
    pub proven: u32,
    /// Builds that repeated a failed one; older ones count half.
    pub repeated: u32,
    /// Those of them that passed.
    pub passed: u32,
    /// The failed build of the last proof.
    pub failed_build: BuildId,
    /// The passed build of the last proof.
    pub passed_build: BuildId,
    /// When the second of them ended.
    pub at: Timestamp,
}

/// A build that holds a slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildView {
    /// The build.
    pub build: BuildId,
    /// Its job.
    pub job: JobName,
    /// The branch that it runs for.
    pub home: Pair,
    /// The item that it was started for; others may use its verdict.
    pub item: ItemId,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
}

/// An approved change that is not an item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WaitingView {
    /// The change.
    pub change: ItemChange,
    /// Why.
    pub reason: Reason,
    /// The same in words.
    pub words: String,
}

/// An item that ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DepartedView {
    /// Its id.
    pub item: ItemId,
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// Its queue.
    pub queue: Option<QueueName>,
    /// What it consisted of.
    pub changes: Vec<ItemChange>,
    /// When it entered.
    pub entered_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub departure: Departure,
    /// Its jobs.
    pub jobs: Vec<JobResult>,
    /// What had happened to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
}

/// A stop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PauseView {
    /// Where.
    pub scope: Scope,
    /// Why.
    pub reason: Arc<str>,
    /// By whom.
    pub by: Account,
    /// Since when.
    pub at: Timestamp,
}
