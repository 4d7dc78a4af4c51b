//! The review host's effects: looks, observations, and closing what stayed open.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Shared;
use super::reader::{BATCH, from_index, read_one};
use super::rest::{Rest, RestError, encode};
use super::wire::{list, options, sha};
use crate::model::{
    ChangeId, ChangeNumber, ChangeSnapshot, EffectId, EffectKind, Event, Outcome, Pair, Reference,
    Repository, Sha, Target, Timestamp,
};

/// How old the reply to a vote may be to serve as the last look. Half the second that a look is good
/// for, so that time is left to push.
const LOOK_AGE: Duration = Duration::from_millis(500);

/// Most changes that footers looked up together may name: one Change-Id may stand on many branches.
const ROWS_MAX: usize = 400;

/// Carries one effect out and delivers its end.
pub(super) async fn carry_out(shared: Arc<Shared>, effect: EffectId, kind: EffectKind) {
    let end = |outcome| Event::EffectEnded { effect, outcome };
    match kind {
        EffectKind::Look { changes } => look(&shared, effect, &changes).await,
        EffectKind::ObserveChange { change, repository } => {
            let outcome = observe(&shared, change, &repository).await;
            shared.ledger.deliver(vec![end(outcome)]);
        }
        EffectKind::ObserveCommit { pair, commit, change_id } => {
            let event = match candidates(&shared.rest, &pair, commit, change_id.as_ref()).await {
                Ok(changes) => Event::CommitSeen { effect, commit, change_id, changes },
                Err(error) => end(failed(&error)),
            };
            shared.ledger.deliver(vec![event]);
        }
        EffectKind::FindReferences { references } => {
            let event = match find(&shared, &references).await {
                Ok(found) => Event::ReferencesFound { effect, found },
                Err(error) => end(failed(&error)),
            };
            shared.ledger.deliver(vec![event]);
        }
        EffectKind::ObserveTip { pair } => {
            let began = Instant::now();
            let outcome = match read_tip(&shared.rest, &pair).await {
                Ok(commit) => {
                    shared.ledger.tip(pair, commit, began, true);
                    Outcome::Applied
                }
                Err(error) => failed(&error),
            };
            shared.ledger.deliver(vec![end(outcome)]);
        }
        EffectKind::CloseChange { change, repository, revision } => {
            let outcome = close(&shared, change, &repository, revision).await;
            shared.ledger.deliver(vec![end(outcome)]);
        }
        _ => shared.ledger.deliver(vec![end(Outcome::Refused("Gerrit has no part in this effect".into()))]),
    }
}

/// An error as an outcome: whether asking again may help.
pub(super) fn failed(error: &RestError) -> Outcome {
    let words = format!("failed to {error}").into();
    match error {
        RestError::Unauthorized | RestError::Unavailable(_) | RestError::Malformed(_) => {
            Outcome::Failed(words)
        }
        _ => Outcome::Refused(words),
    }
}

/// The last look, the only guard against landing over a vote that was just given. It may rest on the
/// server's index and on the replies to the daemon's own votes, which are cheap, as far as they hold the
/// newest state that the stream has told of; all else is read from the change's own ref.
async fn look(shared: &Shared, effect: EffectId, wanted: &[(ChangeNumber, Repository)]) {
    let mut oldest = Instant::now();
    let streaming = shared.stats.streaming.load(Relaxed);
    let (mut changes, mut rest) = (Vec::new(), Vec::new());
    for (number, repository) in wanted {
        match shared.ledger.as_good_as_new(*number, LOOK_AGE).filter(|_| streaming) {
            Some((snapshot, began)) => {
                oldest = oldest.min(began);
                changes.push(snapshot);
            }
            None => rest.push((*number, repository)),
        }
    }
    let age = i64::try_from(oldest.elapsed().as_millis()).unwrap_or(i64::MAX);
    let at = Timestamp((shared.wall)()).plus_ms(age.saturating_neg());
    if streaming && rest.len() > 1 {
        let found = look_in_index(shared, &rest).await;
        rest.retain(|(number, _)| !found.iter().any(|seen| seen.number == *number));
        changes.extend(found);
    }
    let readings = join_all(rest.into_iter().map(|(number, repository)| async move {
        (number, read_one(&shared.rest, number, repository).await)
    }));
    let mut gone = Vec::new();
    for (number, reading) in readings.await {
        match reading {
            Ok(snapshot) => changes.push(snapshot),
            Err(RestError::NotFound(_)) => gone.push(number),
            Err(error) => {
                let outcome = Outcome::Failed(format!("failed to {error}").into());
                return shared.ledger.deliver(vec![Event::EffectEnded { effect, outcome }]);
            }
        }
    }
    shared.ledger.deliver(vec![Event::Looked { effect, at, changes, gone }]);
}

