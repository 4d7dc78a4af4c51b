//! Claims about sites and the queues that they stand for.

use super::super::tests::{MINIMAL, accept, complaints, insert_after};
use crate::model::Pair;

/// The minimal file with other queues and sites, and a job for all.
fn with(queues_and_sites: &str) -> String {
    let head = MINIMAL.split("[[queue]]").next().unwrap_or_default();
    let job = "[[job]]\nname = \"unit\"\nrepositories = [\"*\"]\ncommands = [\"true\"]\n";
    format!("{head}{queues_and_sites}\n{job}")
}

fn site(name: &str, repositories: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\nrepositories = {repositories}\n")
}

/// The queues as "name(family): repositories".
fn queues(text: &str) -> Vec<String> {
    let (config, warnings) = accept(&with(text));
    assert_eq!(warnings, []);
    let told = config.policy.queues.iter().map(|queue| {
        let names: Vec<&str> = queue.repositories.0.iter().map(|pattern| pattern.as_str()).collect();
        let family = queue.family.as_ref().map_or("", |family| family.as_str());
        format!("{}({family}): {}", queue.name, names.join(" "))
    });
    told.collect()
}

const FOR_SITES: &str = "[[queue]]\nname = \"main\"\nsites = true\nwindow = 3\n";

#[test]
fn a_site_is_read_with_its_keys() {
    let text =
        format!("{FOR_SITES}{}branch = \"next\"\ninputs = false\n", site("web", "[\"app\", \"lib-*\"]"));
    let (config, _) = accept(&with(&text));
    let site = &config.policy.sites[0];
    assert_eq!((site.name.as_str(), site.inputs), ("web", false));
    assert_eq!(site.branch.as_ref().map(|branch| branch.as_str()), Some("next"));
    assert!(site.has(&"app".into()) && site.has(&"lib-x".into()) && !site.has(&"other".into()));
    assert!(config.policy.jobs[0].sites);
    let (config, _) = accept(&insert_after(&with(&text), "[[job]]", "sites = false"));
    assert!(!config.policy.jobs[0].sites);
}

#[test]
fn a_queue_for_sites_is_one_for_each_group_that_shares_a_repository() {
    let (web, maps) = (site("web", "[\"core\", \"app\"]"), site("maps", "[\"core\", \"map\"]"));
    let data = site("data", "[\"blob-*\"]");
    assert_eq!(queues(&format!("{FOR_SITES}{web}{maps}")), ["main(main): core app map"]);
    assert_eq!(
        queues(&format!("{FOR_SITES}{web}{data}{maps}")),
        ["main-web(main): core app map", "main-data(main): blob-*"]
    );
    let beside = FOR_SITES.replace("sites = true", "sites = true\nrepositories = [\"*\"]");
    let text = format!("{beside}{web}");
    assert_eq!(queues(&text), ["main-web(main): core app", "main(): *"]);
    let (config, _) = accept(&with(&text));
    for (repository, expected) in [("app", "main-web"), ("tool", "main")] {
        let queue = config.policy.queue_of(&Pair::new(repository, "main")).unwrap();
        assert_eq!(queue.name.as_str(), expected);
        assert_eq!(queue.strategy, crate::model::policy::StrategyPolicy::Dependent { window: 3 });
    }
}

#[test]
fn all_that_is_wrong_with_sites_is_told() {
    let web = site("web", "[\"app\"]");
    for (text, expected) in [
        (
            FOR_SITES.to_owned(),
            "key `queue.sites`: there is no site; add a `[[site]]`, or write `repositories`",
        ),
        ("[[queue]]\nname = \"main\"\n".to_owned(), "key `queue.repositories`: is missing"),
        (format!("{FOR_SITES}{web}{web}"), "key `site.name`: `web` is declared twice; rename one"),
        (format!("{FOR_SITES}[[site]]\n"), "key `site.name`: is missing; add for example `name = \"web\"`"),
        (format!("{FOR_SITES}[[site]]\n"), "key `site.repositories`: is missing"),
        (format!("{FOR_SITES}{}", site("web", "[]")), "key `site.repositories`: matches nothing"),
        (
            format!("{FOR_SITES}{web}branch = \"refs/heads/x\"\n"),
            "`refs/heads/x` is not the name of a branch",
        ),
        (format!("{FOR_SITES}{web}branch = \"wmf/*\"\n"), "`wmf/*` is not the name of a branch"),
        (format!("{FOR_SITES}{web}input = true\n"), "key `site.input`: unknown key; did you mean `inputs`?"),
        (
            format!(
                "[[queue]]\nname = \"main-web\"\nrepositories = [\"x\"]\n{FOR_SITES}{web}{}",
                site("far", "[\"far\"]")
            ),
            "`main` stands for a queue `main-web`, and there is another of that name; rename one",
        ),
    ] {
        let found = complaints(&with(&text));
        assert!(found.contains(expected), "{text}\n{found}");
    }
}

#[test]
fn what_is_probably_not_meant_of_sites_is_warned_of() {
    let before = "[[queue]]\nname = \"early\"\nrepositories = [\"a*\"]\n";
    let only = "[[queue]]\nname = \"main\"\nrepositories = [\"lib\"]\n";
    let app = site("web", "[\"app\", \"lib\"]");
    for (text, expected) in [
        (
            format!("{before}{FOR_SITES}{app}"),
            "queue `early` stands before it and takes repositories of queue `main`",
        ),
        (format!("{only}{}", site("far", "[\"far\"]")), "no queue gates the repositories of site `far`"),
    ] {
        let (_, warnings) = accept(&with(&text));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].what.contains(expected), "{warnings:?}");
    }
    let elsewhere = before.replace("name = \"early\"", "name = \"early\"\nbranches = [\"dev\"]");
    let apart = FOR_SITES.replace("sites = true", "sites = true\nbranches = [\"main\"]");
    assert_eq!(accept(&with(&format!("{elsewhere}{apart}{app}"))).1, []);
}
