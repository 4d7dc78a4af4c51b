//! Claims about resolution, on trees that are a table in memory.

use super::*;
use crate::model::BuildSpec;
use crate::model::InputPolicy;

#[path = "resolve_graph_tests.rs"]
mod graph;

/// Branches by "repository branch" with their content number; the commit is the content plus 100.
#[derive(Default)]
struct Table {
    branches: BTreeMap<Pair, u8>,
    files: BTreeMap<Pair, Result<JobFile, String>>,
    altered: BTreeSet<Pair>,
    /// Files that the item changes.
    changed: BTreeSet<(Pair, &'static str)>,
    unreadable: bool,
}

fn sha(number: u8) -> Sha {
    Sha([number; 20])
}

impl Trees for Table {
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        if self.unreadable {
            return Err("read the store: the disk is gone".into());
        }
        Ok(self.branches.get(pair).map(|content| sha(content + 100)))
    }

    fn job_file(&mut self, pair: &Pair, _: Sha) -> Result<Option<FoundJobFile>, String> {
        Ok(self.files.get(pair).map(|file| (sha(9), file.clone())))
    }

    fn content(&mut self, pair: &Pair, _: Sha, paths: &[Arc<str>], _: &Patterns) -> Result<Sha, String> {
        let content = self.branches.get(pair).ok_or("no such branch")?;
        Ok(if paths.is_empty() { sha(*content) } else { sha(77) })
    }

    fn alters_job_file(&mut self, pair: &Pair) -> Result<bool, String> {
        Ok(self.altered.contains(pair))
    }

    fn alters_files(&mut self, pair: &Pair, files: &Patterns) -> Result<bool, String> {
        Ok(self.changed.iter().any(|(changed, path)| changed == pair && files.matches(path)))
    }

    fn repositories(&self) -> Vec<Repository> {
        let mut all: Vec<_> = self.branches.keys().map(|pair| pair.repository.clone()).collect();
        all.dedup();
        all
    }

    /// `main`, or the first branch where there is no such.
    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        let mut own = self.branches.keys().filter(|pair| pair.repository == *repository);
        let main = Pair::new(repository.as_str(), "main");
        let first = own.next().filter(|_| !self.branches.contains_key(&main));
        Ok(Some(first.map_or("main".into(), |pair| pair.branch.clone())))
    }
}

fn pair(text: &str) -> Pair {
    let (repository, branch) = text.split_once(' ').unwrap_or((text, "main"));
    Pair::new(repository, branch)
}

fn table(branches: &[(&str, u8)]) -> Table {
    Table {
        branches: branches.iter().map(|(name, content)| (pair(name), *content)).collect(),
        ..Table::default()
    }
}

fn job(name: &str, repository: &str, inputs: &[&str]) -> JobPolicy {
    let input = |name: &&str| {
        let (repository, branch) = name.split_once(' ').map_or((*name, None), |(r, b)| (r, Some(b.into())));
        InputPolicy { repository: repository.into(), branch, paths: Vec::new() }
    };
    JobPolicy {
        name: name.into(),
        repositories: Patterns::new(&[repository]),
        branches: Patterns::new(&["*"]),
        inputs: inputs.iter().map(input).collect(),
        sites: true,
        paths: Vec::new(),
        ignored_files: Patterns::default(),
        runs_for: RunsFor::Inputs,
        files: Patterns::default(),
        spec: Arc::new(BuildSpec {
            commands: vec!["true".into()],
            environment: BTreeMap::new(),
            timeout_ms: 1000,
            trust: "gate".into(),
        }),
        voting: true,
        history: false,
        reuse_ms: None,
        attempts: crate::model::job::Attempts::UpTo(1),
        needs: Vec::new(),
        pipelines: Default::default(),
    }
}

