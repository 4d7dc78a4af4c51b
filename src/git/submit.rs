//! Landing by the review host: the same last checks, then its own submit, and what came of it.

use super::closure::between;
use super::land::{check, ended};
use super::prepare::merge_base;
use super::shared::Shared;
use super::store::{Store, oid, sha};
use super::{Submission, closure};
use crate::model::action::{Push, Submit};
use crate::model::{ChangeId, EffectId, Event, Outcome, Pair, Sha, Timestamp};

/// How many steps of a branch are searched for the one that brought a change in.
const MOST_STEPS: usize = 1_000;

/// Lets the review host submit, and compares what it made with what was tested.
pub(super) fn land(
    shared: &Shared,
    effect: EffectId,
    valid_until: Timestamp,
    push: &Push,
    submit: &Submit,
) -> Event {
    let end = |outcome: Outcome| ended(effect, std::slice::from_ref(push), &outcome);
    let ready = shared.store(&push.pair.repository).map_err(|why| Outcome::Failed(why.into()));
    if let Err(outcome) = ready.and_then(|store| check(&store, push)) {
        return end(outcome);
    }
    if shared.settings.clock.now() > valid_until {
        return end(Outcome::Failed("submit: the last look is too old".into()));
    }
    let repository = push.pair.repository.clone();
    let submission = Submission { repository, change: submit.change, revision: submit.revision };
    match (shared.settings.submit)(&submission) {
        Outcome::Applied => match observe(shared, effect, &push.pair, submit) {
            seen @ Event::Submitted { .. } => seen,
            _ => end(Outcome::Unknown(
                "Gerrit says that it has submitted; the branch does not show it yet".into(),
            )),
        },
        outcome => end(outcome),
    }
}

/// Whether the review host has landed a change, and what it made of it.
pub(super) fn observe(shared: &Shared, effect: EffectId, pair: &Pair, submit: &Submit) -> Event {
    let seen = shared.store(&pair.repository).and_then(|store| {
        let tip = shared.read_tip(&store, &pair.branch)?;
        let landed = tip.map(|tip| landed_as(&store, tip, submit)).transpose()?.flatten();
        let same = landed.map(|commit| tree_of(&store, commit)).transpose()? == Some(submit.tree);
        Ok((tip, landed, same))
    });
    match seen {
        Ok((Some(tip), Some(commit), same_tree)) => {
            Event::Submitted { effect, pair: pair.clone(), tip, commit, same_tree }
        }
        Ok((tip, _, _)) => Event::PushSeen { effect, pair: pair.clone(), tip, contains: false },
        Err(why) => Event::EffectEnded { effect, outcome: Outcome::Failed(why.into()) },
    }
}

/// The first step of the branch since the old tip that holds the change: its own commit, one with its
/// Change-Id, or a merge of either.
fn landed_as(store: &Store, tip: Sha, submit: &Submit) -> Result<Option<Sha>, String> {
    if tip == submit.old || merge_base(store, submit.old, tip)? != Some(submit.old) {
        return Ok(None);
    }
    let failed = |error: git2::Error| store.failed("walk the history", &error);
    let handle = store.handle()?;
    let mut steps = Vec::new();
    let mut at = tip;
    while at != submit.old && steps.len() < MOST_STEPS {
        steps.push(at);
        let Some(parent) = handle.find_commit(oid(at)).map_err(failed)?.parent_ids().next() else { break };
        at = sha(parent);
    }
    let holds = |commit: Sha| -> Result<bool, String> {
        let commit = handle.find_commit(oid(commit)).map_err(failed)?;
        let id = ChangeId::in_message(&String::from_utf8_lossy(commit.message_bytes()));
        Ok(sha(commit.id()) == submit.revision || id.as_ref() == Some(&submit.change_id))
    };
    let mut before = submit.old;
    for step in steps.into_iter().rev() {
        let walk = between(store, before, step).map_err(|error| match error {
            closure::WalkError::Unreadable(why) => why,
            closure::WalkError::TooLong => "walk the history: too many commits".to_owned(),
        })?;
        for commit in walk {
            if holds(commit)? {
                return Ok(Some(step));
            }
        }
        before = step;
    }
    Ok(None)
}

fn tree_of(store: &Store, commit: Sha) -> Result<Sha, String> {
    let handle = store.handle()?;
    let found = handle.find_commit(oid(commit)).map(|commit| sha(commit.tree_id()));
    found.map_err(|error| store.failed("read a commit", &error))
}
