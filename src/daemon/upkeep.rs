//! What goes on beside the loop: looks at the set-up, marks of what was read, clean-up.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SystemClock;
use super::desk::Board;
use super::in_force::InForce;
use super::settings::needs;
use crate::executor::local::Local;
use crate::gerrit::{Gerrit, rhythm};
use crate::git::{Early, Upkeep};
use crate::model::{Repository, Timestamp};
use crate::port::Clock as _;
use crate::web::Desk as _;

/// How often the executor is asked for all its builds.
const LIST_EVERY: Duration = Duration::from_secs(300);
/// How often the mark of what was read is written down.
const MARK_EVERY: Duration = Duration::from_secs(10);
/// How often the room on the disk is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(10);
/// How often old logs and unused stores are looked for.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
/// How often a store that is due is looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// A store is packed so often while the daemon has nothing else to do.
const TIDY_AFTER: Duration = Duration::from_secs(86_400);
/// A store is packed after so long though the daemon is never idle.
const TIDY_AT_LAST: Duration = Duration::from_secs(7 * 86_400);

/// From now on the health says when Gerrit's news does not come.
pub fn watch_health(board: &Board, gerrit: &Gerrit) {
    let gerrit = gerrit.clone();
    board.set_probe(Box::new(move || {
        let ready = gerrit.ready();
        let text = "gerrit: the event stream is not up, or what was missed is still being read; see the log";
        if ready { Vec::new() } else { vec![text.to_owned()] }
    }));
}

/// Looks once for what is missing on Gerrit, and keeps saying it.
pub fn report_setup(gerrit: Gerrit, config: InForce, board: Arc<Board>) {
    tokio::spawn(async move {
        // What can be seen depends on the tips that were read.
        gerrit.wait_ready().await;
        let needs = needs(&config.get());
        let problems: Vec<String> = gerrit.probe(&needs).await.iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::error!("gerrit: {problem}");
        }
        board.problem("gerrit set-up", (!problems.is_empty()).then(|| problems.join("; ")));
    });
}

/// Fetches what may soon be approved, so that an approval need not wait for it.
pub fn fetch_open(gerrit: Gerrit, early: Early) {
    tokio::spawn(async move {
        match gerrit.open_changes().await {
            Ok(open) => open.iter().for_each(|(repository, number, patchset, revision)| {
                early.patch_set(repository, *number, *patchset, *revision);
            }),
            Err(error) => tracing::warn!("failed to {error}; patch sets are fetched when they are approved"),
        }
    });
}

/// Up to which modification changes were read: after a restart the catch-up begins there. Losing it
/// costs nothing but patch sets that are not checked until something else happens to them.
#[derive(Clone)]
pub struct HighWater(PathBuf);

impl HighWater {
    /// The name of its file in the state folder.
    pub const FILE: &str = "high-water";

    /// The mark in the state folder `state`.
    pub fn of(state: &std::path::Path) -> Self {
        Self(state.join(Self::FILE))
    }

    /// What was written last; 0 for nothing.
    pub fn read(&self) -> Timestamp {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        Timestamp(text.trim().parse().unwrap_or(0))
    }

    /// Writes it down; what fails is tried again with the next.
    pub fn write(&self, mark: Timestamp) {
        let fresh = self.0.with_extension("new");
        let written = fs::write(&fresh, mark.0.to_string()).and_then(|()| fs::rename(&fresh, &self.0));
        if let Err(error) = written {
            tracing::warn!("failed to write {}: {error}", self.0.display());
        }
    }
}

/// Writes the mark down again and again.
pub async fn keep_high_water(gerrit: Gerrit, file: HighWater) {
    let mut written = file.read();
    let mut rhythm = rhythm(MARK_EVERY);
    loop {
        rhythm.tick().await;
        let mark = gerrit.high_water();
        if mark > written {
            file.write(mark);
            written = mark;
        }
    }
}

/// What is kept in order.
#[derive(Clone)]
pub struct House {
    /// Says how much is kept, and for how long.
    pub config: InForce,
    /// Knows whether the daemon is idle.
    pub board: Arc<Board>,
    /// Knows the repositories.
    pub gerrit: Gerrit,
    /// The stores.
    pub git: Upkeep,
    /// Builds and their logs.
    pub local: Local,
}

/// When something was last done; never at first, so that a start does not do all at once.
struct Due(Instant);

impl Due {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn is(&mut self, every: Duration) -> bool {
        let due = self.0.elapsed() >= every;
        if due {
            self.0 = Instant::now();
        }
        due
    }
}

/// Lists builds, watches the room, cleans up, packs stores. Ends only when it is dropped.
pub async fn keep_house(house: House) {
    let (mut list, mut clean, mut tidy) = (Due::new(), Due::new(), Due::new());
    let mut rhythm = rhythm(ROOM_EVERY);
    loop {
        rhythm.tick().await;
        in_background(&house, |house| house.local.look_for_room()).await;
        if list.is(LIST_EVERY) {
            house.local.list(SystemClock.now());
        }
        if clean.is(CLEAN_EVERY) {
            in_background(&house, House::clean).await;
        }
        if tidy.is(TIDY_EVERY) {
            in_background(&house, House::tidy).await;
        }
    }
}

/// Does what takes long on a thread that may block. What failed is done again when it is next due.
async fn in_background(house: &House, task: fn(&House)) {
    let house = house.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || task(&house)).await {
        tracing::warn!("failed to keep house: {error}");
    }
}

impl House {
    /// Removes what is too old or too much.
    fn clean(&self) {
        self.local.clean();
        // Which repositories are gated is known only once Gerrit has told of their branches.
        if self.gerrit.ready() {
            let days = u64::from(self.config.get().keep.unused_days);
            let needed = self.needed();
            for path in self.git.remove_unused(&needed, Duration::from_secs(days * 86_400)) {
                tracing::info!("removed {}: nothing has used it for {days} days", path.display());
            }
        }
    }

    /// The repositories with gated branches, and those that jobs of the configuration read.
    fn needed(&self) -> Vec<Repository> {
        let config = self.config.get();
        let inputs = config.policy.jobs.iter().flat_map(|job| &job.inputs);
        let mut needed = self.gerrit.repositories();
        needed.extend(inputs.map(|input| input.repository.clone()));
        needed
    }

    /// Packs one store, if one is due.
    fn tidy(&self) {
        let view = self.board.view();
        let idle = view.builds_running == 0
            && view.effects == 0
            && view.checks.is_empty()
            && view.queues.iter().all(|queue| queue.items.is_empty());
        let after = if idle { TIDY_AFTER } else { TIDY_AT_LAST };
        let Some(path) = self.git.untidy(after).into_iter().next() else { return };
        if let Err(error) = self.git.tidy(&path) {
            tracing::warn!("failed to {error}");
        }
    }
}
