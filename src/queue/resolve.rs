//! J(item, node): which jobs an item has at a node, with their inputs and keys.
//!
//! Pure, so that the daemon and the simulator decide alike: what is at the node is asked through
//! [`Trees`], and every answer that the outcome rests on is among its reads.

mod reading;
mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use sites::sites_of;

use crate::model::tree::{Read, Resolved, Unit, Unneeded};
use crate::model::{
    Branch, JobName, JobPolicy, Pair, Patterns, Pipeline, Policy, Repository, ResolvedInput, ResolvedJob,
    Sha, VerdictKey,
};

use super::graph::{Jobs, needs_of, tie};
use crate::model::job::RunsFor;
use reading::Reading;
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

    /// Whether the item changes a file there that `files` match: against its parent node, or by its own
    /// diff. What was renamed counts with both names.
    ///
    /// # Errors
    /// When it cannot be read now.
    fn alters_files(&mut self, pair: &Pair, files: &Patterns) -> Result<bool, String>;

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
pub(super) enum Stop {
    Broken { pair: Pair, why: String },
    Failed(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Who declared a job: decides what it may need, and who is told when it cannot be used.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Operator,
    /// The job file that it stands in.
    Repository(&'a JobFile),
}

/// Finds the jobs that an item has in a pipeline: it writes the branches `item`, and its changes depend on
/// some in the branches `depends`.
///
/// A job has the same key in each pipeline, so that a verdict of the check serves the gate.
pub fn resolve(
    policy: &Policy,
    pipeline: &Pipeline,
    item: &[Pair],
    depends: &[Pair],
    trees: &mut dyn Trees,
) -> Resolved {
    let writes: BTreeSet<Pair> = item.iter().cloned().collect();
    let (reads, jobs, unneeded) = Default::default();
    let (known, sites) = (trees.repositories(), Sites::default());
    let known = known.into();
    let mut resolution = Resolution {
        policy,
        pipeline,
        writes,
        depends,
        known,
        sites,
        trees,
        reads,
        jobs,
        unneeded,
        post: false,
    };
    let outcome = resolution.run();
    let own = match &outcome {
        Err(Stop::Broken { pair, .. }) => resolution.trees.alters_job_file(pair).unwrap_or(true),
        _ => false,
    };
    let reads: Vec<Read> = resolution.reads.into_iter().map(|(unit, value)| Read { unit, value }).collect();
    match outcome {
        Ok((alters_job_files, noop)) => {
            let post = resolution.post;
            let (jobs, mut unneeded) = (resolution.jobs, resolution.unneeded);
            // What another job needs runs all the same.
            unneeded.retain(|at, _| !jobs.contains_key(at));
            let (jobs, unneeded) = (jobs.into_values().collect(), unneeded.into_values().collect());
            Resolved::Jobs { jobs, reads, alters_job_files, noop, unneeded, post }
        }
        Err(Stop::Broken { pair, why }) => Resolved::Broken { pair, why: why.into(), reads, own },
        Err(Stop::Failed(why)) => Resolved::Failed { why: why.into() },
    }
}

/// A resolution under way.
pub(super) struct Resolution<'a> {
    policy: &'a Policy,
    pipeline: &'a Pipeline,
    pub(super) writes: BTreeSet<Pair>,
    depends: &'a [Pair],
    /// The repositories that there are, sorted.
    known: Arc<[Repository]>,
    sites: Sites,
    pub(super) trees: &'a mut dyn Trees,
    reads: BTreeMap<Unit, Option<Sha>>,
    jobs: Jobs,
    pub(super) unneeded: BTreeMap<(JobName, Pair), Unneeded>,
    /// Whether some job is to run after a landing.
    post: bool,
}

impl Resolution<'_> {
    /// Fills `jobs`; gives the altered job files and whether `noop` was asked for.
    fn run(&mut self) -> Result<(Vec<Pair>, bool), Stop> {
        let found = self.find()?;
        tie(&mut self.jobs).map_err(|(name, home)| {
            let what = format!("the job `{name}` needs itself, by way of the jobs that it needs");
            let is_operators = self.policy.jobs.iter().any(|job| job.name == name);
            wrong_job(&what, "take one of these needs out", &home, is_operators)
        })?;
        Ok(found)
    }

    fn find(&mut self) -> Result<(Vec<Pair>, bool), Stop> {
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
        // At set times each job runs for its own branches, once.
        job.runs_for != RunsFor::Own
            && !matches!(self.pipeline, Pipeline::Periodic(_))
            && job
                .inputs
                .iter()
                .any(|input| self.writes.iter().any(|pair| pair.repository == input.repository))
    }

