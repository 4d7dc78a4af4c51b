//! What concerns single repositories: the label, the rights, the requirements, the submit type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::access::{Answer, Rights};
use super::finding::{Finding, Level};
use super::server::{Account, add_email};
use super::targets::{Draft, Family, Fix, Grant, gather};
use super::votes::{Requirement, missing, values_of};
use super::{GROUP, Landing, Report, View};
use crate::gerrit::rest::{RestError, encode};
use crate::gerrit::wire::{list, text};
use crate::gerrit::{projects, wire};
use crate::model::{Pair, Repository};

/// Repositories looked at at once; the client bounds the requests.
const AT_ONCE: usize = 8;
/// Gated branches of a repository whose rights are worked out.
const BRANCHES_MAX: usize = 5;
/// Longest chain of parents that is followed.
const PARENTS_MAX: usize = 50;
/// How what cannot be seen is found out.
const HOW: &str = "run `seakeeper doctor` with --admin-user and --admin-token-file, or with --push-to";

/// Looks at each gated repository.
pub(super) async fn look(view: &View<'_>, account: &Account, report: &mut Report) {
    let listed = match view.reader().get("projects/?tree").await {
        Ok(listed) => listed,
        Err(error) => {
            return report.findings.push(Finding::of_error("repositories", "Gerrit", &error, HOW));
        }
    };
    let mut family = Family::read(&listed);
    let candidates: Vec<Repository> =
        Family::names(&listed).map(|name| Repository::from(name.as_str())).collect();
    let chains = Chains::default();
    let looks = candidates.iter().map(|repository| one(view, account, &chains, repository));
    let looks: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let mut drafts = Vec::new();
    for (repository, look) in candidates.iter().zip(looks) {
        let Some(look) = look else { continue };
        family.gate([repository.to_string()]);
        report.landings.extend(look.landing);
        drafts.extend(look.drafts.into_iter().map(|draft| (repository.to_string(), draft)));
    }
    report.findings.extend(gather(view, &family, drafts));
}

/// Looks only at what keeps the daemon from working and can be seen by its own account.
pub(super) async fn essentials(view: &View<'_>, repositories: &[Repository], findings: &mut Vec<Finding>) {
    let mut drafts = Vec::new();
    for repository in repositories {
        let found = match described(view, repository).await {
            Ok(project) => {
                let mut found = vec![label(view, &project)];
                found.extend(permitted(view, repository).await);
                found
            }
            Err(draft) => vec![draft],
        };
        drafts.extend(found.into_iter().map(|draft| (repository.to_string(), draft)));
    }
    findings.extend(gather(view, &Family::default(), drafts));
}

/// What a look at one repository gave.
#[derive(Default)]
struct Look {
    drafts: Vec<Draft>,
    landing: Option<Landing>,
}

/// Looks at one repository; `None` when none of its branches is gated.
async fn one(view: &View<'_>, account: &Account, chains: &Chains, repository: &Repository) -> Option<Look> {
    let gated = |branch: &str| (view.needs.gated)(&Pair::new(repository.as_str(), branch));
    // A pattern may name branches that are not there yet: the repository is asked only then.
    let path = format!("projects/{}/branches/", encode(repository.as_str()));
    let listed = serde_json::json!({ "all": view.reader().get(&path).await.unwrap_or_default() });
    let branches = gated_branches(list(&listed, "all"), gated);
    let first = branches.first()?.clone();
    let mut look = Look::default();
    let project = match described(view, repository).await {
        Ok(project) => project,
        Err(draft) => {
            look.drafts.push(draft);
            return Some(look);
        }
    };
    look.drafts.push(state(&project));
    look.drafts.extend(unread(view, repository, &first).await);
    look.drafts.push(label(view, &project));
    look.drafts.extend(approvals(view, &project));
    let max = values_of(&project, &view.needs.label).and_then(|values| values.keys().max().copied());
    look.drafts.extend(requirements(view, repository, max).await);
    look.drafts.extend(rights(view, account, chains, repository, &branches).await);
    match projects::read(view.reader(), repository).await {
        Ok(project) => {
            look.drafts.extend(landing(&project));
            look.landing = Some(Landing { pair: Pair::new(repository.as_str(), first.as_str()), project });
        }
        Err(error) => look.drafts.push(unreadable("submit-type", "the submit type", &error)),
    }
    Some(look)
}

/// The gated branches among those listed, the one that HEAD names first.
fn gated_branches(listed: &[Value], gated: impl Fn(&str) -> bool) -> Vec<String> {
    let name = |entry: &Value| {
        text(entry, "ref").and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned)
    };
    let head = listed.iter().find(|entry| text(entry, "ref") == Some("HEAD"));
    let head = head.and_then(|entry| text(entry, "revision")).unwrap_or_default();
    let mut branches: Vec<String> = listed.iter().filter_map(name).filter(|branch| gated(branch)).collect();
    branches.sort_by_key(|branch| branch != head);
    branches.truncate(BRANCHES_MAX);
    branches
}

