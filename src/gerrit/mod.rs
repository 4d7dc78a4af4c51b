//! The Gerrit adapter: events over SSH as hints, truth over REST, votes and messages back.
//!
//! ```text
//! ssh ── stream ──> hints ──> reader ──┐
//!          │                           ├─> ledger ──> inbox
//!          └──> sweep (catch-up, tips) ┘       ▲
//!  effects ──> host (looks, observations), review (reports)
//! ```
//!
//! Floor 4. The words of messages come from outside as a closure, for they are made on this floor
//! too.

mod asked;
mod doctor;
mod events;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flapping;
mod footer;
mod host;
mod ledger;
#[cfg(test)]
mod live;
mod outside;
mod projects;
mod public;
mod reader;
mod rest;
mod review;
mod rules;
mod ssh;
mod stats;
mod stream;
mod sweep;
mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

use crate::model::report::Report;
use crate::model::{ChangeNumber, Effect, EffectKind, Outcome, Pair, PatchSet, Repository, Sha, Timestamp};
use crate::port::{Inbox, Reporter, ReviewHost};

pub use doctor::{Call, Doctor, Finding, Landing, Level, Needs, Report as DoctorReport};
pub use footer::Addresses;
pub use projects::{Identity, Project};
pub use public::BATCH as PUBLIC_BATCH;
pub use rest::RestError;
pub use rules::Rules;
pub use ssh::SshError;
pub use stats::Stats;
pub use sweep::rhythm;

/// Whether the queues care about a branch.
pub type Gated = Arc<dyn Fn(&Pair) -> bool + Send + Sync>;
/// The changes that the core has facts about and that are not over.
pub type Tracked = Arc<dyn Fn() -> Vec<(ChangeNumber, Repository)> + Send + Sync>;
/// The current patch set of an open change, as a fetch needs it.
pub type OpenPatchSet = (Repository, ChangeNumber, PatchSet, Sha);
/// Makes the words of a report.
pub type Compose = Arc<dyn Fn(&Report) -> String + Send + Sync>;

/// The wall clock, in milliseconds since 1970.
type Wall = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Reports with a vote under way at once: someone waits for each of them.
const VOTES: usize = 6;
/// Reports without a vote under way at once: they never fill the connections.
const MESSAGES: usize = 2;

/// What the adapter is told about the server.
#[derive(Clone)]
pub struct Settings {
    /// The server's address, with any path prefix.
    pub url: String,
    /// Other addresses under which people know it.
    pub other_urls: Vec<String>,
    /// The daemon's account.
    pub user: String,
    /// Its HTTP token. Never written anywhere.
    pub token: String,
    /// The SSH host.
    pub ssh_host: String,
    /// The SSH port, 29418 by default.
    pub ssh_port: u16,
    /// The account's private key.
    pub ssh_key: PathBuf,
    /// The SSH server's public keys.
    pub known_hosts: PathBuf,
    /// What may change while the adapter runs.
    pub rules: Rules,
    /// The newest modification seen before a restart; 0 for none. See [`Gerrit::high_water`].
    pub since: Timestamp,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Settings {
    fn address(&self) -> ssh::Address {
        ssh::Address {
            host: self.ssh_host.clone(),
            port: self.ssh_port,
            user: self.user.clone(),
            key: self.ssh_key.clone(),
            known_hosts: self.known_hosts.clone(),
        }
    }
}

/// Why the adapter cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The address, the certificates, or the token are unusable.
    #[error("use the Gerrit settings: {0}")]
    Settings(String),
    /// There is no async runtime.
    #[error("start the Gerrit adapter outside of an async runtime")]
    Runtime,
}

struct Shared {
    user: String,
    rules: watch::Sender<Arc<Rules>>,
    since: Timestamp,
    address: ssh::Address,
    source: Arc<dyn outside::Source>,
    wall: Wall,
    rest: rest::Rest,
    ledger: Arc<ledger::Ledger>,
    hints: Arc<reader::Hints>,
    heard: asked::Heard,
    stats: Arc<Stats>,
    compose: Compose,
    catch_up: Notify,
    /// The stream has opened.
    opened: Notify,
    caught_up: Notify,
    poll_tips: Notify,
    votes: Semaphore,
    messages: Semaphore,
    projects: projects::Projects,
    turns: review::Turns,
    runtime: Handle,
}

/// The ways out of the process.
struct Outside {
    rest: rest::Rest,
    source: Arc<dyn outside::Source>,
    wall: Wall,
}

/// A handle on the running adapter.
#[derive(Clone)]
pub struct Gerrit {
    shared: Arc<Shared>,
}

impl Gerrit {
    /// Starts the stream, the reader and the sweeps; they end when `shutdown` becomes true.
    ///
    /// # Errors
    /// When the settings are unusable. An unreachable server is no error: it is waited for.
    pub fn start(
        settings: Settings,
        inbox: Inbox,
        gated: Gated,
        tracked: Tracked,
        compose: Compose,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        if settings.token.trim().is_empty() {
            return Err(StartError::Settings(
                "the token is empty; put the account's HTTP token into `token-file`".into(),
            ));
        }
        let rest = rest::Rest::new(&settings.url, &settings.user, settings.token.trim(), Arc::default())
            .map_err(StartError::Settings)?
            .also_known_as(&settings.other_urls);
        let outside = Outside { rest, source: Arc::new(settings.address()), wall: Arc::new(stats::now_ms) };
        Self::start_with(outside, settings, inbox, gated, tracked, compose, shutdown)
    }

