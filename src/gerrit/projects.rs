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

/// The settings that the landing heeds: signing off, and merging content.
pub(super) const SETTINGS: [&str; 2] = ["use_signed_off_by", "use_content_merge"];

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
    let state = settings.get("state").and_then(Value::as_str).unwrap_or("ACTIVE");
    let head = head.ok().and_then(|head| Some(head.as_str()?.trim_start_matches("refs/heads/").to_owned()));
    let kind = settings.pointer("/default_submit_type/value").or_else(|| settings.get("submit_type"));
    Ok(Project {
        submit_type: kind.and_then(Value::as_str).map(str::to_owned),
        // Where it is not shown: a footer too many harms nobody; one that is missing keeps the project
        // from taking anything.
        sign_off: flag(&settings, SETTINGS[0]).unwrap_or(true),
        content_merge: flag(&settings, SETTINGS[1]).unwrap_or(true),
        read_only: state != "ACTIVE",
        default_branch: head.map(Branch::from),
    })
}

/// Whether a setting is on; `None` where it is not shown. Gerrit seldom gives the outcome, but always
/// what it follows from.
pub(super) fn flag(settings: &Value, name: &str) -> Option<bool> {
    let setting = settings.get(name)?;
    let of = |key: &str| setting.get(key).and_then(Value::as_bool);
    match setting.get("configured_value").and_then(Value::as_str) {
        Some("TRUE") => Some(true),
        Some("FALSE") => Some(false),
        _ => of("value").or_else(|| of("inherited_value")),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_is_its_own_value_or_the_inherited_one() {
        for (setting, expected) in [
            (json!({"configured_value": "INHERIT", "inherited_value": true}), Some(true)),
            (json!({"configured_value": "INHERIT", "inherited_value": false}), Some(false)),
            (json!({"configured_value": "TRUE", "inherited_value": false}), Some(true)),
            (json!({"configured_value": "FALSE", "inherited_value": true}), Some(false)),
            (json!({"value": true, "configured_value": "INHERIT"}), Some(true)),
            (json!({"configured_value": "INHERIT"}), None),
            (json!({}), None),
        ] {
            assert_eq!(flag(&json!({ "use_content_merge": setting }), "use_content_merge"), expected);
        }
        assert_eq!(flag(&json!({}), "use_content_merge"), None);
    }
}
