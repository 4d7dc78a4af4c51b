//! What has happened so far, as expectations ask for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    BuildId, ChangeNumber, Departure, ItemId, JobName, Pair, Pipeline, Repository, VerdictKey,
};

/// How a build stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildStand {
    /// It runs.
    Runs,
    /// It was told to stop and had not ended.
    Stopped,
    /// It has ended by itself.
    Ended,
}

/// A build.
#[derive(Clone, Debug)]
pub struct BuildPage {
    /// Its job.
    pub job: JobName,
    /// The changes in its trees that had not landed when it began.
    pub tree: BTreeSet<ChangeNumber>,
    /// The item for which it was bought.
    pub item: ItemId,
    /// How it stands.
    pub stand: BuildStand,
}

/// A run at the tip of a branch.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// Its pipeline.
    pub pipeline: String,
    /// The branch.
    pub pair: Pair,
    /// It looks for a culprit.
    pub probes: bool,
}

/// One stay of an item.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// Its changes.
    pub changes: Vec<ChangeNumber>,
    /// Verdicts that it uses.
    pub adopted: BTreeMap<VerdictKey, JobName>,
    /// Builds that were bought for it.
    pub bought: BTreeSet<VerdictKey>,
    /// How it ended.
    pub ended: Option<Departure>,
    /// What its end was to each of its changes that were told of it.
    pub told: BTreeMap<ChangeNumber, Departure>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// All builds.
    pub builds: BTreeMap<BuildId, BuildPage>,
    /// All stays, oldest first.
    pub stays: BTreeMap<ItemId, Stay>,
    /// All runs at tips.
    pub runs: BTreeMap<ItemId, RunPage>,
    /// What stood in the daemon's log.
    pub log: Vec<String>,
    /// What has landed, in order, each with the number of its push.
    pub landed: Vec<(ChangeNumber, u32)>,
    /// Pushes of the daemon that have landed.
    pub pushes: u32,
    /// Movements of branches, by anyone: gives what has landed together a number.
    pub moves: u32,
    /// Builds up to this one were counted before.
    pub counted: BuildId,
    /// Bought, and not begun yet: the key and the item.
    pub bought: BTreeMap<BuildId, (VerdictKey, ItemId)>,
    /// The last answer to an operator.
    pub answer: Option<(bool, String)>,
}

impl Book {
    /// Whether a change has landed.
    pub fn has_landed(&self, number: ChangeNumber) -> bool {
        self.landed.iter().any(|(landed, _)| *landed == number)
    }

    /// The last stay of a change in a pipeline.
    pub fn last_stay(&self, number: ChangeNumber, pipeline: &Pipeline) -> Option<&Stay> {
        self.stays.values().rev().find(|stay| stay.pipeline == *pipeline && stay.changes.contains(&number))
    }

    /// The builds that run.
    pub fn running(&self) -> impl Iterator<Item = &BuildPage> {
        self.builds.values().filter(|build| build.stand == BuildStand::Runs)
    }

    /// A tree without what has landed since; the whole where all of it has.
    pub fn still(&self, tree: &BTreeSet<ChangeNumber>) -> BTreeSet<ChangeNumber> {
        let rest: BTreeSet<ChangeNumber> =
            tree.iter().copied().filter(|number| !self.has_landed(*number)).collect();
        if rest.is_empty() { tree.clone() } else { rest }
    }

    /// Whether a tree is meant by another: what has landed meanwhile may be named or not.
    pub fn same_tree(&self, one: &BTreeSet<ChangeNumber>, other: &BTreeSet<ChangeNumber>) -> bool {
        one == other || self.still(one) == self.still(other)
    }
}

/// A repository's name in a pair, as people write it: the branch only where it is not `main`.
pub fn place(pair: &Pair) -> String {
    let repository: &Repository = &pair.repository;
    if pair.branch.as_str() == "main" { repository.to_string() } else { pair.to_string() }
}
