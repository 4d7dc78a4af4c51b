//! What Gerrit's access rules say, worked out as Gerrit does: the most specific section first, a child
//! before its parent, exclusive permissions end the search, a block beats all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::gerrit::wire::text;

/// A rule of a permission.
#[derive(Clone, Debug)]
struct Rule {
    group: String,
    action: String,
    range: (i64, i64),
}

#[derive(Clone, Debug)]
struct Permission {
    exclusive: bool,
    rules: Vec<Rule>,
}

/// The rules for one pattern of refs in one project.
#[derive(Clone, Debug)]
struct Section {
    project: String,
    reference: String,
    permissions: BTreeMap<String, Permission>,
}

/// Where a section stands: project and pattern.
pub type Place = (String, String);

/// Whether somebody may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No, and a rule added at `at` (else at any matching place) changes that.
    No {
        /// The exclusive section that ends the search.
        at: Option<Place>,
    },
    /// No, and no added rule changes that.
    Blocked {
        /// The section that blocks.
        by: Place,
    },
    /// There are sections by regular expression or user name, which are not worked out here.
    Unsure,
}

/// The rules that hold in a project, its own and inherited ones.
#[derive(Clone, Default, Debug)]
pub struct Rights {
    /// A child's before its parent's.
    sections: Vec<Section>,
    names: BTreeMap<String, String>,
}

impl Rights {
    /// Adds a project's own rules, from the answer to `GET /projects/P/access`; ancestors come later.
    pub fn add(&mut self, project: &str, answer: &Value) {
        for (reference, section) in entries(answer.get("local")) {
            let permissions = entries(section.get("permissions")).map(|(name, permission)| {
                let rules = entries(permission.get("rules")).map(|(group, rule)| Rule {
                    group: group.clone(),
                    action: text(rule, "action").unwrap_or("ALLOW").to_owned(),
                    range: (bound(rule, "min"), bound(rule, "max")),
                });
                let exclusive = permission.get("exclusive").and_then(Value::as_bool).unwrap_or(false);
                (name.clone(), Permission { exclusive, rules: rules.collect() })
            });
            self.sections.push(Section {
                project: project.to_owned(),
                reference: reference.clone(),
                permissions: permissions.collect(),
            });
        }
        for (group, described) in entries(answer.get("groups")) {
            let name = text(described, "name").unwrap_or(group).to_owned();
            self.names.insert(group.clone(), name);
        }
    }

    /// Whether a member of `groups` may do what `permission` allows on `reference`. For a label,
    /// `values` must all be allowed.
    pub fn may(
        &self,
        permission: &str,
        reference: &str,
        groups: &BTreeSet<String>,
        values: &[i32],
    ) -> Answer {
        let is_label = permission.starts_with("label-");
        let is_in_range =
            |(min, max): (i64, i64)| values.iter().all(|value| (min..=max).contains(&i64::from(*value)));
        let blocks = self.sections.iter().filter(|section| covers(&section.reference, reference));
        for section in blocks {
            let rules = section.permissions.get(permission).map_or(&[][..], |found| &found.rules);
            let blocked = rules.iter().any(|rule| {
                // A block of a label's range leaves what lies within it.
                let leaves = is_label && is_in_range((rule.range.0 + 1, rule.range.1 - 1));
                rule.action == "BLOCK" && groups.contains(&rule.group) && !leaves
            });
            if blocked {
                return Answer::Blocked { by: (section.project.clone(), section.reference.clone()) };
            }
        }
        let (allowed, at) = self.allowed(permission, reference);
        let own: Vec<&Rule> = allowed.into_iter().filter(|rule| groups.contains(&rule.group)).collect();
        let min = own.iter().map(|rule| rule.range.0).min().unwrap_or(0);
        let max = own.iter().map(|rule| rule.range.1).max().unwrap_or(0);
        if !own.is_empty() && (!is_label || is_in_range((min, max))) {
            return Answer::Yes;
        }
        let is_odd = |section: &Section| {
            (section.reference.starts_with('^') || section.reference.contains("${"))
                && section.permissions.contains_key(permission)
        };
        if self.sections.iter().any(is_odd) { Answer::Unsure } else { Answer::No { at } }
    }

    /// The names of the groups that `permission` is allowed to on `reference`, sorted.
    pub fn holders(&self, permission: &str, reference: &str) -> Vec<String> {
        let (allowed, _) = self.allowed(permission, reference);
        let name = |rule: &Rule| self.names.get(&rule.group).unwrap_or(&rule.group).clone();
        let names: BTreeSet<String> = allowed.into_iter().map(name).collect();
        names.into_iter().collect()
    }

