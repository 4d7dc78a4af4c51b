//! Speculative trees and the landing push: stores, merges by git itself, fetches, pushes.
//!
//! An effect is put on a board and done by one of a few threads; its end goes to the inbox. A chain
//! of nodes costs one fetch and then one merge each, in a process that is already running.

mod changed;
mod closure;
mod content;
mod fetch;
mod join;
mod land;
mod layout;
mod merge;
mod prepare;
mod process;
mod receive;
mod shared;
mod store;
mod submit;
mod tips;
mod trees;
mod trial;
mod upkeep;
mod work;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use layout::store_path;
pub use shared::is_loopback;
pub use tips::TipTrees;
pub use trial::Trial;
pub use upkeep::Upkeep;

use crate::model::tree::Prepared;
use crate::model::{
    Branch, ChangeNumber, Effect, EffectKind, Event, Outcome, Pair, PatchSet, Policy, Repository, Sha,
};
use crate::port::{Clock, Inbox, TreeStore};
use crate::queue::resolve::JobFile;
use fetch::Want;
use prepare::Preparation;
use shared::Shared;
use work::{Prefetches, Task, Work};

/// A closure that the daemon gives.
pub type Ask<A, B> = Arc<dyn Fn(&A) -> B + Send + Sync>;
/// Parses a job file; an error is in words for the author.
pub type ParseJobFile = Arc<dyn Fn(&Pair, &str) -> Result<JobFile, String> + Send + Sync>;
/// Gives the repositories that Gerrit has.
pub type Known = Arc<dyn Fn() -> Vec<Repository> + Send + Sync>;

/// A change that the review host is to submit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submission {
    /// Its repository.
    pub repository: Repository,
    /// The change.
    pub change: ChangeNumber,
    /// Its patch set's commit.
    pub revision: Sha,
}

/// What the adapter needs.
pub struct Settings {
    /// The state folder; stores lie below it.
    pub folder: PathBuf,
    /// Gerrit's address, as in `https://gerrit.example.org/`.
    pub url: String,
    /// Whether `url` may name a folder (`file://`) in which the remotes lie: for tests.
    pub file_urls: bool,
    /// The daemon's user name.
    pub user: String,
    /// Its token. Never on a command line, never in a message.
    pub token: String,
    /// The name in merge commits.
    pub committer_name: String,
    /// The address in merge commits; Gerrit must know it as the daemon's.
    pub committer_email: String,
    /// Whether a project wants commits signed off.
    pub sign_off: Ask<Repository, bool>,
    /// Whether two changes of one file may be merged where they do not touch; else such a file is
    /// in conflict.
    pub content_merge: Ask<Repository, bool>,
    /// Whether a project takes nothing now.
    pub read_only: Ask<Repository, bool>,
    /// Lets the review host submit a change; blocks until it has answered.
    pub submit: Ask<Submission, Outcome>,
    /// A project's default branch.
    pub default_branch: Ask<Repository, Option<Branch>>,
    /// The projects.
    pub known: Known,
    /// Reads job files.
    pub parse_job_file: ParseJobFile,
    /// For the age of the last look.
    pub clock: Arc<dyn Clock>,
    /// For pushes. It should drop idle connections before Gerrit does (30 s): 20 s is good.
    pub client: reqwest::Client,
    /// Where `client` runs.
    pub runtime: tokio::runtime::Handle,
    /// How many threads merge and fetch.
    pub workers: usize,
}

/// Why the adapter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("find git: {0}; install git 2.39 or newer")]
    NoGit(String),
    /// It is too old.
    #[error("use git: `{0}` is too old; install git 2.39 or newer")]
    OldGit(String),
    /// The address is of no known kind.
    #[error("use Gerrit's address `{0}`: it must begin with http:// or https://")]
    Address(String),
    /// The name or address for merge commits is not usable.
    #[error("use `{0}` as committer: give a name and an e-mail address without < and >")]
    Committer(String),
    /// A thread could not be started.
    #[error("start a thread for git; raise the limit of processes")]
    Thread(#[from] std::io::Error),
}