fn policy(jobs: Vec<JobPolicy>) -> Policy {
    use crate::model::policy::{CheckPolicy, GatePolicy, Limits};
    Policy {
        account: "bot".into(),
        queues: Vec::new(),
        sites: Vec::new(),
        jobs,
        job_files: true,
        templates: Default::default(),
        gate: GatePolicy {
            approval: Vec::new(),
            label: "Verified".into(),
            success: 1,
            failure: -1,
            start_message_after_ms: None,
        },
        check: CheckPolicy { enabled: true, success: 1, failure: -1, recheck: None },
        slots: 1,
        limits: Limits::default(),
        priority: Default::default(),
        pipelines: Default::default(),
    }
}

/// The jobs as "name@home[inputs]" and the reads as "unit=first byte".
fn summary(resolved: &Resolved) -> (Vec<String>, Vec<String>) {
    let show = |reads: &[Read]| {
        let unit = |read: &Read| match &read.unit {
            Unit::Branch(pair) => format!("{pair}"),
            Unit::JobFile(pair) => format!("file {pair}"),
        };
        reads
            .iter()
            .map(|read| {
                format!("{}={}", unit(read), read.value.map_or("none".into(), |sha| sha.0[0].to_string()))
            })
            .collect::<Vec<_>>()
    };
    match resolved {
        Resolved::Jobs { jobs, reads, .. } => {
            let inputs = |job: &ResolvedJob| {
                job.inputs.iter().map(|input| input.pair.to_string()).collect::<Vec<_>>().join(", ")
            };
            let jobs = jobs.iter().map(|job| format!("{}@{}[{}]", job.name, job.home, inputs(job))).collect();
            (jobs, show(reads))
        }
        Resolved::Broken { pair, why, reads, .. } => (vec![format!("broken {pair}: {why}")], show(reads)),
        Resolved::Failed { why } => (vec![format!("failed: {why}")], Vec::new()),
    }
}

fn check(jobs: Vec<JobPolicy>, item: &[&str], mut trees: Table, expected: (&[&str], &[&str])) {
    let item: Vec<Pair> = item.iter().map(|name| pair(name)).collect();
    let (jobs, reads) = summary(&resolve(&policy(jobs), &Pipeline::Gate, &item, &[], &mut trees));
    assert_eq!(
        (jobs, reads),
        (
            expected.0.iter().map(|s| s.to_string()).collect(),
            expected.1.iter().map(|s| s.to_string()).collect()
        )
    );
}

#[test]
fn a_job_runs_for_its_home() {
    let trees = table(&[("app", 1), ("lib", 2)]);
    let expected: (&[&str], &[&str]) =
        (&["test@app main[app main]"], &["app main=101", "file app main=none"]);
    check(vec![job("test", "app", &[]), job("other", "lib", &[])], &["app"], trees, expected);
}

#[test]
fn a_change_of_an_input_runs_the_job_of_the_other_repository_and_consults_its_job_file() {
    let mut trees = table(&[("app", 1), ("lib", 2)]);
    trees.files.insert(pair("app"), Ok(JobFile { jobs: vec![job("own", "app", &["lib"])], noop: false }));
    check(
        vec![job("test", "app", &["lib"])],
        &["lib"],
        trees,
        (
            &["own@app main[app main, lib main]", "test@app main[app main, lib main]"],
            &["app main=101", "lib main=102", "file app main=9", "file lib main=none"],
        ),
    );
}

/// The queue of `policy` that names these repositories, or matches them by pattern.
fn queue_of(repositories: &[&str]) -> crate::model::policy::QueuePolicy {
    use crate::model::policy::{AfterFailure, LandingMode, QueuePolicy, StrategyPolicy};
    QueuePolicy {
        name: "main".into(),
        family: None,
        per_branch: false,
        outside: Default::default(),
        repositories: Patterns::new(repositories),
        branches: Patterns::new(&["*"]),
        strategy: StrategyPolicy::Serial,
        max_items_per_push: 1,
        merge_from: Vec::new(),
        after_failure: AfterFailure::Forget,
        landing: LandingMode::Push,
        topics: Default::default(),
        tuning: Default::default(),
    }
}