    /// The rules that allow, and the exclusive section that ended the search, if one did.
    fn allowed(&self, permission: &str, reference: &str) -> (Vec<&Rule>, Option<Place>) {
        let mut sections: Vec<&Section> =
            self.sections.iter().filter(|section| covers(&section.reference, reference)).collect();
        // The sort keeps a child's section before its parent's of the same pattern.
        sections.sort_by_key(|section| std::cmp::Reverse(specificity(&section.reference)));
        let (mut seen, mut allowed) = (BTreeSet::new(), Vec::new());
        for section in sections {
            let Some(found) = section.permissions.get(permission) else { continue };
            for rule in &found.rules {
                let is_first = seen.insert((section.reference.as_str(), rule.group.as_str()));
                if is_first && rule.action == "ALLOW" {
                    allowed.push(rule);
                }
            }
            if found.exclusive {
                return (allowed, Some((section.project.clone(), section.reference.clone())));
            }
        }
        (allowed, None)
    }
}

/// Whether a section's pattern covers a ref; regular expressions and user names are left out.
fn covers(pattern: &str, reference: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => reference.starts_with(start),
        None => pattern == reference,
    }
}

fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.ends_with('*'), pattern.len())
}

fn bound(rule: &Value, name: &str) -> i64 {
    rule.get(name).and_then(Value::as_i64).unwrap_or(0)
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MASTER: &str = "refs/heads/master";

    fn rule(action: &str) -> Value {
        json!({ "rules": { "bots": { "action": action } } })
    }

    /// The rules of a child and of its parent, and what `push` on master then is to the group `bots`.
    fn check(child: Value, parent: Value, expected: &Answer) {
        let mut rights = Rights::default();
        let wrap = |local: &Value| {
            let sections = local.as_object().unwrap().iter();
            let sections: serde_json::Map<_, _> = sections
                .map(|(name, push)| (name.clone(), json!({ "permissions": { "push": push } })))
                .collect();
            json!({ "local": sections, "groups": { "bots": { "name": "Bots" } } })
        };
        rights.add("child", &wrap(&child));
        rights.add("parent", &wrap(&parent));
        let groups = BTreeSet::from(["bots".to_owned()]);
        assert_eq!(rights.may("push", MASTER, &groups, &[]), *expected, "{child} {parent}");
    }

    #[test]
    fn rules_are_found_as_gerrit_finds_them() {
        let (allow, block, deny) = (rule("ALLOW"), rule("BLOCK"), rule("DENY"));
        let others = json!({ "exclusive": true, "rules": { "others": { "action": "ALLOW" } } });
        let place = |project: &str, reference: &str| (project.to_owned(), reference.to_owned());
        let no = Answer::No { at: None };
        check(json!({}), json!({}), &no);
        check(json!({}), json!({ "refs/heads/*": allow }), &Answer::Yes);
        check(json!({}), json!({ "refs/tags/*": allow }), &no);
        check(json!({ "refs/heads/*": deny }), json!({ "refs/heads/*": allow }), &no);
        check(json!({ "refs/heads/*": deny }), json!({ "refs/*": allow }), &Answer::Yes);
        let at = Answer::No { at: Some(place("child", "refs/heads/*")) };
        check(json!({ "refs/heads/*": others }), json!({ "refs/heads/*": allow }), &at);
        check(json!({ "refs/heads/*": others }), json!({ MASTER: allow }), &Answer::Yes);
        let by = Answer::Blocked { by: place("parent", "refs/*") };
        check(json!({ "refs/heads/*": allow }), json!({ "refs/*": block }), &by);
        check(json!({ "^refs/heads/m.*": allow }), json!({}), &Answer::Unsure);
    }

    #[test]
    fn a_label_needs_the_whole_range() {
        let mut rights = Rights::default();
        let rules = json!({ "bots": { "action": "ALLOW", "min": -1, "max": 1 } });
        let local = json!({ "refs/heads/*": { "permissions": { "label-Verified": { "rules": rules } } } });
        rights.add("p", &json!({ "local": local }));
        let groups = BTreeSet::from(["bots".to_owned()]);
        for (values, expected) in [(&[-1, 1][..], true), (&[2], false), (&[-2, 1], false)] {
            let answer = rights.may("label-Verified", MASTER, &groups, values);
            assert_eq!(answer == Answer::Yes, expected, "{values:?}");
        }
        assert_eq!(rights.holders("label-Verified", MASTER), ["bots"]);
    }
}
