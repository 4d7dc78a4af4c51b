//! The closure walk: which commits a push would bring in, and which of them nobody has judged.
//!
//! Gerrit closes whatever lies between the old tip and the new one, over all parents: also an
//! unapproved change that a stack rests on. So each commit on the way is accounted for.

use std::collections::{BTreeMap, BTreeSet};

use super::store::{Own, Store, oid, sha};
use crate::model::{ChangeId, Sha};

/// Gerrit refuses pushes of more commits; the walk ends there too.
const MOST_COMMITS: usize = 10_000;

/// A commit that is neither the daemon's own nor expected.
pub(super) struct Stranger {
    pub commit: Sha,
    pub change_id: Option<ChangeId>,
}

/// Why a walk gives nothing.
pub(super) enum WalkError {
    /// There are too many commits between the tips.
    TooLong,
    /// The store cannot be read.
    Unreadable(String),
}

/// All commits reachable from `new` and not from `old`.
pub(super) fn between(store: &Store, old: Sha, new: Sha) -> Result<Vec<Sha>, WalkError> {
    let handle = store.handle().map_err(WalkError::Unreadable)?;
    let failed = |error: git2::Error| WalkError::Unreadable(store.failed("walk the history", &error));
    let mut walk = handle.revwalk().map_err(failed)?;
    walk.push(oid(new)).map_err(failed)?;
    walk.hide(oid(old)).map_err(failed)?;
    let mut found = Vec::new();
    for commit in walk {
        found.push(sha(commit.map_err(failed)?));
        if found.len() > MOST_COMMITS {
            return Err(WalkError::TooLong);
        }
    }
    Ok(found)
}

/// Those of the commits between two tips that are neither the daemon's own nor `expected`. `making`
/// are commits that it makes just now.
///
/// A copy of a patch set counts as the daemon's own only where that patch set is expected; and then
/// the patch set itself is not, since the change would come in twice.
pub(super) fn strangers(
    store: &Store,
    old: Sha,
    new: Sha,
    expected: &BTreeSet<Sha>,
    making: &[Own],
) -> Result<Vec<Stranger>, WalkError> {
    let walk = between(store, old, new)?;
    let made = |commit: Sha| making.iter().find(|made| made.commit == commit).copied();
    let own: BTreeMap<Sha, Option<Sha>> = walk
        .iter()
        .filter_map(|commit| made(*commit).or_else(|| store.own(*commit)))
        .filter(|own| own.stands_for.is_none_or(|revision| expected.contains(&revision)))
        .map(|own| (own.commit, own.stands_for))
        .collect();
    let copied: BTreeSet<Sha> = own.values().flatten().copied().collect();
    let mut strangers = Vec::new();
    for commit in walk {
        let expected = expected.contains(&commit) && !copied.contains(&commit);
        if !expected && !own.contains_key(&commit) {
            strangers.push(Stranger {
                commit,
                change_id: change_id_of(store, commit).map_err(WalkError::Unreadable)?,
            });
        }
    }
    Ok(strangers)
}

fn change_id_of(store: &Store, commit: Sha) -> Result<Option<ChangeId>, String> {
    let handle = store.handle()?;
    let commit = handle.find_commit(oid(commit)).map_err(|error| store.failed("read a commit", &error))?;
    Ok(ChangeId::in_message(&String::from_utf8_lossy(commit.message_bytes())))
}
