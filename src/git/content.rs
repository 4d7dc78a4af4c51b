//! Ids of trees restricted to what a job reads. Nothing is written: the id is what the key needs.
//!
//! A path names a file or a folder with all in it; an ignored pattern is matched against a file's
//! whole path, where `*` also stands for slashes. What is left empty is left out, as git does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use git2::{ObjectType, Oid, Repository as Handle, Tree};
use sha2::{Digest, Sha256};

use super::lock;
use super::store::{Store, oid, sha};
use crate::model::{Patterns, Sha};

/// How many filtered trees are remembered; then all are forgotten.
const REMEMBERED: usize = 200_000;
/// Deepest folder that is followed.
const DEEPEST: usize = 256;

/// A tree, and the digest of the filter and of where the tree lies.
type Filtered = (Oid, [u8; 32]);

/// The ids found so far.
#[derive(Default)]
pub(super) struct Contents(Mutex<HashMap<Filtered, Option<Oid>>>);

/// What is to be kept.
struct Filter<'a> {
    paths: Vec<&'a str>,
    ignored: &'a Patterns,
    digest: [u8; 32],
}

/// How a path lies to the paths that are to be kept.
#[derive(PartialEq, Eq)]
enum Place {
    Inside,
    Above,
    Beside,
}

impl Contents {
    /// The id of the commit's tree restricted to `paths` (none: all) without `ignored` files.
    pub fn of(
        &self,
        store: &Store,
        commit: Sha,
        paths: &[Arc<str>],
        ignored: &Patterns,
    ) -> Result<Sha, String> {
        let handle = store.handle()?;
        let failed = |error: git2::Error| store.failed("read a tree", &error);
        let tree = handle.find_commit(oid(commit)).and_then(|commit| commit.tree()).map_err(failed)?;
        if paths.is_empty() && ignored.0.is_empty() {
            return Ok(sha(tree.id()));
        }
        let trimmed = paths.iter().map(|path| path.trim_start_matches("./").trim_matches('/')).collect();
        let filter = Filter { paths: trimmed, ignored, digest: digest(paths, ignored) };
        let found = self.filter(&handle, &tree, "", &filter, 0).map_err(failed)?;
        let empty = || Oid::hash_object(ObjectType::Tree, &[]);
        Ok(sha(found.map_or_else(empty, Ok).map_err(failed)?))
    }

    /// The filtered tree's id; `None` when nothing is left of it.
    fn filter(
        &self,
        handle: &Handle,
        tree: &Tree<'_>,
        prefix: &str,
        filter: &Filter<'_>,
        depth: usize,
    ) -> Result<Option<Oid>, git2::Error> {
        if depth > DEEPEST {
            return Err(git2::Error::from_str("folders lie too deep in one another"));
        }
        let key = (tree.id(), filter.at(prefix));
        if let Some(known) = lock(&self.0).get(&key) {
            return Ok(*known);
        }
        let mut bytes = Vec::new();
        for entry in tree {
            let path = format!("{prefix}{}", String::from_utf8_lossy(entry.name_bytes()));
            let kept = match (entry.kind(), filter.place(&path)) {
                (_, Place::Beside) => None,
                (Some(ObjectType::Tree), Place::Inside) if filter.ignored.0.is_empty() => Some(entry.id()),
                (Some(ObjectType::Tree), _) => {
                    let inner = handle.find_tree(entry.id())?;
                    self.filter(handle, &inner, &format!("{path}/"), filter, depth + 1)?
                }
                (_, Place::Inside) if !filter.ignored.matches(&path) => Some(entry.id()),
                _ => None,
            };
            if let Some(id) = kept {
                bytes.extend(format!("{:o} ", entry.filemode_raw()).into_bytes());
                bytes.extend(entry.name_bytes());
                bytes.push(0);
                bytes.extend(id.as_bytes());
            }
        }
        let found = if bytes.is_empty() { None } else { Some(Oid::hash_object(ObjectType::Tree, &bytes)?) };
        let mut known = lock(&self.0);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, found);
        Ok(found)
    }
}

impl Filter<'_> {
    fn place(&self, path: &str) -> Place {
        let below = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.paths.is_empty() || self.paths.iter().any(|kept| kept.is_empty() || below(path, kept)) {
            Place::Inside
        } else if self.paths.iter().any(|kept| below(kept, path)) {
            Place::Above
        } else {
            Place::Beside
        }
    }

    /// This filter for trees that lie at `prefix`.
    fn at(&self, prefix: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.digest).chain_update(prefix).finalize().into()
    }
}

fn digest(paths: &[Arc<str>], ignored: &Patterns) -> [u8; 32] {
    let mut hash = Sha256::new();
    let ignored = ignored.0.iter().map(|pattern| ("ignored", pattern.as_str()));
    for (kind, text) in paths.iter().map(|path| ("path", &**path)).chain(ignored) {
        hash.update(format!("{kind} {} ", text.len()));
        hash.update(text);
    }
    hash.finalize().into()
}
