//! Repositories and branches over REST.

use std::collections::BTreeSet;

use git2::Signature;
use serde_json::{Map, Value, json};

use super::accounts::Person;
use super::event_json;
use super::labels_json;
use super::objects;
use super::refusal::Refusal;
use super::site::{Site, State, now};
use crate::model::{Branch, ChangeId, ChangeNumber, Pair, Repository, Sha};
use crate::world::labels::{LABELS, LabelRule};
use crate::world::{Kind, Received};

/// Most repositories in one answer without a wish.
const LIST_MAX: usize = 500;

fn text<'a>(input: &'a Value, field: &str) -> Option<&'a str> {
    input.get(field).and_then(Value::as_str)
}

fn broken(error: git2::Error) -> Refusal {
    Refusal::broken(&error)
}

impl Site {
    /// Makes a repository.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn create_project(&self, who: &Person, name: &str, input: &Value) -> Result<Value, Refusal> {
        if !who.is_admin() {
            return Err(Refusal::forbidden("create project not permitted"));
        }
        let mut state = self.lock();
        let repository = Repository::from(name);
        if state.projects.contains_key(&repository) {
            return Err(Refusal::conflict(format!("Project \"{name}\" already exists")));
        }
        let branches = input.get("branches").and_then(Value::as_array).into_iter().flatten();
        let mut branches: Vec<Branch> = branches.filter_map(Value::as_str).map(short).collect();
        if branches.is_empty() {
            branches.push("master".into());
        }
        let path = self.place_of(&repository);
        let git = objects::create(&path, branches[0].as_str()).map_err(broken)?;
        state.projects.insert(repository.clone(), path);
        let at = now();
        self.tell(event_json::project_created(at, &repository, &format!("refs/heads/{}", branches[0])));
        if input.get("create_empty_commit").and_then(Value::as_bool) == Some(true) {
            let first = objects::first_commit(&git, &who.name, &who.email).map_err(broken)?;
            objects::adopt(&git, &mut state.gerrit.git, first).map_err(broken)?;
            for branch in branches {
                let pair = Pair { repository: repository.clone(), branch };
                state.gerrit.set_branch(&pair, Some(objects::sha(first)));
                state.write_branch(&pair, &git)?;
                self.tell_branch(at, who, &pair, Sha::default(), objects::sha(first));
            }
        }
        Ok(description(&repository))
    }

    /// All repositories, or those that have one of `branches`.
    pub fn list_projects(&self, asked: &[(String, String)]) -> Value {
        let state = self.lock();
        let of = |name: &'static str| {
            asked.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        let number = |name| of(name).next().and_then(|value| value.parse::<usize>().ok());
        let branches: Vec<Branch> = of("b").map(short).collect();
        let prefix = of("p").next().unwrap_or_default();
        let mut rows: Vec<(String, Value)> = Vec::new();
        for repository in state.projects.keys().filter(|name| name.as_str().starts_with(prefix)) {
            let mut value =
                json!({ "id": super::change_json::encoded(repository.as_str()), "state": "ACTIVE" });
            if !branches.is_empty() {
                let tips = branches.iter().filter_map(|branch| {
                    let pair = Pair { repository: repository.clone(), branch: branch.clone() };
                    state.gerrit.tip(&pair).map(|tip| (branch.to_string(), json!(tip.to_string())))
                });
                let tips: Map<String, Value> = tips.collect();
                if tips.is_empty() {
                    continue;
                }
                value["branches"] = Value::Object(tips);
            }
            rows.push((repository.to_string(), value));
        }
        let (skip, limit) = (number("S").unwrap_or(0), number("n").unwrap_or(LIST_MAX));
        let has_more = rows.len() > skip.saturating_add(limit);
        let mut page: Vec<(String, Value)> = rows.into_iter().skip(skip).take(limit).collect();
        if let Some((_, last)) = page.last_mut().filter(|_| has_more) {
            last["_more_projects"] = true.into();
        }
        Value::Object(page.into_iter().collect())
    }

    /// A repository.
    ///
    /// # Errors
    /// 404.
    pub fn project(&self, name: &str) -> Result<Value, Refusal> {
        let repository = Repository::from(name);
        self.lock().path(&repository)?;
        Ok(description(&repository))
    }

    /// What HEAD points to.
    ///
    /// # Errors
    /// 404.
    pub fn head(&self, name: &str) -> Result<Value, Refusal> {
        let git = self.lock().git(&name.into())?;
        let head = git.find_reference("HEAD").map_err(broken)?;
        Ok(json!(head.symbolic_target().ok().flatten().unwrap_or("refs/heads/master")))
    }

    /// How a repository's changes land.
    ///
    /// # Errors
    /// 404.
    pub fn project_config(&self, name: &str) -> Result<Value, Refusal> {
        self.lock().path(&name.into())?;
        let inherited = |value: bool| json!({ "configured_value": "INHERIT", "inherited_value": value });
        Ok(json!({
            "use_contributor_agreements": inherited(false),
            "use_content_merge": inherited(true),
            "use_signed_off_by": inherited(false),
            "require_change_id": inherited(true),
            "submit_type": "MERGE_IF_NECESSARY",
            "default_submit_type": {
                "value": "MERGE_IF_NECESSARY",
                "configured_value": "INHERIT",
                "inherited_value": "MERGE_IF_NECESSARY",
            },
        }))
    }

    /// All branches of a repository, HEAD first.
    ///
    /// # Errors
    /// 404.
    pub fn branches(&self, name: &str) -> Result<Value, Refusal> {
        let head = self.head(name)?;
        let state = self.lock();
        let repository = Repository::from(name);
        let mut rows = Vec::new();
        let head = head.as_str().unwrap_or_default().trim_start_matches("refs/heads/").to_owned();
        rows.push(json!({ "ref": "HEAD", "revision": head }));
        let own = state.gerrit.branches().iter().filter(|(pair, _)| pair.repository == repository);
        rows.extend(own.map(|(pair, tip)| branch_info(&pair.branch, *tip)));
        Ok(rows.into())
    }

    /// One branch.
    ///
    /// # Errors
    /// 404.
    pub fn branch(&self, name: &str, branch: &str) -> Result<Value, Refusal> {
        let state = self.lock();
        let repository = Repository::from(name);
        state.path(&repository)?;
        let pair = Pair { repository, branch: short(branch) };
        let tip = state.gerrit.tip(&pair).ok_or_else(|| Refusal::not_found(branch))?;
        Ok(branch_info(&pair.branch, tip))
    }

    /// Makes a branch at the branch or commit that `input` names, HEAD where it names none.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn create_branch(
        &self,
        who: &Person,
        name: &str,
        branch: &str,
        input: &Value,
    ) -> Result<Value, Refusal> {
        let mut state = self.lock();
        let repository = Repository::from(name);
        let git = state.git(&repository)?;
        let pair = Pair { repository, branch: short(branch) };
        if !who.may_push() {
            let words = format!("not permitted: create on refs/heads/{}", pair.branch);
            return Err(Refusal::forbidden(words));
        }
        if state.gerrit.tip(&pair).is_some() {
            return Err(Refusal::conflict(format!("branch \"refs/heads/{}\" already exists", pair.branch)));
        }
        let wanted = text(input, "revision").unwrap_or("HEAD");
        let at = Pair { repository: pair.repository.clone(), branch: short(wanted) };
        let by_name = || git.revparse_single(wanted).and_then(|found| found.peel_to_commit());
        let tip = match state.gerrit.tip(&at) {
            Some(tip) => tip,
            None => by_name()
                .map(|commit| objects::sha(commit.id()))
                .map_err(|_| Refusal::unprocessable(format!("invalid revision \"{wanted}\"")))?,
        };
        objects::adopt(&git, &mut state.gerrit.git, objects::oid(tip)).map_err(broken)?;
        state.gerrit.set_branch(&pair, Some(tip));
        state.write_branch(&pair, &git)?;
        self.tell_branch(now(), who, &pair, Sha::default(), tip);
        let mut info = branch_info(&pair.branch, tip);
        info["can_delete"] = true.into();
        Ok(info)
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn delete_branch(&self, who: &Person, name: &str, branch: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        let repository = Repository::from(name);
        let git = state.git(&repository)?;
        let pair = Pair { repository, branch: short(branch) };
        let tip = state.gerrit.tip(&pair).ok_or_else(|| Refusal::not_found(branch))?;
        if !who.is_admin() {
            return Err(Refusal::forbidden(format!("not permitted: delete on refs/heads/{}", pair.branch)));
        }
        state.gerrit.set_branch(&pair, None);
        state.write_branch(&pair, &git)?;
        self.tell_branch(now(), who, &pair, tip, Sha::default());
        Ok(())
    }

    /// Makes a change without files on a branch's tip.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn create_change(&self, who: &Person, input: &Value) -> Result<ChangeNumber, Refusal> {
        let mut state = self.lock();
        let name = text(input, "project").ok_or_else(|| Refusal::bad("project must be non-empty"))?;
        let branch = text(input, "branch").ok_or_else(|| Refusal::bad("branch must be non-empty"))?;
        let subject = text(input, "subject").map(str::trim).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| Refusal::bad("commit message must be non-empty"))?;
        let repository = Repository::from(name);
        let unknown = |_| Refusal::unprocessable(format!("Project Not Found: {name}"));
        let git = state.path(&repository).map_err(unknown).and_then(|_| state.git(&repository))?;
        let pair = Pair { repository, branch: short(branch) };
        let Some(tip) = state.gerrit.tip(&pair) else {
            return Err(Refusal::bad(format!("Destination branch does not exist: {}", pair.branch)));
        };
        let (change_id, commit) = empty_commit(&state, &git, who, tip, subject)?;
        objects::adopt(&git, &mut state.gerrit.git, objects::oid(commit)).map_err(broken)?;
        let flag = |field: &str| input.get(field).and_then(Value::as_bool);
        let received = Received {
            pair,
            change_id,
            commit,
            by: who.account(),
            kind: Kind::Rework,
            work_in_progress: flag("work_in_progress"),
            private: flag("is_private"),
        };
        let number = self.take_patch(&mut state, &git, who, now(), received, "Uploaded patch set {}.")?;
        if let Some(topic) = text(input, "topic") {
            self.set_topic_in(&mut state, who, number, topic)?;
        }
        Ok(number)
    }
}

