//! A change as Gerrit's JSON, with what was asked for.

use std::collections::BTreeSet;

use git2::Repository as Git;
use serde_json::{Map, Value, json};

use super::accounts::Person;
use super::labels_json;
use super::objects;
use super::site::{Site, State, patch_ref, time};
use crate::model::{Account, ChangeStatus, PatchSet, Sha};
use crate::world::{Change, Kind, Message};

/// Everything that may be asked for; only some of it adds something here.
const OPTIONS: &[&str] = &[
    "LABELS",
    "DETAILED_LABELS",
    "SUBMIT_REQUIREMENTS",
    "CURRENT_REVISION",
    "ALL_REVISIONS",
    "DOWNLOAD_COMMANDS",
    "CURRENT_COMMIT",
    "ALL_COMMITS",
    "CURRENT_FILES",
    "ALL_FILES",
    "DETAILED_ACCOUNTS",
    "REVIEWER_UPDATES",
    "MESSAGES",
    "CURRENT_ACTIONS",
    "CHANGE_ACTIONS",
    "REVIEWED",
    "SKIP_DIFFSTAT",
    "SUBMITTABLE",
    "WEB_LINKS",
    "CHECK",
    "COMMIT_FOOTERS",
    "PUSH_CERTIFICATES",
    "TRACKING_IDS",
    "CUSTOM_KEYED_VALUES",
    "STAR",
    "PARENTS",
];

/// What is asked for beside a change itself.
#[derive(Clone, Debug, Default)]
pub struct Asked(BTreeSet<String>);

impl Asked {
    /// Reads the names of options.
    ///
    /// # Errors
    /// The one that does not exist.
    pub fn read<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut asked = Self::default();
        for name in names {
            if !OPTIONS.contains(&name) {
                return Err(name.to_owned());
            }
            asked.0.insert(name.to_owned());
        }
        Ok(asked)
    }

    /// What a detail shows.
    pub fn with_detail(mut self) -> Self {
        let detail = ["LABELS", "DETAILED_LABELS", "DETAILED_ACCOUNTS", "MESSAGES"];
        self.0.extend(detail.map(str::to_owned));
        self
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains(*name))
    }
}

/// The status in Gerrit's word.
pub fn status(status: ChangeStatus) -> &'static str {
    match status {
        ChangeStatus::Open => "NEW",
        ChangeStatus::Merged => "MERGED",
        ChangeStatus::Abandoned => "ABANDONED",
    }
}

/// The kind in Gerrit's word.
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::NoChange => "NO_CHANGE",
        Kind::NoCodeChange => "NO_CODE_CHANGE",
        Kind::TrivialRebase => "TRIVIAL_REBASE",
        Kind::TrivialRebaseWithMessageUpdate => "TRIVIAL_REBASE_WITH_MESSAGE_UPDATE",
        Kind::Rework => "REWORK",
    }
}

/// How a patch set differs from the one before it.
pub fn kind_of(state: &State, git: &Git, change: &Change, patchset: PatchSet) -> Kind {
    let before = patchset.0.checked_sub(1).and_then(|before| change.patch(PatchSet(before)));
    let (Some(before), Some(patch)) = (before, change.patch(patchset)) else { return Kind::Rework };
    let rebased = || objects::is_rebased(git, before.commit, patch.commit);
    state.gerrit.git.kind(before.commit, patch.commit, rebased)
}

/// The first line of a commit's message.
pub fn subject(state: &State, commit: Sha) -> String {
    let message = state.gerrit.git.commit(commit).map(|commit| commit.message.clone());
    message.as_deref().and_then(|message| message.lines().next()).unwrap_or_default().to_owned()
}

/// An account, whole or by its number.
pub fn account(site: &Site, account: &Account, is_detailed: bool) -> Value {
    match site.person(account) {
        Some(person) if is_detailed => person.detailed(),
        Some(person) => json!({ "_account_id": person.id }),
        None => json!({ "name": account.as_str() }),
    }
}

/// A change; `reader` is who asks.
pub fn change(site: &Site, state: &State, change: &Change, asked: &Asked, reader: Option<&Person>) -> Value {
    let is_detailed = asked.has(&["DETAILED_ACCOUNTS"]);
    let pair = &change.pair;
    let mut value = json!({
        "id": format!("{}~{}", encoded(pair.repository.as_str()), change.number),
        "triplet_id": format!("{}~{}~{}", encoded(pair.repository.as_str()), encoded(pair.branch.as_str()), change.change_id),
        "project": pair.repository.as_str(),
        "branch": pair.branch.as_str(),
        "hashtags": change.hashtags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        "change_id": change.change_id.as_str(),
        "subject": subject(state, change.revision()),
        "status": status(change.status),
        "created": time(change.created_at),
        "updated": time(change.updated_at),
        "submit_type": "MERGE_IF_NECESSARY",
        "total_comment_count": 0,
        "unresolved_comment_count": 0,
        "has_review_started": true,
        "meta_rev_id": change.meta().to_string(),
        "_number": change.number.0,
        "virtual_id_number": change.number.0,
        "owner": account(site, &change.owner, is_detailed),
        "current_revision_number": change.current.0,
        "requirements": [],
    });
    for (name, is_set) in [("work_in_progress", change.work_in_progress), ("is_private", change.private)] {
        if is_set {
            value[name] = true.into();
        }
    }
    if let Some(topic) = &change.topic {
        value["topic"] = (&**topic).into();
    }
    if let Some((by, at)) = &change.landed {
        value["submitted"] = time(*at).into();
        value["submitter"] = account(site, by, is_detailed);
        value["submission_id"] = change.number.to_string().into();
    }
    add_what_was_asked(site, state, change, asked, reader, &mut value);
    value
}

