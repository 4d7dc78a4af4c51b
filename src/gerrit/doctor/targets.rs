//! Where a remedy goes: equal lacks of several repositories are told once, and mended at the parent
//! that they share where that concerns no repository outside of the queues.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::finding::{Call, Finding, Level};
use super::votes;
use super::{GROUP, View};
use crate::gerrit::rest::encode;

/// Gerrit's own project of accounts: what is said for all projects may well concern it.
const ALL_USERS: &str = "All-Users";
/// Most names in one finding.
const NAMES_MAX: usize = 5;

/// A permission that is to be granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    pub permission: String,
    pub range: Option<(i32, i32)>,
    pub reference: String,
    /// The project where it must be; without it any target does.
    pub project: Option<String>,
}

impl Grant {
    /// The right to give a label's values.
    pub fn label(label: &str, range: (i32, i32)) -> Self {
        Self {
            permission: format!("label-{label}"),
            range: Some(range),
            reference: "refs/heads/*".into(),
            project: None,
        }
    }

    /// A right on `reference`.
    pub fn of(permission: &str, reference: &str) -> Self {
        Self { permission: permission.into(), range: None, reference: reference.into(), project: None }
    }

    /// The request that grants it in `project`.
    pub fn call(&self, project: &str) -> Call {
        let mut rule = json!({ "action": "ALLOW" });
        if let Some((min, max)) = self.range {
            rule["min"] = min.into();
            rule["max"] = max.into();
        }
        let mut permission = json!({ "rules": { GROUP: rule } });
        if let Some(label) = self.permission.strip_prefix("label-") {
            permission["label"] = label.into();
        }
        let section = json!({ "permissions": { &self.permission: permission } });
        let project = self.project.as_deref().unwrap_or(project);
        Call::json(
            "POST",
            format!("projects/{}/access", encode(project)),
            json!({ "add": { &self.reference: section } }),
        )
    }
}

/// What mends a lack of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fix {
    /// Nothing is to be done.
    Nothing,
    /// A person's decision.
    Words(String),
    /// The label, with the values that it has already.
    Label(Option<BTreeMap<i32, String>>),
    /// The requirement by which the label counts; whether the daemon's vote is the label's maximum.
    Requirement { is_max: bool },
    /// A right.
    Grant(Grant),
    /// Requests that do not depend on the project.
    Calls(Vec<Call>),
}

/// What was found of one project, without its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Draft {
    pub id: &'static str,
    pub level: Level,
    pub text: String,
    pub fix: Fix,
}

impl Draft {
    /// A finding with what mends it.
    pub fn new(id: &'static str, level: Level, text: impl Into<String>, fix: Fix) -> Self {
        Self { id, level, text: text.into(), fix }
    }

    /// Something that is as it should be.
    pub fn well(id: &'static str, text: impl Into<String>) -> Self {
        Self::new(id, Level::Well, text, Fix::Nothing)
    }
}

/// All projects with their parents, and which of them are gated.
#[derive(Default)]
pub(super) struct Family {
    parents: BTreeMap<String, String>,
    gated: BTreeSet<String>,
}

impl Family {
    /// From the answer to `GET /projects/?tree`.
    pub fn read(listed: &Value) -> Self {
        let entries = listed.as_object().into_iter().flatten();
        let parent = |(name, project): (&String, &Value)| {
            Some((name.clone(), project.get("parent")?.as_str()?.to_owned()))
        };
        Self { parents: entries.filter_map(parent).collect(), gated: BTreeSet::new() }
    }

    /// The names of all.
    pub fn names(listed: &Value) -> impl Iterator<Item = &String> {
        listed.as_object().into_iter().flatten().map(|(name, _)| name)
    }

    /// Says which are gated.
    pub fn gate(&mut self, gated: impl IntoIterator<Item = String>) {
        self.gated.extend(gated);
    }

