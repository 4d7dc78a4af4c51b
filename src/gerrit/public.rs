//! What Gerrit shows to somebody who has not signed in: asked for without credentials, many changes with
//! one query. A server that shows such people nothing at all is no error.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rest::{Rest, RestError};
use crate::model::{ChangeNumber, Repository};

/// Changes asked for with one query; its address must stay below what servers take.
pub const BATCH: usize = 100;
/// Repositories asked for with one request.
const PAGE: usize = 1_000;
/// Requests for repositories, at most.
const PAGES_MAX: usize = 100;

/// Those of `numbers` (at most [`BATCH`]) that everybody may read.
pub(super) async fn changes(
    rest: &Rest,
    numbers: &[ChangeNumber],
) -> Result<BTreeSet<ChangeNumber>, RestError> {
    let terms: Vec<String> = numbers.iter().map(|number| format!("change:{number}")).collect();
    let path = format!("changes/?q={}&n={}", terms.join("+OR+"), 2 * BATCH);
    let answer = match rest.get_unsigned(&path).await {
        // The server asks everybody to sign in.
        Err(RestError::Unauthorized | RestError::Forbidden(_)) => return Ok(BTreeSet::new()),
        other => other?,
    };
    let rows = answer.as_array().ok_or_else(|| RestError::Malformed("a query's answer is no list".into()))?;
    let seen = rows.iter().filter_map(|row| row.get("_number")?.as_u64()).map(ChangeNumber);
    Ok(seen.filter(|number| numbers.contains(number)).collect())
}

/// The repositories of which everybody may read something: a few requests, however many there are.
pub(super) async fn repositories(rest: &Rest) -> Result<BTreeSet<Repository>, RestError> {
    let mut found = BTreeSet::new();
    for page in 0..PAGES_MAX {
        let answer = rest.get_unsigned(&format!("projects/?n={PAGE}&S={}", page * PAGE)).await;
        let projects = match answer {
            // The server asks everybody to sign in.
            Err(RestError::Unauthorized | RestError::Forbidden(_)) => break,
            Ok(Value::Object(projects)) => projects,
            Ok(_) => return Err(RestError::Malformed("the list of projects is none".into())),
            Err(error) => return Err(error),
        };
        let is_last = projects.len() < PAGE;
        found.extend(projects.keys().map(|name| Repository::from(name.as_str())));
        if is_last {
            break;
        }
    }
    Ok(found)
}
