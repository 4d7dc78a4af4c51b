//! Claims about jobs that read the other repositories of their sites.

use super::*;
use crate::model::SitePolicy;

fn site(name: &str, repositories: &[&str]) -> SitePolicy {
    SitePolicy { name: name.into(), repositories: Patterns::new(repositories), branch: None, inputs: true }
}

/// The jobs of an item that writes `item` under these sites and jobs, or why there are none; and the reads.
fn found(
    sites: Vec<SitePolicy>,
    jobs: Vec<JobPolicy>,
    item: &[&str],
    trees: &mut Table,
) -> (Vec<String>, Vec<String>) {
    let item: Vec<Pair> = item.iter().map(|name| pair(name)).collect();
    let policy = Policy { sites, ..policy(jobs) };
    summary(&resolve(&policy, &Pipeline::Gate, &item, &[], trees))
}

#[track_caller]
fn check(
    sites: Vec<SitePolicy>,
    jobs: Vec<JobPolicy>,
    item: &str,
    branches: &[(&str, u8)],
    expected: &[&str],
) {
    let (jobs, _) = found(sites, jobs, &[item], &mut table(branches));
    assert_eq!(jobs, expected);
}

const WEB: &[(&str, u8)] = &[("app", 1), ("lib", 2), ("other", 3)];

#[test]
fn a_job_reads_all_repositories_of_its_homes_sites_and_runs_for_their_changes() {
    let unit = || vec![job("unit", "*", &[])];
    let web = || vec![site("web", &["app", "lib"])];
    let both = ["unit@app main[app main, lib main]", "unit@lib main[lib main, app main]"];
    check(web(), unit(), "app", WEB, &both);
    check(web(), unit(), "lib", WEB, &both);
    check(web(), unit(), "other", WEB, &["unit@other main[other main]"]);
}

#[test]
fn a_repository_of_two_sites_joins_them_only_for_its_own_jobs() {
    let sites = || vec![site("web", &["core", "app"]), site("maps", &["core", "map"])];
    let branches = [("app", 1), ("core", 2), ("map", 3)];
    let of_core = [
        "unit@app main[app main, core main]",
        "unit@core main[core main, app main, map main]",
        "unit@map main[map main, core main]",
    ];
    check(sites(), vec![job("unit", "*", &[])], "core", &branches, &of_core);
    check(sites(), vec![job("unit", "*", &[])], "app", &branches, &of_core[..2]);
}

#[test]
fn a_job_may_leave_its_sites_out_and_a_site_may_only_group() {
    let alone = ["unit@app main[app main]"];
    let apart = JobPolicy { sites: false, ..job("unit", "*", &[]) };
    check(vec![site("web", &["app", "lib"])], vec![apart], "app", WEB, &alone);
    let grouping = SitePolicy { inputs: false, ..site("web", &["app", "lib"]) };
    check(vec![grouping], vec![job("unit", "*", &[])], "app", WEB, &alone);
}

#[test]
fn a_job_for_its_own_repository_reads_its_sites_and_runs_for_its_own_changes() {
    let own = || vec![JobPolicy { runs_for: RunsFor::Own, ..job("unit", "app", &[]) }];
    let web = || vec![site("web", &["app", "lib"])];
    check(web(), own(), "app", WEB, &["unit@app main[app main, lib main]"]);
    check(web(), own(), "lib", WEB, &[]);
}

#[test]
fn what_a_job_names_itself_goes_before_what_its_site_has() {
    let branches = [("app", 1), ("lib", 2), ("lib stable", 3)];
    let jobs = || vec![job("unit", "app", &["lib stable"])];
    let web = || vec![site("web", &["app", "lib"])];
    check(web(), jobs(), "app", &branches, &["unit@app main[app main, lib stable]"]);
    check(web(), jobs(), "lib", &branches, &[]);
    check(web(), jobs(), "lib stable", &branches, &[]);
}