fn empty_commit(
    state: &State,
    git: &git2::Repository,
    who: &Person,
    tip: Sha,
    subject: &str,
) -> Result<(ChangeId, Sha), Refusal> {
    let parent = git.find_commit(objects::oid(tip)).map_err(broken)?;
    let author = Signature::now(&who.name, &who.email).map_err(broken)?;
    // Unlike any other: the number of changes grows with each.
    let count = state.gerrit.changes().count() as u64;
    let id = crate::world::git::id_of([&tip.0[..], subject.as_bytes(), &count.to_be_bytes()]);
    let change_id = ChangeId::from(format!("I{id}"));
    let message = match objects::change_id(subject) {
        Some(_) => format!("{subject}\n"),
        None => format!("{subject}\n\nChange-Id: {change_id}\n"),
    };
    let change_id = objects::change_id(&message).unwrap_or(change_id);
    let tree = parent.tree().map_err(broken)?;
    let made = git.commit(None, &author, &author, &message, &tree, &[&parent]).map_err(broken)?;
    Ok((change_id, objects::sha(made)))
}

fn short(branch: &str) -> Branch {
    branch.strip_prefix("refs/heads/").unwrap_or(branch).into()
}

fn branch_info(branch: &Branch, tip: Sha) -> Value {
    json!({ "ref": format!("refs/heads/{branch}"), "revision": tip.to_string() })
}

