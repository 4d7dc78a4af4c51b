//! The tree store: merges of nodes, the closure walk, and the last checks before a push.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::site::{NodeTrees, ReadJobFile, job_file_blob, steps};
use crate::model::action::{Merge, Onto, Push};
use crate::model::tree::{Foreign, Prepared, Resolved, Written};
use crate::model::{
    Branch, ChangeId, LandingForm, NodeId, Outcome, Pair, Pipeline, Policy, Reason, Sha, Timestamp,
};
use crate::queue::resolve::resolve;
use crate::world::Gerrit;

/// A node as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What it writes.
    pub writes: Vec<Written>,
    /// Its jobs.
    pub resolved: Resolved,
    /// The commits that were made for it.
    own: Vec<Sha>,
}

/// The daemon's object store.
#[derive(Clone, Debug, Default)]
pub struct TreeStore {
    nodes: BTreeMap<NodeId, Made>,
    /// The daemon's own commits: merges, and copies with the patch set that each stands for.
    own: BTreeMap<Sha, Option<Sha>>,
    /// Those of them that a restart has made strangers.
    forgotten: BTreeSet<Sha>,
}

/// A node that is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The node.
    pub node: NodeId,
    /// The date of its commits.
    pub date: Timestamp,
    /// For which pipeline it is.
    pub pipeline: &'a Pipeline,
    /// The merges, in order.
    pub merges: &'a [Merge],
    /// What items ahead write.
    pub overlay: &'a [(Pair, NodeId)],
    /// How job files are read.
    pub job_file: ReadJobFile<'a>,
    /// Branches of changes that it depends on.
    pub depends: &'a [Pair],
    /// Branches at the commits that a run judges.
    pub tips: &'a [(Pair, Sha)],
    /// What counts for the tips of branches outside of its queue.
    pub pins: &'a [(Pair, Option<Sha>)],
}

/// What a merge has given, or why there is none.
type Merging<T> = Result<T, Prepared>;

impl TreeStore {
    /// Makes a node and finds its jobs. The second half is there when the first is `Merged`.
    pub fn prepare(
        &mut self,
        gerrit: &mut Gerrit,
        policy: &Policy,
        asked: &Asked<'_>,
    ) -> (Prepared, Option<Resolved>) {
        let Asked { node, merges, overlay, .. } = *asked;
        let mut here = BTreeMap::new();
        for (pair, ahead) in overlay {
            match self.written(*ahead, pair) {
                Some(commit) => here.insert(pair.clone(), commit),
                None => return (Prepared::NoParent, None),
            };
        }
        let mut writes: Vec<Written> = Vec::new();
        for (pair, commit) in asked.tips {
            if gerrit.git.commit(*commit).is_none() {
                return (Prepared::Failed { why: "a commit is missing".into() }, None);
            }
            here.insert(pair.clone(), *commit);
        }
        writes.extend(asked.tips.first().map(|(pair, commit)| tip_of(gerrit, pair, *commit)));
        let mut foreign = Vec::new();
        let (mut altered, mut own) = (BTreeSet::new(), Vec::new());
        for merge in merges {
            let mut written = match self.merge(gerrit, merge, asked, &writes) {
                Ok(written) => written,
                Err(outcome) => return (outcome, None),
            };
            foreign.retain(|other: &Foreign| other.pair != written.pair);
            foreign.extend(self.foreign(gerrit, merge, written.commit));
            if alters(gerrit, merge.change.revision, written.onto, written.commit) {
                altered.insert(written.pair.clone());
            }
            here.insert(written.pair.clone(), written.commit);
            own.extend(Some(written.commit).filter(|commit| self.own.contains_key(commit)));
            if let Some(first) = writes.iter().find(|other| other.pair == written.pair) {
                written.onto = first.onto;
            }
            writes.retain(|other| other.pair != written.pair);
            writes.push(written);
        }
        let mut tips = gerrit.branches().clone();
        for (pair, pin) in asked.pins {
            match pin {
                Some(commit) => drop(tips.insert(pair.clone(), *commit)),
                None => drop(tips.remove(pair)),
            }
        }
        let pairs: Vec<Pair> = match merges.last() {
            // But in the gate, all merges but the last are only looked through.
            Some(last) if !asked.pipeline.lands() => vec![last.change.pair.clone()],
            _ => writes.iter().map(|written| written.pair.clone()).collect(),
        };
        let made = writes.iter().map(|written| (&written.pair, written.onto, written.commit));
        let steps = steps(gerrit, merges.iter().map(|merge| &merge.change), made);
        let read_job_file = asked.job_file;
        let mut trees = NodeTrees { gerrit, here, tips: &tips, altered, steps: &steps, read_job_file };
        let resolved = resolve(policy, asked.pipeline, &pairs, asked.depends, &mut trees);
        self.nodes.insert(node, Made { writes: writes.clone(), resolved: resolved.clone(), own });
        (Prepared::Merged { writes, foreign }, Some(resolved))
    }

