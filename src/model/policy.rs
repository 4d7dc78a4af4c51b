//! The configuration as the core sees it: checked, complete, free of files and addresses.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pipeline::{Asks, Pipelines};
use super::priority::PriorityPolicy;
use super::{Account, Branch, JobPolicy, Label, Pair, Patterns, QueueName, Repository, SitePolicy};

/// Everything that the core decides by. A new one arrives as an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// The daemon's own account on the review host.
    pub account: Account,
    /// The queues, in order of declaration; a repository belongs to the first that matches.
    pub queues: Vec<QueuePolicy>,
    /// The sites, in order of declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SitePolicy>,
    /// The operator's jobs, all of them enforced.
    pub jobs: Vec<JobPolicy>,
    /// Whether repositories may declare jobs in their own `seakeeper.toml`.
    pub job_files: bool,
    /// The operator's job templates as TOML, which job files may name: opaque here.
    #[serde(default, skip_serializing_if = "is_blank")]
    pub templates: Arc<str>,
    /// The gate.
    pub gate: GatePolicy,
    /// The check.
    pub check: CheckPolicy,
    /// Builds that may run at once, over all executors.
    pub slots: u32,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// Who goes first in a queue.
    #[serde(default)]
    pub priority: PriorityPolicy,
    /// The pipelines beside check and gate.
    #[serde(default, skip_serializing_if = "Pipelines::is_usual")]
    pub pipelines: Pipelines,
}

/// A queue: an ordered list of items over a group of repositories.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueuePolicy {
    /// Its name.
    pub name: QueueName,
    /// The name under which it is declared, where it is derived from sites: perhaps one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<QueueName>,
    /// Whether it stands for one queue for each branch, named after it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub per_branch: bool,
    /// Its repositories.
    pub repositories: Patterns,
    /// Its branches.
    pub branches: Patterns,
    /// How it chooses what to build ahead of need.
    pub strategy: StrategyPolicy,
    /// How many consecutive items one push may land.
    pub max_items_per_push: u32,
    /// Branches whose commits may come in with a merge commit, in any repository of the queue.
    pub merge_from: Vec<Branch>,
    /// What happens when a change fails after approval.
    pub after_failure: AfterFailure,
    /// How what was tested comes into its branch.
    #[serde(default)]
    pub landing: LandingMode,
    /// Whether changes of one topic land together.
    #[serde(default, skip_serializing_if = "TopicPolicy::is_usual")]
    pub topics: TopicPolicy,
    /// How its strategy is tuned.
    #[serde(default)]
    pub tuning: Tuning,
    /// How jobs see branches that it does not gate.
    #[serde(default, skip_serializing_if = "OutsidePolicy::is_usual")]
    pub outside: OutsidePolicy,
}

/// How the jobs of a queue see branches that they read and that the queue does not gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OutsidePolicy {
    /// As they stand; when one moves, what has read it is judged again.
    #[default]
    Strict,
    /// As they stood at some time, all items alike.
    Pinned {
        /// For how long, in milliseconds.
        age_ms: i64,
    },
}

impl OutsidePolicy {
    fn is_usual(&self) -> bool {
        *self == Self::Strict
    }
}

/// What a topic means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TopicPolicy {
    /// A name, no more.
    #[default]
    Apart,
    /// Its open changes in the queue are one item.
    Together,
    /// As the review host has it when somebody submits there.
    AsHost,
}

impl TopicPolicy {
    fn is_usual(&self) -> bool {
        *self == Self::Apart
    }
}

/// What a strategy may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tuning {
    /// How the window of `dependent` follows what lands and what fails; `None` for a fixed one.
    pub growth: Option<Growth>,
    /// Whether the first failed voting build of an item ends its others.
    pub fail_fast: bool,
    /// How many items `batch` and `adaptive` may judge as one; 1 for none.
    pub batch_max: u32,
    /// Per cent of all slots that `ranked` and `adaptive` may use for alternatives to the likeliest path;
    /// 0 for none.
    #[serde(default)]
    pub alternatives: u32,
    /// Whether an item may go before a slower one once both are known to pass in either order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early_landing: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { growth: None, fail_fast: false, batch_max: 8, alternatives: 0, early_landing: false }
    }
}

/// How a window grows with each item that lands, and is halved by each that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// How wide it is at first.
    pub start: u32,
    /// The least that failures leave.
    pub floor: u32,
    /// The widest.
    pub ceiling: u32,
    /// By how much an item that lands widens it.
    pub by: u32,
}

/// Who lands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum LandingMode {
    /// The daemon, by pushing the tested commit.
    #[default]
    Push,
    /// The review host, told to submit one change after another.
    Submit,
}

/// The strategies of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StrategyPolicy {
    /// Only the first undecided item of each lane is built.
    Serial,
    /// Each of the first `window` items is built on the nearest items ahead that have not failed.
    Dependent {
        /// How many items are built at once.
        window: u32,
    },
    /// Ordered prefixes are judged as one, by the builds of their last item.
    Batch,
    /// The likeliest path, as far as slots go; what will probably fail is on probation.
    Ranked,
    /// `Ranked` while slots suffice, batches where they do not.
    Adaptive,
    /// What Zuul does, without reuse of verdicts: the yardstick of the simulator.
    Zuul,
}

/// What becomes of an approval when the change fails (policy A or B).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AfterFailure {
    /// A: the approval is used up; a new vote is needed.
    Forget,
    /// B: the approval stays; the item re-enters when its cause is gone.
    Keep,
}

/// A vote that must stand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Need {
    /// The label.
    pub label: Label,
    /// The least value; the same label's negative votes stand against it.
    pub min: i32,
}