/// A repository with its labels.
fn description(repository: &Repository) -> Value {
    let label = |rule: &LabelRule| {
        (rule.name.to_owned(), json!({ "values": labels_json::values(rule), "default_value": 0 }))
    };
    json!({
        "id": super::change_json::encoded(repository.as_str()),
        "name": repository.as_str(),
        "parent": "All-Projects",
        "state": "ACTIVE",
        "labels": Value::Object(LABELS.iter().map(label).collect()),
    })
}

/// The labels as their definitions.
pub fn label_definitions() -> Value {
    let one = |rule: &LabelRule| {
        json!({
            "name": rule.name,
            "project": "All-Projects",
            "values": labels_json::values(rule),
            "default_value": 0,
            "copy_condition": rule.copy_condition,
        })
    };
    LABELS.iter().map(one).collect::<Vec<_>>().into()
}

/// The submit requirements as their definitions.
pub fn requirement_definitions() -> Value {
    let names: BTreeSet<&str> = LABELS.iter().map(|rule| rule.name).collect();
    let rule = |name: &str| LABELS.iter().find(|rule| rule.name == name).map(LabelRule::expression);
    let one = |name: &str| json!({ "name": name, "submittability_expression": rule(name) });
    names.into_iter().map(one).collect::<Vec<_>>().into()
}
