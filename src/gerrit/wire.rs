//! Gerrit's JSON as the model's values. Every field may be missing or of an odd type: what can be
//! done without is left out, and a change without its essentials is no change.

use std::sync::Arc;

use serde_json::Value;

use super::footer::{Addresses, values};
use crate::model::{
    Account, ChangeId, ChangeNumber, ChangeSnapshot, ChangeStatus, Label, LandingForm, PatchSet, Requirement,
    Sha, Timestamp, Vote,
};

/// What is asked for with each change; a review's reply is asked for the same.
pub(super) const OPTIONS: [&str; 7] = [
    "CURRENT_REVISION",
    "CURRENT_COMMIT",
    "DETAILED_LABELS",
    "DETAILED_ACCOUNTS",
    "SUBMIT_REQUIREMENTS",
    "SUBMITTABLE",
    "SKIP_DIFFSTAT",
];
/// Longest subject, topic or footer kept, in bytes.
const TEXT_MAX: usize = 1_000;

/// The options as a query string.
pub(super) fn options() -> String {
    OPTIONS.map(|option| format!("o={option}")).join("&")
}

/// A change as read, or `None` when what names it or its patch set is missing. Its footers are read for
/// a server with these `addresses`.
pub(super) fn read_change(value: &Value, addresses: &Addresses) -> Option<ChangeSnapshot> {
    let status = match text(value, "status")? {
        "NEW" => ChangeStatus::Open,
        "MERGED" => ChangeStatus::Merged,
        "ABANDONED" => ChangeStatus::Abandoned,
        _ => return None,
    };
    let current = text(value, "current_revision")?;
    let patch_set = value.get("revisions")?.get(current)?;
    let commit = patch_set.get("commit").unwrap_or(&Value::Null);
    let message = text(commit, "message").unwrap_or_default();
    let mut hashtags: Vec<Arc<str>> =
        list(value, "hashtags").iter().filter_map(Value::as_str).map(short).collect();
    hashtags.sort();
    Some(ChangeSnapshot {
        number: ChangeNumber(value.get("_number")?.as_u64()?),
        repository: text(value, "project")?.into(),
        branch: branch_name(text(value, "branch")?).into(),
        change_id: text(value, "change_id")?.into(),
        status,
        patchset: PatchSet(patch_set.get("_number")?.as_u64()?),
        revision: Sha::parse(current)?,
        parents: list(commit, "parents").iter().filter_map(|parent| sha(parent, "commit")).collect(),
        form: text(value, "submit_type").and_then(form),
        carries_id: ChangeId::in_message(message)
            .is_some_and(|id| Some(id.as_str()) == text(value, "change_id")),
        subject: short(text(value, "subject").unwrap_or_default()),
        owner: value.get("owner").and_then(account).unwrap_or_else(|| Account::from("id:0")),
        work_in_progress: flag(value, "work_in_progress"),
        private: flag(value, "is_private"),
        submittable: flag(value, "submittable"),
        requirements: list(value, "submit_requirements").iter().filter_map(requirement).collect(),
        votes: votes(value),
        topic: text(value, "topic").filter(|topic| !topic.is_empty()).map(short),
        hashtags,
        depends_on: values(message).map(|(value, _)| short(value)).collect(),
        needs: addresses.references(message).into(),
        meta: sha(value, "meta_rev_id"),
        updated_at: text(value, "updated").and_then(time).unwrap_or_default(),
    })
}

/// The form that a submit type stands for; Gerrit has resolved `INHERIT`.
pub(super) fn form(submit_type: &str) -> Option<LandingForm> {
    Some(match submit_type {
        "MERGE_ALWAYS" => LandingForm::MergeAlways,
        "MERGE_IF_NECESSARY" => LandingForm::MergeIfNecessary,
        "FAST_FORWARD_ONLY" => LandingForm::FastForwardOnly,
        "REBASE_IF_NECESSARY" => LandingForm::RebaseIfNecessary,
        "REBASE_ALWAYS" => LandingForm::RebaseAlways,
        "CHERRY_PICK" => LandingForm::CherryPick,
        _ => return None,
    })
}

/// A field as text.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

/// A field as an object id.
pub(super) fn sha(value: &Value, field: &str) -> Option<Sha> {
    Sha::parse(text(value, field)?)
}

/// A field as a list; empty when it is none.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The longest beginning of `text` that has at most `max` bytes and ends between characters.
pub(super) fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// An account by user name, else by number.
pub(super) fn account(value: &Value) -> Option<Account> {
    match text(value, "username") {
        Some(name) if !name.is_empty() => Some(name.into()),
        _ => Some(format!("id:{}", value.get("_account_id")?.as_u64()?).into()),
    }
}

