//! What the server says of the daemon's account and of projects: read when needed, kept a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::rest::{Rest, RestError, encode};
use crate::model::{Branch, Repository};

/// How long what is known of a project serves before it is read again.
const FRESH: Duration = Duration::from_secs(60);

/// Who the daemon is on the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The account's full name, or its user name.
    pub name: String,
    /// Its preferred address; empty when it has none.
    pub email: String,
}

/// How a project wants changes to land.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// The submit type, as in `MERGE_IF_NECESSARY`, with `INHERIT` resolved; `None` where it is not shown.
    pub submit_type: Option<String>,
    /// Whether commits must be signed off.
    pub sign_off: bool,
    /// Whether two changes of one file may be merged where they do not touch.
    pub content_merge: bool,
    /// Whether it takes nothing now.
    pub read_only: bool,
    /// What HEAD points to.
    pub default_branch: Option<Branch>,
}

/// What is known of projects.
#[derive(Default)]
pub(super) struct Projects {
    known: Mutex<BTreeMap<Repository, (Instant, Project)>>,
}

impl Projects {
    /// What is known of `repository`; asks when that is too old, and then blocks. An older answer
    /// serves while the server gives none.
    pub fn get(&self, rest: &Rest, runtime: &Handle, repository: &Repository) -> Option<Project> {
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned();
        match before {
            Some((at, project)) if at.elapsed() < FRESH => Some(project),
            before => match runtime.block_on(read(rest, repository)) {
                Ok(project) => {
                    let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.insert(repository.clone(), (Instant::now(), project.clone()));
                    Some(project)
                }
                Err(error) => {
                    tracing::warn!("failed to read the settings of {repository}: {error}");
                    before.map(|(_, project)| project)
                }
            },
        }
    }
}

/// Reads how a project wants changes to land.
///
/// # Errors
/// See [`RestError`].
pub(super) async fn read(rest: &Rest, repository: &Repository) -> Result<Project, RestError> {
    let name = encode(repository.as_str());
    let (settings, head) = (format!("projects/{name}/config"), format!("projects/{name}/HEAD"));
    let (settings, head) = tokio::join!(rest.get(&settings), rest.get(&head));
    let settings = settings?;
    let flag = |name: &str| settings.pointer(&format!("/{name}/value")).and_then(Value::as_bool);
    let state = settings.get("state").and_then(Value::as_str).unwrap_or("ACTIVE");
    let head = head.ok().and_then(|head| Some(head.as_str()?.trim_start_matches("refs/heads/").to_owned()));
    let kind = settings.pointer("/default_submit_type/value").or_else(|| settings.get("submit_type"));
    Ok(Project {
        submit_type: kind.and_then(Value::as_str).map(str::to_owned),
        // Gerrit leaves this out for accounts that may not read refs/meta/config. A footer too many
        // harms nobody; one that is missing keeps the project from taking anything.
        sign_off: flag("use_signed_off_by").unwrap_or(true),
        content_merge: flag("use_content_merge").unwrap_or(true),
        read_only: state != "ACTIVE",
        default_branch: head.map(Branch::from),
    })
}

/// Reads the daemon's own account.
///
/// # Errors
/// See [`RestError`].
pub(super) async fn identity(rest: &Rest) -> Result<Identity, RestError> {
    let account = rest.get("accounts/self").await?;
    let text = |key: &str| account.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = text("name").or_else(|| text("username")).unwrap_or_default();
    Ok(Identity { name, email: text("email").unwrap_or_default() })
}
