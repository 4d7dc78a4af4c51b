//! What a job reads beside its home: the inputs that it names, those of its home's sites, and what the
//! item's changes depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::matcher::preferred;
use super::{Resolution, Stop};
use crate::model::{InputPolicy, JobPolicy, Pair, Repository, Sha, SiteName};

/// What a job reads beside its home.
pub(super) struct Reading<'a> {
    /// Commits, and the paths that are read; none means all.
    pub others: BTreeMap<Pair, (Sha, Vec<Arc<str>>)>,
    /// An input that has no such branch.
    pub missing: Option<&'a Repository>,
    /// A repository of a site that has none, with the site.
    pub missing_member: Option<(SiteName, Repository)>,
}

impl Resolution<'_> {
    /// What a job reads.
    pub(super) fn reading<'j>(&mut self, job: &'j JobPolicy, home: &Pair) -> Result<Reading<'j>, Stop> {
        let mut reading = self.named(job, home)?;
        self.add_sites(job, home, &mut reading)?;
        Ok(reading)
    }

    /// Adds what a job reads through the sites of its home.
    pub(super) fn add_sites(
        &mut self,
        job: &JobPolicy,
        home: &Pair,
        reading: &mut Reading<'_>,
    ) -> Result<(), Stop> {
        let through_sites = self.site_inputs(job, home)?;
        let branches = through_sites.branches.into_iter();
        reading.others.extend(branches.map(|(pair, commit)| (pair, (commit, Vec::new()))));
        reading.missing_member = through_sites.missing;
        Ok(())
    }

    /// What a job reads of the inputs that it names.
    pub(super) fn named<'j>(&mut self, job: &'j JobPolicy, home: &Pair) -> Result<Reading<'j>, Stop> {
        let mut others: BTreeMap<Pair, (Sha, Vec<Arc<str>>)> = BTreeMap::new();
        let mut missing = None;
        for input in &job.inputs {
            let Some((pair, commit)) = self.input(input, home)? else {
                missing = Some(&input.repository);
                continue;
            };
            if pair != *home {
                others
                    .entry(pair)
                    .and_modify(|found| found.1 = union(&found.1, &input.paths))
                    .or_insert((commit, union(&input.paths, &input.paths)));
            }
        }
        Ok(Reading { others, missing, missing_member: None })
    }

    /// What the item's changes depend on is an input of each of its jobs. A build has one folder for a
    /// repository: the branch that the job asks for itself goes first, then the one named as its home's.
    pub(super) fn add_depended_on(
        &mut self,
        home: &Pair,
        others: &mut BTreeMap<Pair, (Sha, Vec<Arc<str>>)>,
    ) -> Result<(), Stop> {
        let (same, other): (Vec<&Pair>, Vec<&Pair>) =
            self.depends.iter().partition(|pair| pair.branch == home.branch);
        for pair in same.into_iter().chain(other) {
            let has_folder = pair.repository == home.repository
                || others.keys().any(|other| other.repository == pair.repository);
            if !has_folder && let Some(commit) = self.commit(pair)? {
                others.insert(pair.clone(), (commit, Vec::new()));
            }
        }
        Ok(())
    }

    /// The branch that an input means for `home`: the one named, else the same-named one, else the
    /// default branch. That a preferred branch does not exist is itself something read.
    fn input(&mut self, input: &InputPolicy, home: &Pair) -> Result<Option<(Pair, Sha)>, Stop> {
        let repository = &input.repository;
        let pair = preferred(input, home);
        if let Some(commit) = self.commit(&pair)? {
            return Ok(Some((pair, commit)));
        }
        if input.branch.is_some() {
            return Ok(None);
        }
        let Some(branch) = self.trees.default_branch(repository)? else { return Ok(None) };
        let pair = Pair { repository: repository.clone(), branch };
        Ok(self.commit(&pair)?.map(|commit| (pair, commit)))
    }
}

/// Both lists of paths as one, sorted; none at all means everything.
fn union(left: &[Arc<str>], right: &[Arc<str>]) -> Vec<Arc<str>> {
    if left.is_empty() || right.is_empty() {
        return Vec::new();
    }
    left.iter().chain(right).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