/// A branch's short name.
pub(super) fn branch_name(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

fn flag(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// Gerrit's `2026-11-21 08:23:27.000000000`, UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

fn short(text: &str) -> Arc<str> {
    clip(text, TEXT_MAX).into()
}

fn votes(change: &Value) -> Vec<Vote> {
    let Some(labels) = change.get("labels").and_then(Value::as_object) else { return Vec::new() };
    let mut votes = Vec::new();
    for (label, detail) in labels {
        for entry in list(detail, "all") {
            let value =
                entry.get("value").and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok());
            let (Some(value), Some(by)) = (value, account(entry)) else { continue };
            if value != 0 {
                let at = text(entry, "date").and_then(time).unwrap_or_default();
                votes.push(Vote { label: label.as_str().into(), value, by, at });
            }
        }
    }
    votes
}

fn requirement(value: &Value) -> Option<Requirement> {
    let met = match text(value, "status")? {
        "NOT_APPLICABLE" => return None,
        "SATISFIED" | "OVERRIDDEN" | "FORCED" => true,
        _ => false,
    };
    let expression = value
        .get("submittability_expression_result")
        .and_then(|result| text(result, "expression"))
        .unwrap_or_default();
    Some(Requirement { name: short(text(value, "name")?), met, labels: labels_named(expression) })
}

/// The labels in atoms like `label:Verified=MAX` or `-label:"Code-Review>=1,user=x"`, once each.
fn labels_named(expression: &str) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for (at, _) in expression.match_indices("label:") {
        let inside_a_word = expression[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = expression[at + "label:".len()..].trim_start_matches(['"', '{']);
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(rest.len());
        let label = Label::from(&rest[..end]);
        if !inside_a_word && end > 0 && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reference;

    fn recorded() -> Value {
        serde_json::from_str(include_str!("../../fixtures/gerrit/change.json")).unwrap()
    }

    #[test]
    fn a_recorded_change_is_read_whole() {
        let change = read_change(&recorded(), &Addresses::default()).unwrap();
        assert_eq!(change.pair(), crate::model::Pair::new("wgerrit-a", "master"));
        assert_eq!((change.number.0, change.patchset.0, change.parents.len()), (1, 1, 1));
        assert_eq!(change.owner.as_str(), "alice");
        assert!(
            change.votes.iter().any(|vote| vote.label.as_str() == "Code-Review" && vote.by.as_str() == "bob")
        );
        assert_eq!(change.requirements.len(), 2, "what does not apply is left out");
        assert_eq!(change.requirements[0].labels, [Label::from("Verified")]);
        assert_eq!((change.form, change.carries_id), (Some(LandingForm::MergeIfNecessary), true));
        let id = "I1234567890123456789012345678901234567890";
        assert_eq!(&*change.depends_on[0], id);
        assert_eq!(*change.needs, [Reference::Id(id.into())]);
        assert!(change.meta.is_some() && change.updated_at.0 > 1_700_000_000_000);
    }

    #[test]
    fn every_field_may_be_missing_or_odd() {
        let whole = recorded();
        for field in whole.as_object().unwrap().keys() {
            for odd in [Value::Null, Value::from(-3), Value::from("x"), serde_json::json!([[], {}])] {
                let mut change = whole.clone();
                change[field] = odd;
                let _ = read_change(&change, &Addresses::default()).map(|read| assert!(read.number.0 > 0));
            }
        }
    }

    #[test]
    fn a_huge_commit_message_is_survived() {
        let mut change = recorded();
        let current = change["current_revision"].as_str().unwrap().to_owned();
        let message = format!("s\n\n{}", "Depends-On: é\n".repeat(200_000));
        change["revisions"][&current]["commit"]["message"] = message.into();
        change["subject"] = "é".repeat(1 << 20).into();
        let read = read_change(&change, &Addresses::default()).unwrap();
        assert_eq!(read.depends_on.len(), 100);
        assert!(read.subject.len() <= TEXT_MAX);
    }

    #[test]
    fn labels_are_found_in_expressions() {
        let check = |expression: &str, expected: &[&str]| {
            let labels = labels_named(expression);
            assert_eq!(labels.iter().map(Label::as_str).collect::<Vec<_>>(), expected, "{expression}");
        };
        check("label:Verified=MAX AND -label:Verified=MIN", &["Verified"]);
        check("(label:Code-Review>=1,user=non_uploader) OR label:\"Q_A=+1\"", &["Code-Review", "Q_A"]);
        check("-has:unresolved", &[]);
        check("mylabel:X label:", &[]);
    }
}
