//! The rights that the daemon needs in single repositories, and who else may submit there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::access::{Answer, Rights};
use super::finding::Level;
use super::project::{HOW, permitted, range, unreadable};
use super::server::{Account, add_email};
use super::targets::{Draft, Fix, Grant};
use super::{GROUP, View};
use crate::gerrit::rest::{RestError, encode};
use crate::gerrit::wire::text;
use crate::model::Repository;

/// Longest chain of parents that is followed.
const PARENTS_MAX: usize = 50;

/// The access rules of projects, each read once.
#[derive(Default)]
pub(super) struct Chains(Mutex<BTreeMap<String, Value>>);

impl Chains {
    async fn rights(&self, view: &View<'_>, repository: &str) -> Result<Option<Rights>, RestError> {
        let mut rights = Rights::default();
        let mut at = repository.to_owned();
        for _ in 0..PARENTS_MAX {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&at).cloned();
            let answer = match known {
                Some(answer) => answer,
                None => view.reader().get(&format!("projects/{}/access", encode(&at))).await?,
            };
            // Without the right to read the rules the answer holds but a part of them.
            if answer.get("config_visible").and_then(Value::as_bool) != Some(true) {
                return Ok(None);
            }
            rights.add(&at, &answer);
            let parent = answer.pointer("/inherits_from/name").and_then(Value::as_str).map(str::to_owned);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(at, answer);
            match parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        Ok(Some(rights))
    }
}

/// A right that the daemon needs.
struct Right {
    id: &'static str,
    permission: String,
    /// What stands before the branch's name.
    before: &'static str,
    level: Level,
    words: &'static str,
    values: Vec<i32>,
}

/// How changes land in a repository.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// By the daemon's push; else Gerrit is told to submit.
    pub push: bool,
    /// As copies, which keep their authors.
    pub copies: bool,
}

fn needed(view: &View, account: &Account, way: Way) -> Vec<Right> {
    let label = format!("label-{}", view.needs.label);
    let right = |id, permission: &str, before, level, words| Right {
        id,
        permission: permission.to_owned(),
        before,
        level,
        words,
        values: Vec::new(),
    };
    let heads = "refs/heads/";
    let vote =
        Right { values: view.needs.values.clone(), ..right("vote", &label, heads, Level::Lack, "vote") };
    if !way.push {
        return vec![
            vote,
            right("submit", "submit", heads, Level::Lack, "submit, by which changes land there"),
        ];
    }
    let mut all = vec![
        vote,
        right("push", "push", heads, Level::Lack, "push to gated branches"),
        right("push-merge", "pushMerge", "refs/for/refs/heads/", Level::Lack, "push merge commits"),
        right(
            "submit",
            "submit",
            heads,
            Level::Warning,
            "submit, by which it closes a landed change that Gerrit left open",
        ),
    ];
    if account.foreign_committer.is_some() {
        all.push(right("forge-committer", "forgeCommitter", heads, Level::Lack, "push with that committer"));
    }
    if way.copies {
        let words = "push copies of changes, which keep their authors";
        all.push(right("forge-author", "forgeAuthor", heads, Level::Lack, words));
    }
    all
}

/// Which rights the daemon's account has on the gated branches, and who else may submit there.
pub(super) async fn look(
    view: &View<'_>,
    account: &Account,
    chains: &Chains,
    repository: &Repository,
    branches: &[String],
    way: Way,
) -> Vec<Draft> {
    let rights = match chains.rights(view, repository.as_str()).await {
        Ok(Some(rights)) => rights,
        Ok(None) => return unseen(view, account, repository, way).await,
        Err(error) => return vec![unreadable("rights", "the access rules", &error)],
    };
    let needed = needed(view, account, way);
    let mut drafts: Vec<Draft> =
        needed.iter().map(|right| judge_right(view, account, &rights, right, branches)).collect();
    let branch = branches.first().map(String::as_str).unwrap_or_default();
    drafts.push(others_who_submit(&rights, branch));
    let can_push = drafts.iter().any(|draft| draft.id == "push" && draft.level == Level::Well);
    if can_push {
        drafts.extend(gerrits_word(view, repository, branch).await);
    }
    drafts
}