    fn merge(
        &mut self,
        gerrit: &mut Gerrit,
        merge: &Merge,
        asked: &Asked<'_>,
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
        let commit = self.join(gerrit, merge, onto, asked)?;
        let tree = gerrit.git.tree_id(commit);
        Ok(Written { pair: pair.clone(), commit, tree, onto, job_file: job_file_blob(gerrit, commit) })
    }

    fn join(&mut self, gerrit: &mut Gerrit, merge: &Merge, onto: Sha, asked: &Asked<'_>) -> Merging<Sha> {
        let (revision, pair) = (merge.change.revision, &merge.change.pair);
        if gerrit.git.reaches(onto, revision) {
            return Err(Prepared::Unfit { why: "the branch contains it already".into() });
        }
        let Some(form) = merge.form else {
            return Err(Prepared::Failed { why: "it is not known how to land it".into() });
        };
        let parents = gerrit.git.commit(revision).map_or(0, |commit| commit.parents.len());
        let forward = gerrit.git.reaches(revision, onto);
        match form {
            LandingForm::MergeAlways => self.merged(gerrit, merge, onto, asked.date),
            LandingForm::MergeIfNecessary | LandingForm::RebaseIfNecessary if forward => Ok(revision),
            LandingForm::FastForwardOnly if forward => Ok(revision),
            LandingForm::FastForwardOnly if asked.pipeline.lands() => {
                Err(Prepared::Held { reason: Reason::Rebase { pair: pair.clone() } })
            }
            _ if form.rewrites(parents) => self.copied(gerrit, merge, onto, asked.date),
            LandingForm::RebaseAlways | LandingForm::CherryPick if forward => Ok(revision),
            _ => self.merged(gerrit, merge, onto, asked.date),
        }
    }

    fn merged(&mut self, gerrit: &mut Gerrit, merge: &Merge, onto: Sha, date: Timestamp) -> Merging<Sha> {
        let (revision, pair) = (merge.change.revision, &merge.change.pair);
        let conflict = |paths: Vec<Arc<str>>| Prepared::Conflict { pair: pair.clone(), paths };
        let tree = gerrit.git.merge_trees(onto, revision).map_err(conflict)?;
        let commit = gerrit.git.add_commit(&[onto, revision], tree, None, &format!("merge {date}"));
        self.own.insert(commit, None);
        self.forgotten.remove(&commit);
        Ok(commit)
    }

