//! The site: the model, the repositories and the accounts behind one lock, and the bus of events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use git2::Repository as Git;

use super::accounts::{Accounts, Person};
use super::bus::{Bus, Faults};
use super::objects;
use super::refusal::Refusal;
use crate::model::{Account, ChangeNumber, Pair, Repository, Sha, Timestamp};
use crate::world::{Change, Gerrit};

/// The site as its servers share it.
pub type Shared = Arc<Site>;

/// What one lock guards.
pub struct State {
    /// The model, which decides.
    pub gerrit: Gerrit,
    /// The repositories and where they lie.
    pub projects: BTreeMap<Repository, PathBuf>,
}

/// See the module.
pub struct Site {
    /// The address, with a slash at the end.
    pub url: String,
    /// The accounts.
    pub accounts: Accounts,
    /// The events.
    pub bus: Arc<Bus>,
    folder: PathBuf,
    state: Mutex<State>,
}

impl Site {
    /// A site without repositories.
    pub fn new(url: String, folder: PathBuf, accounts: Accounts, faults: Faults) -> Self {
        let state = State { gerrit: Gerrit::default(), projects: BTreeMap::new() };
        Self { url, accounts, bus: Arc::new(Bus::new(faults)), folder, state: Mutex::new(state) }
    }

    /// The state; whoever holds it is alone.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts.
    pub fn people(&self) -> Vec<Person> {
        self.accounts.all().cloned().collect()
    }

    /// The person behind an account of the model; a nameless one where it is not known.
    pub fn person(&self, account: &Account) -> Option<&Person> {
        self.accounts.get(account)
    }

    /// Where the repository of this name is to lie.
    pub fn place_of(&self, name: &Repository) -> PathBuf {
        // A name of nested folders must not lie within another repository.
        let flat = percent_encoding::utf8_percent_encode(name.as_str(), percent_encoding::NON_ALPHANUMERIC);
        self.folder.join(format!("{flat}.git"))
    }

    /// The address of a change for people.
    pub fn change_url(&self, change: &Change) -> String {
        format!("{}c/{}/+/{}", self.url, change.pair.repository, change.number)
    }
}

impl State {
    /// The repository's folder.
    ///
    /// # Errors
    /// 404.
    pub fn path(&self, name: &Repository) -> Result<PathBuf, Refusal> {
        self.projects.get(name).cloned().ok_or_else(|| Refusal::not_found(name.as_str()))
    }

    /// The repository, opened.
    ///
    /// # Errors
    /// 404, or 500.
    pub fn git(&self, name: &Repository) -> Result<Git, Refusal> {
        Git::open_bare(self.path(name)?).map_err(|error| Refusal::broken(&error))
    }

    /// A change that `reader` may see; `None` is someone who is not signed in.
    ///
    /// # Errors
    /// 404 with `asked`, whatever the reason.
    pub fn change(
        &self,
        number: ChangeNumber,
        reader: Option<&Person>,
        asked: &str,
    ) -> Result<&Change, Refusal> {
        let found = self.gerrit.change(number).filter(|change| match reader {
            Some(reader) => reader.may_see(change),
            None => !change.private,
        });
        found.ok_or_else(|| Refusal::not_found(asked))
    }

    /// Writes the ref of a patch set.
    ///
    /// # Errors
    /// 500.
    pub fn write_patch_ref(&self, change: &Change, git: &Git) -> Result<(), Refusal> {
        for (at, patch) in change.patchsets.iter().enumerate() {
            let name = patch_ref(change.number, at as u64 + 1);
            if git.refname_to_id(&name).is_err() {
                let written = git.reference(&name, objects::oid(patch.commit), false, "upload");
                written.map_err(|error| Refusal::broken(&error))?;
            }
        }
        Ok(())
    }

    /// Moves the ref of a branch to where the model has it.
    ///
    /// # Errors
    /// 500.
    pub fn write_branch(&self, pair: &Pair, git: &Git) -> Result<(), Refusal> {
        let name = format!("refs/heads/{}", pair.branch);
        let written = match self.gerrit.tip(pair) {
            Some(tip) => git.reference(&name, objects::oid(tip), true, "push").map(drop),
            None => git.find_reference(&name).and_then(|mut found| found.delete()),
        };
        written.map_err(|error| Refusal::broken(&error))
    }
}

/// The ref of a patch set.
pub fn patch_ref(number: ChangeNumber, patchset: u64) -> String {
    format!("refs/changes/{:02}/{number}/{patchset}", number.0 % 100)
}

/// The ref of a change's state.
pub fn meta_ref(number: ChangeNumber) -> String {
    format!("refs/changes/{:02}/{number}/meta", number.0 % 100)
}

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A time as Gerrit writes it.
pub fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S.000000000").to_string()
}

/// All zeros.
pub fn nothing() -> Sha {
    Sha::default()
}