    fn start_with(
        outside: Outside,
        settings: Settings,
        inbox: Inbox,
        gated: Gated,
        tracked: Tracked,
        compose: Compose,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::Runtime)?;
        let Outside { rest, source, wall } = outside;
        let stats = rest.stats();
        let ledger = ledger::Ledger::new(inbox, gated, tracked);
        let shared = Arc::new(Shared {
            address: settings.address(),
            source,
            wall,
            user: settings.user,
            rules: watch::Sender::new(Arc::new(settings.rules)),
            since: settings.since,
            rest,
            hints: reader::Hints::new(ledger.clone()),
            ledger,
            heard: asked::Heard::default(),
            stats,
            compose,
            catch_up: Notify::new(),
            opened: Notify::new(),
            caught_up: Notify::new(),
            poll_tips: Notify::new(),
            votes: Semaphore::new(VOTES),
            messages: Semaphore::new(MESSAGES),
            projects: projects::Projects::default(),
            turns: review::Turns::default(),
            runtime,
        });
        spawn_tasks(&shared, shutdown);
        Ok(Self { shared })
    }

    /// Looks for what keeps the daemon from working, as far as its own account can see it. A few
    /// requests; half a minute at most.
    pub async fn probe(&self, needs: &Needs) -> Vec<Finding> {
        doctor::probe(&self.shared, needs).await
    }

    /// The patch sets that may soon be approved: of the open changes modified last, in gated branches.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn open_changes(&self) -> Result<Vec<OpenPatchSet>, RestError> {
        sweep::open_changes(&self.shared).await
    }

    /// Who the daemon is on the server: its merges must carry an address that the server knows.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn identity(&self) -> Result<Identity, RestError> {
        projects::identity(&self.shared.rest).await
    }

    /// Those of some changes, at most [`PUBLIC_BATCH`], that everybody may read. One request.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn public_changes(
        &self,
        numbers: &[ChangeNumber],
    ) -> Result<BTreeSet<ChangeNumber>, RestError> {
        public::changes(&self.shared.rest, numbers).await
    }

    /// The repositories of which everybody may read something.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn public_repositories(&self) -> Result<BTreeSet<Repository>, RestError> {
        public::repositories(&self.shared.rest).await
    }

    /// How a project wants changes to land. Blocks for a request when it is not known: not for an
    /// async task. `None` when it cannot be read.
    pub fn project(&self, repository: &Repository) -> Option<Project> {
        self.shared.projects.get(&self.shared.rest, &self.shared.runtime, repository)
    }

    /// Lets Gerrit submit a change. Blocks: not for an async task.
    pub fn submit(&self, number: ChangeNumber, repository: &Repository, revision: Sha) -> Outcome {
        self.shared.runtime.block_on(host::submit(&self.shared.rest, number, repository, revision))
    }

    /// The gated branches that were seen, and those that jobs read, sorted.
    pub fn branches(&self) -> Vec<Pair> {
        self.shared.ledger.existing_tips()
    }

    /// The repositories with gated branches that were seen, sorted.
    pub fn repositories(&self) -> Vec<Repository> {
        let mut all: Vec<Repository> =
            self.shared.ledger.existing_tips().into_iter().map(|pair| pair.repository).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether the event stream is up and what was missed before it has been read.
    pub fn ready(&self) -> bool {
        self.shared.stats.streaming.load(Relaxed) && self.shared.stats.caught_up.load(Relaxed)
    }

    /// Waits until the adapter is ready.
    pub async fn wait_ready(&self) {
        let mut caught_up = std::pin::pin!(self.shared.caught_up.notified());
        loop {
            // Before the question, so that what happens in between is not missed.
            caught_up.as_mut().enable();
            if self.ready() {
                return;
            }
            caught_up.as_mut().await;
            caught_up.set(self.shared.caught_up.notified());
        }
    }

    /// Puts other rules in force. What they concern that was passed over until now is read at once.
    pub fn set_rules(&self, rules: Rules) {
        self.shared.rules.send_replace(Arc::new(rules));
        self.shared.ledger.forget_ungated();
        self.shared.catch_up.notify_one();
    }

    /// The counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// The newest modification seen, by Gerrit's clock: to be given back after a restart.
    pub fn high_water(&self) -> Timestamp {
        self.shared.ledger.high_water()
    }

    fn spawn(&self, effect: Effect, again: bool) {
        let shared = self.shared.clone();
        let runtime = shared.runtime.clone();
        match effect.kind {
            EffectKind::Report(report) => {
                let turn = shared.turns.line_up(report.change);
                runtime.spawn(review::post(shared, effect.id, report, again, turn))
            }
            kind => runtime.spawn(host::carry_out(shared, effect.id, kind)),
        };
    }
}

impl Shared {
    fn rules(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }
}

fn spawn_tasks(shared: &Arc<Shared>, mut shutdown: watch::Receiver<bool>) {
    let (hints, ledger) = (shared.hints.clone(), shared.ledger.clone());
    let reading = reader::run(hints, ledger, shared.rest.clone(), shared.stats.clone());
    let (streaming, sweeping) = (stream::run(shared.clone()), sweep::run(shared.clone()));
    shared.runtime.spawn(async move {
        let tasks = [tokio::spawn(reading), tokio::spawn(streaming), tokio::spawn(sweeping)];
        // A sender that is gone means the same as one that says so.
        let _ = shutdown.wait_for(|over| *over).await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

impl ReviewHost for Gerrit {
    fn begin(&mut self, effect: Effect, again: bool) {
        self.spawn(effect, again);
    }
}

impl Reporter for Gerrit {
    fn begin(&mut self, effect: Effect, again: bool) {
        self.spawn(effect, again);
    }
}
