//! What concerns single repositories: the label, the requirements, the submit type.

use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::finding::{Finding, Level};
use super::rights::{self, Chains, Way};
use super::server::Account;
use super::targets::{Draft, Family, Fix, Grant, gather};
use super::votes::{Requirement, missing, values_of};
use super::{Landing, Report, View};
use crate::gerrit::rest::{RestError, encode};
use crate::gerrit::wire::{list, text};
use crate::gerrit::{projects, wire};
use crate::model::{LandingForm, Pair, Repository};

/// Repositories looked at at once; the client bounds the requests.
const AT_ONCE: usize = 8;
/// Gated branches of a repository whose rights are worked out.
const BRANCHES_MAX: usize = 5;
/// Where a project's rules and settings are.
const RULES: &str = "refs/meta/config";
/// How what cannot be seen is found out.
pub(super) const HOW: &str =
    "run `seakeeper doctor` with --admin-user and --admin-token-file, or with --push-to";

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
    look.drafts.extend(rules_unread(view, repository).await);
    look.drafts.push(label(view, &project));
    look.drafts.extend(approvals(view, &project));
    let max = values_of(&project, &view.needs.label).and_then(|values| values.keys().max().copied());
    look.drafts.extend(requirements(view, repository, max).await);
    let lands = projects::read(view.reader(), repository).await;
    let way = Way {
        push: (view.needs.pushed)(&Pair::new(repository.as_str(), first.as_str())),
        copies: lands.as_ref().ok().and_then(form_of).is_some_and(|form| form.rewrites(1)),
    };
    look.drafts.extend(rights::look(view, account, chains, repository, &branches, way).await);
    match lands {
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

pub(super) fn unreadable(id: &'static str, what: &str, error: &RestError) -> Draft {
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

/// Rules, requirements and label definitions are shown to whoever may read refs/meta/config.
async fn rules_unread(view: &View<'_>, repository: &Repository) -> Option<Draft> {
    let (id, name) = ("read-config", encode(repository.as_str()));
    let path = format!("projects/{name}/branches/{}", encode(RULES));
    match view.bot.get(&path).await {
        Ok(_) => return Some(Draft::well(id, format!("the daemon may read {RULES}"))),
        Err(RestError::NotFound(_) | RestError::Forbidden(_)) => {}
        Err(error) => return Some(unreadable(id, RULES, &error)),
    }
    let settings = view.bot.get(&format!("projects/{name}/config")).await.ok()?;
    let unseen: Vec<&str> =
        projects::SETTINGS.into_iter().filter(|name| projects::flag(&settings, name).is_none()).collect();
    let what =
        format!("the daemon's account cannot read {RULES}, where access rules and submit requirements are");
    let fix = Fix::Grant(Grant::of("read", RULES));
    if unseen.is_empty() {
        let what = format!(
            "{what}: the doctor sees them with an administrator's token only (those that are inherited need the same right in the parents)"
        );
        return Some(Draft::new(id, Level::Note, what, fix));
    }
    let what = format!(
        "{what}, and is not shown {}: it signs off, and merges content, whatever the repository asks for",
        unseen.join(", ")
    );
    Some(Draft::new(id, Level::Warning, what, fix))
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
pub(super) async fn permitted(view: &View<'_>, repository: &Repository) -> Option<Draft> {
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

pub(super) fn range(values: &[i32]) -> (i32, i32) {
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

fn form_of(project: &projects::Project) -> Option<LandingForm> {
    wire::form(project.submit_type.as_deref()?)
}

/// How changes land. The forms are those that [`wire::form`] knows, as each change is read.
fn landing(project: &projects::Project) -> Vec<Draft> {
    let id = "submit-type";
    let mut drafts = vec![match project.submit_type.as_deref() {
        None => {
            let what = "the submit type is not shown to this account";
            Draft::new(id, Level::Unknown, what, Fix::Words(HOW.into()))
        }
        Some(kind) if form_of(project).is_some() => Draft::well(id, format!("the submit type is {kind}")),
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