/// The changes that the index has in the newest state known here.
async fn look_in_index(shared: &Shared, wanted: &[(ChangeNumber, &Repository)]) -> Vec<ChangeSnapshot> {
    let numbers: Vec<ChangeNumber> = wanted.iter().map(|(number, _)| *number).collect();
    let found = join_all(numbers.chunks(BATCH).map(|chunk| from_index(&shared.rest, chunk))).await;
    let found = found.into_iter().flat_map(std::collections::HashMap::into_values);
    found.filter(|seen| shared.ledger.is_newest(seen)).collect()
}

async fn observe(shared: &Shared, number: ChangeNumber, repository: &Repository) -> Outcome {
    let asked_at = Instant::now();
    match read_one(&shared.rest, number, repository).await {
        Ok(snapshot) => {
            shared.ledger.offer(vec![snapshot], asked_at, true);
            Outcome::Applied
        }
        Err(RestError::NotFound(_)) => {
            shared.ledger.gone(number, true);
            Outcome::Applied
        }
        Err(error) => failed(&error),
    }
}

/// The open changes of a branch that a commit would close, by itself or by its Change-Id.
async fn candidates(
    rest: &Rest,
    pair: &Pair,
    commit: Sha,
    change_id: Option<&ChangeId>,
) -> Result<Vec<ChangeSnapshot>, RestError> {
    let mut terms = format!("commit:{commit}");
    if let Some(id) = change_id.filter(|id| is_change_id(id.as_str())) {
        terms = format!("({terms} OR change:{id})");
    }
    let quoted = |name: &str| format!("\"{}\"", name.replace(['"', '\\'], ""));
    let (project, branch) = (quoted(pair.repository.as_str()), quoted(pair.branch.as_str()));
    let query = format!("status:open project:{project} branch:{branch} {terms}");
    let answer = rest.get(&format!("changes/?q={}&n=100&{}", encode(&query), options())).await?;
    let rows = answer.as_array().ok_or_else(|| RestError::Malformed("a query's answer is no list".into()))?;
    Ok(rows.iter().filter_map(|value| rest.change(value)).collect())
}

/// What references name, in one request. The changes are told of as well, so that what becomes of them
/// is heard though no queue gates them.
async fn find(shared: &Shared, references: &[Reference]) -> Result<Vec<(Reference, Vec<Target>)>, RestError> {
    let terms: Vec<String> = references.iter().filter_map(term).collect();
    if terms.is_empty() {
        return Ok(references.iter().map(|reference| (reference.clone(), Vec::new())).collect());
    }
    let began = Instant::now();
    let path = format!("changes/?q={}&n={ROWS_MAX}&{}", encode(&terms.join(" OR ")), options());
    let answer = shared.rest.get(&path).await?;
    let rows = answer.as_array().ok_or_else(|| RestError::Malformed("a query's answer is no list".into()))?;
    let changes: Vec<ChangeSnapshot> = rows.iter().filter_map(|value| shared.rest.change(value)).collect();
    let named = |reference: &Reference, change: &ChangeSnapshot| match reference {
        Reference::Number(number) => change.number == *number,
        Reference::Id(id) => change.change_id == *id,
        Reference::Wrong { .. } => false,
    };
    let found = references.iter().map(|reference| {
        let targets = changes.iter().filter(|change| named(reference, change)).map(Target::of);
        (reference.clone(), targets.collect())
    });
    let found = found.collect();
    shared.ledger.offer(changes, began, true);
    Ok(found)
}