fn add_what_was_asked(
    site: &Site,
    state: &State,
    change: &Change,
    asked: &Asked,
    reader: Option<&Person>,
    value: &mut Value,
) {
    let is_detailed = asked.has(&["DETAILED_ACCOUNTS"]);
    if asked.has(&["LABELS", "DETAILED_LABELS"]) {
        value["labels"] = labels_json::labels(site, change, asked.has(&["DETAILED_LABELS"]));
        let open = reader.filter(|_| change.status == ChangeStatus::Open);
        value["permitted_labels"] = open.map_or_else(|| json!({}), labels_json::permitted);
    }
    if asked.has(&["DETAILED_LABELS"]) {
        let mut people = Map::new();
        for (state, accounts) in [("REVIEWER", &change.reviewers), ("CC", &change.onlookers)] {
            if !accounts.is_empty() {
                let accounts: Vec<Value> =
                    accounts.iter().map(|one| account(site, one, is_detailed)).collect();
                people.insert(state.into(), accounts.into());
            }
        }
        value["reviewers"] = Value::Object(people);
    }
    if asked.has(&["SUBMIT_REQUIREMENTS"]) {
        value["submit_requirements"] = labels_json::submit_requirements(change);
    }
    if asked.has(&["SUBMITTABLE"]) && change.status != ChangeStatus::Merged {
        value["submittable"] = change.is_submittable().into();
    }
    if asked.has(&["MESSAGES"]) {
        value["messages"] = messages(site, change);
    }
    let wants_all = asked.has(&["ALL_REVISIONS", "ALL_COMMITS", "ALL_FILES"]);
    if wants_all || asked.has(&["CURRENT_REVISION", "CURRENT_COMMIT", "CURRENT_FILES"]) {
        value["current_revision"] = change.revision().to_string().into();
        let Ok(git) = state.git(&change.pair.repository) else { return };
        let mut revisions = Map::new();
        for (at, patch) in change.patchsets.iter().enumerate() {
            let number = PatchSet(at as u64 + 1);
            if wants_all || number == change.current {
                revisions
                    .insert(patch.commit.to_string(), revision(site, state, &git, change, number, asked));
            }
        }
        value["revisions"] = Value::Object(revisions);
    }
}

fn revision(
    site: &Site,
    state: &State,
    git: &Git,
    change: &Change,
    number: PatchSet,
    asked: &Asked,
) -> Value {
    let Some(patch) = change.patch(number) else { return Value::Null };
    let mut value = json!({
        "kind": kind_word(kind_of(state, git, change, number)),
        "_number": number.0,
        "created": time(patch.at),
        "uploader": account(site, &patch.by, asked.has(&["DETAILED_ACCOUNTS"])),
        "ref": patch_ref(change.number, number.0),
        "fetch": {},
        "branch": format!("refs/heads/{}", change.pair.branch),
    });
    if asked.has(&["ALL_COMMITS"]) || (asked.has(&["CURRENT_COMMIT"]) && number == change.current) {
        value["commit"] = commit(state, git, patch.commit);
    }
    if asked.has(&["ALL_FILES"]) || (asked.has(&["CURRENT_FILES"]) && number == change.current) {
        value["files"] = files(git, patch.commit);
    }
    value
}

/// A commit with its message and people.
pub fn commit(state: &State, git: &Git, id: Sha) -> Value {
    let Ok(commit) = git.find_commit(objects::oid(id)) else { return Value::Null };
    let who = |signature: &git2::Signature<'_>| {
        let at = crate::model::Timestamp(signature.when().seconds() * 1000);
        json!({
            "name": signature.name().unwrap_or_default(),
            "email": signature.email().unwrap_or_default(),
            "date": time(at),
            "tz": signature.when().offset_minutes(),
        })
    };
    let parents = commit.parent_ids().map(objects::sha);
    let parents =
        parents.map(|parent| json!({ "commit": parent.to_string(), "subject": subject(state, parent) }));
    json!({
        "parents": parents.collect::<Vec<_>>(),
        "author": who(&commit.author()),
        "committer": who(&commit.committer()),
        "subject": subject(state, id),
        "message": String::from_utf8_lossy(commit.message_bytes()),
    })
}

/// The files that a commit changes.
pub fn files(git: &Git, id: Sha) -> Value {
    let mut all = Map::new();
    all.insert("/COMMIT_MSG".into(), json!({ "status": "A" }));
    for file in objects::files(git, id).unwrap_or_default() {
        let mut value = Map::new();
        // A modification goes without saying, and so does a count of zero.
        if file.status != 'M' {
            value.insert("status".into(), file.status.to_string().into());
        }
        for (name, lines) in [("lines_inserted", file.inserted), ("lines_deleted", file.deleted)] {
            if lines > 0 {
                value.insert(name.into(), lines.into());
            }
        }
        all.insert(file.path, Value::Object(value));
    }
    Value::Object(all)
}

/// The messages of a change.
pub fn messages(site: &Site, change: &Change) -> Value {
    let one = |(at, message): (usize, &Message)| {
        let id =
            crate::world::git::id_of([&change.number.0.to_be_bytes()[..], &(at as u64).to_be_bytes(), b"m"]);
        let mut value = json!({
            "id": id.to_string(),
            "author": account(site, &message.by, true),
            "date": time(message.at),
            "message": &*message.text,
            "accounts_in_message": [],
            "_revision_number": message.patchset.0,
        });
        if !message.tag.is_empty() {
            value["tag"] = (&*message.tag).into();
        }
        value
    };
    change.messages.iter().enumerate().map(one).collect::<Vec<_>>().into()
}

/// A name as Gerrit has it in ids.
pub fn encoded(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');
    utf8_percent_encode(name, PLAIN).to_string()
}
