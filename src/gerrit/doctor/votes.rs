//! The daemon's label: whether it is there, with the values used, and whether it counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::finding::Call;
use crate::gerrit::rest::encode;
use crate::gerrit::wire::text;

/// Gerrit's way to write a value of a label.
fn written(value: i32) -> String {
    if value == 0 { " 0".to_owned() } else { format!("{value:+}") }
}

/// The values of a label in a project's description, with their words; `None` where it does not have it.
pub(super) fn values_of(project: &Value, label: &str) -> Option<BTreeMap<i32, String>> {
    let values = project.get("labels")?.get(label)?.get("values")?.as_object()?;
    let read = |(value, words): (&String, &Value)| {
        Some((value.trim().parse().ok()?, words.as_str().unwrap_or_default().to_owned()))
    };
    Some(values.iter().filter_map(read).collect())
}

/// The first of `wanted` that is not among `values`.
pub(super) fn missing(values: &BTreeMap<i32, String>, wanted: &[i32]) -> Option<i32> {
    wanted.iter().copied().find(|value| !values.contains_key(value))
}

/// Makes the label in `project`, or adds values to the one there is (`known`).
pub(super) fn label_call(
    label: &str,
    wanted: &[i32],
    known: Option<&BTreeMap<i32, String>>,
    project: &str,
) -> Call {
    let usual = |value: i32| match value {
        0 => "No score",
        1.. => "Passes",
        _ => "Fails",
    };
    let mut values: BTreeMap<i32, String> =
        wanted.iter().chain(&[0]).map(|value| (*value, usual(*value).to_owned())).collect();
    values.extend(known.into_iter().flatten().map(|(value, words)| (*value, words.clone())));
    let values: serde_json::Map<String, Value> =
        values.into_iter().map(|(value, words)| (written(value), words.into())).collect();
    let mut body = json!({ "values": values });
    if known.is_none() {
        body["copy_condition"] = "changekind:NO_CODE_CHANGE".into();
    }
    Call::json("PUT", format!("projects/{}/labels/{}", encode(project), encode(label)), body)
}

/// Makes a submit requirement in `project` by which the label counts.
pub(super) fn requirement_call(label: &str, success: i32, is_max: bool, project: &str) -> Call {
    let vote = if is_max { format!("label:{label}=MAX") } else { format!("label:{label}>={success}") };
    let body = json!({
        "name": label,
        "submittability_expression": format!("{vote} AND -label:{label}=MIN"),
    });
    Call::json("PUT", format!("projects/{}/submit_requirements/{}", encode(project), encode(label)), body)
}

/// A submit requirement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Requirement {
    pub name: String,
    pub expression: String,
}

impl Requirement {
    /// Reads one of a project's, or one of a change's results.
    pub fn read(value: &Value) -> Option<Self> {
        let of_project = text(value, "submittability_expression");
        let of_change = || text(value.get("submittability_expression_result")?, "expression");
        let expression = of_project.or_else(of_change)?.to_owned();
        Some(Self { name: text(value, "name")?.to_owned(), expression })
    }

    /// What it asks of `label`, as in `=MAX` or `>=1`; nothing of votes that must not be there.
    fn asks(&self, label: &str) -> Vec<String> {
        let words = self.expression.split(|c: char| c.is_whitespace() || "()".contains(c));
        let terms = words.filter_map(|word| word.trim_matches('"').strip_prefix("label:"));
        let votes = terms.filter_map(|term| term.strip_prefix(label));
        let votes = votes.filter(|vote| vote.is_empty() || vote.starts_with(['=', '>', '+', '<', ',']));
        votes.map(|vote| vote.split(',').next().unwrap_or_default().to_owned()).collect()
    }

    /// Whether the label's vote makes a difference.
    pub fn counts(&self, label: &str) -> bool {
        !self.asks(label).is_empty()
    }

    /// Whether the daemon's best vote is not enough for it, nor anybody's who votes likewise.
    pub fn beyond(&self, label: &str, success: i32, max: i32) -> bool {
        let is_enough = |ask: &String| match ask.trim_start_matches(['=', '>', '+']) {
            "MAX" => success >= max,
            "ANY" | "" => true,
            number => number.parse::<i32>().map_or(true, |number| match ask.starts_with(">=") {
                true => success >= number,
                false => success == number,
            }),
        };
        let asks = self.asks(label);
        !asks.is_empty() && !asks.iter().any(is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_for_what_they_ask_of_the_label() {
        let check = |expression: &str, counts: bool, beyond: bool| {
            let requirement = Requirement { name: "R".into(), expression: expression.into() };
            assert_eq!(requirement.counts("Verified"), counts, "{expression}");
            assert_eq!(requirement.beyond("Verified", 1, 2), beyond, "{expression}");
        };
        check("label:Verified=MAX AND -label:Verified=MIN", true, true);
        check("label:Verified>=1", true, false);
        check("label:Verified=+1,user=non_uploader", true, false);
        check("(label:Verified=+2 OR label:Verified=+1)", true, false);
        check("-label:Verified=MIN", false, false);
        check("label:Verified-Slow=MAX", false, false);
        check("label:Code-Review=MAX", false, false);
    }

    #[test]
    fn a_label_keeps_the_values_that_it_has() {
        let known = BTreeMap::from([(2, "Great".to_owned()), (0, "None".to_owned())]);
        let call = label_call("Verified", &[1, -1], Some(&known), "a/b");
        assert_eq!(call.path, "projects/a%2Fb/labels/Verified");
        let values = json!({ "values": { "-1": "Fails", " 0": "None", "+1": "Passes", "+2": "Great" } });
        assert_eq!(call.body, super::super::Body::Json(values));
    }
}
