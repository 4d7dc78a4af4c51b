//! What sites add to an item's jobs: a job reads the other repositories of its home's sites, and so runs
//! for their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Resolution, Stop};
use crate::model::job::RunsFor;
use crate::model::{Branch, JobPolicy, Pair, Pipeline, Policy, Repository, Sha, SiteName, SitePolicy};

/// How many repositories a site may have whose jobs read them all: each build checks all of them out, so
/// more than this is a pattern that matches more than was meant.
const MEMBERS_MAX: usize = 500;

/// A repository of a site.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Member {
    repository: Repository,
    /// Whether the operator has written its name: then it must be there.
    named: bool,
}

/// What is known of sites in one resolution.
#[derive(Default)]
pub(super) struct Sites {
    /// Repositories by the site's place in the configuration, as far as they were needed.
    members: BTreeMap<usize, Arc<[Member]>>,
    /// The places of the sites that a repository is in, as far as they were needed.
    places: BTreeMap<Repository, Arc<[usize]>>,
    /// The branches elsewhere whose jobs may read through a site what the item writes.
    homes: BTreeSet<Pair>,
}

/// The sites with `inputs` that have `repository`, in order.
pub fn sites_of<'a>(policy: &'a Policy, repository: &Repository) -> Vec<&'a SitePolicy> {
    policy.sites.iter().filter(|site| site.inputs && site.has(repository)).collect()
}

/// The repositories of a site among those that are `known` (sorted), and those that it names.
fn members_of(site: &SitePolicy, known: &[Repository]) -> Vec<Member> {
    let mut members: BTreeMap<Repository, bool> = BTreeMap::new();
    for pattern in &site.repositories.0 {
        match pattern.literal() {
            Some(name) => drop(members.insert(name.into(), true)),
            None => {
                for repository in known.iter().filter(|repository| pattern.matches(repository.as_str())) {
                    members.entry(repository.clone()).or_insert(false);
                }
            }
        }
    }
    members.into_iter().map(|(repository, named)| Member { repository, named }).collect()
}