    fn copied(&mut self, gerrit: &mut Gerrit, merge: &Merge, onto: Sha, date: Timestamp) -> Merging<Sha> {
        let (revision, pair) = (merge.change.revision, &merge.change.pair);
        let conflict = |paths: Vec<Arc<str>>| Prepared::Conflict { pair: pair.clone(), paths };
        let original = gerrit.git.commit(revision).cloned();
        let parent = original.as_ref().and_then(|original| original.parents.first().copied());
        let change_id = original.and_then(|original| original.change_id);
        let tree = gerrit.git.merge_trees_from(parent, onto, revision).map_err(conflict)?;
        let message = format!("{} copied {date}", merge.change.subject);
        let commit = gerrit.git.add_commit(&[onto], tree, change_id.as_ref(), &message);
        self.own.insert(commit, Some(revision));
        self.forgotten.remove(&commit);
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

    /// What comes in and was not allowed. A copy counts as the daemon's own only for a patch set that
    /// is allowed, and then stands in for it.
    fn strangers(&self, gerrit: &Gerrit, old: Sha, new: Sha, allowed: &BTreeSet<Sha>) -> Vec<Sha> {
        let walk = gerrit.git.between(old, new);
        let own = |commit: &Sha| {
            let stands_for = self.own.get(commit).filter(|_| !self.forgotten.contains(commit))?;
            stands_for.is_none_or(|revision| allowed.contains(&revision)).then_some(*stands_for)
        };
        let copied: BTreeSet<Sha> = walk.iter().filter_map(own).flatten().collect();
        let known =
            |commit: &Sha| own(commit).is_some() || allowed.contains(commit) && !copied.contains(commit);
        walk.iter().copied().filter(|commit| !known(commit)).collect()
    }

    /// The commit that a node writes in a branch.
    pub fn written(&self, node: NodeId, pair: &Pair) -> Option<Sha> {
        let made = self.nodes.get(&node)?;
        made.writes.iter().find(|written| written.pair == *pair).map(|written| written.commit)
    }

    /// The patch set that a copy stands for.
    pub fn stands_for(&self, commit: Sha) -> Option<Sha> {
        self.own.get(&commit).copied().flatten()
    }

    /// A node as it was made.
    pub fn made(&self, node: NodeId) -> Option<&Made> {
        self.nodes.get(&node)
    }

    /// Forgets a node.
    pub fn release(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// The daemon is started again: of its commits it knows those of the nodes that it kept.
    pub fn restart(&mut self) {
        let kept: BTreeSet<Sha> = self.nodes.values().flat_map(|made| &made.own).copied().collect();
        self.forgotten = self.own.keys().copied().filter(|commit| !kept.contains(commit)).collect();
    }

    /// Forgets all nodes, as a store that was moved aside.
    pub fn forget_all(&mut self) {
        self.nodes.clear();
    }

    /// The store is lost while the daemon runs, or while it is dead.
    pub fn wipe(&mut self) {
        self.forget_all();
        self.restart();
    }

    /// The adapter's own last check before a push: nothing goes out that was not judged.
    pub fn fit_to_push(&self, gerrit: &Gerrit, push: &Push) -> Result<(), Outcome> {
        if self.forgotten.contains(&push.new) {
            return Err(Outcome::Gone(format!("{} is no longer in the store", push.new.short()).into()));
        }
        let judged: BTreeSet<Sha> = push
            .changes
            .iter()
            .map(|(_, _, revision)| *revision)
            .chain(push.judged.iter().copied())
            .collect();
        match self.strangers(gerrit, push.old, push.new, &judged).first() {
            Some(stranger) => {
                let why = format!("the push would bring in {}, which was not judged", stranger.short());
                Err(Outcome::Refused(why.into()))
            }
            None => Ok(()),
        }
    }
}

/// A branch as it is.
fn tip_of(gerrit: &Gerrit, pair: &Pair, commit: Sha) -> Written {
    let (tree, job_file) = (gerrit.git.tree_id(commit), job_file_blob(gerrit, commit));
    Written { pair: pair.clone(), commit, tree, onto: commit, job_file }
}

/// The first step of a branch since the old tip that holds a change, as its patch set or as a copy.
pub fn landed_as(gerrit: &Gerrit, tip: Sha, old: Sha, revision: Sha, change_id: &ChangeId) -> Option<Sha> {
    let mut steps = Vec::new();
    let mut at = tip;
    while at != old {
        steps.push(at);
        at = gerrit.git.commit(at)?.parents.first().copied()?;
    }
    let holds = |commit: &Sha| {
        let id = gerrit.git.commit(*commit).and_then(|commit| commit.change_id.as_ref());
        *commit == revision || id == Some(change_id)
    };
    steps.into_iter().rev().find(|step| gerrit.git.between(old, *step).iter().any(holds))
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
