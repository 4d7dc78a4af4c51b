//! Which jobs a job needs: read as names, and checked once all jobs of a file are known.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::did_you_mean;
use super::section::Section;
use crate::model::{JobName, JobPolicy};

/// The jobs that `job` needs, each once, by name.
pub(super) fn read_needs(job: &Section<'_>) -> Vec<JobName> {
    let mut needs = BTreeSet::new();
    for need in job.texts("needs").unwrap_or_default() {
        if !needs.insert(JobName::new(need.value)) {
            job.problem(need.at, "needs", format!("`{}` is named twice", need.value), "remove one");
        }
    }
    needs.into_iter().collect()
}

/// Notes what is wrong with the needs of the jobs of a file. `others` are jobs that are declared elsewhere
/// and may be needed.
pub(super) fn check_needs(jobs: &[(Section<'_>, JobPolicy)], others: &[&JobPolicy]) {
    let own = jobs.iter().map(|(_, job)| job);
    let known: BTreeMap<&str, bool> =
        others.iter().copied().chain(own).map(|job| (job.name.as_str(), job.voting)).collect();
    for (section, job) in jobs {
        for need in section.texts("needs").unwrap_or_default() {
            let names: Vec<&str> = known.keys().copied().filter(|name| *name != job.name.as_str()).collect();
            match known.get(need.value) {
                None if names.is_empty() => {
                    let what = format!("there is no job `{}`", need.value);
                    section.problem(need.at, "needs", what, "declare it, or remove the key");
                }
                None => {
                    let what = format!("there is no job `{}` for it", need.value);
                    section.problem(need.at, "needs", what, did_you_mean(need.value, &names));
                }
                Some(false) if job.voting => {
                    let what = format!("`{}` votes, and needs `{}`, which does not", job.name, need.value);
                    let remedy = format!(
                        "let `{}` vote, or write `voting = false` for `{}` too",
                        need.value, job.name
                    );
                    section.problem(need.at, "needs", what, remedy);
                }
                Some(_) => {}
            }
        }
    }
    for circle in circles(jobs) {
        let Some((section, _)) = circle.first() else { continue };
        let next = circle.iter().cycle().skip(1);
        let links: Vec<String> = circle
            .iter()
            .zip(next)
            .map(|((_, job), (_, need))| format!("`{}` needs `{}`", job.name, need.name))
            .collect();
        let at = section.at_of("needs");
        section.problem(
            at,
            "needs",
            format!("goes in a circle: {}", links.join(", ")),
            "take one of them out",
        );
    }
}

/// The circles in which jobs need each other; a job is in one of them at most.
fn circles<'a, 's>(jobs: &'a [(Section<'s>, JobPolicy)]) -> Vec<Vec<&'a (Section<'s>, JobPolicy)>> {
    let by_name: BTreeMap<&JobName, &(Section<'_>, JobPolicy)> =
        jobs.iter().map(|entry| (&entry.1.name, entry)).collect();
    let mut open: BTreeSet<&JobName> = by_name.keys().copied().collect();
    let mut found = Vec::new();
    loop {
        // What needs nothing that is open is in no circle.
        let needs_open = |name: &JobName| {
            by_name.get(name).into_iter().flat_map(|(_, job)| &job.needs).find(|need| open.contains(need))
        };
        let free: Vec<&JobName> = open.iter().copied().filter(|name| needs_open(name).is_none()).collect();
        if !free.is_empty() {
            for name in free {
                open.remove(name);
            }
            continue;
        }
        let first = jobs.iter().map(|(_, job)| &job.name).find(|name| open.contains(name));
        let Some(mut at) = first else { return found };
        let mut way: Vec<&JobName> = Vec::new();
        while !way.contains(&at) {
            way.push(at);
            let Some(next) = needs_open(at) else { break };
            at = next;
        }
        let circle = way.split_off(way.iter().position(|name| *name == at).unwrap_or(0));
        for name in &circle {
            open.remove(name);
        }
        found.push(circle.iter().filter_map(|name| by_name.get(name).copied()).collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{JobFileLimits, parse_job_file, parse_policy};
    use crate::model::Pair;

    const QUEUE: &str = "[[queue]]\nname = \"main\"\nrepositories = [\"*\"]\n";

    /// A job with this name and these further keys, each in a line of its own.
    fn job(name: &str, more: &str) -> String {
        format!("[[job]]\nname = \"{name}\"\ncommands = [\"true\"]\n{more}\n")
    }

    /// What is wrong with these jobs of the operator's, and of a job file beside the operator's `unit`,
    /// `hint` (which does not vote) and `ops` (which is for another repository).
    fn complaints(jobs: &str) -> (String, String) {
        let lines = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let operators = parse_policy(format!("{QUEUE}{jobs}").as_bytes(), "seakeeper.toml", "bot");
        let enforced =
            [job("unit", ""), job("hint", "voting = false"), job("ops", "repositories = [\"ops\"]")];
        let text = format!("{QUEUE}{}", enforced.concat());
        let (policy, limits) = parse_policy(text.as_bytes(), "seakeeper.toml", "bot").unwrap();
        let own = parse_job_file(jobs.as_bytes(), &Pair::new("app", "main"), &policy, &limits);
        (operators.err().map(lines).unwrap_or_default(), own.err().map(lines).unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_with_needs_is_said_with_a_remedy_in_both_files() {
        for (jobs, expected) in [
            (
                job("build", "") + &job("test", "needs = [\"buidl\"]"),
                "key `job.needs`: there is no job `buidl` for it; did you mean `build`?",
            ),
            (
                job("lint", "voting = false") + &job("test", "needs = [\"lint\"]"),
                "`test` votes, and needs `lint`, which does not; let `lint` vote, or write `voting = false` for `test` too",
            ),
            (
                job("a", "needs = [\"b\"]") + &job("b", "needs = [\"c\"]") + &job("c", "needs = [\"a\"]"),
                "goes in a circle: `a` needs `b`, `b` needs `c`, `c` needs `a`; take one of them out",
            ),
            (job("a", "needs = [\"a\"]"), "goes in a circle: `a` needs `a`"),
            (
                job("x", "needs = [\"a\"]") + &job("a", "needs = [\"b\"]") + &job("b", "needs = [\"a\"]"),
                "goes in a circle: `a` needs `b`, `b` needs `a`",
            ),
            (job("a", "") + &job("b", "needs = [\"a\", \"a\"]"), "`a` is named twice; remove one"),
        ] {
            let (operators, own) = complaints(&jobs);
            for found in [operators, own] {
                assert!(found.contains(expected), "{jobs}\nexpected: {expected}\nfound: {found}");
                assert_eq!(found.lines().count(), 1, "{jobs}: one complaint expected, found\n{found}");
            }
        }
        let (operators, _) = complaints(&job("a", "needs = [\"b\"]"));
        assert!(operators.contains("there is no job `b`; declare it, or remove the key"), "{operators}");
    }

    #[test]
    fn two_circles_are_two_faults() {
        let pair =
            |a: &str, b: &str| job(a, &format!("needs = [\"{b}\"]")) + &job(b, &format!("needs = [\"{a}\"]"));
        let (operators, _) = complaints(&(pair("a", "b") + &pair("c", "d")));
        assert_eq!(operators.lines().count(), 2, "{operators}");
    }

    #[test]
    fn a_job_file_may_need_what_the_operator_enforces_for_its_branch_alone() {
        for (need, expected) in [
            ("unit", ""),
            ("ops", "there is no job `ops` for it"),
            ("hint", "`own` votes, and needs `hint`, which does not"),
        ] {
            let (_, own) = complaints(&job("own", &format!("needs = [\"{need}\"]")));
            assert!(own.contains(expected) && own.is_empty() == expected.is_empty(), "{need}: {own}");
        }
    }

    #[test]
    fn needs_are_kept_by_name_whatever_their_order() {
        let jobs = job("a", "") + &job("b", "") + &job("c", "needs = [\"b\", \"a\"]");
        let file = parse_job_file(
            jobs.as_bytes(),
            &Pair::new("app", "main"),
            &parse_policy(QUEUE.as_bytes(), "seakeeper.toml", "bot").unwrap().0,
            &JobFileLimits::default(),
        );
        let needs: Vec<String> = file.unwrap().jobs[2].needs.iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["a", "b"]);
    }
}