#[test]
fn job_files_of_repositories_named_in_one_queue_are_consulted_and_their_branches_only_when_a_job_applies() {
    let named: &[&str] = &["app", "lib", "tool"];
    let check = |repositories: &[&str], jobs: &[&str], reads: &[&str]| {
        let mut trees = table(&[("app", 1), ("lib", 2), ("tool", 3)]);
        let reader = JobFile { jobs: vec![job("own", "app", &["lib"])], noop: false };
        trees.files.insert(pair("app"), Ok(reader));
        trees.files.insert(pair("tool"), Err("line 3".into()));
        let policy = Policy { queues: vec![queue_of(repositories)], ..policy(vec![]) };
        let found = summary(&resolve(&policy, &Pipeline::Gate, &[pair("lib")], &[], &mut trees));
        let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        assert_eq!(found, (owned(jobs), owned(reads)), "{repositories:?}");
    };
    let applies = &["own@app main[app main, lib main]"];
    let all = ["app main=101", "lib main=102", "file app main=9", "file lib main=none", "file tool main=9"];
    check(named, applies, &all);
    check(&["*"], &[], &["lib main=102", "file lib main=none"]);
    check(&["lib", "tool"], &[], &["lib main=102", "file lib main=none", "file tool main=9"]);
}

#[test]
fn a_preferred_branch_that_does_not_exist_is_read_and_the_default_branch_taken() {
    let trees = table(&[("app stable", 1), ("lib main", 2)]);
    check(
        vec![job("test", "app", &["lib"])],
        &["app stable"],
        trees,
        (
            &["test@app stable[app stable, lib main]"],
            &["app stable=101", "lib main=102", "lib stable=none", "file app stable=none"],
        ),
    );
}

#[test]
fn a_home_without_the_items_branch_has_no_job_and_says_so() {
    let trees = table(&[("app main", 1), ("lib stable", 2)]);
    let expected: (&[&str], &[&str]) = (&[], &["app stable=none", "lib stable=102", "file lib stable=none"]);
    check(vec![job("test", "app", &["lib"])], &["lib stable"], trees, expected);
}

#[test]
fn a_job_for_its_own_repository_does_not_run_for_its_inputs() {
    let trees = table(&[("app", 1), ("lib", 2)]);
    let own = JobPolicy { runs_for: RunsFor::Own, ..job("test", "app", &["lib"]) };
    check(vec![own], &["lib"], trees, (&[], &["lib main=102", "file lib main=none"]));
}

#[test]
fn an_enforced_job_cannot_be_shadowed() {
    let mut trees = table(&[("app", 1)]);
    trees.files.insert(pair("app"), Ok(JobFile { jobs: vec![job("test", "app", &[])], noop: false }));
    let why = "broken app main: seakeeper.toml: the job `test` has the name of a job that the operator enforces: give it another name";
    check(vec![job("test", "*", &[])], &["app"], trees, (&[why], &["app main=101", "file app main=9"]));
}

#[test]
fn a_job_file_that_cannot_be_read_is_blamed_on_its_branch() {
    let mut trees = table(&[("app", 1)]);
    trees.files.insert(pair("app"), Err("line 3".into()));
    check(vec![], &["app"], trees, (&["broken app main: line 3"], &["app main=101", "file app main=9"]));
}

#[test]
fn a_missing_input_is_the_operators_or_the_authors_according_to_who_named_it() {
    let named = "failed: the job `test` names the input `lib`, which has no such branch: correct its name or branch in the configuration, or let the daemon's account read it";
    check(vec![job("test", "app", &["lib"])], &["app"], table(&[("app", 1)]), (&[named], &[]));
    let mut trees = table(&[("app", 1)]);
    trees
        .files
        .insert(pair("app"), Ok(JobFile { jobs: vec![job("own", "app", &["lib gone"])], noop: false }));
    let why = "broken app main: seakeeper.toml: the job `own` names the input `lib`, which has no such branch: correct its name or branch";
    let reads = &["app main=101", "lib gone=none", "file app main=9"];
    check(vec![], &["app"], trees, (&[why], reads));
}

