//! What a change costs: how many builds one to each repository causes, found by the very rules by which
//! the queue finds an item's jobs. A daemon that runs looks at the branches as they are, with their job
//! files; the doctor, and who has only a configuration, at branches that are made up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::reload::Running;
use crate::gerrit::{Finding, Level};
use crate::model::cost::{CausedBuild, ChangeCost, CostOf, Costs};
use crate::model::job::RunsFor;
use crate::model::time::in_words;
use crate::model::{Branch, JobName, Pair, Patterns, Policy, Repository, Sha};
use crate::queue::cost::{cost_of, costs, select};
use crate::queue::resolve::{FoundJobFile, Trees};

/// Most repositories named in one finding.
const NAMES_MAX: usize = 5;
/// How many of the dearest repositories are named.
const DEAREST: usize = 3;
/// Most builds that one answer tells of; of those beyond, only the number.
const BUILDS_MAX: usize = 100_000;
/// How long the job files of repositories that were named are fetched, where they are not there yet.
const FETCH_MAX: Duration = Duration::from_secs(30);

/// What changes to these branches cost now.
///
/// # Errors
/// When something is asked about that is not there.
pub fn count(running: &Running, policy: &Policy, asked: &[CostOf]) -> Result<Costs, String> {
    let pairs = select(policy, &running.gerrit.branches(), asked)?;
    // All repositories at once would take a server's whole day.
    let budget = if asked.is_empty() { Duration::ZERO } else { FETCH_MAX };
    let mut trees = running.git.at_tips(budget);
    let changes = costs(policy, &pairs, &mut trees);
    let mut all = Costs { changes, unread: if policy.job_files { trees.into_unread() } else { Vec::new() } };
    all.cut(BUILDS_MAX);
    Ok(all)
}

/// What changes cost by the configuration alone: to the repositories that it names one by one, and to those
/// asked about by name. Job files are left out, and every repository has the branch that is asked about.
///
/// # Errors
/// When something is asked about that no queue gates.
pub fn count_offline(policy: &Policy, asked: &[CostOf]) -> Result<Costs, String> {
    let patterns = policy.queues.iter().flat_map(|queue| {
        let branches = queue.branches.0.iter().filter_map(|pattern| pattern.literal());
        let branch = branches.into_iter().next().unwrap_or("main");
        queue.repositories.0.iter().filter_map(move |pattern| Some((pattern.literal()?, branch)))
    });
    let named = asked.iter().filter_map(|one| {
        let branch = one.branch.as_ref().map_or("main", |branch| branch.as_str());
        Some((one.repository.literal()?, branch))
    });
    let exist: BTreeSet<Pair> = patterns.chain(named).map(|(name, branch)| Pair::new(name, branch)).collect();
    let exist: Vec<Pair> = exist.into_iter().collect();
    let pairs = select(policy, &exist, asked)?;
    let mut trees = Everything::new(policy, &exist);
    Ok(Costs { changes: costs(policy, &pairs, &mut trees), unread: Vec::new() })
}

