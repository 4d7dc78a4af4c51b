//! What Gerrit shows to somebody who has not signed in: asked for without credentials, many changes with
//! one query. A server that shows such people nothing at all is no error.

use std::collections::BTreeSet;

use super::rest::{Rest, RestError, encode};
use crate::model::{ChangeNumber, Repository};

/// Changes asked for with one query; its address must stay below what servers take.
pub const BATCH: usize = 100;

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

/// Whether everybody may read a repository.
pub(super) async fn repository(rest: &Rest, repository: &Repository) -> Result<bool, RestError> {
    match rest.get_unsigned(&format!("projects/{}", encode(repository.as_str()))).await {
        Ok(_) => Ok(true),
        Err(RestError::NotFound(_) | RestError::Unauthorized | RestError::Forbidden(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