/// What can be told of rights without seeing the rules.
async fn unseen(view: &View<'_>, account: &Account, repository: &Repository, way: Way) -> Vec<Draft> {
    let mut drafts = Vec::new();
    drafts.extend(permitted(view, repository).await);
    let seen = drafts.iter().any(|draft| draft.id == "vote");
    let rest = needed(view, account, way).into_iter().filter(|right| right.id != "vote" || !seen);
    let names: Vec<String> = rest.map(|right| right.permission).collect();
    let what = format!(
        "whether the daemon's account has the rights {}, and who else may submit: the account may not see the access rules",
        names.join(", ")
    );
    drafts.push(Draft::new("rights", Level::Unknown, what, Fix::Words(HOW.into())));
    drafts
}

fn judge_right(view: &View, account: &Account, rights: &Rights, right: &Right, branches: &[String]) -> Draft {
    let ask = |groups: &BTreeSet<String>| {
        let mut answers = branches.iter().map(|branch| {
            rights.may(&right.permission, &format!("{}{branch}", right.before), groups, &right.values)
        });
        answers.find(|answer| *answer != Answer::Yes).unwrap_or(Answer::Yes)
    };
    let (user, words) = (view.user, right.words);
    let lack = |text: String, fix| Draft::new(right.id, right.level, text, fix);
    let answer = ask(&account.groups);
    if answer == Answer::Yes {
        return Draft::well(right.id, format!("the daemon may {words}"));
    }
    let as_member = account.groups.iter().cloned().chain(account.service.clone()).collect();
    if ask(&as_member) == Answer::Yes {
        let what = format!("the account {user} may not {words}; members of {GROUP} may");
        return lack(what, Fix::Calls(vec![view.membership()]));
    }
    match answer {
        Answer::Blocked { by: (project, reference) } => {
            let what = format!("the account {user} may not {words}: {project} blocks it on {reference}");
            let fix = format!(
                "remove from project.config of {project}, section [access \"{reference}\"], the line `{} = block …` that concerns a group of the account, or take the account out of that group",
                right.permission
            );
            lack(what, Fix::Words(fix))
        }
        Answer::Unsure => {
            let what = format!("whether the account {user} may {words}: rules by regular expression decide");
            Draft::new(right.id, Level::Unknown, what, Fix::Words("find out with --push-to".into()))
        }
        Answer::No { at } => {
            let (project, reference) = at
                .map_or((None, format!("{}*", right.before)), |(project, reference)| {
                    (Some(project), reference)
                });
            let range = right.permission.starts_with("label-").then(|| range(&right.values));
            let grant = Grant { permission: right.permission.clone(), range, reference, project };
            let fix = match (&account.foreign_committer, right.id) {
                (Some(email), "forge-committer") => Fix::Calls(vec![add_email(view, email)]),
                _ => Fix::Grant(grant),
            };
            lack(format!("the account {user} may not {words}"), fix)
        }
        Answer::Yes => Draft::well(right.id, format!("the daemon may {words}")),
    }
}

/// The daemon's vote would let a person submit onto trees that were never judged.
fn others_who_submit(rights: &Rights, branch: &str) -> Draft {
    let mut holders = rights.holders("submit", &format!("refs/heads/{branch}"));
    holders.retain(|name| name != GROUP);
    if holders.is_empty() {
        return Draft::well("others-submit", format!("nobody but {GROUP} may submit"));
    }
    let what = format!(
        "{} may submit: after the daemon's vote they can land a change onto trees that were never judged",
        holders.join(", ")
    );
    let words = format!(
        "write in the repository's own project.config (or that of its parent):\n[access \"refs/heads/*\"]\n\texclusiveGroupPermissions = submit\n\tsubmit = group {GROUP}"
    );
    Draft::new("others-submit", Level::Warning, what, Fix::Words(words))
}

/// Gerrit's own word on the right to push, where the rules seem to give it.
async fn gerrits_word(view: &View<'_>, repository: &Repository, branch: &str) -> Option<Draft> {
    let (name, user, reference) =
        (encode(repository.as_str()), encode(view.user), encode(&format!("refs/heads/{branch}")));
    let path = format!("projects/{name}/check.access?account={user}&ref={reference}&perm=push");
    let answer = view.reader().get(&path).await.ok()?;
    if answer.get("status").and_then(Value::as_u64) == Some(200) {
        return None;
    }
    let what =
        format!("Gerrit says of a push: {}", text(&answer, "message").unwrap_or("it is not permitted"));
    let words = "look at the project's access rules (its page Access in Gerrit)";
    Some(Draft::new("push-checked", Level::Lack, what, Fix::Words(words.into())))
}