impl Resolution<'_> {
    /// Finds the branches elsewhere whose jobs may read what the item writes: those of the same name, and
    /// where there is none of that name and the item writes what is read instead, the default branch.
    pub(super) fn find_site_homes(&mut self) -> Result<(), Stop> {
        let (policy, known) = (self.policy, self.known.clone());
        for (at, site) in policy.sites.iter().enumerate().filter(|(_, site)| site.inputs) {
            for written in self.writes.clone() {
                if !site.has(&written.repository) {
                    continue;
                }
                for member in self.members(at)?.iter() {
                    // What is named and not there is told of by the job that reads it.
                    if known.binary_search(&member.repository).is_ok() {
                        self.find_site_home(site, &written, &member.repository)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn find_site_home(&mut self, site: &SitePolicy, written: &Pair, of: &Repository) -> Result<(), Stop> {
        let home = Pair { repository: of.clone(), branch: written.branch.clone() };
        if self.writes.contains(&home) || self.sites.homes.contains(&home) {
            return Ok(());
        }
        if self.trees.commit(&home)?.is_some() {
            self.sites.homes.insert(home);
            return Ok(());
        }
        // Were there such a branch, other jobs would apply.
        self.commit(&home)?;
        if self.fallback(site, &written.repository)?.as_ref() == Some(&written.branch)
            && let Some(branch) = self.trees.default_branch(of)?
        {
            self.sites.homes.insert(Pair { repository: of.clone(), branch });
        }
        Ok(())
    }

    /// The branch that is read of `repository` where it has none of the home's name.
    fn fallback(&mut self, site: &SitePolicy, repository: &Repository) -> Result<Option<Branch>, Stop> {
        match &site.branch {
            Some(branch) => Ok(Some(branch.clone())),
            None => Ok(self.trees.default_branch(repository)?),
        }
    }

    /// Whether a job may run for `home` because of what the item writes in another repository of its sites.
    pub(super) fn reaches_through_a_site(&self, job: &JobPolicy, home: &Pair) -> bool {
        // At set times each job runs for its own branches, once.
        let reaches = !matches!(self.pipeline, Pipeline::Periodic(_));
        reaches && job.sites && job.runs_for == RunsFor::Inputs && self.sites.homes.contains(home)
    }

    /// The branches elsewhere whose jobs may read through a site what the item writes.
    pub(super) fn site_homes(&self) -> &BTreeSet<Pair> {
        &self.sites.homes
    }

    /// What a job of `home` reads through its sites: branches with their commits, without its home and
    /// without the repositories that it names itself, which go first with their branches and paths.
    pub(super) fn site_inputs(&mut self, job: &JobPolicy, home: &Pair) -> Result<SiteInputs, Stop> {
        let mut found = SiteInputs::default();
        let (policy, places) = (self.policy, self.places(&home.repository));
        if !job.sites || places.is_empty() {
            return Ok(found);
        }
        let named = |repository: &Repository| job.inputs.iter().any(|input| input.repository == *repository);
        let mut done: BTreeSet<Repository> = BTreeSet::from([home.repository.clone()]);
        for at in places.iter() {
            let site = &policy.sites[*at];
            for member in self.members(*at)?.iter().filter(|member| !named(&member.repository)) {
                if !done.insert(member.repository.clone()) {
                    continue;
                }
                match self.site_input(site, &member.repository, home)? {
                    Some((pair, commit)) => drop(found.branches.insert(pair, commit)),
                    None if member.named && found.missing.is_none() => {
                        found.missing = Some((site.name.clone(), member.repository.clone()));
                    }
                    None => {}
                }
            }
        }
        Ok(found)
    }

    /// The branch of a site's repository that a job of `home` reads. That a preferred branch does not exist
    /// is itself something read.
    fn site_input(
        &mut self,
        site: &SitePolicy,
        repository: &Repository,
        home: &Pair,
    ) -> Result<Option<(Pair, Sha)>, Stop> {
        let pair = Pair { repository: repository.clone(), branch: home.branch.clone() };
        if let Some(commit) = self.commit(&pair)? {
            return Ok(Some((pair, commit)));
        }
        let Some(branch) = self.fallback(site, repository)? else { return Ok(None) };
        let pair = Pair { repository: repository.clone(), branch };
        Ok(self.commit(&pair)?.map(|commit| (pair, commit)))
    }

    /// The places of the sites with `inputs` that have `repository`.
    fn places(&mut self, repository: &Repository) -> Arc<[usize]> {
        if let Some(places) = self.sites.places.get(repository) {
            return places.clone();
        }
        let sites = self.policy.sites.iter().enumerate();
        let places: Arc<[usize]> =
            sites.filter(|(_, site)| site.inputs && site.has(repository)).map(|(at, _)| at).collect();
        self.sites.places.insert(repository.clone(), places.clone());
        places
    }

    /// The repositories of the site at this place of the configuration.
    fn members(&mut self, at: usize) -> Result<Arc<[Member]>, Stop> {
        if let Some(members) = self.sites.members.get(&at) {
            return Ok(members.clone());
        }
        let site = &self.policy.sites[at];
        let members: Arc<[Member]> = members_of(site, &self.known).into();
        if members.len() > MEMBERS_MAX {
            return Err(Stop::Failed(format!(
                "the site `{}` has {} repositories, and its jobs would read all of them: name fewer (at most {MEMBERS_MAX}), or give it `inputs = false`",
                site.name,
                members.len()
            )));
        }
        self.sites.members.insert(at, members.clone());
        Ok(members)
    }
}

/// What a job reads through its sites.
#[derive(Default)]
pub(super) struct SiteInputs {
    /// The branches, with their commits.
    pub branches: BTreeMap<Pair, Sha>,
    /// A repository that an operator has named and that has no such branch, with its site.
    pub missing: Option<(SiteName, Repository)>,
}

/// What is said where a repository that a site names is not there.
pub(super) fn missing_member(site: &SiteName, repository: &Repository, home: &Pair) -> Stop {
    Stop::Failed(format!(
        "the site `{site}` names the repository `{repository}`, which has no branch to be read for {home}: correct its name in the configuration, give the site a `branch`, or let the daemon's account read it"
    ))
}
