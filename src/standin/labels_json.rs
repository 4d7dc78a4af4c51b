//! Labels, votes and submit requirements as Gerrit's JSON.

use serde_json::{Map, Value, json};

use super::accounts::Person;
use super::site::{Site, time};
use crate::model::Vote;
use crate::world::Change;
use crate::world::labels::{LABELS, LEGAL, LabelRule, requirements};

/// A value as Gerrit writes it: `-1`, ` 0`, `+1`.
pub fn written(value: i32) -> String {
    if value == 0 { " 0".to_owned() } else { format!("{value:+}") }
}

/// The values of a label.
pub fn values(rule: &LabelRule) -> Value {
    Value::Object(rule.values.iter().map(|(value, words)| (written(*value), json!(words))).collect())
}

/// The labels of a change with all votes.
pub fn labels(site: &Site, change: &Change, is_detailed: bool) -> Value {
    Value::Object(
        LABELS.iter().map(|rule| (rule.name.to_owned(), label(site, change, rule, is_detailed))).collect(),
    )
}

fn label(site: &Site, change: &Change, rule: &LabelRule, is_detailed: bool) -> Value {
    let votes: Vec<&Vote> = change.votes.iter().filter(|vote| vote.label.as_str() == rule.name).collect();
    let by = |wanted: fn(i32, &LabelRule) -> bool| {
        let vote = votes.iter().find(|vote| wanted(vote.value, rule))?;
        site.person(&vote.by).map(Person::detailed)
    };
    let mut value = Map::new();
    if let Some(person) = by(|value, rule| value == rule.min() && value < 0) {
        value.insert("rejected".into(), person);
    } else if let Some(person) = by(|value, rule| value == rule.max()) {
        value.insert("approved".into(), person);
    }
    let reviewers = change.reviewers.iter().filter_map(|account| site.person(account));
    let all: Vec<Value> = reviewers.map(|person| entry(person, rule, &votes)).collect();
    if is_detailed {
        if !all.is_empty() {
            value.insert("all".into(), all.into());
        }
        value.insert("values".into(), values(rule));
    }
    value.insert("description".into(), "".into());
    value.insert("default_value".into(), 0.into());
    value.insert("optional".into(), true.into());
    Value::Object(value)
}

/// One reviewer's vote: with a range where one is permitted, without any value where none is.
fn entry(person: &Person, rule: &LabelRule, votes: &[&Vote]) -> Value {
    let mut entry = person.detailed();
    let vote = votes.iter().find(|vote| vote.by == person.account());
    if let Some((min, max)) = person.range(rule) {
        entry["value"] = vote.map_or(0, |vote| vote.value).into();
        entry["permitted_voting_range"] = json!({ "min": min, "max": max });
    }
    if let Some(vote) = vote {
        entry["value"] = vote.value.into();
        entry["date"] = time(vote.at).into();
    }
    entry
}

/// The values that a person may give.
pub fn permitted(person: &Person) -> Value {
    let of = |rule: &LabelRule| {
        let (min, max) = person.range(rule)?;
        let values: Vec<String> = (min..=max).map(written).collect();
        Some((rule.name.to_owned(), json!(values)))
    };
    Value::Object(LABELS.iter().filter_map(of).collect())
}

/// The submit requirements of a change and whether they are met.
pub fn submit_requirements(change: &Change) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for requirement in requirements(change) {
        let rule = LABELS.iter().find(|rule| *rule.name == *requirement.name);
        // What the site asks beside the labels is only there for changes that do not meet it.
        if &*requirement.name == LEGAL && requirement.met {
            continue;
        }
        let expression = rule.map_or_else(|| "is:cleared".to_owned(), LabelRule::expression);
        all.push(json!({
            "name": &*requirement.name,
            "status": if requirement.met { "SATISFIED" } else { "UNSATISFIED" },
            "is_legacy": false,
            "submittability_expression_result": {
                "expression": expression,
                "fulfilled": requirement.met,
                "status": if requirement.met { "PASS" } else { "FAIL" },
            },
        }));
    }
    all.push(json!({
        "name": "No-Unresolved-Comments",
        "status": "NOT_APPLICABLE",
        "is_legacy": false,
        "submittability_expression_result": { "expression": "-has:unresolved", "status": "NOT_EVALUATED" },
    }));
    all.into()
}

/// The reviewers and their votes.
pub fn reviewers(site: &Site, change: &Change) -> Value {
    let of = |person: &Person| {
        let mut value = person.detailed();
        let votes = LABELS.iter().filter_map(|rule| {
            let vote = change
                .votes
                .iter()
                .find(|vote| vote.label.as_str() == rule.name && vote.by == person.account());
            person
                .range(rule)
                .map(|_| (rule.name.to_owned(), json!(written(vote.map_or(0, |vote| vote.value)))))
        });
        value["approvals"] = Value::Object(votes.collect());
        value
    };
    let all: Vec<Value> =
        change.reviewers.iter().filter_map(|account| site.person(account)).map(of).collect();
    all.into()
}
