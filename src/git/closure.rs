//! The closure walk: which commits a push would bring in, and which of them nobody has judged.
//!
//! Gerrit closes whatever lies between the old tip and the new one, over all parents: also an
//! unapproved change that a stack rests on. So each commit on the way is accounted for.

use std::collections::BTreeSet;

use super::store::{Store, oid, sha};
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

/// Those of the commits between two tips that are neither the daemon's own nor `expected`.
pub(super) fn strangers(
    store: &Store,
    old: Sha,
    new: Sha,
    expected: &BTreeSet<Sha>,
) -> Result<Vec<Stranger>, WalkError> {
    let mut strangers = Vec::new();
    for commit in between(store, old, new)? {
        if !expected.contains(&commit) && !store.is_own(commit) {
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
    Ok(change_id(&String::from_utf8_lossy(commit.message_bytes())))
}

/// The last `Change-Id` footer in the last paragraph of a commit message, as Gerrit reads it.
pub(super) fn change_id(message: &str) -> Option<ChangeId> {
    let lines = message.trim_end().lines().rev().take_while(|line| !line.trim().is_empty());
    lines.filter_map(footer).next()
}

fn footer(line: &str) -> Option<ChangeId> {
    let (key, value) = line.split_once(':')?;
    let value = value.trim();
    let digits = value.strip_prefix('I')?;
    let fits = key.eq_ignore_ascii_case("Change-Id")
        && digits.len() == 40
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| ChangeId::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_ids_are_read_from_the_last_paragraph() {
        let one = format!("I{}", "1".repeat(40));
        let two = format!("I{}", "2".repeat(40));
        for (message, expected) in [
            (format!("Subject\n\nChange-Id: {one}\n"), Some(&one)),
            (format!("Subject\n\nchange-id:{one}\nSigned-off-by: A <a@b>\n\n"), Some(&one)),
            (format!("Subject\n\nChange-Id: {one}\nChange-Id: {two}\n"), Some(&two)),
            (format!("Subject\n\nChange-Id: {one}\n\nMore.\n"), None),
            ("Subject\n\nChange-Id: I12\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = change_id(&message);
            assert_eq!(found.as_ref().map(ChangeId::as_str), expected.map(String::as_str), "{message:?}");
        }
    }
}