    /// Adds the job for `home` if it applies, with the jobs that it needs; says whether it does.
    fn consider(&mut self, job: &JobPolicy, home: &Pair, source: Source<'_>) -> Result<bool, Stop> {
        let Some((commit, reading)) = self.applies(job, home, source)? else { return Ok(false) };
        let policy = self.policy;
        let mut found = vec![self.resolved_job(job, home, commit, reading, source)?];
        let mut needed = needs_of(policy, job, (home, self.pipeline), source)?;
        while let Some((job, source)) = needed.pop() {
            let known = self.jobs.contains_key(&(job.name.clone(), home.clone()));
            if known || found.iter().any(|other| other.name == job.name) {
                continue;
            }
            let reading = self.reading(job, home)?;
            found.push(self.resolved_job(job, home, commit, reading, source)?);
            needed.extend(needs_of(policy, job, (home, self.pipeline), source)?);
        }
        self.jobs.extend(found.into_iter().map(|job| ((job.name.clone(), home.clone()), job)));
        Ok(true)
    }

    /// The home's commit and what the job reads, if the item changes any of it that counts.
    fn applies<'j>(
        &mut self,
        job: &'j JobPolicy,
        home: &Pair,
        source: Source<'_>,
    ) -> Result<Option<(Sha, Reading<'j>)>, Stop> {
        let own = self.writes.contains(home);
        if !own && !self.reaches(job) && !self.reaches_through_a_site(job, home) {
            return Ok(None);
        }
        self.post |= job.pipelines.has(&Pipeline::Post);
        if !job.pipelines.has(self.pipeline) {
            return Ok(None);
        }
        // At the tips nobody changes anything.
        let matched = job.runs_for == RunsFor::Files && !self.pipeline.is_at_tips();
        if matched && !self.may_be_needed(job, home, source)? {
            self.spare(job, home)?;
            return Ok(None);
        }
        let Some(commit) = self.commit(home)? else { return Ok(None) };
        let mut reading = self.named(job, home)?;
        if !own && !self.reaches_through_a_site(job, home) && !self.writes_one_of(&reading.others) {
            return Ok(None);
        }
        self.add_sites(job, home, &mut reading)?;
        let reads = |pair: &Pair| pair == home || reading.others.contains_key(pair);
        if !self.writes.iter().any(reads) {
            return Ok(None);
        }
        if matched && !self.changes(job, reads)? && !self.alters(home, source)? {
            self.spare(job, home)?;
            return Ok(None);
        }
        Ok(Some((commit, reading)))
    }

    fn resolved_job(
        &mut self,
        job: &JobPolicy,
        home: &Pair,
        commit: Sha,
        Reading { mut others, missing, missing_member: member }: Reading<'_>,
        source: Source<'_>,
    ) -> Result<ResolvedJob, Stop> {
        if let Some(repository) = missing {
            let what =
                format!("the job `{}` names the input `{repository}`, which has no such branch", job.name);
            let is_operators = matches!(source, Source::Operator);
            let remedy = if is_operators {
                "correct its name or branch in the configuration, or let the daemon's account read it"
            } else {
                "correct its name or branch"
            };
            return Err(wrong_job(&what, remedy, home, is_operators));
        }
        if let Some((site, repository)) = &member {
            return Err(missing_member(site, repository, home));
        }
        self.add_depended_on(home, &mut others)?;
        let mut inputs = vec![self.resolved(job, home, commit, &job.paths, &job.ignored_files)?];
        for (pair, (commit, paths)) in &others {
            inputs.push(self.resolved(job, pair, *commit, paths, &Patterns::default())?);
        }
        let key = VerdictKey::new(&job.name, home, &job.spec, &inputs);
        Ok(ResolvedJob {
            name: job.name.clone(),
            home: home.clone(),
            key,
            spec: job.spec.clone(),
            inputs,
            voting: job.voting,
            reuse_ms: job.reuse_ms,
            attempts: job.attempts,
            needs: job.needs.clone(),
            depth: 0,
        })
    }

    fn writes_one_of<T>(&self, others: &BTreeMap<Pair, T>) -> bool {
        others.keys().any(|pair| self.writes.contains(pair))
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
            self.consider(job, home, Source::Repository(&file))?;
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
            match self.consider(job, home, Source::Repository(&file)) {
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

pub(super) fn is_for(job: &JobPolicy, home: &Pair) -> bool {
    job.repositories.matches(home.repository.as_str()) && job.branches.matches(home.branch.as_str())
}

/// A job cannot be used: said to who declares it.
pub(super) fn wrong_job(what: &str, remedy: &str, home: &Pair, is_operators: bool) -> Stop {
    if is_operators {
        Stop::Failed(format!("{what}: {remedy}"))
    } else {
        Stop::Broken { pair: home.clone(), why: format!("seakeeper.toml: {what}: {remedy}") }
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