/// What was done since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Nodes prepared, well or not.
    pub nodes: u64,
    /// Merges asked of git.
    pub merges: u64,
    /// Time spent preparing, fetches included, in microseconds.
    pub prepare_micros: u64,
    /// Push requests sent.
    pub pushes: u64,
    /// Time until their answers, in microseconds.
    pub push_micros: u64,
}

/// The adapter.
pub struct Git {
    shared: Arc<Shared>,
    work: Arc<Work>,
    early: Early,
}

/// Fetches before anything is needed. Nothing answers; what fails is fetched again when it is needed.
#[derive(Clone)]
pub struct Early {
    work: Arc<Work>,
    prefetches: Arc<Prefetches>,
}

impl Early {
    /// Fetches a patch set.
    pub fn patch_set(
        &self,
        repository: &Repository,
        change: ChangeNumber,
        patchset: PatchSet,
        revision: Sha,
    ) {
        let want = Want::change(change, patchset, revision);
        if self.prefetches.add(repository, want) {
            self.work.add(Task::Prefetch(repository.clone()));
        }
    }
}

impl Git {
    /// Checks the installed git and starts the threads.
    ///
    /// # Errors
    /// When git is missing or too old, or a setting cannot be used.
    pub fn start(settings: Settings, inbox: Inbox, policy: Arc<Policy>) -> Result<Self, GitError> {
        process::check_version()?;
        let (name, email) = (&settings.committer_name, &settings.committer_email);
        if git2::Signature::now(name, email).is_err()
            || name.contains(['<', '>', '\n'])
            || !email.contains('@')
        {
            return Err(GitError::Committer(format!("{name} <{email}>")));
        }
        let workers = settings.workers;
        let shared = Arc::new(Shared::new(settings, inbox, policy)?);
        let (work, prefetches) = (Arc::new(Work::default()), Arc::new(Prefetches::default()));
        work.start(&shared, &prefetches, workers)?;
        let early = Early { work: work.clone(), prefetches };
        Ok(Self { shared, work, early })
    }

    /// Tells of a tip that was seen on the review host; its commit is fetched when it is needed.
    pub fn note_tip(&self, pair: &Pair, commit: Option<Sha>) {
        self.shared.note_tip(pair, commit, true);
    }

    /// For fetching before anything is needed.
    pub fn early(&self) -> Early {
        self.early.clone()
    }

    /// What was done since the start.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// For what is done in idle hours, and for another configuration.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep(self.shared.clone())
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        self.work.close();
    }
}

impl TreeStore for Git {
    fn begin(&mut self, effect: Effect, again: bool) {
        let id = effect.id;
        match effect.kind {
            EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins } => {
                if merges.is_empty() && tips.is_empty() {
                    let outcome = Prepared::Failed { why: "prepare a node: it has no change".into() };
                    self.shared.inbox.deliver(vec![Event::NodePrepared { effect: id, node, outcome }]);
                    return;
                }
                self.work.add(Task::Prepare(Preparation {
                    effect: id,
                    node,
                    date,
                    pipeline,
                    merges,
                    overlay,
                    depends,
                    tips,
                    pins,
                }));
            }
            EffectKind::ReleaseNode { node } => self.work.add(Task::Release(node)),
            EffectKind::ObservePush { pair, new, submit } => {
                self.work.add(Task::Observe { effect: id, pair, new, submit });
            }
            EffectKind::Land { valid_until, pushes } if !again => {
                land::begin(&self.shared, id, valid_until, pushes);
            }
            EffectKind::Land { pushes, .. } => {
                let why = "the daemon was restarted within the push";
                self.shared.inbox.deliver(vec![land::ended(id, &pushes, &Outcome::Unknown(why.into()))]);
            }
            other => tracing::error!(effect = %id, ?other, "an effect that is not git's was given to it"),
        }
    }
}

/// Whether the installed git can be used.
///
/// # Errors
/// When it is missing or too old.
pub fn check_version() -> Result<(), GitError> {
    process::check_version()
}

/// Locks; what a thread that broke off left behind is still whole, since all is set in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
