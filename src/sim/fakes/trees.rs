//! The tree store: merges of nodes, the closure walk, and the last checks before a push.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::site::{NodeTrees, job_file_blob};
use crate::model::action::{Merge, Onto, Push};
use crate::model::tree::{Foreign, Prepared, Resolved, Written};
use crate::model::{Branch, NodeId, Pair, Pipeline, Policy, Sha, Timestamp};
use crate::queue::resolve::resolve;
use crate::world::Gerrit;

/// A node as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What it writes.
    pub writes: Vec<Written>,
    /// Its jobs.
    pub resolved: Resolved,
}

/// The daemon's object store.
#[derive(Clone, Debug, Default)]
pub struct TreeStore {
    nodes: BTreeMap<NodeId, Made>,
    /// The daemon's own merge commits.
    own: BTreeSet<Sha>,
    /// Whether what could be fast-forwarded is merged all the same.
    merge_always: bool,
}

impl TreeStore {
    /// An empty store that merges always, or only where a fast-forward is not possible.
    pub fn new(merge_always: bool) -> Self {
        Self { merge_always, ..Self::default() }
    }
}

/// What a merge has given, or why there is none.
type Merging<T> = Result<T, Prepared>;

impl TreeStore {
    /// Makes a node and finds its jobs. The second half is there when the first is `Merged`.
    pub fn prepare(
        &mut self,
        gerrit: &mut Gerrit,
        policy: &Policy,
        node: NodeId,
        date: Timestamp,
        merges: &[Merge],
        overlay: &[(Pair, NodeId)],
    ) -> (Prepared, Option<Resolved>) {
        let mut here = BTreeMap::new();
        for (pair, ahead) in overlay {
            match self.written(*ahead, pair) {
                Some(commit) => here.insert(pair.clone(), commit),
                None => return (Prepared::NoParent, None),
            };
        }
        let mut writes: Vec<Written> = Vec::new();
        let mut foreign = Vec::new();
        let mut altered = BTreeSet::new();
        for merge in merges {
            let written = match self.merge(gerrit, merge, date, &writes) {
                Ok(written) => written,
                Err(outcome) => return (outcome, None),
            };
            foreign.extend(self.foreign(gerrit, merge, written.commit));
            if alters(gerrit, merge.change.revision, written.onto, written.commit) {
                altered.insert(written.pair.clone());
            }
            here.insert(written.pair.clone(), written.commit);
            writes.retain(|other| other.pair != written.pair);
            writes.push(written);
        }
        let tips = gerrit.branches().clone();
        let pairs: Vec<Pair> = writes.iter().map(|written| written.pair.clone()).collect();
        let mut trees = NodeTrees { gerrit, here, tips: &tips, altered };
        let resolved = resolve(policy, Pipeline::Gate, &pairs, &mut trees);
        self.nodes.insert(node, Made { writes: writes.clone(), resolved: resolved.clone() });
        (Prepared::Merged { writes, foreign }, Some(resolved))
    }

    fn merge(
        &mut self,
        gerrit: &mut Gerrit,
        merge: &Merge,
        date: Timestamp,
        before: &[Written],
    ) -> Merging<Written> {
        let pair = &merge.change.pair;
        let onto = match merge.onto {
            Onto::Commit(commit) => commit,
            Onto::Node(node) => self.written(node, pair).ok_or(Prepared::NoParent)?,
        };
        let onto = before.iter().find(|written| written.pair == *pair).map_or(onto, |written| written.commit);
        let revision = merge.change.revision;
        if gerrit.git.commit(revision).is_none() || gerrit.git.commit(onto).is_none() {
            return Err(Prepared::Failed { why: "a commit is missing".into() });
        }
        let commit = self.join(gerrit, onto, revision, date, pair)?;
        let tree = gerrit.git.tree_id(commit);
        Ok(Written { pair: pair.clone(), commit, tree, onto, job_file: job_file_blob(gerrit, commit) })
    }

