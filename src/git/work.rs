//! Who works on what: a few threads, one at a time per repository, in the order asked.
//!
//! A task takes all its repositories at once or none, and never overtakes another that shares one
//! with it, so items of several repositories neither deadlock nor starve.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::fetch::Want;
use super::lock;
use super::prepare::Preparation;
use super::shared::Shared;
use crate::model::action::Submit;
use crate::model::tree::Prepared;
use crate::model::{EffectId, Event, NodeId, Outcome, Pair, Repository, Sha};

/// How many merges behind the present one are fetched along with it.
const AHEAD: usize = 500;

/// Something to do.
pub(super) enum Task {
    Prepare(Preparation),
    Release(NodeId),
    Observe {
        effect: EffectId,
        pair: Pair,
        new: Sha,
        submit: Option<Submit>,
    },
    /// Fetch what was gathered for the repository.
    Prefetch(Repository),
}

impl Task {
    fn repositories(&self) -> BTreeSet<Repository> {
        match self {
            Self::Prepare(preparation) => {
                let merged = preparation.merges.iter().map(|merge| &merge.change.pair);
                let pairs = merged.chain(preparation.tips.iter().map(|(pair, _)| pair));
                pairs.map(|pair| pair.repository.clone()).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    fn node(&self) -> Option<NodeId> {
        match self {
            Self::Prepare(preparation) => Some(preparation.node),
            _ => None,
        }
    }

    /// Nodes that must be prepared before, if they were asked for before.
    fn needs(&self) -> BTreeSet<NodeId> {
        match self {
            Self::Prepare(preparation) => preparation.overlay.iter().map(|(_, node)| *node).collect(),
            Self::Release(node) => BTreeSet::from([*node]),
            _ => BTreeSet::new(),
        }
    }
}

#[derive(Default)]
struct Board {
    pending: VecDeque<Task>,
    busy: BTreeSet<Repository>,
    running: BTreeSet<NodeId>,
    /// Early fetches under way, and how many may be: a first one takes long, and merges go on.
    prefetching: usize,
    most_prefetching: usize,
    closing: bool,
}

impl Board {
    /// Takes the first task that may run now.
    fn take(&mut self) -> Option<Task> {
        let (mut busy, mut nodes) = (self.busy.clone(), self.running.clone());
        let at = self.pending.iter().position(|task| {
            let repositories = task.repositories();
            let room = !matches!(task, Task::Prefetch(_)) || self.prefetching < self.most_prefetching;
            let free = room && repositories.is_disjoint(&busy) && task.needs().is_disjoint(&nodes);
            busy.extend(repositories);
            nodes.extend(task.node());
            free
        })?;
        let task = self.pending.remove(at)?;
        self.busy.extend(task.repositories());
        self.running.extend(task.node());
        self.prefetching += usize::from(matches!(task, Task::Prefetch(_)));
        Some(task)
    }
}

/// The tasks, and the threads that wait for them.
#[derive(Default)]
pub(super) struct Work {
    board: Mutex<Board>,
    changed: Condvar,
}

impl Work {
    /// Starts `count` threads. They end when the work is closed.
    pub fn start(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        prefetches: &Arc<Prefetches>,
        count: usize,
    ) -> std::io::Result<()> {
        lock(&self.board).most_prefetching = (count / 2).max(1);
        for number in 0..count.max(1) {
            let (work, shared, prefetches) = (self.clone(), shared.clone(), prefetches.clone());
            let name = format!("git-{number}");
            std::thread::Builder::new().name(name).spawn(move || work.serve(&shared, &prefetches))?;
        }
        Ok(())
    }

    /// Adds a task behind all others.
    pub fn add(&self, task: Task) {
        lock(&self.board).pending.push_back(task);
        self.changed.notify_one();
    }

    /// Lets the threads end after what they do now.
    pub fn close(&self) {
        lock(&self.board).closing = true;
        self.changed.notify_all();
    }

    fn serve(&self, shared: &Shared, prefetches: &Prefetches) {
        let mut board = lock(&self.board);
        while !board.closing {
            let Some(task) = board.take() else {
                board = self.wait(board);
                continue;
            };
            let ahead = wants_ahead(&board, &task);
            drop(board);
            let (repositories, node) = (task.repositories(), task.node());
            let events = catch_unwind(AssertUnwindSafe(|| perform(shared, prefetches, &task, &ahead)));
            let events = events.unwrap_or_else(|_| give_up(&task));
            if !events.is_empty() {
                shared.inbox.deliver(events);
            }
            board = lock(&self.board);
            board.busy.retain(|busy| !repositories.contains(busy));
            board.prefetching -= usize::from(matches!(task, Task::Prefetch(_)));
            board.running.retain(|running| Some(*running) != node);
            self.changed.notify_all();
        }
    }

    fn wait<'a>(&self, board: MutexGuard<'a, Board>) -> MutexGuard<'a, Board> {
        self.changed.wait(board).unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the tasks behind `task` want from its repositories.
fn wants_ahead(board: &Board, task: &Task) -> Vec<(Pair, Want)> {
    let repositories = task.repositories();
    let pending = board.pending.iter().filter_map(|task| match task {
        Task::Prepare(preparation) => Some(preparation),
        _ => None,
    });
    let wants =
        pending.flat_map(Preparation::wants).filter(|(pair, _)| repositories.contains(&pair.repository));
    wants.take(3 * AHEAD).map(|(pair, want)| (pair.clone(), want)).collect()
}

fn perform(shared: &Shared, prefetches: &Prefetches, task: &Task, ahead: &[(Pair, Want)]) -> Vec<Event> {
    match task {
        Task::Prepare(preparation) => preparation.run(shared, ahead),
        Task::Release(node) => {
            for store in shared.opened() {
                if let Err(why) = store.release(*node) {
                    tracing::warn!(%why, "a node could not be released");
                }
            }
            Vec::new()
        }
        Task::Observe { effect, pair, submit: Some(submit), .. } => {
            vec![super::submit::observe(shared, *effect, pair, submit)]
        }
        Task::Observe { effect, pair, new, .. } => vec![super::land::observe(shared, *effect, pair, *new)],
        Task::Prefetch(repository) => {
            let wants = prefetches.take(repository);
            let fetched = shared.store(repository).and_then(|store| shared.fetch(&store, &wants));
            if let Err(why) = fetched {
                tracing::debug!(%why, "an early fetch failed; it is done again when needed");
            }
            Vec::new()
        }
    }
}

/// The answer when a task broke off.
fn give_up(task: &Task) -> Vec<Event> {
    let why = "work in a store: the program made a mistake there; report it with the log";
    match task {
        Task::Prepare(preparation) => {
            let (effect, node) = (preparation.effect, preparation.node);
            vec![Event::NodePrepared { effect, node, outcome: Prepared::Failed { why: why.into() } }]
        }
        Task::Observe { effect, .. } => {
            vec![Event::EffectEnded { effect: *effect, outcome: Outcome::Failed(why.into()) }]
        }
        Task::Release(_) | Task::Prefetch(_) => Vec::new(),
    }
}

/// What is to be fetched early, gathered while the fetch before runs.
#[derive(Default)]
pub(super) struct Prefetches(Mutex<std::collections::BTreeMap<Repository, Vec<Want>>>);

/// How many early fetches are gathered for one repository; more are left for when they are needed.
const MOST_PREFETCHES: usize = 1_000;

impl Prefetches {
    /// Adds one; says whether a task is to be made for the repository.
    pub fn add(&self, repository: &Repository, want: Want) -> bool {
        let mut gathered = lock(&self.0);
        if let Some(wants) = gathered.get_mut(repository) {
            if wants.len() < MOST_PREFETCHES {
                wants.push(want);
            }
            return false;
        }
        gathered.insert(repository.clone(), vec![want]);
        true
    }

    fn take(&self, repository: &Repository) -> Vec<Want> {
        lock(&self.0).remove(repository).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::tests::merge;
    use crate::model::action::Onto;
    use crate::model::{Pipeline, Timestamp};

    /// A preparation of `node` in `repositories` that looks at what `overlay` writes.
    fn task(node: u64, repositories: &[&str], overlay: &[u64]) -> Task {
        let zero = Sha::default();
        let pair = |name: &str| Pair::new(name, "main");
        let merges =
            repositories.iter().map(|name| merge(&pair(name), node, zero, zero, Onto::Commit(zero), &[]));
        Task::Prepare(Preparation {
            effect: EffectId(node),
            node: NodeId(node),
            date: Timestamp(0),
            pipeline: Pipeline::Gate,
            merges: merges.collect(),
            overlay: overlay.iter().map(|node| (pair("elsewhere"), NodeId(*node))).collect(),
            depends: Vec::new(),
            tips: Vec::new(),
            pins: Vec::new(),
        })
    }

    #[test]
    fn tasks_that_share_a_repository_or_need_one_another_keep_their_order() {
        for (tasks, expected) in [
            (vec![task(1, &["p"], &[]), task(2, &["q"], &[])], vec![1, 2]),
            (vec![task(1, &["p"], &[]), task(2, &["p"], &[]), task(3, &["q"], &[])], vec![1, 3]),
            (vec![task(1, &["p"], &[]), task(2, &["p", "q"], &[]), task(3, &["q"], &[])], vec![1]),
            (vec![task(1, &["p"], &[]), task(2, &["q"], &[1])], vec![1]),
            (vec![task(1, &["p"], &[2]), task(2, &["q"], &[])], vec![1, 2]),
        ] {
            let mut board = Board { pending: tasks.into(), ..Board::default() };
            let taken: Vec<u64> = std::iter::from_fn(|| board.take())
                .filter_map(|task| task.node())
                .map(|node| node.0)
                .collect();
            assert_eq!(taken, expected);
        }
    }

    #[test]
    fn early_fetches_leave_threads_for_merges() {
        let early = |name: &str| Task::Prefetch(name.into());
        let pending = VecDeque::from([early("p"), early("q"), task(1, &["p"], &[])]);
        let mut board = Board { pending, most_prefetching: 1, ..Board::default() };
        assert!(matches!(board.take(), Some(Task::Prefetch(_))));
        assert!(matches!(board.take(), Some(Task::Prepare(_))));
        assert!(board.take().is_none());
    }
}
