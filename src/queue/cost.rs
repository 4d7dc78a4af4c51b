//! What changes cost: the jobs of a change that does not exist yet, found as those of an item are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::resolve::{Trees, resolve, sites_of};
use crate::model::cost::{Cause, CausedBuild, ChangeCost, CostOf};
use crate::model::tree::Resolved;
use crate::model::{JobPolicy, Pair, Pipeline, Policy, Repository, ResolvedJob, SitePolicy};

/// Branches of which one stands for its repository, where it has one of them.
const USUAL_BRANCHES: [&str; 2] = ["main", "master"];

/// The gated branches among those that `exist` that are asked about; one for each repository where nothing
/// is asked in particular.
///
/// # Errors
/// When something is asked about that is not there, in words with the remedy.
pub fn select(policy: &Policy, exist: &[Pair], asked: &[CostOf]) -> Result<Vec<Pair>, String> {
    let gated = || exist.iter().filter(|pair| policy.queue_of(pair).is_some());
    if asked.is_empty() {
        let rank = |pair: &Pair| USUAL_BRANCHES.iter().position(|usual| *usual == pair.branch.as_str());
        let mut one: BTreeMap<&Repository, &Pair> = BTreeMap::new();
        for pair in gated() {
            let kept = one.entry(&pair.repository).or_insert(pair);
            if (rank(pair).unwrap_or(usize::MAX), pair) < (rank(kept).unwrap_or(usize::MAX), *kept) {
                *kept = pair;
            }
        }
        return Ok(one.into_values().cloned().collect());
    }
    if let Some(nothing) = asked.iter().find(|asked| !gated().any(|pair| asked.means(pair))) {
        return Err(format!(
            "find a gated branch `{nothing}`: write REPOSITORY or REPOSITORY:BRANCH as in a [[queue]], of a branch that there is"
        ));
    }
    Ok(gated().filter(|pair| asked.iter().any(|asked| asked.means(pair))).cloned().collect())
}

/// What a change to each of these branches costs, dearest first; branches that no queue gates are left
/// out. `trees` shows the branches as they are; contents may be made up, as no key is kept.
pub fn costs(policy: &Policy, pairs: &[Pair], trees: &mut dyn Trees) -> Vec<ChangeCost> {
    let mut all: Vec<ChangeCost> = pairs.iter().filter_map(|pair| cost_of(policy, pair, trees)).collect();
    all.sort_by(|a, b| {
        let dearer = |cost: &ChangeCost| (cost.count, cost.checkouts);
        dearer(b).cmp(&dearer(a)).then_with(|| a.pair.cmp(&b.pair))
    });
    all
}

/// What a change to `pair` costs; `None` where no queue gates it.
pub fn cost_of(policy: &Policy, pair: &Pair, trees: &mut dyn Trees) -> Option<ChangeCost> {
    let queue = policy.queue_of(pair)?.name;
    let (builds, problem) = match resolve(policy, &Pipeline::Gate, std::slice::from_ref(pair), &[], trees) {
        Resolved::Jobs { jobs, .. } => {
            let sites = sites_of(policy, &pair.repository);
            let mut build = |job: &ResolvedJob| CausedBuild {
                job: job.name.clone(),
                home: job.home.clone(),
                voting: job.voting,
                checkouts: job.inputs.len(),
                why: cause(policy, &sites, job, pair, trees),
            };
            let builds: Vec<CausedBuild> = jobs.iter().map(&mut build).collect();
            (builds, Arc::from(""))
        }
        Resolved::Broken { pair, why, .. } => {
            (Vec::new(), format!("the job file of {pair} cannot be used: {why}").into())
        }
        Resolved::Failed { why } => (Vec::new(), why),
    };
    let checkouts = builds.iter().map(|build| build.checkouts).sum();
    Some(ChangeCost { pair: pair.clone(), queue, count: builds.len(), checkouts, builds, problem })
}

/// Why a job runs for a change to `pair`, whose repository is in these sites.
fn cause(
    policy: &Policy,
    sites: &[&SitePolicy],
    job: &ResolvedJob,
    pair: &Pair,
    trees: &mut dyn Trees,
) -> Cause {
    if job.home == *pair {
        return Cause::Own;
    }
    match sites.iter().find(|site| site.has(&job.home.repository)) {
        Some(site) if !names_input(policy, job, pair, trees) => Cause::Site(site.name.clone()),
        _ => Cause::Input,
    }
}

/// Whether the job itself names the repository of `pair`, wherever it is declared.
fn names_input(policy: &Policy, job: &ResolvedJob, pair: &Pair, trees: &mut dyn Trees) -> bool {
    let names = |declared: &JobPolicy| {
        declared.name == job.name && declared.inputs.iter().any(|input| input.repository == pair.repository)
    };
    if policy.jobs.iter().any(|declared| declared.name == job.name) {
        return policy.jobs.iter().any(names);
    }
    let file = match trees.commit(&job.home) {
        Ok(Some(commit)) => trees.job_file(&job.home, commit),
        _ => return false,
    };
    matches!(file, Ok(Some((_, Ok(file)))) if file.jobs.iter().any(names))
}

#[cfg(test)]
mod tests;