/// What admits to the gate, and what the gate says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GatePolicy {
    /// The votes that make a change approved.
    pub approval: Vec<Need>,
    /// The label that the daemon votes on.
    pub label: Label,
    /// Its vote on success.
    pub success: i32,
    /// Its vote on failure.
    pub failure: i32,
    /// A start message is posted when an item is undecided for so long; `None` for never.
    pub start_message_after_ms: Option<i64>,
}

/// What the check does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckPolicy {
    /// Whether new patch sets are checked.
    pub enabled: bool,
    /// The vote on success, on the gate's label; 0 for none.
    pub success: i32,
    /// The vote on failure; 0 for none.
    pub failure: i32,
    /// A comment of this word asks for another check; `None` where comments ask for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Arc<str>>,
}

/// Bounds and deadlines; all times in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// How old the last look may be when a push begins.
    pub look_age_ms: i64,
    /// How long a push of unknown outcome may still land: Gerrit's `receive.timeout` and indexing.
    pub settle_ms: i64,
    /// How long an effect other than a build may take before its outcome counts as unknown.
    pub effect_ms: i64,
    /// First pause before something is tried again; doubled at each further failure.
    pub retry_ms: i64,
    /// Longest such pause.
    pub retry_max_ms: i64,
    /// How often a build without verdict is run again for one item and job.
    pub infrastructure_attempts: u32,
    /// How long beyond its time limit a build may go unreported before it counts as lost.
    pub build_grace_ms: i64,
    /// How long a landed change may stay open before it is closed over REST.
    pub close_after_ms: i64,
    /// How many departed items are remembered for pages.
    pub remembered: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            look_age_ms: 1_000,
            settle_ms: 300_000,
            effect_ms: 120_000,
            retry_ms: 1_000,
            retry_max_ms: 300_000,
            infrastructure_attempts: 5,
            build_grace_ms: 60_000,
            close_after_ms: 5_000,
            remembered: 200,
        }
    }
}

fn is_blank(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn is_no(flag: &bool) -> bool {
    !*flag
}

impl QueuePolicy {
    /// Whether `name` is its name, or the one from which it is derived together with others.
    pub fn is_called(&self, name: &QueueName) -> bool {
        self.name == *name || self.family.as_ref() == Some(name)
    }

    /// Whether a queue called `name` is the one meant here, or one of those that it stands for by branch.
    pub fn owns(&self, name: &QueueName) -> bool {
        if !self.per_branch {
            return self.name == *name;
        }
        let rest = name.as_str().strip_prefix(self.name.as_str());
        rest.is_some_and(|rest| rest.starts_with(BRANCH_MARK))
    }

    /// The name of the queue for `branch`.
    fn name_for(&self, branch: &Branch) -> QueueName {
        match self.per_branch {
            true => QueueName::from(format!("{}{BRANCH_MARK}{branch}", self.name)),
            false => self.name.clone(),
        }
    }
}

/// Between the name of a queue and its branch: no declared name has this character.
const BRANCH_MARK: char = ':';

/// A queue as the changes of one branch see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueAt<'a> {
    /// Its name: that of the declaration, or the branch's own.
    pub name: QueueName,
    declared: &'a QueuePolicy,
}

impl<'a> QueueAt<'a> {
    /// As it is declared.
    pub fn declared(&self) -> &'a QueuePolicy {
        self.declared
    }
}

impl Deref for QueueAt<'_> {
    type Target = QueuePolicy;

    fn deref(&self) -> &QueuePolicy {
        self.declared
    }
}

impl Policy {
    /// The queue that gates `pair`, if one does.
    pub fn queue_of(&self, pair: &Pair) -> Option<QueueAt<'_>> {
        let declared = self.queues.iter().find(|queue| {
            queue.repositories.matches(pair.repository.as_str())
                && queue.branches.matches(pair.branch.as_str())
                && !pair.branch.as_str().starts_with("refs/")
        })?;
        Some(QueueAt { name: declared.name_for(&pair.branch), declared })
    }

    /// The declaration of the queue called `name`, if there is one.
    pub fn queue_named(&self, name: &QueueName) -> Option<&QueuePolicy> {
        self.queues.iter().find(|queue| queue.owns(name))
    }

    /// Whether under `other` the same jobs are found at each node, and the same commits may come in with
    /// a merge: then no node needs to be prepared anew.
    pub fn finds_the_same_jobs(&self, other: &Self) -> bool {
        fn merged(policy: &Policy) -> impl Iterator<Item = (&Patterns, &Patterns, &[Branch])> {
            policy.queues.iter().map(|queue| (&queue.repositories, &queue.branches, &*queue.merge_from))
        }
        self.jobs == other.jobs
            && self.sites == other.sites
            && self.job_files == other.job_files
            && self.templates == other.templates
            && merged(self).eq(merged(other))
    }

    /// What comments can ask for, and with which lines.
    pub fn asks(&self) -> Asks {
        let recheck = self.check.recheck.as_deref().filter(|_| self.check.enabled);
        let check = recheck.map(|line| (line.to_owned(), None));
        let others = self.pipelines.on_demand.iter();
        let others = others.map(|own| (own.comment.to_string(), Some(own.name.clone())));
        check.into_iter().chain(others).collect()
    }

    /// Whether jobs may read `repository` though no queue gates it.
    pub fn reads(&self, repository: &Repository) -> bool {
        let named = |job: &JobPolicy| job.inputs.iter().any(|input| input.repository == *repository);
        self.jobs.iter().any(named) || self.sites.iter().any(|site| site.inputs && site.has(repository))
    }

    /// Whether any queue has branches of `repository`.
    pub fn gates(&self, repository: &Repository) -> bool {
        self.queues.iter().any(|queue| queue.repositories.matches(repository.as_str()))
    }

    /// One policy behind a shared pointer, as events carry it.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}
