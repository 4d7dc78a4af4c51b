//! What is wrong on the Gerrit side, found before anything is landed, each with its remedy.

use serde_json::Value;

use super::Shared;
use super::rest::{RestError, encode};
use super::review::{label_remedy, permission_remedy};
use super::wire::{list, text};
use crate::model::{Label, Repository};

/// Repositories looked at by a probe.
const REPOSITORIES_MAX: usize = 50;

/// Something that stands in the way, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in a sentence without full stop.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether nothing can be done before it is repaired.
    pub fatal: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl Problem {
    fn of(error: &RestError) -> Self {
        let words = error.to_string();
        let (what, remedy) = words.split_once("; ").unwrap_or((&words, "see Gerrit's error log"));
        Self { what: format!("failed to {what}"), remedy: remedy.to_owned(), fatal: true }
    }
}

/// Asks for all that can be seen with the daemon's own account.
pub(super) async fn probe(shared: &Shared) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(error) = shared.rest.get("config/server/version").await {
        return vec![Problem::of(&error)];
    }
    match shared.rest.get("accounts/self").await {
        Ok(account) => problems.extend(other_account(&account, &shared.user)),
        Err(error) => return vec![Problem::of(&error)],
    }
    match shared.rest.get("accounts/self/capabilities?q=streamEvents").await {
        Ok(may) if may.get("streamEvents").and_then(Value::as_bool) == Some(true) => {}
        Ok(_) => problems.push(Problem {
            what: format!("the account {} may not stream events", shared.user),
            remedy: "add it to the group Service Users, or grant that global capability (Stream Events)"
                .into(),
            fatal: true,
        }),
        Err(error) => problems.push(Problem::of(&error)),
    }
    if let Err(error) = shared.address.open().await {
        problems.push(of_ssh(&error.to_string()));
    }
    for repository in repositories(shared).into_iter().take(REPOSITORIES_MAX) {
        match shared.rest.get(&format!("projects/{}", encode(repository.as_str()))).await {
            Ok(project) => {
                problems.extend(label_problem(shared, &repository, &project));
                problems.extend(permission_problem(shared, &repository).await);
            }
            Err(RestError::NotFound(_)) => problems.push(Problem {
                what: format!("the repository {repository} does not exist or cannot be read"),
                remedy: format!("create it, or grant the account {} Read on refs/* of it", shared.user),
                fatal: false,
            }),
            Err(error) => problems.push(Problem::of(&error)),
        }
    }
    problems.dedup_by(|one, other| one.remedy == other.remedy && one.what == other.what);
    problems
}

fn of_ssh(words: &str) -> Problem {
    let (what, remedy) = words.split_once("; ").unwrap_or((words, "check `ssh-host` and `ssh-port`"));
    Problem { what: format!("failed to {what}"), remedy: remedy.to_owned(), fatal: true }
}

/// Repositories that were seen to have a gated branch.
fn repositories(shared: &Shared) -> Vec<Repository> {
    let mut names: Vec<_> = shared.ledger.existing_tips().into_iter().map(|pair| pair.repository).collect();
    names.dedup();
    names
}

fn other_account(account: &Value, user: &str) -> Option<Problem> {
    let name = text(account, "username").unwrap_or_default();
    (name != user).then(|| Problem {
        what: format!("Gerrit calls the account {name:?}, the configuration {user:?}"),
        remedy: "write the account's user name as Gerrit has it: own votes are known by it".into(),
        fatal: true,
    })
}

/// Whether the label with its values is there. A project's description lists the labels that the
/// account may see, inherited ones included.
fn label_problem(shared: &Shared, repository: &Repository, project: &Value) -> Option<Problem> {
    let rules = shared.rules();
    let label = Label::from(rules.vote_label.as_str());
    let values =
        project.get("labels").and_then(|labels| labels.get(label.as_str())).and_then(|l| l.get("values"));
    let has = |value: i32| {
        let written = if value == 0 { " 0".to_owned() } else { format!("{value:+}") };
        values.is_some_and(|values| values.get(&written).is_some())
    };
    if values.is_none() {
        let what = format!("{repository} has no label {label}, on which the daemon votes");
        return Some(Problem { what, remedy: label_remedy(&label), fatal: true });
    }
    let missing = rules.vote_values.iter().find(|value| !has(**value))?;
    Some(Problem {
        what: format!("the label {label} of {repository} has no value {missing:+}"),
        remedy: format!("{}; and {}", label_remedy(&label), permission_remedy(&label)),
        fatal: true,
    })
}

/// Whether the account may give each of the values, seen on any open change; without one it cannot
/// be told.
async fn permission_problem(shared: &Shared, repository: &Repository) -> Option<Problem> {
    let query = encode(&format!("status:open project:\"{repository}\""));
    let answer = shared.rest.get(&format!("changes/?q={query}&n=1&o=DETAILED_LABELS")).await.ok()?;
    let permitted = answer.get(0)?.get("permitted_labels")?;
    let rules = shared.rules();
    let label = Label::from(rules.vote_label.as_str());
    let values = list(permitted, label.as_str());
    let may = |value: i32| {
        values.iter().any(|written| {
            written.as_str().and_then(|written| written.trim().parse::<i32>().ok()) == Some(value)
        })
    };
    let missing = rules.vote_values.iter().find(|value| !may(**value))?;
    Some(Problem {
        what: format!("the account {} may not vote {label} {missing:+} in {repository}", shared.user),
        remedy: permission_remedy(&label),
        fatal: true,
    })
}
