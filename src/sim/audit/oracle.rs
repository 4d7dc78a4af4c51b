//! The serial oracle: judges one item afresh on what has landed, one at a time, in the order of the
//! decisions. Speculation must be invisible, so each decision must agree with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::tree::Resolved;
use crate::model::{ItemChange, JobName, LandingForm, Pair, Pipeline, Policy, ResolvedJob, Sha};
use crate::queue::resolve::resolve;
use crate::sim::fakes::site::{NodeTrees, failing, job_file};
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

/// The tree that a change gives on `onto` in the form of its repository; none where it does not fit.
pub fn landed_tree(gerrit: &mut Gerrit, change: &ItemChange, onto: Sha) -> Option<Sha> {
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

/// The jobs of an item that makes `commit` of `onto`, with the other branches as in `tips`.
pub fn jobs_at(
    gerrit: &Gerrit,
    policy: &Policy,
    change: &ItemChange,
    onto: Sha,
    commit: Sha,
    tips: &BTreeMap<Pair, Sha>,
) -> Resolved {
    let pair = change.pair.clone();
    let altered = alters(gerrit, change.revision, onto, commit);
    let mut trees = NodeTrees {
        gerrit,
        here: BTreeMap::from([(pair.clone(), commit)]),
        tips,
        altered: if altered { BTreeSet::from([pair.clone()]) } else { BTreeSet::new() },
        read_job_file: &job_file,
    };
    resolve(policy, Pipeline::Gate, &[pair], &mut trees)
}

/// Judges a change on the tips.
pub fn judge(
    gerrit: &mut Gerrit,
    setting: &Setting,
    policy: &Policy,
    change: &ItemChange,
    tips: &BTreeMap<Pair, Sha>,
) -> Judged {
    let Some(onto) = tips.get(&change.pair).copied() else { return Judged::Conflict };
    if gerrit.git.reaches(onto, change.revision) {
        return Judged::Contained;
    }
    let form = gerrit.form_of(&change.pair.repository);
    if form == LandingForm::FastForwardOnly && !gerrit.git.reaches(change.revision, onto) {
        return Judged::Rebase;
    }
    let Some(tree) = landed_tree(gerrit, change, onto) else { return Judged::Conflict };
    let commit = gerrit.git.add_commit(&[onto, change.revision], tree, None, "the oracle's merge");
    match jobs_at(gerrit, policy, change, onto, commit, tips) {
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