fn term(reference: &Reference) -> Option<String> {
    match reference {
        Reference::Number(number) => Some(format!("change:{number}")),
        Reference::Id(id) if is_change_id(id.as_str()) => Some(format!("change:{id}")),
        Reference::Id(_) | Reference::Wrong { .. } => None,
    }
}

fn is_change_id(text: &str) -> bool {
    text.strip_prefix('I').is_some_and(|digits| Sha::parse(digits).is_some())
}

/// A branch's commit; `None` where there is no such branch.
pub(super) async fn read_tip(rest: &Rest, pair: &Pair) -> Result<Option<Sha>, RestError> {
    let (repository, branch) = (encode(pair.repository.as_str()), encode(pair.branch.as_str()));
    match rest.get(&format!("projects/{repository}/branches/{branch}")).await {
        Ok(value) => match sha(&value, "revision") {
            Some(commit) => Ok(Some(commit)),
            None => Err(RestError::Malformed(format!("the branch {pair} has no commit"))),
        },
        Err(RestError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn close(shared: &Shared, number: ChangeNumber, repository: &Repository, revision: Sha) -> Outcome {
    let path = format!("changes/{}~{number}/revisions/{revision}/submit", encode(repository.as_str()));
    let outcome = press_submit(&shared.rest, &path, repository).await;
    shared.hints.push(number, repository.clone(), None);
    outcome
}

/// Lets Gerrit submit one change, and nothing else with it.
pub(super) async fn submit(
    rest: &Rest,
    number: ChangeNumber,
    repository: &Repository,
    revision: Sha,
) -> Outcome {
    let change = format!("changes/{}~{number}", encode(repository.as_str()));
    let together = match rest.get(&format!("{change}/submitted_together?o=NON_VISIBLE_CHANGES")).await {
        Ok(together) => together,
        Err(error) => return failed(&error),
    };
    let others = list(&together, "changes").len() > 1
        || together.get("non_visible_changes").and_then(serde_json::Value::as_u64).unwrap_or(0) > 0;
    if others {
        let why = "Gerrit would submit other changes with it, which were not tested here: land what it rests on first, or take it out of its topic";
        return Outcome::Refused(why.into());
    }
    press_submit(rest, &format!("{change}/revisions/{revision}/submit"), repository).await
}

/// Asks Gerrit to submit; what is merged already counts as done, and a lost answer is no refusal.
async fn press_submit(rest: &Rest, path: &str, repository: &Repository) -> Outcome {
    match rest.post(path, &serde_json::json!({})).await {
        Ok(_) => Outcome::Applied,
        Err(RestError::Conflict(words)) if words.contains("is merged") => Outcome::Applied,
        Err(error @ (RestError::Unavailable(_) | RestError::Malformed(_))) => {
            Outcome::Unknown(format!("failed to {error}").into())
        }
        Err(error @ RestError::Forbidden(_)) => Outcome::Refused(
            format!("failed to {error}; grant the daemon's account Submit on refs/heads/* of {repository}")
                .into(),
        ),
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_change_ids_reach_a_query() {
        let whole = format!("I{}", "0".repeat(40));
        for (text, expected) in [(whole.as_str(), true), ("I1234", false), ("I1 OR status:open", false)] {
            assert_eq!(is_change_id(text), expected, "{text}");
        }
    }

    #[test]
    fn only_what_may_pass_is_called_failed() {
        assert!(matches!(failed(&RestError::Unavailable(String::new())), Outcome::Failed(_)));
        assert!(matches!(failed(&RestError::Forbidden(String::new())), Outcome::Refused(_)));
    }
}
