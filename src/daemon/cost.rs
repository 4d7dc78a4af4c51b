//! What a change costs: how many builds one to each repository causes, found by the very rules by which
//! the queue finds an item's jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::gerrit::{Finding, Level};
use crate::model::job::RunsFor;
use crate::model::time::in_words;
use crate::model::tree::Resolved;
use crate::model::{Branch, JobName, Pair, Patterns, Pipeline, Policy, Repository, Sha};
use crate::queue::resolve::{FoundJobFile, Trees, resolve};

/// Most repositories named in one finding.
const NAMES_MAX: usize = 5;

/// One finding for all repositories of which a change causes the same builds. `durations` are how long jobs
/// probably take, in milliseconds, where that is known.
pub fn look(policy: &Policy, gated: &[Pair], durations: &BTreeMap<JobName, i64>) -> Vec<Finding> {
    let mut alike: Vec<(String, Vec<String>)> = Vec::new();
    for pair in gated {
        let words = in_words_of(policy, gated, pair, durations);
        match alike.iter_mut().find(|(known, _)| *known == words) {
            Some((_, names)) => names.push(pair.repository.to_string()),
            None => alike.push((words, vec![pair.repository.to_string()])),
        }
    }
    let tell = |(words, names): (String, Vec<String>)| {
        let more = names.len().saturating_sub(NAMES_MAX);
        let mut place = names[..names.len() - more].join(", ");
        if more > 0 {
            place.push_str(&format!(" and {more} more"));
        }
        Finding::new("builds", Level::Note, place, words)
    };
    alike.into_iter().map(tell).collect()
}

fn in_words_of(policy: &Policy, gated: &[Pair], pair: &Pair, durations: &BTreeMap<JobName, i64>) -> String {
    let own = if policy.job_files { "; jobs of job files come on top" } else { "" };
    let builds = builds(policy, gated, pair);
    if builds.is_empty() {
        return format!("a change causes no build of the configuration's jobs{own}");
    }
    let by_files = |job: &JobName| {
        policy.jobs.iter().any(|known| known.name == *job && known.runs_for == RunsFor::Files)
    };
    let name = |(job, home): &(JobName, Pair)| {
        let home = if home.repository == pair.repository {
            String::new()
        } else {
            format!(" for {}", home.repository)
        };
        let time = durations.get(job).map(|ms| format!(" ({})", in_words(*ms))).unwrap_or_default();
        let files = if by_files(job) { " where it changes its files" } else { "" };
        format!("{job}{home}{files}{time}")
    };
    let names: Vec<String> = builds.iter().map(name).collect();
    let known: Vec<i64> = builds.iter().filter_map(|(job, _)| durations.get(job)).copied().collect();
    let sum = match known.len() {
        0 => String::new(),
        all if all == builds.len() => format!(", {} of slots together", in_words(known.iter().sum())),
        some => format!(", {} of slots for the {some} whose time is known", in_words(known.iter().sum())),
    };
    let (count, noun) = (builds.len(), if builds.len() == 1 { "build" } else { "builds" });
    let most = if builds.iter().any(|(job, _)| by_files(job)) { "at most " } else { "" };
    format!("a change causes {most}{count} {noun}: {}{sum}{own}", names.join(", "))
}

/// The jobs of a change to `pair`, each with the branch that it is run for.
fn builds(policy: &Policy, gated: &[Pair], pair: &Pair) -> Vec<(JobName, Pair)> {
    let gate = Pipeline::Gate;
    match resolve(policy, &gate, std::slice::from_ref(pair), &[], &mut Everything { policy, gated }) {
        Resolved::Jobs { jobs, .. } => jobs.into_iter().map(|job| (job.name, job.home)).collect(),
        Resolved::Broken { .. } | Resolved::Failed { .. } => Vec::new(),
    }
}

/// Trees in which each branch is there and has no job file: what counts is who reads whom.
struct Everything<'a> {
    policy: &'a Policy,
    gated: &'a [Pair],
}

impl Trees for Everything<'_> {
    fn commit(&mut self, _: &Pair) -> Result<Option<Sha>, String> {
        Ok(Some(Sha::default()))
    }

    fn job_file(&mut self, _: &Pair, _: Sha) -> Result<Option<FoundJobFile>, String> {
        Ok(None)
    }

    fn content(&mut self, _: &Pair, _: Sha, _: &[Arc<str>], _: &Patterns) -> Result<Sha, String> {
        Ok(Sha::default())
    }

    fn alters_job_file(&mut self, _: &Pair) -> Result<bool, String> {
        Ok(false)
    }

    fn alters_files(&mut self, _: &Pair, _: &Patterns) -> Result<bool, String> {
        Ok(true)
    }

    fn repositories(&self) -> Vec<Repository> {
        let inputs = self.policy.jobs.iter().flat_map(|job| &job.inputs).map(|input| &input.repository);
        let all: BTreeSet<&Repository> =
            self.gated.iter().map(|pair| &pair.repository).chain(inputs).collect();
        all.into_iter().cloned().collect()
    }

    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        let own = self.gated.iter().find(|pair| pair.repository == *repository);
        Ok(Some(own.map_or_else(|| "main".into(), |pair| pair.branch.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn policy(folder: &str, jobs: &str) -> Arc<Policy> {
        let folder = std::env::temp_dir().join(format!("seakeeper-{folder}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["bot.token", "id_ed25519", "known_hosts"] {
            std::fs::write(folder.join(file), file).unwrap();
        }
        let text = include_str!("../../config/minimal.toml");
        let text = format!("{}\n{jobs}", &text[..text.find("[[job]]").unwrap()]);
        let read = Config::parse(text.as_bytes(), &folder.join("seakeeper.toml"));
        std::fs::remove_dir_all(&folder).unwrap();
        read.unwrap().0.policy
    }

    #[test]
    fn builds_are_counted_by_who_reads_whom() {
        let policy = policy(
            "cost",
            r#"
[[job]]
name = "unit"
repositories = ["*"]
commands = ["true"]
[[job]]
name = "whole"
repositories = ["app"]
commands = ["true"]
inputs = ["lib"]
[[job]]
name = "own"
repositories = ["app"]
commands = ["true"]
inputs = ["lib"]
runs-for = "own"
[[job]]
name = "docs"
repositories = ["more"]
commands = ["true"]
runs-for = "files"
files = ["docs/*"]
"#,
        );
        let gated = ["app", "lib", "other", "more"].map(|name| Pair::new(name, "main"));
        let found = look(&policy, &gated, &[("unit".into(), 61_000)].into());
        let told: Vec<(&str, &str)> =
            found.iter().map(|finding| (finding.place.as_str(), finding.text.as_str())).collect();
        let own = if policy.job_files { "; jobs of job files come on top" } else { "" };
        let expected = [
            ("app", "a change causes 3 builds: own, unit (1m 01s), whole, 1m 01s of slots for the 1 whose time is known"),
            ("lib", "a change causes 2 builds: unit (1m 01s), whole for app, 1m 01s of slots for the 1 whose time is known"),
            ("other", "a change causes 1 build: unit (1m 01s), 1m 01s of slots together"),
            ("more", "a change causes at most 2 builds: docs where it changes its files, unit (1m 01s), 1m 01s of slots for the 1 whose time is known"),
        ]
        .map(|(place, words)| (place, format!("{words}{own}")));
        let expected: Vec<(&str, &str)> =
            expected.iter().map(|(place, words)| (*place, words.as_str())).collect();
        assert_eq!(told, expected);
    }
}
