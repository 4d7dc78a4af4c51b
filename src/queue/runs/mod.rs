//! Runs at the tips of branches: after a landing, at set times, and in search of a culprit.
//!
//! A run has nodes, verdicts and builds as an item has, and an id of the same kind, but no changes: it
//! merges nothing and lands nothing. So it keeps an [`Item`] without changes as its stay, and all that
//! plans queues and checks does not know of it. What a run waits for never keeps an item from landing.

mod apply;
mod hunt;
mod landed;
mod plan;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::Item;
use crate::model::item::JobResult;
use crate::model::run::{Blame, Move, Probe};
use crate::model::view::RunView;
use crate::model::{ItemId, JobName, Pair, Pipeline, PipelineName, Sha, Timestamp};

pub(crate) use landed::Landed;

/// A job of a pipeline, for a branch.
pub(crate) type JobAt = (Pipeline, JobName, Pair);

/// A look at the past that is to be taken: of which job, at which commits, and after how many suspects.
type Look = (JobAt, Vec<(Pair, Sha)>, usize);

/// All that the core remembers of runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Runs {
    pub under_way: BTreeMap<ItemId, Run>,
    /// Runs that are to begin, at what is then the tip.
    pub owed: BTreeSet<(Pipeline, Pair)>,
    /// The last moment of each periodic pipeline that was heeded, or when it was configured.
    pub due: BTreeMap<PipelineName, Timestamp>,
    /// The last run that ended. Bounded.
    #[serde(with = "super::pairs")]
    pub ended: BTreeMap<(Pipeline, Pair), RunView>,
    /// What the last verdict of each job was. Bounded.
    #[serde(with = "super::pairs")]
    pub verdicts: BTreeMap<JobAt, TipVerdict>,
    /// Jobs of which it is found out since when they fail.
    #[serde(with = "super::pairs")]
    pub hunts: BTreeMap<JobAt, Hunt>,
    /// How branches have moved, oldest first. Bounded.
    pub moves: VecDeque<Move>,
}

impl Runs {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
            && self.owed.is_empty()
            && self.due.is_empty()
            && self.ended.is_empty()
            && self.verdicts.is_empty()
            && self.hunts.is_empty()
            && self.moves.is_empty()
    }
}

/// A run under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its node, verdicts and builds. It has no changes.
    pub stay: Item,
    /// The branch that it judges, at its commit, and before others that are not at their tips.
    pub tips: Vec<(Pair, Sha)>,
    /// What it is to find out, where it looks at the past.
    pub probe: Option<Probe>,
}

impl Run {
    /// The branch that it judges.
    pub fn pair(&self) -> Option<&Pair> {
        self.tips.first().map(|(pair, _)| pair)
    }

    /// The job whose failure it looks into.
    pub fn job(&self) -> Option<JobAt> {
        let probe = self.probe.as_ref()?;
        Some((self.stay.pipeline.clone(), probe.job.clone(), probe.home.clone()))
    }
}

/// The last verdict of a job at the tips.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TipVerdict {
    pub passed: bool,
    /// What it has read; its home first.
    pub tips: Vec<(Pair, Sha)>,
    pub policy_epoch: u64,
    /// Since when it fails, as far as that was found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
}

/// The search for what made a job fail: by halves, between a state at which it passed and one at which it
/// fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hunt {
    /// The run in which it was first seen to fail.
    pub origin: ItemId,
    /// When that began: failures since then need not be repeated.
    pub since: Timestamp,
    /// What the job reads, as it was when it passed; its home first.
    pub tips: Vec<(Pair, Sha)>,
    /// What came in since then, in order; what cannot be told apart stands together.
    pub suspects: Vec<Vec<Move>>,
    /// Whether it is sure to have passed before all of them, under this configuration.
    pub sure: bool,
    /// It passes after so many of them.
    pub good: usize,
    /// It fails after so many of them.
    pub bad: usize,
    /// How it fails there.
    pub shown: JobResult,
    /// Why nothing can be found out.
    pub unknown: Option<Arc<str>>,
    /// The run that looks.
    pub probe: Option<ItemId>,
}