fn unreadable(id: &'static str, what: &str, error: &RestError) -> Draft {
    Draft::new(
        id,
        Level::Unknown,
        format!("{what} cannot be read: failed to {error}"),
        Fix::Words(HOW.into()),
    )
}

/// The repository as the daemon's account sees it.
async fn described(view: &View<'_>, repository: &Repository) -> Result<Value, Draft> {
    let path = format!("projects/{}", encode(repository.as_str()));
    view.bot.get(&path).await.map_err(|error| match error {
        RestError::NotFound(_) => {
            let what = "there is none, or the daemon's account cannot read it";
            Draft::new("read", Level::Lack, what, Fix::Grant(Grant::of("read", "refs/heads/*")))
        }
        error => unreadable("read", "the description", &error),
    })
}

/// A project can be seen by whoever may read any ref of it; the branch is what matters.
async fn unread(view: &View<'_>, repository: &Repository, branch: &str) -> Option<Draft> {
    let path = format!("projects/{}/branches/{}", encode(repository.as_str()), encode(branch));
    match view.bot.get(&path).await {
        Ok(_) => None,
        Err(RestError::NotFound(_) | RestError::Forbidden(_)) => {
            let what = format!("the daemon's account cannot read the branch {branch}");
            let grant = Grant::of("read", "refs/heads/*");
            Some(Draft::new("read-branch", Level::Lack, what, Fix::Grant(grant)))
        }
        Err(error) => Some(unreadable("read-branch", "a gated branch", &error)),
    }
}

fn state(project: &Value) -> Draft {
    match text(project, "state").unwrap_or("ACTIVE") {
        "ACTIVE" => Draft::well("read", "readable by the daemon's account"),
        other => {
            let words = "make it active (PUT /a/projects/NAME/config), or take it out of its [[queue]]";
            Draft::new("read", Level::Lack, format!("the state is {other}"), Fix::Words(words.into()))
        }
    }
}

/// Whether the label with its values is there. A project's description lists the labels that the
/// account may see, inherited ones included.
fn label(view: &View, project: &Value) -> Draft {
    let needs = view.needs;
    let name = &needs.label;
    let Some(values) = values_of(project, name) else {
        let what = format!("there is no label {name}, on which the daemon votes");
        return Draft::new("label", Level::Lack, what, Fix::Label(None));
    };
    match missing(&values, &needs.values) {
        Some(value) => {
            let what = format!("the label {name} has no value {value:+}");
            Draft::new("label", Level::Lack, what, Fix::Label(Some(values)))
        }
        None => Draft::well("label", format!("the label {name} has the values used")),
    }
}

/// Whether people can give the votes that approve.
fn approvals(view: &View, project: &Value) -> Vec<Draft> {
    let check = |(label, min): &(String, i32)| {
        let max = values_of(project, label).and_then(|values| values.keys().max().copied());
        if max.is_some_and(|max| max >= *min) {
            return Draft::well("approval", format!("{label} {min:+} can be given"));
        }
        let what = format!("there is no {label} {min:+}, without which nothing enters the gate");
        let words = "correct `approval` in [pipeline.gate], or add the label in Gerrit";
        Draft::new("approval", Level::Lack, what, Fix::Words(words.into()))
    };
    view.needs.approval.iter().map(check).collect()
}

/// Whether the account may give each of the values, seen on any open change; without one it cannot
/// be told.
async fn permitted(view: &View<'_>, repository: &Repository) -> Option<Draft> {
    let needs = view.needs;
    let change = open_change(view, repository).await?;
    let permitted = change.get("permitted_labels")?;
    let values: Vec<i32> = list(permitted, &needs.label)
        .iter()
        .filter_map(|written| written.as_str()?.trim().parse().ok())
        .collect();
    let well = || Draft::well("vote", format!("the daemon may vote {}", needs.label));
    Some(needs.values.iter().find(|value| !values.contains(value)).map_or_else(well, |missing| {
        let what = format!("the account {} may not vote {} {missing:+}", view.user, needs.label);
        Draft::new("vote", Level::Lack, what, Fix::Grant(Grant::label(&needs.label, range(&needs.values))))
    }))
}

async fn open_change(view: &View<'_>, repository: &Repository) -> Option<Value> {
    let query = encode(&format!("status:open project:\"{repository}\""));
    let path = format!("changes/?q={query}&n=1&o=DETAILED_LABELS&o=SUBMIT_REQUIREMENTS");
    view.bot.get(&path).await.ok()?.get(0).cloned()
}

