//! Lines of `gerrit stream-events`, and telling them to those who may see them.

use git2::Repository as Git;
use serde_json::{Map, Value, json};

use super::accounts::Person;
use super::bus::Event;
use super::change_json::{kind_of, kind_word, status, subject};
use super::labels_json;
use super::site::{Site, State, meta_ref, patch_ref};
use crate::model::{Account, Pair, PatchSet, Repository, Sha, Timestamp, Vote};
use crate::world::Change;
use crate::world::labels::LABELS;

/// An event with its time; `fields` are its own.
fn event(kind: &str, at: Timestamp, fields: Value) -> Value {
    let mut value = if fields.is_object() { fields } else { Value::Object(Map::new()) };
    value["type"] = kind.into();
    value["eventCreatedOn"] = at.0.div_euclid(1000).into();
    value["instanceId"] = "stand-in".into();
    value
}

/// A ref has moved.
pub fn ref_updated(
    at: Timestamp,
    by: &Person,
    repository: &Repository,
    name: &str,
    old: Sha,
    new: Sha,
) -> Value {
    let update = json!({
        "oldRev": old.to_string(),
        "newRev": new.to_string(),
        "refName": name,
        "project": repository.as_str(),
    });
    event("ref-updated", at, json!({ "submitter": by.in_event(), "refUpdate": update }))
}

/// A repository was made.
pub fn project_created(at: Timestamp, repository: &Repository, head: &str) -> Value {
    let fields = json!({ "projectName": repository.as_str(), "headName": head });
    event("project-created", at, fields)
}

fn of_account(site: &Site, account: &Account) -> Value {
    site.person(account).map_or_else(|| json!({ "username": account.as_str() }), Person::in_event)
}

/// What an event says of a change.
fn change_part(site: &Site, state: &State, change: &Change) -> Value {
    let message = state.gerrit.git.commit(change.revision()).map(|commit| commit.message.to_string());
    let mut value = json!({
        "project": change.pair.repository.as_str(),
        "branch": change.pair.branch.as_str(),
        "id": change.change_id.as_str(),
        "number": change.number.0,
        "subject": subject(state, change.revision()),
        "owner": of_account(site, &change.owner),
        "url": site.change_url(change),
        "commitMessage": message,
        "createdOn": change.created_at.0.div_euclid(1000),
        "status": status(change.status),
    });
    for (name, is_set) in [("wip", change.work_in_progress), ("private", change.private)] {
        if is_set {
            value[name] = true.into();
        }
    }
    if let Some(topic) = &change.topic {
        value["topic"] = (&**topic).into();
    }
    if !change.hashtags.is_empty() {
        value["hashtags"] = change.hashtags.iter().map(|tag| &**tag).collect::<Vec<_>>().into();
    }
    value
}

fn patch_part(site: &Site, state: &State, git: &Git, change: &Change, number: PatchSet) -> Value {
    let Some(patch) = change.patch(number) else { return Value::Null };
    let parents = state.gerrit.git.commit(patch.commit).map(|commit| commit.parents.clone());
    let parents: Vec<String> = parents.unwrap_or_default().iter().map(Sha::to_string).collect();
    json!({
        "number": number.0,
        "revision": patch.commit.to_string(),
        "parents": parents,
        "ref": patch_ref(change.number, number.0),
        "uploader": of_account(site, &patch.by),
        "createdOn": patch.at.0.div_euclid(1000),
        "kind": kind_word(kind_of(state, git, change, number)),
    })
}

/// An event about a change; `fields` are those of its kind.
pub fn about(site: &Site, state: &State, kind: &str, at: Timestamp, change: &Change, fields: Value) -> Value {
    let mut value = event(kind, at, fields);
    value["change"] = change_part(site, state, change);
    value["project"] = change.pair.repository.as_str().into();
    value["refName"] = format!("refs/heads/{}", change.pair.branch).into();
    value["changeKey"] = json!({ "id": change.change_id.as_str() });
    value
}

/// An event about a patch set.
pub fn about_patch(
    site: &Site,
    state: &State,
    git: &Git,
    kind: &str,
    at: Timestamp,
    (change, number): (&Change, PatchSet),
    fields: Value,
) -> Value {
    let mut value = about(site, state, kind, at, change, fields);
    value["patchSet"] = patch_part(site, state, git, change, number);
    value
}

/// All labels with the votes of `by`; what was another value before says so.
pub fn approvals(before: &[Vote], now: &[Vote], by: &Person) -> Value {
    let account = by.account();
    let of = |votes: &[Vote], label: &str| {
        let vote = votes.iter().find(|vote| vote.by == account && vote.label.as_str() == label);
        vote.map_or(0, |vote| vote.value)
    };
    let one = |label: &str| {
        let (old, new) = (of(before, label), of(now, label));
        let mut value = json!({ "type": label, "description": label, "value": new.to_string() });
        if old != new {
            value["oldValue"] = old.to_string().into();
        }
        value
    };
    LABELS.iter().map(|rule| one(rule.name)).collect::<Vec<_>>().into()
}

impl Site {
    /// Tells something that everybody may know.
    pub fn tell(&self, value: Value) {
        self.bus.publish(Event { value, readers: None });
    }

    /// Tells something about a change, to those who may see it.
    pub fn tell_of(&self, change: &Change, value: Value) {
        let readers = change.private.then(|| {
            change
                .reviewers
                .iter()
                .chain(&change.onlookers)
                .chain([&change.owner])
                .cloned()
                .collect::<Vec<_>>()
        });
        self.bus.publish(Event { value, readers });
    }

    /// Tells that a change's state has moved on from `before`.
    pub fn tell_meta(&self, at: Timestamp, by: &Person, change: &Change, before: Option<Sha>) {
        let before = before.unwrap_or_else(super::site::nothing);
        if before != change.meta() {
            let name = meta_ref(change.number);
            self.tell_of(change, ref_updated(at, by, &change.pair.repository, &name, before, change.meta()));
        }
    }

    /// Tells that a branch has moved.
    pub fn tell_branch(&self, at: Timestamp, by: &Person, pair: &Pair, old: Sha, new: Sha) {
        let name = format!("refs/heads/{}", pair.branch);
        self.tell(ref_updated(at, by, &pair.repository, &name, old, new));
    }

    /// Tells that a patch set is there.
    pub fn tell_patch_ref(&self, at: Timestamp, by: &Person, change: &Change, number: PatchSet) {
        let Some(patch) = change.patch(number) else { return };
        let name = patch_ref(change.number, number.0);
        let none = super::site::nothing();
        self.tell_of(change, ref_updated(at, by, &change.pair.repository, &name, none, patch.commit));
    }
}

/// A vote as messages have it: `Code-Review+2`, and `-Code-Review` for one that was taken back.
pub fn vote_words(label: &str, value: i32) -> String {
    if value == 0 { format!("-{label}") } else { format!("{label}{}", labels_json::written(value)) }
}
