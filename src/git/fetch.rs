//! Fetching: one process at a time per repository, with everything that was wanted meanwhile.
//!
//! Whoever wants something and finds no fetch under way leads the next one and takes along what
//! others want; they wait for its end. What the store already has is never fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::layout;
use super::lock;
use super::process;
use super::store::{self, Store};
use crate::model::{Branch, ChangeNumber, PatchSet, Sha};

/// How long one fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(110);
/// How long the first one may take, which gets all history.
const FIRST_LIMIT: Duration = Duration::from_secs(3_600);
/// How many refs go in one fetch.
const LARGEST: usize = 1_000;
/// How many missing refs one fetch may find, each of which costs another try.
const MISSING: usize = 50;

/// A ref that is wanted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Want {
    /// On the review host.
    pub remote: String,
    /// In the store.
    pub local: String,
    /// The commit for which it is wanted: once it is there, nothing is fetched.
    pub commit: Option<Sha>,
}

impl Want {
    /// A patch set.
    pub fn change(change: ChangeNumber, patchset: PatchSet, revision: Sha) -> Self {
        let name = layout::change_ref(change, patchset);
        Self { remote: name.clone(), local: name, commit: Some(revision) }
    }

    /// A branch; with `commit`, only if that one is missing.
    pub fn tip(branch: &Branch, commit: Option<Sha>) -> Self {
        Self { remote: layout::head_ref(branch), local: layout::tip_ref(branch), commit }
    }

    fn spec(&self) -> String {
        format!("+{}:{}", self.remote, self.local)
    }

    fn is_valid(&self) -> bool {
        git2::Reference::is_valid_name(&self.remote) && git2::Reference::is_valid_name(&self.local)
    }
}

/// The fetches of one repository.
#[derive(Default)]
pub(super) struct Fetches {
    /// Number of the round that is gathered now.
    round: u64,
    leading: bool,
    pending: BTreeMap<Want, ()>,
    /// Ends of the latest rounds: an error concerns all that was wanted in it.
    ends: BTreeMap<u64, Result<(), String>>,
}

/// Where to fetch from.
pub(super) struct Remote {
    pub url: String,
    /// Configuration for exactly that address: the credentials.
    pub config: Vec<(String, String)>,
}

/// Gets what is wanted and not there yet. A ref that the review host does not have is no error: its
/// local ref is gone afterwards.
pub(super) fn fetch(store: &Store, remote: &Remote, wants: &[Want]) -> Result<(), String> {
    let missing = |want: &&Want| want.is_valid() && want.commit.is_none_or(|commit| !store.has(commit));
    let wanted: Vec<Want> = wants.iter().filter(missing).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut fetches = lock(&store.fetches);
    let round = fetches.round;
    fetches.pending.extend(wanted.into_iter().map(|want| (want, ())));
    loop {
        if let Some(end) = fetches.ends.get(&round) {
            return end.clone();
        }
        if !fetches.leading {
            break;
        }
        let waited = store.fetched.wait_timeout(fetches, 2 * FETCH_LIMIT);
        let (guard, timeout) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        fetches = guard;
        if timeout.timed_out() {
            return Err(format!("fetch {}: the fetch before it does not end", store.repository));
        }
    }
    fetches.leading = true;
    fetches.round += 1;
    let all: Vec<Want> = std::mem::take(&mut fetches.pending).into_keys().collect();
    drop(fetches);
    // The fetch before this one may have brought some of it.
    let rest: Vec<Want> = all.iter().filter(missing).cloned().collect();
    let end = rest.chunks(LARGEST).try_for_each(|chunk| run(store, remote, chunk));
    let mut fetches = lock(&store.fetches);
    fetches.leading = false;
    fetches.ends.insert(round, end.clone());
    while fetches.ends.len() > 64 {
        fetches.ends.pop_first();
    }
    drop(fetches);
    store.fetched.notify_all();
    end
}

fn run(store: &Store, remote: &Remote, wants: &[Want]) -> Result<(), String> {
    let mut wants = wants.to_vec();
    for _ in 0..MISSING {
        if wants.is_empty() {
            return Ok(());
        }
        let mut command = process::git(&store.path, &remote.config);
        command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]);
        command.args(["--no-recurse-submodules", "--refmap=", "--stdin", "--", &remote.url]);
        let limit = if store.is_new() { FIRST_LIMIT } else { FETCH_LIMIT };
        let specs: BTreeSet<String> = wants.iter().map(|want| want.spec() + "\n").collect();
        let specs: String = specs.into_iter().collect();
        let finished = process::run(command, specs.into_bytes(), limit)
            .map_err(|why| format!("fetch {}: {why}", store.repository))?;
        if finished.success {
            return Ok(());
        }
        if let Some(gone) = missing_ref(&finished.stderr) {
            let before = wants.len();
            for want in wants.iter().filter(|want| want.remote == gone) {
                forget(store, &want.local);
            }
            wants.retain(|want| want.remote != gone);
            if wants.len() < before {
                continue;
            }
        }
        if store::is_damage(&finished.stderr) && store.set_aside()? {
            continue;
        }
        return Err(explain(store, &finished.stderr));
    }
    Err(format!(
        "fetch {}: more than {MISSING} of the refs wanted are missing on the review host",
        store.repository
    ))
}

fn forget(store: &Store, local: &str) {
    let found = store.handle().map(|handle| {
        handle.find_reference(local).and_then(|mut reference| reference.delete()).ok();
    });
    if let Err(why) = found {
        tracing::warn!(%why, "a ref that is gone could not be deleted");
    }
}

fn missing_ref(stderr: &str) -> Option<&str> {
    let at = stderr.lines().find_map(|line| line.split("couldn't find remote ref ").nth(1))?;
    Some(at.trim())
}

fn explain(store: &Store, stderr: &str) -> String {
    let said: String = stderr.trim().replace('\n', "; ").chars().take(500).collect();
    let hint = if said.contains("Authentication failed")
        || said.contains("returned error: 401")
        || said.contains("could not read Username")
    {
        "; give the daemon a valid token"
    } else if said.contains("not found")
        || said.contains("returned error: 403")
        || said.contains("returned error: 404")
    {
        "; let the daemon's account read the project"
    } else {
        store::remedy(&said)
    };
    format!("fetch {}: {said}{hint}", store.repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_ref_is_read_from_gits_words() {
        let said = "fatal: couldn't find remote ref refs/heads/gone\n";
        assert_eq!(missing_ref(said), Some("refs/heads/gone"));
        assert_eq!(missing_ref("fatal: nothing of the kind"), None);
    }
}
