//! Looks for all that the daemon needs from Gerrit, and says for each lack what mends it.
//!
//! The probe at the daemon's start asks the same questions as `seakeeper doctor`, as far as the
//! daemon's own account may ask them; an administrator's token opens the rest (access rules, label
//! definitions, submit requirements, plug-ins).

mod access;
mod finding;
mod project;
mod rights;
mod server;
mod targets;
mod votes;

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use super::projects::{self, Identity, Project};
use super::rest::{Rest, RestError, encode};
use super::ssh::Address;
use super::{Gated, Settings, Shared};
use crate::model::{Label, Pair, Repository};

pub use finding::{Body, Call, Finding, Level};

/// The predefined group that rights are granted to.
const GROUP: &str = "Service Users";
/// Repositories looked at by the probe at the start.
const PROBED_MAX: usize = 50;

/// What the configuration needs from Gerrit.
#[derive(Clone)]
pub struct Needs {
    /// The label that the daemon votes on.
    pub label: String,
    /// The values that it gives, 0 left out.
    pub values: Vec<i32>,
    /// Its vote for what may land.
    pub success: i32,
    /// The votes that approve a change: label and least value.
    pub approval: Vec<(String, i32)>,
    /// The address in merge commits, where it is not the account's own.
    pub committer_email: Option<String>,
    /// Whether a branch is gated.
    pub gated: Gated,
    /// Whether the daemon pushes to it; else it has Gerrit submit.
    pub pushed: Gated,
}

/// Who asks, and for whom.
struct View<'a> {
    url: &'a str,
    user: &'a str,
    bot: &'a Rest,
    admin: Option<&'a Rest>,
    address: &'a Address,
    needs: &'a Needs,
}

impl View<'_> {
    /// Whoever may read most.
    fn reader(&self) -> &Rest {
        self.admin.unwrap_or(self.bot)
    }

    fn membership(&self) -> Call {
        let path = format!("groups/{}/members/{}", encode(GROUP), encode(self.user));
        Call::json("PUT", path, json!({}))
    }
}

/// The server as the doctor meets it.
pub struct Doctor {
    settings: Settings,
    needs: Needs,
    bot: Rest,
    admin: Option<Rest>,
    address: Address,
}

/// A repository with a gated branch, for a trial of the landing push.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landing {
    /// Its branch.
    pub pair: Pair,
    /// How changes land there.
    pub project: Project,
}

/// All that a look found.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// The findings, in the order of looking.
    pub findings: Vec<Finding>,
    /// The repositories that are gated, each with one of its gated branches.
    pub landings: Vec<Landing>,
    /// The daemon's account, where it can sign in.
    pub identity: Option<Identity>,
}

impl Doctor {
    /// A doctor for the server of `settings`; `admin` is an administrator's name and token.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(settings: Settings, needs: Needs, admin: Option<(&str, &str)>) -> Result<Self, String> {
        let rest = |user: &str, token: &str| Rest::new(&settings.url, user, token, Arc::default());
        let admin = admin.map(|(user, token)| rest(user, token)).transpose()?;
        let bot = rest(&settings.user, settings.token.trim())?;
        let address = settings.address();
        Ok(Self { needs, bot, admin, address, settings })
    }

    /// Looks at everything: a few requests for the server, five to eight for each gated repository.
    ///
    /// # Errors
    /// When the server cannot be reached at all.
    pub async fn look(&self) -> Result<Report, RestError> {
        let view = View {
            url: &self.settings.url,
            user: &self.settings.user,
            bot: &self.bot,
            admin: self.admin.as_ref(),
            address: &self.address,
            needs: &self.needs,
        };
        let mut report = Report::default();
        if let Err(error @ (RestError::Unavailable(_) | RestError::Malformed(_))) =
            self.bot.get("config/server/version").await
        {
            return Err(error);
        }
        let account = server::look(&view, &mut report.findings).await;
        if let Some(account) = account {
            report.identity = projects::identity(&self.bot).await.ok();
            project::look(&view, &account, &mut report).await;
        }
        Ok(report)
    }

    /// Sends a remedy's request as the administrator.
    ///
    /// # Errors
    /// As the server says; without an administrator's token nothing is sent.
    pub async fn apply(&self, call: &Call) -> Result<(), RestError> {
        let lacking = || RestError::Forbidden("no administrator's token was given".into());
        let admin = self.admin.as_ref().ok_or_else(lacking)?;
        let method = Method::from_bytes(call.method.as_bytes()).unwrap_or(Method::PUT);
        match &call.body {
            Body::Json(value) => admin.send(method, &call.path, Some(value)).await,
            Body::Text(text) => admin.send_text(method, &call.path, text).await,
        }
        .map(drop)
    }

    /// The account that makes branches for trial.
    pub fn branch_maker(&self) -> &str {
        self.admin.as_ref().unwrap_or(&self.bot).user()
    }

    /// Makes a branch at the tip of another, as the administrator if there is one. `None` when the
    /// name is taken.
    ///
    /// # Errors
    /// As the server says.
    pub async fn make_branch(&self, at: &Pair, name: &str) -> Result<Option<()>, RestError> {
        let path = branch_path(&at.repository, name);
        match self.bot.get(&path).await {
            Err(RestError::NotFound(_)) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(None),
        }
        let body = json!({ "revision": format!("refs/heads/{}", at.branch) });
        self.admin.as_ref().unwrap_or(&self.bot).send(Method::PUT, &path, Some(&body)).await?;
        Ok(Some(()))
    }

    /// Removes a branch that [`Doctor::make_branch`] has made.
    ///
    /// # Errors
    /// As the server says.
    pub async fn remove_branch(&self, repository: &Repository, name: &str) -> Result<(), RestError> {
        let rest = self.admin.as_ref().unwrap_or(&self.bot);
        rest.send(Method::DELETE, &branch_path(repository, name), None).await.map(drop)
    }
}

fn branch_path(repository: &Repository, name: &str) -> String {
    format!("projects/{}/branches/{}", encode(repository.as_str()), encode(name))
}

/// What the daemon's own account sees at the start: only what keeps the daemon from working.
pub(super) async fn probe(shared: &Shared, needs: &Needs) -> Vec<Finding> {
    let view = View {
        url: shared.rest.url(),
        user: &shared.user,
        bot: &shared.rest,
        admin: None,
        address: &shared.address,
        needs,
    };
    let mut findings = Vec::new();
    if server::essentials(&view, &mut findings).await.is_some() {
        let mut repositories: Vec<Repository> =
            shared.ledger.existing_tips().into_iter().map(|pair| pair.repository).collect();
        repositories.dedup();
        repositories.truncate(PROBED_MAX);
        project::essentials(&view, &repositories, &mut findings).await;
    }
    findings.retain(|finding| finding.level == Level::Lack);
    findings
}

/// How the daemon's label is added; for messages on changes.
pub(super) fn label_remedy(label: &Label, value: i32, repository: &Repository) -> String {
    let call = votes::label_call(label.as_str(), &[value, -value], None, repository.as_str());
    format!("an administrator adds it with: {} (`seakeeper doctor` says more)", call.in_words())
}

/// How the daemon's account may use its label; for messages on changes.
pub(super) fn permission_remedy(label: &Label, value: i32, repository: &Repository) -> String {
    let most = value.abs().max(1);
    let call = targets::Grant::label(label.as_str(), (-most, most)).call(repository.as_str()).in_words();
    format!(
        "an administrator grants it with: {call}, the daemon's account being in the group {GROUP} (`seakeeper doctor` says more)"
    )
}
