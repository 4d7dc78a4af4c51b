//! What is done to stores in idle hours: packing, and removing those that nothing needs any more.
//!
//! Ages are those of marks: empty files in the store, whose times say when it was last used and packed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::shared::Shared;
use super::tips::TipTrees;
use super::{layout, process, store};
use crate::model::{Policy, Repository};

/// The mark of the last use.
pub(super) const USED: &str = "seakeeper-used";
/// The mark of the last packing.
const TIDIED: &str = "seakeeper-tidied";
/// How long packing may take.
const TIDY_TIMEOUT: Duration = Duration::from_secs(1_800);

/// A handle on the stores beside the work that goes on in them.
#[derive(Clone)]
pub struct Upkeep(pub(super) Arc<Shared>);

impl Upkeep {
    /// Puts another policy in force for the nodes prepared from now on; job files are read again.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        self.0.set_policy(policy);
    }

    /// The branches as they are now; what was not fetched yet is fetched within `budget` only.
    pub fn at_tips(&self, budget: Duration) -> TipTrees {
        TipTrees::new(self.0.clone(), budget)
    }

    /// The stores that were not packed for longer than `age`, longest first.
    pub fn untidy(&self, age: Duration) -> Vec<PathBuf> {
        let mut found: Vec<(Duration, PathBuf)> = Vec::new();
        for path in self.folders().filter(|path| is_store(path)) {
            match age_of(&path.join(TIDIED)) {
                // A new one has nothing to pack yet.
                None => mark(&path.join(TIDIED)),
                Some(since) if since > age => found.push((since, path)),
                Some(_) => {}
            }
        }
        found.sort();
        found.into_iter().rev().map(|(_, path)| path).collect()
    }

    /// Packs the objects of the store at `path` and drops those that nothing has needed for two weeks.
    /// It may take minutes, and blocks the caller.
    ///
    /// # Errors
    /// In words for the operator. It then counts as packed, so that others have their turn.
    pub fn tidy(&self, path: &Path) -> Result<(), String> {
        mark(&path.join(TIDIED));
        let mut command = process::git(path, &[]);
        command.args(["gc", "--quiet", "--prune=2.weeks.ago"]);
        let finished = process::run(command, Vec::new(), TIDY_TIMEOUT)?;
        for open in self.0.opened().iter().filter(|store| store.path == path) {
            self.0.mergers.end(&open.repository);
        }
        if finished.success {
            return Ok(());
        }
        let said = finished.stderr.trim();
        Err(format!("tidy the store {}: {said}{}", path.display(), store::remedy(&said)))
    }

    /// Removes the stores that are not those of `needed` and were not used for longer than `age`, and
    /// what was moved aside so long ago. Gives what it removed.
    pub fn remove_unused(&self, needed: &[Repository], age: Duration) -> Vec<PathBuf> {
        let folder = &self.0.settings.folder;
        let needed: BTreeSet<PathBuf> =
            needed.iter().map(|repository| layout::store_path(folder, repository)).collect();
        let is_old = |path: &Path| {
            let used = age_of(&path.join(USED)).or_else(|| age_of(path));
            used.is_some_and(|since| since > age)
        };
        let mut removed = Vec::new();
        for path in self.folders().filter(|path| !needed.contains(path)) {
            let half_removed = path.extension().is_some_and(|name| name == "removed");
            if !half_removed && !is_old(&path) {
                continue;
            }
            let aside = match is_store(&path) {
                true => self.0.retire(&path, || is_old(&path)),
                false => Ok(Some(path.clone())),
            };
            match aside
                .and_then(|aside| aside.map_or(Ok(false), |aside| fs::remove_dir_all(aside).map(|()| true)))
            {
                Ok(true) => removed.push(path),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!("failed to remove {}: {error}; it is tried again", path.display())
                }
            }
        }
        removed
    }

    /// All that lies where stores do.
    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.0.settings.folder.join(layout::STORES);
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
    }
}

fn is_store(path: &Path) -> bool {
    path.extension().is_some_and(|name| name == "git")
}

/// Sets the time of a mark to now.
pub(super) fn mark(path: &Path) {
    let marked = File::create(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = marked {
        tracing::warn!("failed to write {}: {error}", path.display());
    }
}

/// How long ago a file was changed; `None` when there is none.
fn age_of(path: &Path) -> Option<Duration> {
    let changed = fs::metadata(path).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(changed).unwrap_or_default())
}
