//! The paths of the REST API and what they lead to.

use serde_json::{Value, json};

use super::accounts::Person;
use super::change_json::{self, Asked};
use super::labels_json;
use super::operate::Switch;
use super::projects::{label_definitions, requirement_definitions};
use super::query::{self, Query};
use super::refusal::Refusal;
use super::review::patchset;
use super::site::Site;
use crate::model::{ChangeNumber, PatchSet};
use crate::world::Change;

/// The version that is told.
pub const VERSION: &str = "3.13.5-stand-in";
/// Most changes in one answer without a wish, and at most.
const QUERY_MAX: usize = 500;

/// A request.
#[derive(Debug)]
pub struct Request<'a> {
    /// GET, POST, PUT or DELETE.
    pub method: &'a str,
    /// The parts of the path, decoded, without `a`.
    pub path: Vec<String>,
    /// What stands behind the question mark, decoded.
    pub asked: Vec<(String, String)>,
    /// The body; an empty object where there is none.
    pub body: Value,
    /// Who asks, where they signed in.
    pub who: Option<&'a Person>,
}

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// 200 with JSON.
    Ok(Value),
    /// 201 with JSON.
    Created(Value),
    /// 204.
    Nothing,
}

impl Request<'_> {
    fn signed_in(&self) -> Result<&Person, Refusal> {
        self.who.ok_or_else(|| Refusal::forbidden("Authentication required"))
    }

    fn all_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.asked.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.all_of(name).next().and_then(|value| value.parse().ok())
    }

    fn options(&self) -> Result<Asked, Refusal> {
        Asked::read(self.all_of("o"))
            .map_err(|name| Refusal::bad(format!("\"{name}\" is not a valid value for \"-o\"")))
    }
}

type Answered = Result<Answer, Refusal>;

