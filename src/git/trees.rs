//! What is at a node, for the resolution of jobs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::changed::Changed;
use super::shared::Shared;
use super::store::{Store, oid, sha};
use crate::model::{Branch, NodeId, Pair, Patterns, Repository, Sha};
use crate::queue::resolve::{FoundJobFile, JobFile, Trees};

/// The name of a repository's job file.
pub(super) const JOB_FILE: &str = "seakeeper.toml";
/// Longest job file that is read, in bytes.
const LONGEST_JOB_FILE: usize = 256 << 10;

/// What the item wrote in one branch.
pub(super) struct Change {
    pub onto: Sha,
    pub commit: Sha,
    pub revisions: Vec<Sha>,
}

/// A node's trees.
pub(super) struct NodeTrees<'a> {
    pub shared: &'a Shared,
    pub writes: &'a BTreeMap<Pair, Change>,
    pub overlay: BTreeMap<Pair, NodeId>,
    /// The files that the item changes, where they were asked for.
    pub changed: BTreeMap<Pair, Changed>,
    /// What counts for the tips of these branches.
    pub pins: BTreeMap<Pair, Option<Sha>>,
}

impl NodeTrees<'_> {
    /// A commit that once was the branch's tip; it is fetched with the branch where it is not there.
    fn pinned(&self, store: &Store, pair: &Pair, commit: Sha) -> Result<Option<Sha>, String> {
        if !store.has(commit) {
            self.shared.read_tip(store, &pair.branch)?;
        }
        if store.has(commit) {
            return Ok(Some(commit));
        }
        Err(format!("find the commit {} of {pair}: the review host has it no more", commit.short()))
    }
}

impl Trees for NodeTrees<'_> {
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        if let Some(change) = self.writes.get(pair) {
            return Ok(Some(change.commit));
        }
        let store = self.shared.store(&pair.repository)?;
        if let Some(node) = self.overlay.get(pair) {
            let kept = store.node(*node, &pair.branch)?;
            return kept.map(Some).ok_or_else(|| format!("find node {node} in {pair}: it was not prepared"));
        }
        match self.pins.get(pair) {
            Some(Some(commit)) => self.pinned(&store, pair, *commit),
            Some(None) => Ok(None),
            None => self.shared.tip(&store, &pair.branch),
        }
    }

    fn job_file(&mut self, pair: &Pair, commit: Sha) -> Result<Option<FoundJobFile>, String> {
        let store = self.shared.store(&pair.repository)?;
        let Some(blob) = job_file_blob(&store, commit)? else { return Ok(None) };
        let file = self.shared.job_file(pair, blob, || read_job_file(&store, blob))?;
        Ok(Some((blob, file)))
    }

    fn content(
        &mut self,
        pair: &Pair,
        commit: Sha,
        paths: &[Arc<str>],
        ignored: &Patterns,
    ) -> Result<Sha, String> {
        let store = self.shared.store(&pair.repository)?;
        self.shared.contents.of(&store, commit, paths, ignored)
    }

    fn alters_job_file(&mut self, pair: &Pair) -> Result<bool, String> {
        let Some(change) = self.writes.get(pair) else { return Ok(false) };
        let store = self.shared.store(&pair.repository)?;
        if job_file_blob(&store, change.onto)? != job_file_blob(&store, change.commit)? {
            return Ok(true);
        }
        for revision in &change.revisions {
            let parent = first_parent(&store, *revision)?;
            let before = parent.map_or(Ok(None), |parent| job_file_blob(&store, parent))?;
            if before != job_file_blob(&store, *revision)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn alters_files(&mut self, pair: &Pair, files: &Patterns) -> Result<bool, String> {
        let Some(change) = self.writes.get(pair) else { return Ok(false) };
        if let Some(known) = self.changed.get(pair) {
            return Ok(known.matches(files));
        }
        let store = self.shared.store(&pair.repository)?;
        let mut changed = Changed::default();
        changed.add(&store, Some(change.onto), change.commit)?;
        for revision in &change.revisions {
            changed.add(&store, first_parent(&store, *revision)?, *revision)?;
        }
        let matches = changed.matches(files);
        self.changed.insert(pair.clone(), changed);
        Ok(matches)
    }

    fn repositories(&self) -> Vec<Repository> {
        let mut known = (self.shared.settings.known)();
        known.sort();
        known.dedup();
        known
    }

    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        Ok((self.shared.settings.default_branch)(repository))
    }
}

/// The blob of the job file at a commit; a folder or a submodule of that name is none.
pub(super) fn job_file_blob(store: &Store, commit: Sha) -> Result<Option<Sha>, String> {
    let handle = store.handle()?;
    let failed = |error: git2::Error| store.failed("read a job file", &error);
    let tree = handle.find_commit(oid(commit)).and_then(|commit| commit.tree()).map_err(failed)?;
    match tree.get_path(Path::new(JOB_FILE)) {
        Ok(entry) if entry.kind() == Some(git2::ObjectType::Blob) => Ok(Some(sha(entry.id()))),
        Ok(_) => Ok(None),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn first_parent(store: &Store, commit: Sha) -> Result<Option<Sha>, String> {
    let handle = store.handle()?;
    let commit = handle.find_commit(oid(commit)).map_err(|error| store.failed("read a commit", &error))?;
    Ok(commit.parent_ids().next().map(sha))
}

/// The text of a job file, or what is wrong with it in words for the author.
pub(super) fn read_job_file(store: &Store, blob: Sha) -> Result<Result<String, String>, String> {
    let handle = store.handle()?;
    let blob = handle.find_blob(oid(blob)).map_err(|error| store.failed("read a job file", &error))?;
    if blob.size() > LONGEST_JOB_FILE {
        return Ok(Err(format!("{JOB_FILE}: it is longer than {LONGEST_JOB_FILE} bytes: make it shorter")));
    }
    let text = String::from_utf8(blob.content().to_vec());
    Ok(text.map_err(|error| {
        format!("{JOB_FILE}: byte {} is not UTF-8: save the file as UTF-8", error.utf8_error().valid_up_to())
    }))
}

/// A parsed job file, or what is wrong with it.
pub(super) type Parsed = Result<JobFile, String>;