/// One finding for all repositories of which a change causes the same builds, and one for the dearest.
/// `durations` are how long jobs probably take, in milliseconds, where that is known.
pub fn look(policy: &Policy, gated: &[Pair], durations: &BTreeMap<JobName, i64>) -> Vec<Finding> {
    let mut alike: Vec<(String, Vec<String>)> = Vec::new();
    let mut trees = Everything::new(policy, gated);
    let all: Vec<ChangeCost> = gated.iter().filter_map(|pair| cost_of(policy, pair, &mut trees)).collect();
    for cost in &all {
        let words = in_words_of(policy, cost, durations);
        let name = cost.pair.repository.to_string();
        match alike.iter_mut().find(|(known, _)| *known == words) {
            Some((_, names)) => names.push(name),
            None => alike.push((words, vec![name])),
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
    let mut findings: Vec<Finding> = alike.into_iter().map(tell).collect();
    findings.extend(dearest(all));
    findings
}

/// The repositories whose changes cause most builds, where they differ.
fn dearest(mut all: Vec<ChangeCost>) -> Option<Finding> {
    all.sort_by(|a, b| (b.count, b.checkouts, &a.pair).cmp(&(a.count, a.checkouts, &b.pair)));
    let (first, last) = (all.first()?, all.last()?);
    if first.count == last.count {
        return None;
    }
    let tell = |cost: &ChangeCost| format!("{} ({})", cost.pair.repository, counted(cost.count, "build"));
    let names: Vec<String> = all.iter().take(DEAREST).map(tell).collect();
    let text =
        format!("most builds are caused by changes to {}; `seakeeper builds` lists why", names.join(", "));
    Some(Finding::new("dearest", Level::Note, "queues", text))
}

fn in_words_of(policy: &Policy, cost: &ChangeCost, durations: &BTreeMap<JobName, i64>) -> String {
    let own = if policy.job_files { "; jobs of job files come on top" } else { "" };
    let (pair, builds) = (&cost.pair, &cost.builds);
    if !cost.problem.is_empty() {
        return format!("it cannot be told which builds a change causes: {}", cost.problem);
    }
    if builds.is_empty() {
        return format!("a change causes no build of the configuration's jobs{own}");
    }
    let by_files = |job: &JobName| {
        policy.jobs.iter().any(|known| known.name == *job && known.runs_for == RunsFor::Files)
    };
    let name = |CausedBuild { job, home, .. }: &CausedBuild| {
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
    let known: Vec<i64> = builds.iter().filter_map(|build| durations.get(&build.job)).copied().collect();
    let sum = match known.len() {
        0 => String::new(),
        all if all == builds.len() => format!(", {} of slots together", in_words(known.iter().sum())),
        some => format!(", {} of slots for the {some} whose time is known", in_words(known.iter().sum())),
    };
    let most = if builds.iter().any(|build| by_files(&build.job)) { "at most " } else { "" };
    format!("a change causes {most}{}: {}{sum}{own}", counted(builds.len(), "build"), names.join(", "))
}

/// `1 build`, `2 builds`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Trees in which each branch is there and has no job file: what counts is who reads whom.
struct Everything {
    known: Vec<Repository>,
    /// The branch of each repository that is gated.
    branches: BTreeMap<Repository, Branch>,
}

impl Everything {
    /// The repositories with these branches, and those that the configuration names.
    fn new(policy: &Policy, gated: &[Pair]) -> Self {
        let branches: BTreeMap<Repository, Branch> =
            gated.iter().map(|pair| (pair.repository.clone(), pair.branch.clone())).collect();
        let inputs = policy.jobs.iter().flat_map(|job| &job.inputs).map(|input| input.repository.clone());
        let patterns = policy.sites.iter().flat_map(|site| &site.repositories.0);
        let named = patterns.filter_map(|pattern| pattern.literal()).map(Repository::from);
        let known: BTreeSet<Repository> = branches.keys().cloned().chain(inputs).chain(named).collect();
        Self { known: known.into_iter().collect(), branches }
    }
}

impl Trees for Everything {
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
        self.known.clone()
    }

    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        Ok(Some(self.branches.get(repository).cloned().unwrap_or_else(|| "main".into())))
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
        let text = text.replace("bench-*", "*");
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
        let dearest = "most builds are caused by changes to app (3 builds), lib (2 builds), more (2 builds); `seakeeper builds` lists why";
        let expected = expected.into_iter().chain([("queues", dearest.to_owned())]).collect::<Vec<_>>();
        let expected: Vec<(&str, &str)> =
            expected.iter().map(|(place, words)| (*place, words.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn offline_the_repositories_that_the_configuration_names_are_counted_and_those_asked_about() {
        let policy = policy(
            "offline",
            r#"
[[site]]
name = "web"
repositories = ["app", "lib"]
[[job]]
name = "unit"
repositories = ["app", "lib"]
commands = ["true"]
"#,
        );
        let asked = |texts: &[&str]| {
            let asked: Vec<CostOf> = texts.iter().map(|text| CostOf::parse(text)).collect();
            let found = count_offline(&policy, &asked).map(|costs| costs.changes);
            found.map(|changes| {
                let told = |cost: &ChangeCost| {
                    let builds = cost.builds.iter();
                    let builds: Vec<String> =
                        builds.map(|build| format!("{} {}", build.home.repository, build.why)).collect();
                    format!("{}: {}", cost.pair, builds.join(", "))
                };
                changes.iter().map(told).collect::<Vec<_>>()
            })
        };
        let app = "app main: app own, lib through site web";
        assert_eq!(asked(&["app:main"]), Ok(vec![app.to_owned()]));
        let why = asked(&["gone:refs/x"]).unwrap_err();
        assert!(why.starts_with("find a gated branch `gone:refs/x`"), "{why}");
    }
}