    /// The highest project above `name` below which all are gated; `name` itself where there is none.
    fn target(&self, name: &str) -> String {
        let mut best = name.to_owned();
        let mut at = name;
        // Parents cannot form a ring in Gerrit; a bound costs nothing.
        for _ in 0..self.parents.len() {
            let Some(parent) = self.parents.get(at) else { break };
            if !self.is_whole(parent) {
                break;
            }
            best.clone_from(parent);
            at = parent;
        }
        best
    }

    /// Whether each project below `ancestor` is gated, or has others below it, or is Gerrit's own.
    fn is_whole(&self, ancestor: &str) -> bool {
        let is_parent = |name: &str| self.parents.values().any(|parent| parent == name);
        self.parents.keys().all(|name| {
            let free = name != ALL_USERS && !self.gated.contains(name) && !is_parent(name);
            !free || !self.descends(name, ancestor)
        })
    }

    fn descends(&self, name: &str, ancestor: &str) -> bool {
        let mut at = name;
        for _ in 0..self.parents.len() {
            match self.parents.get(at) {
                Some(parent) if parent == ancestor => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    }
}

/// Equal drafts of several projects as one finding each, with the requests that mend them.
pub(super) fn gather(view: &View, family: &Family, drafts: Vec<(String, Draft)>) -> Vec<Finding> {
    let mut groups: Vec<(Draft, Vec<String>)> = Vec::new();
    for (project, draft) in drafts {
        match groups.iter_mut().find(|(known, _)| *known == draft) {
            Some((_, projects)) => projects.push(project),
            None => groups.push((draft, vec![project])),
        }
    }
    groups.into_iter().map(|(draft, projects)| finding(view, family, draft, &projects)).collect()
}

fn finding(view: &View, family: &Family, draft: Draft, projects: &[String]) -> Finding {
    let found = Finding::new(draft.id, draft.level, place(family, projects), draft.text);
    let targets: BTreeSet<String> = projects.iter().map(|project| family.target(project)).collect();
    let needs = view.needs;
    let mut calls: Vec<Call> = Vec::new();
    for target in &targets {
        let new = match &draft.fix {
            Fix::Nothing => return found,
            Fix::Words(words) => return found.remedy(words),
            Fix::Label(known) => {
                vec![votes::label_call(&needs.label, &needs.values, known.as_ref(), target)]
            }
            Fix::Requirement { is_max } => {
                vec![votes::requirement_call(&needs.label, needs.success, *is_max, target)]
            }
            Fix::Grant(grant) => vec![grant.call(target)],
            Fix::Calls(calls) => calls.clone(),
        };
        calls.extend(new);
    }
    let mut once: Vec<Call> = Vec::new();
    for call in calls {
        if !once.contains(&call) {
            once.push(call);
        }
    }
    found.calls(view.url, once)
}

/// The projects in words: all, those below a parent, or their names.
fn place(family: &Family, projects: &[String]) -> String {
    if projects.len() > 1 && projects.len() == family.gated.len() {
        return format!("all {} gated repositories", projects.len());
    }
    let (shown, rest) = projects.split_at(projects.len().min(NAMES_MAX));
    let names = shown.join(", ");
    if rest.is_empty() { names } else { format!("{names} and {} more", rest.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_goes_to_the_highest_parent_that_concerns_no_other_repository() {
        let listed = json!({
            "All-Projects": {}, "All-Users": { "parent": "All-Projects" },
            "tools": { "parent": "All-Projects" },
            "product": { "parent": "All-Projects" },
            "core": { "parent": "product" }, "maps": { "parent": "product" },
        });
        let check = |gated: &[&str], expected: [&str; 2]| {
            let mut family = Family::read(&listed);
            family.gate(gated.iter().map(|name| (*name).to_owned()));
            assert_eq!([family.target("core"), family.target("tools")], expected, "{gated:?}");
        };
        check(&["core"], ["core", "tools"]);
        check(&["core", "maps"], ["product", "tools"]);
        check(&["core", "maps", "tools"], ["All-Projects", "All-Projects"]);
    }
}