fn range(values: &[i32]) -> (i32, i32) {
    let bound = |value: Option<&i32>| value.copied().unwrap_or(0);
    (bound(values.iter().min()).min(0), bound(values.iter().max()).max(0))
}

/// Whether the label counts, and whether the requirements can be met.
async fn requirements(view: &View<'_>, repository: &Repository, max: Option<i32>) -> Vec<Draft> {
    let path = format!("projects/{}/submit_requirements/?inherited", encode(repository.as_str()));
    let found = match view.reader().get(&path).await {
        Ok(found) => found,
        // A change shows its results to everybody who may read it.
        Err(error) => match open_change(view, repository).await {
            Some(mut change) => change.get_mut("submit_requirements").map(Value::take).unwrap_or_default(),
            None => return vec![unreadable("requirement", "the submit requirements", &error)],
        },
    };
    let all: Vec<Requirement> =
        found.as_array().into_iter().flatten().filter_map(Requirement::read).collect();
    judge_requirements(view, &all, max)
}

fn judge_requirements(view: &View<'_>, all: &[Requirement], max: Option<i32>) -> Vec<Draft> {
    let (label, success) = (&view.needs.label, view.needs.success);
    let max = max.unwrap_or(success);
    let mut drafts = Vec::new();
    if all.iter().any(|requirement| requirement.counts(label)) {
        drafts.push(Draft::well("requirement", format!("a submit requirement makes {label} count")));
    } else {
        let what = format!(
            "no submit requirement makes {label} count: people can submit what the queue has not judged"
        );
        drafts.push(Draft::new(
            "requirement",
            Level::Lack,
            what,
            Fix::Requirement { is_max: success >= max },
        ));
    }
    for requirement in all.iter().filter(|requirement| requirement.beyond(label, success, max)) {
        let what = format!(
            "the submit requirement {} asks for more than the daemon's vote {label} {success:+}: {}",
            requirement.name, requirement.expression
        );
        let words = format!(
            "set `success` in [pipeline.gate] to what it asks for (the label's maximum is {max:+}), or change the requirement"
        );
        drafts.push(Draft::new("requirement-met", Level::Lack, what, Fix::Words(words)));
    }
    let others: Vec<&str> =
        all.iter().filter(|other| !other.counts(label)).map(|other| other.name.as_str()).collect();
    if !others.is_empty() {
        let what = format!("nothing lands before these are met, too: {}", others.join(", "));
        drafts.push(Draft::well("requirements", what));
    }
    drafts
}

/// How changes land. The forms are those that [`wire::form`] knows, as each change is read.
fn landing(project: &projects::Project) -> Vec<Draft> {
    let id = "submit-type";
    let mut drafts = vec![match project.submit_type.as_deref() {
        None => {
            let what = "the submit type is not shown to this account";
            Draft::new(id, Level::Unknown, what, Fix::Words(HOW.into()))
        }
        Some(kind) if wire::form(kind).is_some() => Draft::well(id, format!("the submit type is {kind}")),
        Some(kind) => {
            let what = format!("the submit type is {kind}, in which nothing can be landed");
            let words = "set one of Gerrit's own submit types";
            Draft::new(id, Level::Lack, what, Fix::Words(words.into()))
        }
    }];
    if project.sign_off {
        drafts.push(Draft::well("sign-off", "Signed-off-by is asked for; the daemon signs its merges off"));
    }
    drafts
}

/// The access rules of projects, each read once.
#[derive(Default)]
struct Chains(Mutex<BTreeMap<String, Value>>);

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

fn needed(view: &View, account: &Account) -> Vec<Right> {
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
    let mut all = vec![
        Right { values: view.needs.values.clone(), ..right("vote", &label, heads, Level::Lack, "vote") },
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
    all
}

/// Which rights the daemon's account has on the gated branches, and who else may submit there.
async fn rights(
    view: &View<'_>,
    account: &Account,
    chains: &Chains,
    repository: &Repository,
    branches: &[String],
) -> Vec<Draft> {
    let rights = match chains.rights(view, repository.as_str()).await {
        Ok(Some(rights)) => rights,
        Ok(None) => return unseen(view, account, repository).await,
        Err(error) => return vec![unreadable("rights", "the access rules", &error)],
    };
    let needed = needed(view, account);
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
async fn unseen(view: &View<'_>, account: &Account, repository: &Repository) -> Vec<Draft> {
    let mut drafts = Vec::new();
    drafts.extend(permitted(view, repository).await);
    let seen = drafts.iter().any(|draft| draft.id == "vote");
    let rest = needed(view, account).into_iter().filter(|right| right.id != "vote" || !seen);
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
