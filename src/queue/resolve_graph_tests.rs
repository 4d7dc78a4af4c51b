//! Claims about jobs that need others, and about file matchers.

use super::*;

fn needing(name: &str, repository: &str, needs: &[&str]) -> JobPolicy {
    JobPolicy { needs: needs.iter().map(|need| (*need).into()).collect(), ..job(name, repository, &[]) }
}

#[test]
fn where_a_job_applies_those_that_it_needs_do_too() {
    // In lib nobody asks for the build; in app the test does, and the build itself needs the fetch.
    let jobs = || {
        vec![
            needing("build", "lib", &["fetch"]),
            job("fetch", "none", &[]),
            needing("test", "app", &["build"]),
        ]
    };
    check(
        jobs(),
        &["app"],
        table(&[("app", 1), ("lib", 2)]),
        (
            &["build@app main[app main]", "fetch@app main[app main]", "test@app main[app main]"],
            &["app main=101", "file app main=none"],
        ),
    );
    let found = resolve(&policy(jobs()), &Pipeline::Gate, &[pair("app")], &[], &mut table(&[("app", 1)]));
    let Resolved::Jobs { jobs, .. } = found else { panic!("{found:?}") };
    let depths: Vec<(&str, u32)> = jobs.iter().map(|job| (job.name.as_str(), job.depth)).collect();
    assert_eq!(depths, [("build", 1), ("fetch", 0), ("test", 2)]);
}