    fn join(
        &mut self,
        gerrit: &mut Gerrit,
        onto: Sha,
        revision: Sha,
        date: Timestamp,
        pair: &Pair,
    ) -> Merging<Sha> {
        if gerrit.git.reaches(onto, revision) {
            return Err(Prepared::Unfit { why: "the branch contains it already".into() });
        }
        if !self.merge_always && gerrit.git.reaches(revision, onto) {
            return Ok(revision);
        }
        let conflict = |paths: Vec<Arc<str>>| Prepared::Conflict { pair: pair.clone(), paths };
        let tree = gerrit.git.merge_trees(onto, revision).map_err(conflict)?;
        let commit = gerrit.git.add_commit(&[onto, revision], tree, None, &format!("merge {date}"));
        self.own.insert(commit);
        Ok(commit)
    }

    fn foreign(&self, gerrit: &Gerrit, merge: &Merge, commit: Sha) -> Vec<Foreign> {
        let pair = &merge.change.pair;
        let allowed: BTreeSet<Sha> = merge.allowed.iter().copied().collect();
        let strangers = self.strangers(gerrit, merge.tip, commit, &allowed);
        let describe = |commit: Sha| Foreign {
            pair: pair.clone(),
            commit,
            change_id: gerrit.git.commit(commit).and_then(|commit| commit.change_id.clone()),
            merged_from: merged_from(gerrit, pair, &merge.merge_from, commit),
        };
        strangers.into_iter().map(describe).collect()
    }

    fn strangers(&self, gerrit: &Gerrit, old: Sha, new: Sha, allowed: &BTreeSet<Sha>) -> Vec<Sha> {
        let walk = gerrit.git.between(old, new);
        walk.into_iter().filter(|commit| !self.own.contains(commit) && !allowed.contains(commit)).collect()
    }

    /// The commit that a node writes in a branch.
    pub fn written(&self, node: NodeId, pair: &Pair) -> Option<Sha> {
        let made = self.nodes.get(&node)?;
        made.writes.iter().find(|written| written.pair == *pair).map(|written| written.commit)
    }

    /// A node as it was made.
    pub fn made(&self, node: NodeId) -> Option<&Made> {
        self.nodes.get(&node)
    }

    /// Forgets a node.
    pub fn release(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Forgets all nodes, as a store that was moved aside.
    pub fn forget_all(&mut self) {
        self.nodes.clear();
    }

    /// The adapter's own last check before a push: nothing goes out that was not judged.
    pub fn fit_to_push(&self, gerrit: &Gerrit, push: &Push) -> Result<(), String> {
        let judged: BTreeSet<Sha> = push
            .changes
            .iter()
            .map(|(_, _, revision)| *revision)
            .chain(push.judged.iter().copied())
            .collect();
        match self.strangers(gerrit, push.old, push.new, &judged).first() {
            Some(stranger) => {
                Err(format!("the push would bring in {}, which was not judged", stranger.short()))
            }
            None => Ok(()),
        }
    }
}

/// Whether a change alters the job file of its branch: against what it is merged onto, or by its
/// own difference.
pub fn alters(gerrit: &Gerrit, revision: Sha, onto: Sha, commit: Sha) -> bool {
    let parent = gerrit.git.commit(revision).and_then(|commit| commit.parents.first().copied());
    let own = parent.is_none_or(|parent| job_file_blob(gerrit, parent) != job_file_blob(gerrit, revision));
    own || job_file_blob(gerrit, onto) != job_file_blob(gerrit, commit)
}

fn merged_from(gerrit: &Gerrit, pair: &Pair, branches: &[Branch], commit: Sha) -> bool {
    branches.iter().any(|branch| {
        let from = Pair { repository: pair.repository.clone(), branch: branch.clone() };
        from != *pair && gerrit.tip(&from).is_some_and(|tip| gerrit.git.reaches(tip, commit))
    })
}