impl Site {
    /// Answers a request.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn rest(&self, request: &Request<'_>) -> Answered {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match path[..] {
            ["config", "server", "version"] => Ok(Answer::Ok(VERSION.into())),
            ["config", "server", "info"] => Ok(Answer::Ok(
                json!({ "auth": { "auth_type": "HTTP" }, "gerrit": { "all_projects": "All-Projects" } }),
            )),
            ["accounts", name, ref rest @ ..] => self.account(request, name, rest),
            ["projects", ref rest @ ..] => self.projects(request, rest),
            ["changes"] if request.method == "GET" => self.query(request),
            ["changes"] => {
                let who = request.signed_in()?;
                let number = self.create_change(who, &request.body)?;
                let state = self.lock();
                let change = state.change(number, Some(who), "")?;
                Ok(Answer::Created(change_json::change(self, &state, change, &Asked::default(), Some(who))))
            }
            ["changes", id, ref rest @ ..] => {
                let number = self.identify(request, id)?;
                match request.method {
                    "GET" => self.read_change(request, number, id, rest),
                    _ => self.do_to_change(request, number, rest),
                }
            }
            _ => Err(Refusal { status: 404, words: "Not Found".into() }),
        }
    }

    fn account(&self, request: &Request<'_>, name: &str, rest: &[&str]) -> Answered {
        let person = match name {
            "self" => {
                let words = "Resolving account 'self' requires login";
                request.who.ok_or_else(|| Refusal::forbidden(words))?
            }
            _ => self
                .accounts
                .find(name)
                .ok_or_else(|| Refusal { status: 404, words: format!("Account '{name}' not found") })?,
        };
        match rest {
            [] | ["detail"] => Ok(Answer::Ok(person.detailed())),
            ["capabilities"] => {
                let wanted = |name: &str| {
                    let mut names = request.all_of("q").peekable();
                    names.peek().is_none() || names.any(|asked| asked == name)
                };
                let mut value = json!({});
                let rights = [
                    ("streamEvents", person.may_stream()),
                    ("administrateServer", person.is_admin()),
                    ("createProject", person.is_admin()),
                    ("viewAllAccounts", true),
                ];
                for (name, _) in rights.iter().filter(|(name, may)| *may && wanted(name)) {
                    value[*name] = true.into();
                }
                Ok(Answer::Ok(value))
            }
            _ => Err(Refusal::not_found(rest[0])),
        }
    }

    fn projects(&self, request: &Request<'_>, rest: &[&str]) -> Answered {
        match (request.method, rest) {
            ("GET", []) => Ok(Answer::Ok(self.list_projects(&request.asked))),
            ("GET", [name]) => self.project(name).map(Answer::Ok),
            ("GET", [name, "HEAD"]) => self.head(name).map(Answer::Ok),
            ("GET", [name, "config"]) => self.project_config(name).map(Answer::Ok),
            ("GET", [name, "branches"]) => self.branches(name).map(Answer::Ok),
            ("GET", [name, "branches", branch]) => self.branch(name, branch).map(Answer::Ok),
            ("GET", [name, what @ ("labels" | "submit_requirements")]) => {
                if *name != "All-Projects" {
                    self.project(name)?;
                }
                if !request.who.is_some_and(Person::is_admin) {
                    return Err(Refusal::forbidden("read refs/meta/config not permitted"));
                }
                let is_labels = *what == "labels";
                Ok(Answer::Ok(if is_labels { label_definitions() } else { requirement_definitions() }))
            }
            ("PUT" | "POST", [name]) => {
                let made = self.create_project(request.signed_in()?, name, &request.body)?;
                Ok(Answer::Created(made))
            }
            ("PUT" | "POST", [name, "branches", branch]) => {
                let made = self.create_branch(request.signed_in()?, name, branch, &request.body)?;
                Ok(Answer::Created(made))
            }
            ("DELETE", [name, "branches", branch]) => {
                self.delete_branch(request.signed_in()?, name, branch)?;
                Ok(Answer::Nothing)
            }
            _ => Err(Refusal::not_found(rest.last().copied().unwrap_or_default())),
        }
    }

    /// The change that a path names, in any of Gerrit's forms.
    fn identify(&self, request: &Request<'_>, id: &str) -> Result<ChangeNumber, Refusal> {
        let state = self.lock();
        let query = Query::Term("change".into(), id.to_owned());
        for change in state.gerrit.changes() {
            if query.finds(&state, change, request.who)? {
                return state.change(change.number, request.who, id).map(|change| change.number);
            }
        }
        Err(Refusal::not_found(id))
    }

    fn query(&self, request: &Request<'_>) -> Answered {
        let options = request.options()?;
        let state = self.lock();
        let texts: Vec<&str> = request.all_of("q").collect();
        let mut lists = Vec::new();
        for text in if texts.is_empty() { vec!["is:open"] } else { texts } {
            let query = query::read(text)?;
            let mut found: Vec<&Change> = Vec::new();
            for change in state.gerrit.changes() {
                let is_visible = state.change(change.number, request.who, "").is_ok();
                if query.finds(&state, change, request.who)? && is_visible {
                    found.push(change);
                }
            }
            found.sort_by_key(|change| std::cmp::Reverse((change.updated_at, change.number)));
            let limit = request.number("n").or(query.limit()).unwrap_or(QUERY_MAX).min(QUERY_MAX);
            let skip = request.number("S").or(request.number("start")).unwrap_or(0);
            let has_more = found.len() > skip.saturating_add(limit);
            let page = found.into_iter().skip(skip).take(limit);
            let mut rows: Vec<Value> =
                page.map(|change| change_json::change(self, &state, change, &options, request.who)).collect();
            if let Some(last) = rows.last_mut().filter(|_| has_more) {
                last["_more_changes"] = true.into();
            }
            lists.push(Value::from(rows));
        }
        Ok(Answer::Ok(if lists.len() == 1 { lists.remove(0) } else { lists.into() }))
    }

    fn read_change(&self, request: &Request<'_>, number: ChangeNumber, id: &str, rest: &[&str]) -> Answered {
        let state = self.lock();
        let change = state.change(number, request.who, id)?;
        let options = request.options()?;
        let value = match rest {
            [] => change_json::change(self, &state, change, &options, request.who),
            ["detail"] => change_json::change(self, &state, change, &options.with_detail(), request.who),
            ["messages"] => change_json::messages(self, change),
            ["topic"] => json!(change.topic.as_deref().unwrap_or_default()),
            ["hashtags"] => json!(change.hashtags.iter().map(|tag| &**tag).collect::<Vec<_>>()),
            ["reviewers"] => labels_json::reviewers(self, change),
            ["revisions", revision, what] => {
                let number = patchset(change, revision)?;
                drop(options);
                return self.read_revision(&state, change, number, what);
            }
            _ => return Err(Refusal::not_found(rest.last().copied().unwrap_or_default())),
        };
        Ok(Answer::Ok(value))
    }

    fn read_revision(
        &self,
        state: &super::site::State,
        change: &Change,
        number: PatchSet,
        what: &str,
    ) -> Answered {
        let git = state.git(&change.pair.repository)?;
        let commit = change.patch(number).map(|patch| patch.commit).unwrap_or_default();
        let value = match what {
            "commit" => {
                let mut value = change_json::commit(state, &git, commit);
                value["commit"] = commit.to_string().into();
                value
            }
            "files" => change_json::files(&git, commit),
            "submit_type" => "MERGE_IF_NECESSARY".into(),
            "mergeable" => json!({
                "submit_type": "MERGE_IF_NECESSARY",
                "mergeable": self.is_mergeable(state, change)?,
            }),
            _ => return Err(Refusal::not_found(what)),
        };
        Ok(Answer::Ok(value))
    }

    fn do_to_change(&self, request: &Request<'_>, number: ChangeNumber, rest: &[&str]) -> Answered {
        let (who, body) = (request.signed_in()?, &request.body);
        let done = || Ok(Answer::Ok("".into()));
        match (request.method, rest) {
            ("POST", ["revisions", revision, "review"]) => {
                self.review(who, number, revision, body).map(Answer::Ok)
            }
            ("POST", ["revisions", revision, "submit"]) => {
                let asked = Some(*revision).filter(|revision| *revision != "current");
                self.submit(who, number, asked)?;
                self.shown(request, number)
            }
            ("POST", ["submit"]) => {
                self.submit(who, number, None)?;
                self.shown(request, number)
            }
            ("POST", ["abandon"]) => {
                self.abandon(who, number, body)?;
                self.shown(request, number)
            }
            ("POST", ["restore"]) => {
                self.restore(who, number, body)?;
                self.shown(request, number)
            }
            ("POST", ["rebase"]) => {
                self.rebase(who, number)?;
                self.shown(request, number)
            }
            ("POST", ["wip"]) => self.switch(who, number, Switch::Wip, true).and_then(|_| done()),
            ("POST", ["ready"]) => self.switch(who, number, Switch::Wip, false).and_then(|_| done()),
            ("POST" | "PUT", ["private"]) => {
                let is_new = self.switch(who, number, Switch::Private, true)?;
                Ok(if is_new { Answer::Created("".into()) } else { Answer::Ok("".into()) })
            }
            ("DELETE", ["private"]) | ("POST", ["private.delete"]) => {
                self.switch(who, number, Switch::Private, false)?;
                Ok(Answer::Nothing)
            }
            ("PUT", ["topic"]) => {
                let topic = body.get("topic").and_then(Value::as_str).unwrap_or_default().trim();
                self.set_topic(who, number, topic)?;
                Ok(if topic.is_empty() { Answer::Nothing } else { Answer::Ok(topic.into()) })
            }
            ("DELETE", ["topic"]) => {
                self.set_topic(who, number, "")?;
                Ok(Answer::Nothing)
            }
            ("POST", ["hashtags"]) => self.set_hashtags(who, number, body).map(Answer::Ok),
            _ => Err(Refusal::not_found(rest.last().copied().unwrap_or_default())),
        }
    }

    fn shown(&self, request: &Request<'_>, number: ChangeNumber) -> Answered {
        let state = self.lock();
        let change = state.change(number, request.who, "")?;
        Ok(Answer::Ok(change_json::change(self, &state, change, &Asked::default(), request.who)))
    }
}