#[test]
fn a_key_includes_those_of_needed_jobs_and_without_needs_it_is_what_it_was() {
    let keys = |build: &str, needs: &[&str]| {
        let mut build_job = job("build", "app", &[]);
        Arc::make_mut(&mut build_job.spec).commands = vec![build.into()];
        let jobs = vec![build_job, needing("deploy", "app", &["test"]), needing("test", "app", needs)];
        match resolve(&policy(jobs), &Pipeline::Gate, &[pair("app")], &[], &mut table(&[("app", 1)])) {
            Resolved::Jobs { jobs, .. } => jobs.iter().map(|job| job.key).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let (one, other) = (keys("make", &["build"]), keys("make all", &["build"]));
    assert!((0..3).all(|at| one[at] != other[at]), "the build is another, so all that rests on it is");
    let (one, other) = (keys("make", &[]), keys("make all", &[]));
    assert!(one[0] != other[0] && one[1] == other[1] && one[2] == other[2]);
    let (alone, spec) = (job("test", "app", &[]), job("test", "app", &[]).spec);
    let found =
        resolve(&policy(vec![alone]), &Pipeline::Gate, &[pair("app")], &[], &mut table(&[("app", 1)]));
    let Resolved::Jobs { jobs, .. } = found else { panic!("{found:?}") };
    assert_eq!(jobs[0].key, VerdictKey::new(&"test".into(), &pair("app"), &spec, &jobs[0].inputs));
}

#[test]
fn a_job_file_needs_its_own_jobs_and_those_that_are_enforced_for_its_branch() {
    let file = |needs: &[&str]| JobFile {
        jobs: vec![job("help", "app", &[]), needing("own", "app", needs)],
        noop: false,
    };
    let enforced = || vec![job("unit", "app", &[]), job("release", "ops", &[])];
    let check_file = |needs: &[&str], expected: &[&str]| {
        let mut trees = table(&[("app", 1), ("ops", 2)]);
        trees.files.insert(pair("app"), Ok(file(needs)));
        let (jobs, _) =
            summary(&resolve(&policy(enforced()), &Pipeline::Gate, &[pair("app")], &[], &mut trees));
        assert_eq!(jobs, expected, "{needs:?}");
    };
    check_file(
        &["help", "unit"],
        &["help@app main[app main]", "own@app main[app main]", "unit@app main[app main]"],
    );
    let broken = |need: &str| {
        format!(
            "broken app main: seakeeper.toml: the job `own` needs `{need}`, which is no job for it in the gate: correct the name, or take it out of `needs`"
        )
    };
    check_file(&["release"], &[&broken("release")]);
    check_file(&["nothing"], &[&broken("nothing")]);
    let circle = "broken app main: seakeeper.toml: the job `own` needs itself, by way of the jobs that it needs: take one of these needs out";
    check_file(&["own"], &[circle]);
}

#[test]
fn another_repositorys_job_comes_with_all_that_it_needs_or_not_at_all() {
    let found = |needs: &[&str]| {
        let mut trees = table(&[("app", 1), ("lib", 2)]);
        let reader = JobPolicy { needs: vec!["build".into()], ..job("own", "app", &["lib"]) };
        let file = JobFile { jobs: vec![needing("build", "app", needs), reader], noop: false };
        trees.files.insert(pair("app"), Ok(file));
        let policy = Policy { queues: vec![queue_of(&["app", "lib"])], ..policy(vec![]) };
        summary(&resolve(&policy, &Pipeline::Gate, &[pair("lib")], &[], &mut trees)).0
    };
    assert_eq!(found(&[]), ["build@app main[app main]", "own@app main[app main, lib main]"]);
    assert!(found(&["gone"]).is_empty(), "what is broken there is no fault of this item");
}

fn matched(name: &str, repository: &str, inputs: &[&str], files: &[&str]) -> JobPolicy {
    JobPolicy { runs_for: RunsFor::Files, files: Patterns::new(files), ..job(name, repository, inputs) }
}

/// The jobs of an item that writes lib, as "name@home" and "spared@home: why", and what was read.
fn of_lib(jobs: Vec<JobPolicy>, trees: &mut Table) -> (Vec<String>, Vec<String>) {
    let found = resolve(&policy(jobs), &Pipeline::Gate, &[pair("lib")], &[], trees);
    let Resolved::Jobs { jobs, reads, unneeded, .. } = found else { panic!("{found:?}") };
    let jobs = jobs.iter().map(|job| format!("{}@{}", job.name, job.home));
    let spared = unneeded.iter().map(|spared| format!("{}@{}: {}", spared.job, spared.home, spared.why));
    let branch = |read: &Read| match &read.unit {
        Unit::Branch(pair) => Some(pair.to_string()),
        Unit::JobFile(_) => None,
    };
    (jobs.chain(spared).collect(), reads.iter().filter_map(branch).collect())
}

#[test]
fn a_matched_job_runs_for_changes_of_its_files_in_its_home_or_an_input() {
    let jobs =
        || vec![matched("docs", "lib", &[], &["docs/*"]), matched("joint", "app", &["lib"], &["api/*"])];
    let mut trees = table(&[("app", 1), ("lib", 2)]);
    let spared = ["docs@lib main: none of `docs/*` is changed", "joint@app main: none of `api/*` is changed"];
    assert_eq!(
        of_lib(jobs(), &mut trees),
        (spared.map(String::from).to_vec(), vec!["lib main".into()]),
        "what is spared reads nothing"
    );
    trees.changed.insert((pair("lib"), "api/one"));
    trees.changed.insert((pair("app"), "docs/two"));
    let found = of_lib(jobs(), &mut trees);
    assert_eq!(found.0, ["joint@app main", spared[0]], "changes elsewhere do not count");
    assert_eq!(found.1, ["app main", "lib main"]);
    trees.changed.insert((pair("lib"), "docs/three"));
    assert_eq!(of_lib(jobs(), &mut trees).0, ["docs@lib main", "joint@app main"]);
}

#[test]
fn a_matched_job_whose_home_or_input_is_another_branch_is_not_listed() {
    let mut trees = table(&[("app stable", 1), ("lib", 2)]);
    let jobs = vec![
        matched("no-such-home", "app", &["lib"], &["api/*"]),
        matched("another-branch", "lib", &[], &["api/*"]),
        matched("other-input", "tool", &["lib stable"], &["api/*"]),
    ];
    assert_eq!(of_lib(jobs, &mut trees).0, ["another-branch@lib main: none of `api/*` is changed"]);
}

#[test]
fn a_matched_job_of_an_altered_job_file_runs_in_any_case() {
    let mut trees = table(&[("lib", 2)]);
    let file = JobFile { jobs: vec![matched("docs", "lib", &[], &["docs/*"])], noop: false };
    trees.files.insert(pair("lib"), Ok(file));
    assert_eq!(of_lib(vec![], &mut trees).0, ["docs@lib main: none of `docs/*` is changed"]);
    trees.altered.insert(pair("lib"));
    assert_eq!(of_lib(vec![], &mut trees).0, ["docs@lib main"]);
    let enforced = vec![matched("enforced", "lib", &[], &["x", "a", "b", "c", "d", "e", "f"])];
    let listed = "enforced@lib main: none of `x`, `a`, `b`, `c`, `d` and 2 more is changed";
    assert!(
        of_lib(enforced, &mut trees).0.contains(&listed.to_owned()),
        "the operator's does not stand there"
    );
}

#[test]
fn what_another_job_needs_is_not_spared() {
    let mut trees = table(&[("lib", 2)]);
    let jobs = vec![matched("build", "lib", &[], &["src/*"]), needing("test", "lib", &["build"])];
    assert_eq!(of_lib(jobs, &mut trees).0, ["build@lib main", "test@lib main"]);
}
