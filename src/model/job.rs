//! Jobs as configured, and as resolved at a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pipeline::JobPipelines;
use super::{Branch, JobName, Pair, Patterns, Repository, Sha, VerdictKey};

/// What a build does; all of it is part of the verdict's key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildSpec {
    /// Shell commands, run one after another by `sh -e` in the home repository's checkout.
    pub commands: Vec<Arc<str>>,
    /// Variables given to the build, beside the executor's fixed ones.
    pub environment: BTreeMap<Arc<str>, Arc<str>>,
    /// Wall-clock limit of the whole build, in milliseconds.
    pub timeout_ms: i64,
    /// What the build could touch: verdicts of one trust domain do not serve another.
    pub trust: Arc<str>,
}

impl BuildSpec {
    /// Gives each field to `put`, in an order that never changes.
    pub fn feed(&self, put: &mut impl FnMut(&[u8])) {
        for command in &self.commands {
            put(command.as_bytes());
        }
        put(b"end of commands");
        for (name, value) in &self.environment {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        put(b"end of environment");
        put(&self.timeout_ms.to_be_bytes());
        put(self.trust.as_bytes());
    }
}

/// A further repository that a job reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InputPolicy {
    /// The repository.
    pub repository: Repository,
    /// The branch; without it the one named as the change's own branch, else `default_branch`.
    pub branch: Option<Branch>,
    /// Only these paths are read and checked out; empty means all.
    pub paths: Vec<Arc<str>>,
}

/// For which items a job runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RunsFor {
    /// For each item that changes one of its inputs: what keeps main green.
    Inputs,
    /// For items that change its home repository only.
    Own,
    /// For items that change one of its files, in its home or in an input.
    Files,
}

/// How often a build that failed may be run for one entry into the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attempts {
    /// So often in all, at least once; with 1 a failure is final.
    UpTo(u32),
    /// So often in all while the job's record says that another attempt pays, else once.
    WhereItPays {
        /// How often in all.
        where_it_pays: u32,
    },
}

impl Attempts {
    /// The most attempts; `pays` says whether the job's record speaks for more than one.
    pub fn most(self, pays: bool) -> u32 {
        match self {
            Self::UpTo(most) => most.max(1),
            Self::WhereItPays { where_it_pays } if pays => where_it_pays.max(1),
            Self::WhereItPays { .. } => 1,
        }
    }
}

/// A job as an operator or a job file declares it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobPolicy {
    /// Its name, unique in the configuration or in its job file.
    pub name: JobName,
    /// The repositories that it is for (its homes).
    pub repositories: Patterns,
    /// The branches that it is for.
    pub branches: Patterns,
    /// What it reads beside its home.
    pub inputs: Vec<InputPolicy>,
    /// Whether it reads the other repositories of its home's sites, too.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub sites: bool,
    /// Only these paths of its home are read and checked out; empty means all.
    pub paths: Vec<Arc<str>>,
    /// Files of its home that are no input (patterns): left out of the checkout and of the key.
    pub ignored_files: Patterns,
    /// For which items it runs.
    pub runs_for: RunsFor,
    /// With [`RunsFor::Files`]: the files (patterns), of its home or of an input.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub files: Patterns,
    /// What its builds do.
    pub spec: Arc<BuildSpec>,
    /// Whether its verdict decides; otherwise it is only reported.
    pub voting: bool,
    /// Whether its builds read the commit's history; its key is then the commit, not the tree.
    pub history: bool,
    /// How long a verdict may serve, in milliseconds; `None` for ever, 0 for "never reuse".
    pub reuse_ms: Option<i64>,
    /// How often a build that failed may be run for one entry into the gate.
    pub attempts: Attempts,
    /// Jobs that must pass first, of the same item for the same home: where this job applies, they do too.
    /// Each once, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<JobName>,
    /// The pipelines in which it runs.
    #[serde(default, skip_serializing_if = "JobPipelines::is_usual")]
    pub pipelines: JobPipelines,
}

fn yes() -> bool {
    true
}

fn is_yes(flag: &bool) -> bool {
    *flag
}

/// An input at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResolvedInput {
    /// The branch read.
    pub pair: Pair,
    /// The commit at the node: what is checked out.
    pub commit: Sha,
    /// What the key sees: the id of the tree restricted to `paths`, or the commit with `history`.
    pub content: Sha,
    /// The paths read; empty means all.
    pub paths: Vec<Arc<str>>,
    /// Patterns of files that are left out.
    pub ignored_files: Patterns,
    /// Whether the checkout has the commit's history.
    pub history: bool,
}

/// A job of an item at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResolvedJob {
    /// The job's name.
    pub name: JobName,
    /// The branch that it is run for; the first of its inputs.
    pub home: Pair,
    /// What its verdict belongs to.
    pub key: VerdictKey,
    /// What to run.
    pub spec: Arc<BuildSpec>,
    /// What to check out.
    pub inputs: Vec<ResolvedInput>,
    /// As in [`JobPolicy`].
    pub voting: bool,
    /// As in [`JobPolicy`].
    pub reuse_ms: Option<i64>,
    /// As in [`JobPolicy`].
    pub attempts: Attempts,
    /// As in [`JobPolicy`]: each is among the same item's jobs, for the same home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<JobName>,
    /// How long the longest chain of needs below it is; 0 where it needs nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
}

fn is_zero(depth: &u32) -> bool {
    *depth == 0
}
