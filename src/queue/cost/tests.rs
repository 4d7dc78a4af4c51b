//! Claims about what changes cost, on branches that are a list in memory.

use std::collections::BTreeSet;

use super::*;
use crate::model::job::RunsFor;
use crate::model::{Branch, BuildSpec, InputPolicy, Patterns, Sha, SitePolicy};
use crate::queue::resolve::{FoundJobFile, JobFile};

/// Branches that there are; the job file of each.
#[derive(Default)]
struct Branches(BTreeMap<Pair, Option<JobFile>>);

impl Trees for Branches {
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        Ok(self.0.get(pair).map(|_| Sha::default()))
    }

    fn job_file(&mut self, pair: &Pair, _: Sha) -> Result<Option<FoundJobFile>, String> {
        Ok(self.0.get(pair).cloned().flatten().map(|file| (Sha::default(), Ok(file))))
    }

    fn content(&mut self, _: &Pair, commit: Sha, _: &[Arc<str>], _: &Patterns) -> Result<Sha, String> {
        Ok(commit)
    }

    fn alters_job_file(&mut self, _: &Pair) -> Result<bool, String> {
        Ok(false)
    }

    fn alters_files(&mut self, _: &Pair, _: &Patterns) -> Result<bool, String> {
        // It may be any file.
        Ok(true)
    }

    fn repositories(&self) -> Vec<Repository> {
        let all: BTreeSet<Repository> = self.0.keys().map(|pair| pair.repository.clone()).collect();
        all.into_iter().collect()
    }

    fn default_branch(&mut self, _: &Repository) -> Result<Option<Branch>, String> {
        Ok(Some("main".into()))
    }
}

fn job(name: &str, repositories: &[&str], inputs: &[&str]) -> JobPolicy {
    let input = |name: &&str| InputPolicy { repository: (*name).into(), branch: None, paths: Vec::new() };
    let (commands, environment) = (vec!["true".into()], BTreeMap::new());
    JobPolicy {
        name: name.into(),
        repositories: Patterns::new(repositories),
        branches: Patterns::new(&["*"]),
        inputs: inputs.iter().map(input).collect(),
        sites: true,
        paths: Vec::new(),
        ignored_files: Patterns::default(),
        runs_for: RunsFor::Inputs,
        files: Patterns::default(),
        spec: Arc::new(BuildSpec { commands, environment, timeout_ms: 1_000, trust: "gate".into() }),
        voting: true,
        history: false,
        reuse_ms: None,
        attempts: crate::model::job::Attempts::UpTo(1),
        needs: Vec::new(),
        pipelines: Default::default(),
    }
}

/// A queue `main` over all branches `main` and `stable` but those of `free`.
fn policy(sites: Vec<SitePolicy>, jobs: Vec<JobPolicy>) -> Policy {
    let usual = crate::queue::tests::policy(8);
    let mut queue = usual.queues[0].clone();
    queue.name = "main".into();
    queue.repositories = Patterns::new(&["app*", "lib", "tool"]);
    queue.branches = Patterns::new(&["main", "stable"]);
    Policy { queues: vec![queue], sites, jobs, job_files: true, ..usual }
}

fn site(repositories: &[&str]) -> SitePolicy {
    SitePolicy { name: "web".into(), repositories: Patterns::new(repositories), branch: None, inputs: true }
}

fn pairs(names: &[(&str, &str)]) -> Vec<Pair> {
    names.iter().map(|(repository, branch)| Pair::new(*repository, *branch)).collect()
}

#[test]
fn builds_are_told_with_their_cause_and_the_dearest_first() {
    let exist = pairs(&[("app", "main"), ("free", "main"), ("lib", "main"), ("tool", "main")]);
    let mut trees = Branches(exist.iter().map(|pair| (pair.clone(), None)).collect());
    let own = JobFile { jobs: vec![job("own", &["tool"], &["lib"])], noop: false };
    trees.0.insert(exist[3].clone(), Some(own));
    let jobs = vec![job("unit", &["app", "lib"], &[]), job("whole", &["app"], &["tool"])];
    let policy = policy(vec![site(&["app", "lib", "tool"])], jobs);
    let found = costs(&policy, &exist, &mut trees);
    let told: Vec<String> = found
        .iter()
        .map(|cost| {
            let builds = cost.builds.iter();
            let builds: Vec<String> = builds
                .map(|build| format!("{} of {} {}", build.job, build.home.repository, build.why))
                .collect();
            format!("{} {}/{}: {}", cost.pair.repository, cost.count, cost.checkouts, builds.join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "app 4/12: own of tool through site web, unit of app own, unit of lib through site web, whole of app own",
            "lib 4/12: own of tool reads it as input, unit of app through site web, unit of lib own, whole of app through site web",
            "tool 4/12: own of tool own, unit of app through site web, unit of lib through site web, whole of app reads it as input",
        ]
    );
}

#[test]
fn what_keeps_jobs_from_being_found_is_told_with_the_branch() {
    let exist = pairs(&[("app", "main")]);
    let mut trees = Branches(exist.iter().map(|pair| (pair.clone(), None)).collect());
    let found =
        costs(&policy(vec![site(&["app", "gone"])], vec![job("unit", &["*"], &[])]), &exist, &mut trees);
    assert_eq!(found[0].count, 0);
    assert!(found[0].problem.contains("names the repository `gone`"), "{}", found[0].problem);
}

#[test]
fn one_branch_stands_for_a_repository_unless_branches_are_named() {
    let exist = pairs(&[
        ("app", "dev"),
        ("app", "main"),
        ("app", "stable"),
        ("app2", "stable"),
        ("free", "main"),
        ("lib", "main"),
    ]);
    let policy = policy(Vec::new(), Vec::new());
    let select = |asked: &[&str]| {
        let asked: Vec<CostOf> = asked.iter().map(|text| CostOf::parse(text)).collect();
        select(&policy, &exist, &asked)
            .map(|pairs| pairs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    assert_eq!(select(&[]).as_deref(), Ok("app main, app2 stable, lib main"));
    assert_eq!(select(&["app"]).as_deref(), Ok("app main, app stable"));
    assert_eq!(select(&["app*:stable", "lib"]).as_deref(), Ok("app stable, app2 stable, lib main"));
    for nothing in ["free", "app:dev", "gone", "lib:stable"] {
        let why = select(&["app", nothing]).unwrap_err();
        assert!(why.starts_with(&format!("find a gated branch `{nothing}`")), "{why}");
    }
}
