//! The branches as they are, for questions about changes that do not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fetch::Want;
use super::shared::Shared;
use super::trees::{job_file_blob, read_job_file};
use crate::model::{Branch, Pair, Patterns, Repository, Sha};
use crate::queue::resolve::{FoundJobFile, Trees};

/// The tips, with their job files. Contents are made up: whoever asks counts jobs and keeps no key.
///
/// What was not fetched yet is fetched until the time is up; from then on it counts as having no job file
/// and is listed.
pub struct TipTrees {
    shared: Arc<Shared>,
    known: Vec<Repository>,
    until: Instant,
    tips: BTreeMap<Pair, Option<Sha>>,
    files: BTreeMap<Pair, Option<FoundJobFile>>,
    default_branches: BTreeMap<Repository, Option<Branch>>,
    unread: BTreeSet<Pair>,
}

impl TipTrees {
    /// The tips now; fetches begin within `budget` only.
    pub(super) fn new(shared: Arc<Shared>, budget: Duration) -> Self {
        let mut known = (shared.settings.known)();
        known.sort();
        known.dedup();
        Self {
            shared,
            known,
            until: Instant::now() + budget,
            tips: BTreeMap::new(),
            files: BTreeMap::new(),
            default_branches: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// The branches whose job files were not read for lack of time.
    pub fn into_unread(self) -> Vec<Pair> {
        self.unread.into_iter().collect()
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    fn read_tip(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        if let Some(tip) = self.shared.noted_tip(pair) {
            return Ok(tip);
        }
        if self.is_late() {
            return Ok(None);
        }
        let store = self.shared.store(&pair.repository)?;
        self.shared.tip(&store, &pair.branch)
    }

    fn read_job_file(&mut self, pair: &Pair, commit: Sha) -> Result<Option<FoundJobFile>, String> {
        let is_late = self.is_late();
        let Some(store) = self.shared.existing_store(&pair.repository, !is_late)? else {
            self.unread.insert(pair.clone());
            return Ok(None);
        };
        if !store.has(commit) {
            if is_late {
                self.unread.insert(pair.clone());
                return Ok(None);
            }
            self.shared.fetch(&store, &[Want::tip(&pair.branch, Some(commit))])?;
        }
        let Some(blob) = job_file_blob(&store, commit)? else { return Ok(None) };
        let file = self.shared.job_file(pair, blob, || read_job_file(&store, blob))?;
        Ok(Some((blob, file)))
    }
}

impl Trees for TipTrees {
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        if let Some(tip) = self.tips.get(pair) {
            return Ok(*tip);
        }
        let tip = self.read_tip(pair)?;
        self.tips.insert(pair.clone(), tip);
        Ok(tip)
    }

    fn job_file(&mut self, pair: &Pair, commit: Sha) -> Result<Option<FoundJobFile>, String> {
        if let Some(file) = self.files.get(pair) {
            return Ok(file.clone());
        }
        let file = self.read_job_file(pair, commit)?;
        self.files.insert(pair.clone(), file.clone());
        Ok(file)
    }

    fn content(&mut self, _: &Pair, commit: Sha, _: &[Arc<str>], _: &Patterns) -> Result<Sha, String> {
        Ok(commit)
    }

    fn alters_job_file(&mut self, _: &Pair) -> Result<bool, String> {
        Ok(false)
    }

    fn alters_files(&mut self, _: &Pair, _: &Patterns) -> Result<bool, String> {
        // It may be any file.
        Ok(true)
    }

    fn repositories(&self) -> Vec<Repository> {
        self.known.clone()
    }

    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        if let Some(branch) = self.default_branches.get(repository) {
            return Ok(branch.clone());
        }
        let branch = match self.is_late() {
            true => None,
            false => (self.shared.settings.default_branch)(repository),
        };
        self.default_branches.insert(repository.clone(), branch.clone());
        Ok(branch)
    }
}
