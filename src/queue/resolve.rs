//! J(item, node): which jobs an item has at a node, with their inputs and keys.
//!
//! Pure, so that the daemon and the simulator decide alike: what is at the node is asked through
//! [`Trees`], and every answer that the outcome rests on is among its reads.

mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use sites::sites_of;

use crate::model::tree::{Read, Resolved, Unit};
use crate::model::{
    Branch, InputPolicy, JobName, JobPolicy, Pair, Patterns, Policy, Repository, ResolvedInput, ResolvedJob,
    Sha, VerdictKey,
};

use crate::model::job::RunsFor;
use sites::{Sites, missing_member};

/// What a repository's own job file declares, already bound to the branch that it lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFile {
    /// Its jobs.
    pub jobs: Vec<JobPolicy>,
    /// Whether it says that changes land without a build.
    pub noop: bool,
}

/// A job file as found: its blob, and its content or what is wrong with it in words for the author.
pub type FoundJobFile = (Sha, Result<JobFile, String>);

/// What resolution may ask about a node's trees. An error is one of the infrastructure, in words
/// for the operator: nothing was learnt, and it is tried again.
pub trait Trees {
    /// The commit of a branch at the node (what items write first, else the tip); `None` without one.
    ///
    /// # Errors
    /// When it cannot be known now.
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String>;

    /// The job file at a commit; `None` without one.
    ///
    /// # Errors
    /// When it cannot be read now.
    fn job_file(&mut self, pair: &Pair, commit: Sha) -> Result<Option<FoundJobFile>, String>;

    /// The id of the commit's tree restricted to `paths` (empty: all) and without `ignored` files.
    ///
    /// # Errors
    /// When it cannot be read now.
    fn content(
        &mut self,
        pair: &Pair,
        commit: Sha,
        paths: &[Arc<str>],
        ignored: &Patterns,
    ) -> Result<Sha, String>;

    /// Whether the item alters the job file there: against its parent node, or by its own diff.
    ///
    /// # Errors
    /// When it cannot be read now.
    fn alters_job_file(&mut self, pair: &Pair) -> Result<bool, String>;

    /// The repositories known, sorted.
    fn repositories(&self) -> Vec<Repository>;

    /// The repository's default branch; `None` without one.
    ///
    /// # Errors
    /// When it cannot be known now.
    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String>;
}

/// How many repositories that a queue names are consulted; a longer list is no group that is tested together.
const MATES_MAX: usize = 50;

/// Why resolution ends early.
enum Stop {
    Broken { pair: Pair, why: String },
    Failed(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Who declared a job: decides who is told when it cannot be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Operator,
    Repository,
}

/// Finds the jobs of an item that writes the branches `item`, and whose changes depend on some in the
/// branches `depends`.
///
/// Both pipelines have the same jobs and keys, so that a verdict of the check serves the gate.
pub fn resolve(policy: &Policy, item: &[Pair], depends: &[Pair], trees: &mut dyn Trees) -> Resolved {
    let writes: BTreeSet<Pair> = item.iter().cloned().collect();
    let (reads, jobs) = (BTreeMap::new(), BTreeMap::new());
    let (known, sites) = (trees.repositories(), Sites::default());
    let mut resolution =
        Resolution { policy, writes, depends, known: known.into(), sites, trees, reads, jobs };
    let outcome = resolution.run();
    let reads: Vec<Read> = resolution.reads.into_iter().map(|(unit, value)| Read { unit, value }).collect();
    match outcome {
        Ok((alters_job_files, noop)) => {
            let jobs = resolution.jobs.into_values().collect();
            Resolved::Jobs { jobs, reads, alters_job_files, noop }
        }
        Err(Stop::Broken { pair, why }) => Resolved::Broken { pair, why: why.into(), reads },
        Err(Stop::Failed(why)) => Resolved::Failed { why: why.into() },
    }
}

struct Resolution<'a> {
    policy: &'a Policy,
    writes: BTreeSet<Pair>,
    depends: &'a [Pair],
    /// The repositories that there are, sorted.
    known: Arc<[Repository]>,
    sites: Sites,
    trees: &'a mut dyn Trees,
    reads: BTreeMap<Unit, Option<Sha>>,
    jobs: BTreeMap<(JobName, Pair), ResolvedJob>,
}

