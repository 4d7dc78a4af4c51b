//! The files in which commits differ, by name alone: what file matchers look at. A file that was renamed is
//! there with both names, and equal folders are never opened.

use std::collections::BTreeMap;

use git2::{ObjectType, Oid, Repository as Handle, Tree};

use super::store::{Store, oid};
use crate::model::{Patterns, Sha};

/// How many files are told apart; a change of more counts as one of every file.
const TOLD_APART: usize = 200_000;
/// Deepest folder that is followed.
const DEEPEST: usize = 256;

/// What an entry of a folder is: its object, its mode, its kind.
type Entry = (Oid, i32, Option<ObjectType>);

/// Files that some commits change.
#[derive(Default)]
pub(super) struct Changed {
    files: Vec<String>,
    /// More than are told apart.
    all: bool,
}

impl Changed {
    /// Adds the files in which `new` differs from `old`; all that it has where there is no `old`.
    pub fn add(&mut self, store: &Store, old: Option<Sha>, new: Sha) -> Result<(), String> {
        let handle = store.handle()?;
        let failed = |error: git2::Error| store.failed("compare two trees", &error);
        let tree = |commit: Sha| handle.find_commit(oid(commit)).and_then(|commit| commit.tree());
        let old = old.map(tree).transpose().map_err(failed)?;
        let new = tree(new).map_err(failed)?;
        self.compare(&handle, [old.as_ref(), Some(&new)], "", 0).map_err(failed)
    }

    /// Whether one of them is matched.
    pub fn matches(&self, files: &Patterns) -> bool {
        self.all || self.files.iter().any(|path| files.matches(path))
    }

    fn compare(
        &mut self,
        handle: &Handle,
        sides: [Option<&Tree<'_>>; 2],
        prefix: &str,
        depth: usize,
    ) -> Result<(), git2::Error> {
        if depth > DEEPEST {
            return Err(git2::Error::from_str("folders lie too deep in one another"));
        }
        let mut names: BTreeMap<Vec<u8>, [Option<Entry>; 2]> = BTreeMap::new();
        for (side, tree) in sides.iter().enumerate() {
            for entry in tree.iter().flat_map(|tree| tree.iter()) {
                let found = (entry.id(), entry.filemode_raw(), entry.kind());
                names.entry(entry.name_bytes().to_vec()).or_default()[side] = Some(found);
            }
        }
        let folder = |entry: &Option<Entry>| match entry {
            Some((id, _, Some(ObjectType::Tree))) => handle.find_tree(*id).map(Some),
            _ => Ok(None),
        };
        let is_file = |(_, _, kind): &Entry| *kind != Some(ObjectType::Tree);
        for (name, [old, new]) in names {
            if old == new {
                continue;
            }
            let path = format!("{prefix}{}", String::from_utf8_lossy(&name));
            let folders = [folder(&old)?, folder(&new)?];
            if folders.iter().any(Option::is_some) {
                let [old, new] = &folders;
                self.compare(handle, [old.as_ref(), new.as_ref()], &format!("{path}/"), depth + 1)?;
            }
            if [&old, &new].into_iter().flatten().any(is_file) {
                self.all |= self.files.len() >= TOLD_APART;
                self.files.push(path);
            }
            if self.all {
                return Ok(());
            }
        }
        Ok(())
    }
}