#[test]
fn a_pattern_means_the_repositories_that_there_are_and_a_name_must_be_there() {
    let unit = || vec![job("unit", "*", &[])];
    let one = [("web/app", 1)];
    check(vec![site("web", &["web/*"])], unit(), "web/app", &one, &["unit@web/app main[web/app main]"]);
    let why = "failed: the site `web` names the repository `web/gone`, which has no branch to be read for web/app main: correct its name in the configuration, give the site a `branch`, or let the daemon's account read it";
    check(vec![site("web", &["web/*", "web/gone"])], unit(), "web/app", &one, &[why]);
    check(vec![site("web", &["web/gone"])], unit(), "web/app", &one, &["unit@web/app main[web/app main]"]);
    let apart = JobPolicy { sites: false, ..job("unit", "*", &[]) };
    let named = vec![site("web", &["web/*", "web/gone"])];
    check(named, vec![apart], "web/app", &one, &["unit@web/app main[web/app main]"]);
}

#[test]
fn a_repository_without_the_branch_is_read_at_the_sites_branch_or_at_its_default() {
    let unit = || vec![job("unit", "app", &[])];
    let branches = [("app stable", 1), ("lib main", 2), ("lib next", 3)];
    let read = |branch: Option<&str>| {
        vec![SitePolicy { branch: branch.map(Into::into), ..site("web", &["app", "lib"]) }]
    };
    check(read(None), unit(), "app stable", &branches, &["unit@app stable[app stable, lib main]"]);
    check(read(Some("next")), unit(), "app stable", &branches, &["unit@app stable[app stable, lib next]"]);
    let why = "failed: the site `web` names the repository `lib`, which has no branch to be read for app stable: correct its name in the configuration, give the site a `branch`, or let the daemon's account read it";
    check(read(Some("gone")), unit(), "app stable", &branches, &[why]);
}

#[test]
fn a_change_of_what_is_read_instead_runs_the_job_of_the_other_default_branch() {
    let branches = [("app trunk", 1), ("lib main", 2), ("lib next", 3)];
    let unit = || vec![job("unit", "app", &[])];
    let web = |branch: Option<&str>| {
        vec![SitePolicy { branch: branch.map(Into::into), ..site("web", &["app", "lib"]) }]
    };
    let runs = ["unit@app trunk[app trunk, lib main]"];
    check(web(None), unit(), "lib main", &branches, &runs);
    check(web(None), unit(), "lib next", &branches, &[]);
    check(web(Some("next")), unit(), "lib next", &branches, &["unit@app trunk[app trunk, lib next]"]);
    let (_, reads) = found(web(None), unit(), &["lib main"], &mut table(&branches));
    assert!(reads.contains(&"app main=none".to_owned()), "{reads:?}");
}

#[test]
fn the_job_files_of_a_site_are_consulted_and_a_broken_one_is_not_the_items_fault() {
    let mut trees = table(&[("app", 1), ("lib", 2), ("tool", 3), ("other", 4)]);
    let file = |name: &str, home: &str| Ok(JobFile { jobs: vec![job(name, home, &[])], noop: false });
    trees.files.insert(pair("app"), file("own", "app"));
    trees.files.insert(pair("other"), file("far", "other"));
    trees.files.insert(pair("tool"), Err("line 3".into()));
    let web = vec![site("web", &["app", "lib", "tool"])];
    let (jobs, reads) = found(web, vec![], &["lib"], &mut trees);
    assert_eq!(jobs, ["own@app main[app main, lib main, tool main]"]);
    let expected = [
        "app main=101",
        "lib main=102",
        "tool main=103",
        "file app main=9",
        "file lib main=none",
        "file tool main=9",
    ];
    assert_eq!(reads, expected);
}

#[test]
fn a_site_that_matches_too_much_is_told_of() {
    let names: Vec<String> = (0..501).map(|number| format!("r{number:03}")).collect();
    let branches: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let why = "failed: the site `all` has 501 repositories, and its jobs would read all of them: name fewer (at most 500), or give it `inputs = false`";
    check(vec![site("all", &["*"])], vec![job("unit", "*", &[])], "r000", &branches, &[why]);
    check(
        vec![site("all", &["*"])],
        vec![job("unit", "r000", &[])],
        "r000",
        &branches[..500],
        &[&{
            let read: Vec<String> = names[..500].iter().map(|name| format!("{name} main")).collect();
            format!("unit@r000 main[{}]", read.join(", "))
        }],
    );
}
