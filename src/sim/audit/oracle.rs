//! The serial oracle: judges one item afresh on what has landed, one at a time, in the order of the
//! decisions. Speculation must be invisible, so each decision must agree with it.

use std::collections::BTreeMap;

use super::depend::depends_of;
use crate::model::tree::Resolved;
use crate::model::{ItemChange, JobName, LandingForm, Pair, Pipeline, Policy, ResolvedJob, Sha};
use crate::queue::resolve::resolve;
use crate::sim::fakes::site::{NodeTrees, failing, job_file, steps};
use crate::sim::fakes::trees::alters;
use crate::sim::setting::Setting;
use crate::world::Gerrit;

/// What the oracle says of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judged {
    /// It cannot be merged.
    Conflict,
    /// A job file cannot be used.
    Broken,
    /// Nothing is configured for it.
    NoJob,
    /// These voting jobs fail.
    Failed(Vec<JobName>),
    /// All voting jobs pass.
    Passed,
    /// The branch contains it.
    Contained,
    /// The branch cannot move forward to it.
    Rebase,
}

/// The tree that changes of one branch give on `onto`, one after another, in the form of their repository;
/// none where one does not fit.
pub fn landed_tree(gerrit: &mut Gerrit, changes: &[ItemChange], onto: Sha) -> Option<Sha> {
    let mut at = onto;
    for change in changes {
        let tree = tree_on(gerrit, change, at)?;
        at = gerrit.git.add_commit(&[at, change.revision], tree, None, "the oracle's merge");
    }
    Some(gerrit.git.tree_id(at))
}

fn tree_on(gerrit: &mut Gerrit, change: &ItemChange, onto: Sha) -> Option<Sha> {
    let (form, revision) = (gerrit.form_of(&change.pair.repository), change.revision);
    let parents = gerrit.git.commit(revision)?.parents.clone();
    let copied = parents.len() == 1
        && match form {
            LandingForm::RebaseIfNecessary => !gerrit.git.reaches(revision, onto),
            LandingForm::RebaseAlways | LandingForm::CherryPick => true,
            _ => false,
        };
    if copied {
        return gerrit.git.merge_trees_from(parents.first().copied(), onto, revision).ok();
    }
    if gerrit.git.reaches(revision, onto) {
        return Some(gerrit.git.tree_id(revision));
    }
    gerrit.git.merge_trees(onto, revision).ok()
}

/// Whether `commit` is what the form of its repository makes of a change on `onto`.
pub fn has_form(gerrit: &Gerrit, change: &ItemChange, onto: Sha, commit: Sha) -> bool {
    let revision = change.revision;
    let (Some(original), Some(made)) = (gerrit.git.commit(revision), gerrit.git.commit(commit)) else {
        return false;
    };
    let merged = made.parents == [onto, revision];
    let itself = commit == revision && gerrit.git.reaches(revision, onto);
    let copied = made.parents == [onto] && made.change_id == original.change_id;
    let several = original.parents.len() > 1;
    match gerrit.form_of(&change.pair.repository) {
        LandingForm::MergeAlways => merged,
        LandingForm::FastForwardOnly => itself,
        LandingForm::MergeIfNecessary => itself || merged,
        LandingForm::RebaseIfNecessary => itself || if several { merged } else { copied },
        LandingForm::RebaseAlways | LandingForm::CherryPick if several => itself || merged,
        LandingForm::RebaseAlways | LandingForm::CherryPick => copied && !itself,
    }
}

/// The jobs of an item that makes the second commit of the first in each branch of `made`, with the other
/// branches as in `tips`.
pub fn jobs_at(
    gerrit: &Gerrit,
    policy: &Policy,
    changes: &[ItemChange],
    made: &BTreeMap<Pair, (Sha, Sha)>,
    tips: &BTreeMap<Pair, Sha>,
) -> Resolved {
    let altering = changes.iter().filter(|change| {
        made.get(&change.pair).is_some_and(|(onto, commit)| alters(gerrit, change.revision, *onto, *commit))
    });
    let altered = altering.map(|change| change.pair.clone()).collect();
    let pairs: Vec<Pair> = made.keys().cloned().collect();
    let here = made.iter().map(|(pair, (_, commit))| (pair.clone(), *commit)).collect();
    let moved = made.iter().map(|(pair, (onto, commit))| (pair, *onto, *commit));
    let steps = steps(gerrit, changes, moved);
    let mut trees = NodeTrees { gerrit, here, tips, altered, steps: &steps, read_job_file: &job_file };
    let revisions: Vec<Sha> = changes.iter().map(|change| change.revision).collect();
    let depends = depends_of(gerrit, &revisions);
    resolve(policy, &Pipeline::Gate, &pairs, &depends, &mut trees)
}

/// Judges an item on the tips.
pub fn judge(
    gerrit: &mut Gerrit,
    setting: &Setting,
    policy: &Policy,
    changes: &[ItemChange],
    tips: &BTreeMap<Pair, Sha>,
) -> Judged {
    let mut made: BTreeMap<Pair, (Sha, Sha)> = BTreeMap::new();
    for change in changes {
        let before = made.get(&change.pair).copied();
        let Some(tip) = tips.get(&change.pair).copied() else { return Judged::Conflict };
        let (start, onto) = before.unwrap_or((tip, tip));
        if gerrit.git.reaches(onto, change.revision) {
            return Judged::Contained;
        }
        let form = gerrit.form_of(&change.pair.repository);
        if form == LandingForm::FastForwardOnly && !gerrit.git.reaches(change.revision, onto) {
            return Judged::Rebase;
        }
        let Some(tree) = tree_on(gerrit, change, onto) else { return Judged::Conflict };
        let forward = form == LandingForm::FastForwardOnly;
        let commit = match forward {
            true => change.revision,
            false => gerrit.git.add_commit(&[onto, change.revision], tree, None, "the oracle's merge"),
        };
        made.insert(change.pair.clone(), (start, commit));
    }
    match jobs_at(gerrit, policy, changes, &made, tips) {
        Resolved::Jobs { jobs, noop, .. } => verdict(gerrit, setting, &jobs, noop),
        Resolved::Broken { .. } | Resolved::Failed { .. } => Judged::Broken,
    }
}

fn verdict(gerrit: &Gerrit, setting: &Setting, jobs: &[ResolvedJob], noop: bool) -> Judged {
    let failed = failing(gerrit, &setting.poison, jobs);
    if jobs.is_empty() && !noop {
        Judged::NoJob
    } else if failed.is_empty() {
        Judged::Passed
    } else {
        Judged::Failed(failed)
    }
}
