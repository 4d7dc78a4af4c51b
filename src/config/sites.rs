//! Reading `[[site]]`, and the queues that sites stand for.

use std::collections::BTreeSet;

use super::jobs::read_name;
use super::section::{At, Section};
use crate::model::policy::QueuePolicy;
use crate::model::site::groups;
use crate::model::{Branch, Pattern, Patterns, QueueName, SiteName, SitePolicy};

/// Reads all sites.
pub(super) fn read_sites(top: &Section<'_>) -> Vec<At<SitePolicy>> {
    let mut names = BTreeSet::new();
    let mut sites = Vec::new();
    for section in top.tables("site", "site") {
        let name = read_name(&section);
        if let Some(name) = name.as_ref().filter(|name| !names.insert(name.value)) {
            section.problem(name.at, "name", format!("`{}` is declared twice", name.value), "rename one");
        }
        if !section.has("repositories") {
            section.missing("repositories");
        }
        let branch = section.text("branch").filter(|branch| is_short(&section, branch));
        let site = SitePolicy {
            name: SiteName::from(name.map_or("", |name| name.value)),
            repositories: section.patterns("repositories").unwrap_or_default(),
            branch: branch.map(|branch| Branch::from(branch.value)),
            inputs: section.flag("inputs", true),
        };
        sites.push(At { value: site, at: section.at });
    }
    sites
}

/// Whether `branch` is one branch by its short name; else that is noted.
fn is_short(site: &Section<'_>, branch: &At<&str>) -> bool {
    let is_short = !branch.value.starts_with("refs/") && !branch.value.contains(['*', '?']);
    if !is_short {
        let remedy = "write one branch's short name, as in `main`";
        site.problem(branch.at, "branch", format!("`{}` is not the name of a branch", branch.value), remedy);
    }
    is_short
}

/// The queues that a declared one stands for: itself, or one for each group of sites that share a
/// repository. With repositories of its own beside `sites` it also stands for itself, behind those.
pub(super) fn derive(
    section: &Section<'_>,
    declared: QueuePolicy,
    sites: &[At<SitePolicy>],
) -> Vec<QueuePolicy> {
    if !section.flag("sites", false) {
        return vec![declared];
    }
    if sites.is_empty() {
        let remedy = "add a `[[site]]`, or write `repositories` instead";
        section.problem(section.at_of("sites"), "sites", "there is no site", remedy);
    }
    let sites: Vec<SitePolicy> = sites.iter().map(|site| site.value.clone()).collect();
    let groups = groups(&sites);
    let stands_alone = groups.len() == 1 && declared.repositories.0.is_empty();
    let mut queues: Vec<QueuePolicy> = Vec::new();
    for group in groups {
        let members = group.iter().map(|at| &sites[*at]);
        let repositories = union(members.clone().map(|site| &site.repositories));
        let first = members.map(|site| &site.name).next();
        let name = match first {
            Some(site) if !stands_alone => QueueName::from(format!("{}-{site}", declared.name)),
            _ => declared.name.clone(),
        };
        queues.push(QueuePolicy {
            name,
            family: Some(declared.name.clone()),
            repositories,
            ..declared.clone()
        });
    }
    if !declared.repositories.0.is_empty() {
        queues.push(declared);
    }
    queues
}

/// The patterns of all, each once, in order.
fn union<'a>(all: impl Iterator<Item = &'a Patterns>) -> Patterns {
    let mut seen: BTreeSet<&Pattern> = BTreeSet::new();
    Patterns(all.flat_map(|patterns| &patterns.0).filter(|pattern| seen.insert(pattern)).cloned().collect())
}

/// A site of which no queue gates anything, and one whose repositories a queue takes that stands before the
/// one derived from it: both are allowed and unlikely to be meant.
pub(super) fn warn_about_sites(top: &Section<'_>, queues: &[At<QueuePolicy>], sites: &[At<SitePolicy>]) {
    for At { value: site, at } in sites {
        if !queues.iter().any(|queue| queue.value.repositories.meet(&site.repositories)) {
            let what = format!("no queue gates the repositories of site `{}`", site.name);
            top.source.warn(*at, "site", what, "add a `[[queue]]` with `sites = true`");
        }
    }
    for (place, At { value: queue, at }) in queues.iter().enumerate() {
        let Some(family) = &queue.family else { continue };
        let takes = |other: &&At<QueuePolicy>| {
            let other = &other.value;
            let is_akin = other.family.as_ref() == Some(family);
            let meets =
                || other.repositories.meet(&queue.repositories) && other.branches.meet(&queue.branches);
            !is_akin && meets()
        };
        if let Some(other) = queues[..place].iter().find(takes) {
            let what = format!(
                "queue `{}` stands before it and takes repositories of queue `{}`, which are then not tested in order with the rest of their site",
                other.value.name, queue.name
            );
            top.source.warn(*at, "queue", what, "put the `[[queue]]` with `sites = true` first");
        }
    }
}

#[cfg(test)]
#[path = "sites_tests.rs"]
mod tests;