#[test]
fn what_cannot_be_read_is_a_failure_and_no_verdict() {
    let trees = Table { unreadable: true, ..table(&[("app", 1)]) };
    check(
        vec![job("test", "app", &[])],
        &["app"],
        trees,
        (&["failed: read the store: the disk is gone"], &[]),
    );
}

#[test]
fn noop_counts_when_each_written_branch_says_so() {
    let noop = Ok(JobFile { jobs: Vec::new(), noop: true });
    for (files, expected) in [(vec!["app", "lib"], true), (vec!["app"], false), (vec![], false)] {
        let mut trees = table(&[("app", 1), ("lib", 2)]);
        trees.files = files.iter().map(|name| (pair(name), noop.clone())).collect();
        let found = resolve(&policy(vec![]), &Pipeline::Gate, &[pair("lib"), pair("app")], &[], &mut trees);
        assert!(matches!(found, Resolved::Jobs { noop, .. } if noop == expected), "{files:?}: {found:?}");
    }
}

#[test]
fn altered_job_files_are_named() {
    let mut trees = table(&[("app", 1), ("lib", 2)]);
    trees.altered.insert(pair("lib"));
    let found = resolve(&policy(vec![]), &Pipeline::Gate, &[pair("lib"), pair("app")], &[], &mut trees);
    let expected = vec![pair("lib")];
    assert!(matches!(&found, Resolved::Jobs { alters_job_files, .. } if *alters_job_files == expected));
}

#[test]
fn keys_follow_what_a_job_reads_and_nothing_else() {
    let key = |trees: &mut Table, job: JobPolicy| match resolve(
        &policy(vec![job]),
        &Pipeline::Gate,
        &[pair("app")],
        &[],
        trees,
    ) {
        Resolved::Jobs { jobs, .. } => jobs[0].key,
        other => panic!("{other:?}"),
    };
    let plain = || job("test", "app", &["lib"]);
    let narrowed = || {
        let mut narrowed = plain();
        narrowed.inputs[0].paths = vec!["docs".into()];
        narrowed
    };
    let mut before = table(&[("app", 1), ("lib", 2)]);
    let mut after = table(&[("app", 1), ("lib", 3)]);
    assert_eq!(key(&mut before, plain()), key(&mut before, plain()));
    assert_ne!(key(&mut before, plain()), key(&mut after, plain()), "an input changed");
    assert_eq!(key(&mut before, narrowed()), key(&mut after, narrowed()), "only other paths changed");
    let history = || JobPolicy { history: true, ..narrowed() };
    assert_ne!(key(&mut before, history()), key(&mut after, history()), "keyed by commit");
}

#[test]
fn what_is_depended_on_is_an_input_of_every_job_and_read_without_any() {
    let mut trees = table(&[("app", 1), ("lib", 2), ("tool", 3), ("tool dev", 4), ("app dev", 5)]);
    let depends = [pair("app dev"), pair("tool"), pair("tool dev")];
    let jobs = vec![job("test", "app", &["lib"]), job("other", "app", &["tool dev"])];
    let (jobs, reads) = match resolve(&policy(jobs), &Pipeline::Gate, &[pair("app")], &depends, &mut trees) {
        Resolved::Jobs { jobs, reads, .. } => (jobs, reads),
        other => panic!("{other:?}"),
    };
    let inputs = |at: usize| jobs[at].inputs.iter().map(|input| input.pair.clone()).collect::<Vec<_>>();
    assert_eq!(inputs(1), [pair("app"), pair("lib"), pair("tool")], "one folder for each repository");
    assert_eq!(inputs(0), [pair("app"), pair("tool dev")], "what the job asks for itself goes first");
    for read in &depends {
        assert!(reads.iter().any(|known| known.unit == Unit::Branch(read.clone())), "{read}");
    }
    let nothing = resolve(&policy(vec![]), &Pipeline::Gate, &[pair("app")], &[pair("lib")], &mut trees);
    assert!(matches!(nothing, Resolved::Jobs { reads, .. } if !reads.is_empty()));
}

#[path = "resolve/sites_tests.rs"]
mod sites;