impl Resolution<'_> {
    /// Fills `jobs`; gives the altered job files and whether `noop` was asked for.
    fn run(&mut self) -> Result<(Vec<Pair>, bool), Stop> {
        let policy = self.policy;
        let repositories = self.known.clone();
        // Read even where no job is: what is depended on must have landed.
        for pair in self.depends {
            self.commit(pair)?;
        }
        self.find_site_homes()?;
        let mut consulted = self.writes.clone();
        for job in &policy.jobs {
            for home in self.homes(job, &repositories) {
                if self.consider(job, &home, Source::Operator)? {
                    consulted.insert(home);
                }
            }
        }
        if !policy.job_files {
            return Ok((Vec::new(), false));
        }
        let mut noops = BTreeSet::new();
        for home in &consulted {
            if self.consult(home)? {
                noops.insert(home.clone());
            }
        }
        for mate in self.mates(&repositories).difference(&consulted) {
            self.consult_mate(mate)?;
        }
        let mut altered = Vec::new();
        for pair in self.writes.clone() {
            if self.trees.alters_job_file(&pair)? {
                altered.push(pair);
            }
        }
        let noop = !self.writes.is_empty() && self.writes.iter().all(|pair| noops.contains(pair));
        Ok((altered, noop))
    }

    /// The branches of the same names in the repositories of the item's sites, and in those that the queue
    /// names one by one: what their own job files ask for holds for this item too. A queue's pattern names no
    /// group that is tested together.
    fn mates(&self, known: &[Repository]) -> BTreeSet<Pair> {
        let mut mates = self.site_homes().clone();
        for pair in &self.writes {
            let Some(queue) = self.policy.queue_of(pair) else { continue };
            let named = queue.repositories.0.iter().filter_map(|pattern| pattern.literal());
            let mates_of = named.take(MATES_MAX).map(|name| Pair::new(name, pair.branch.as_str()));
            let belongs = |mate: &Pair| {
                known.binary_search(&mate.repository).is_ok()
                    && self.policy.queue_of(mate).is_some_and(|other| other.name == queue.name)
            };
            mates.extend(mates_of.filter(belongs));
        }
        mates
    }

    /// The branches for which a job could run because of this item: those that the item writes, and
    /// branches of the same names elsewhere where a written repository is among its inputs.
    fn homes(&self, job: &JobPolicy, known: &[Repository]) -> BTreeSet<Pair> {
        let fits = |pair: &Pair| {
            job.repositories.matches(pair.repository.as_str()) && job.branches.matches(pair.branch.as_str())
        };
        let mut homes: BTreeSet<Pair> = self.writes.iter().filter(|pair| fits(pair)).cloned().collect();
        let through_sites = self.site_homes().iter().filter(|home| self.reaches_through_a_site(job, home));
        homes.extend(through_sites.filter(|home| fits(home)).cloned());
        if !self.reaches(job) {
            return homes;
        }
        for branch in self.writes.iter().map(|pair| &pair.branch) {
            for repository in known {
                let home = Pair { repository: repository.clone(), branch: branch.clone() };
                if fits(&home) {
                    homes.insert(home);
                }
            }
        }
        homes
    }

    /// Whether the job could run for an item that does not write its home, by the inputs that it names.
    fn reaches(&self, job: &JobPolicy) -> bool {
        job.runs_for == RunsFor::Inputs
            && job
                .inputs
                .iter()
                .any(|input| self.writes.iter().any(|pair| pair.repository == input.repository))
    }

    /// Adds the job for `home` if it applies; says whether it does.
    fn consider(&mut self, job: &JobPolicy, home: &Pair, source: Source) -> Result<bool, Stop> {
        let own = self.writes.contains(home);
        if !own && !self.reaches(job) && !self.reaches_through_a_site(job, home) {
            return Ok(false);
        }
        let Some(commit) = self.commit(home)? else { return Ok(false) };
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
        if !own && !self.reaches_through_a_site(job, home) && !self.writes_one_of(&others) {
            return Ok(false);
        }
        let through_sites = self.site_inputs(job, home)?;
        others.extend(through_sites.branches.into_iter().map(|(pair, commit)| (pair, (commit, Vec::new()))));
        if !own && !self.writes_one_of(&others) {
            return Ok(false);
        }
        if let Some(repository) = missing {
            return Err(missing_input(job, home, repository, source));
        }
        if let Some((site, repository)) = &through_sites.missing {
            return Err(missing_member(site, repository, home));
        }
        self.add_depended_on(home, &mut others)?;
        let mut inputs = vec![self.resolved(job, home, commit, &job.paths, &job.ignored_files)?];
        for (pair, (commit, paths)) in &others {
            inputs.push(self.resolved(job, pair, *commit, paths, &Patterns::default())?);
        }
        let key = VerdictKey::new(&job.name, home, &job.spec, &inputs);
        let resolved = ResolvedJob {
            name: job.name.clone(),
            home: home.clone(),
            key,
            spec: job.spec.clone(),
            inputs,
            voting: job.voting,
            reuse_ms: job.reuse_ms,
            attempts: job.attempts,
        };
        self.jobs.insert((job.name.clone(), home.clone()), resolved);
        Ok(true)
    }

    fn writes_one_of<T>(&self, others: &BTreeMap<Pair, T>) -> bool {
        others.keys().any(|pair| self.writes.contains(pair))
    }

    /// What the item's changes depend on is an input of each of its jobs. A build has one folder for a
    /// repository: the branch that the job asks for itself goes first, then the one named as its home's.
    fn add_depended_on(
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
        let preferred = input.branch.as_ref().unwrap_or(&home.branch);
        let pair = Pair { repository: repository.clone(), branch: preferred.clone() };
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

    /// A branch's commit, read once and remembered.
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, Stop> {
        let unit = Unit::Branch(pair.clone());
        if let Some(known) = self.reads.get(&unit) {
            return Ok(*known);
        }
        let commit = self.trees.commit(pair)?;
        self.reads.insert(unit, commit);
        Ok(commit)
    }

    fn resolved(
        &mut self,
        job: &JobPolicy,
        pair: &Pair,
        commit: Sha,
        paths: &[Arc<str>],
        ignored: &Patterns,
    ) -> Result<ResolvedInput, Stop> {
        let content = if job.history { commit } else { self.trees.content(pair, commit, paths, ignored)? };
        Ok(ResolvedInput {
            pair: pair.clone(),
            commit,
            content,
            paths: paths.to_vec(),
            ignored_files: ignored.clone(),
            history: job.history,
        })
    }

    /// Reads a branch's job file and adds its jobs; says whether it asks for `noop`.
    fn consult(&mut self, home: &Pair) -> Result<bool, Stop> {
        let Some(commit) = self.commit(home)? else { return Ok(false) };
        let Some(file) = self.job_file(home, commit)? else { return Ok(false) };
        for job in file.jobs.iter().filter(|job| is_for(job, home)) {
            self.consider(job, home, Source::Repository)?;
        }
        Ok(file.noop)
    }

    /// Adds the jobs of another repository's job file that read what the item writes. Of that branch only
    /// the job file is read, unless one of its jobs applies; and a file that is broken there is a fault of
    /// the changes that write it, not of this item.
    fn consult_mate(&mut self, home: &Pair) -> Result<(), Stop> {
        let Some(commit) = self.trees.commit(home)? else {
            self.reads.insert(Unit::JobFile(home.clone()), None);
            return Ok(());
        };
        let file = match self.job_file(home, commit) {
            Ok(Some(file)) => file,
            Ok(None) | Err(Stop::Broken { .. }) => return Ok(()),
            Err(stop) => return Err(stop),
        };
        for job in file.jobs.iter().filter(|job| is_for(job, home)) {
            match self.consider(job, home, Source::Repository) {
                Ok(_) | Err(Stop::Broken { .. }) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    /// The job file at a branch's commit, if there is one that can be used.
    fn job_file(&mut self, home: &Pair, commit: Sha) -> Result<Option<JobFile>, Stop> {
        let found = self.trees.job_file(home, commit)?;
        self.reads.insert(Unit::JobFile(home.clone()), found.as_ref().map(|(blob, _)| *blob));
        let Some((_, parsed)) = found else { return Ok(None) };
        let file = parsed.map_err(|why| Stop::Broken { pair: home.clone(), why })?;
        let enforced = |job: &&JobPolicy| self.policy.jobs.iter().any(|enforced| enforced.name == job.name);
        if let Some(job) = file.jobs.iter().find(enforced) {
            let why = format!(
                "seakeeper.toml: the job `{}` has the name of a job that the operator enforces: give it another name",
                job.name
            );
            return Err(Stop::Broken { pair: home.clone(), why });
        }
        Ok(Some(file))
    }
}

fn is_for(job: &JobPolicy, home: &Pair) -> bool {
    job.repositories.matches(home.repository.as_str()) && job.branches.matches(home.branch.as_str())
}

/// Both lists of paths as one, sorted; none at all means everything.
fn union(left: &[Arc<str>], right: &[Arc<str>]) -> Vec<Arc<str>> {
    if left.is_empty() || right.is_empty() {
        return Vec::new();
    }
    left.iter().chain(right).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn missing_input(job: &JobPolicy, home: &Pair, repository: &Repository, source: Source) -> Stop {
    let what = format!("the job `{}` names the input `{repository}`, which has no such branch", job.name);
    match source {
        Source::Operator => Stop::Failed(format!(
            "{what}: correct its name or branch in the configuration, or let the daemon's account read it"
        )),
        Source::Repository => Stop::Broken {
            pair: home.clone(),
            why: format!("seakeeper.toml: {what}: correct its name or branch"),
        },
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
