//! What pages are drawn from: one view with all that is looked up beside it, made once for each view
//! however many readers there are, and kept for a while so that streams can tell what is new.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::Desk;
use super::chain::{self, Cell};
use super::history::Minute;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::view::{ItemView, RunView, View};
use crate::model::{BuildId, JobName, Timestamp};

/// Pictures that are kept for streams to begin from.
const KEPT: usize = 16;

/// A view and what belongs to it.
pub struct Picture {
    /// Counts views.
    pub number: u64,
    /// The view.
    pub view: Arc<View>,
    /// The items of each queue, as in the view.
    pub queues: Vec<Vec<Row>>,
    /// Items of the check.
    pub checks: Vec<Row>,
    /// Runs at the tips of branches, without the clocks of their builds.
    pub runs: Vec<RunView>,
    /// When running builds began, and how long jobs probably take.
    pub times: Times,
    /// The last day.
    pub minutes: Vec<Minute>,
    /// What is wrong with the daemon, each with its remedy.
    pub problems: Vec<String>,
}

/// An item with its place in the drawing. Two rows are equal when they look the same at any moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The item; how long its builds have run is left out, since that changes with each look.
    pub item: ItemView,
    /// Its part of the graph; items of the check have none.
    pub cell: Option<Cell>,
}

/// What progress is reckoned from.
#[derive(Default)]
pub struct Times {
    /// When running builds began.
    pub started: BTreeMap<BuildId, Timestamp>,
    /// How long each job probably takes, in milliseconds.
    pub estimates: BTreeMap<JobName, i64>,
    /// Between which durations most builds of each job lie, in milliseconds.
    pub ranges: BTreeMap<JobName, (i64, i64)>,
}

impl Picture {
    /// The picture of the desk's present view.
    pub fn take(number: u64, desk: &dyn Desk) -> Self {
        Self::of(number, desk.view(), desk)
    }

    /// The picture of a view, with what the desk knows of the past.
    pub fn of(number: u64, view: Arc<View>, desk: &dyn Desk) -> Self {
        let row = |item: &ItemView, cell| Row { item: without_clocks(item), cell };
        let queues = view.queues.iter().map(|queue| {
            let cells = chain::rows(&queue.items);
            queue.items.iter().zip(cells).map(|(item, cell)| row(item, Some(cell))).collect()
        });
        Self {
            number,
            queues: queues.collect(),
            checks: view.checks.iter().map(|item| row(item, None)).collect(),
            runs: view.runs.iter().map(|run| RunView { jobs: still(&run.jobs), ..run.clone() }).collect(),
            times: Times {
                started: view.builds.iter().map(|build| (build.build, build.started_at)).collect(),
                estimates: desk.history().estimates(),
                ranges: desk.history().ranges(),
            },
            minutes: desk.history().minutes(),
            problems: desk.health().problems,
            view,
        }
    }
}

fn without_clocks(item: &ItemView) -> ItemView {
    ItemView { jobs: still(&item.jobs), ..item.clone() }
}

/// Jobs without how long they have run: that changes with each look.
fn still(jobs: &[JobResult]) -> Vec<JobResult> {
    let mut jobs = jobs.to_vec();
    for job in jobs.iter_mut().filter(|job| job.result == JobOutcome::Running) {
        job.duration_ms = 0;
    }
    jobs
}

/// The last few pictures.
#[derive(Default)]
pub struct Album {
    pictures: Mutex<VecDeque<Arc<Picture>>>,
}

impl Album {
    /// The picture of the present view.
    pub fn latest(&self, desk: &dyn Desk) -> Arc<Picture> {
        // The number is read first: a view that is newer than its number is looked at once more.
        let number = *desk.changed().borrow();
        let mut pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pictures.back().filter(|picture| picture.number == number) {
            return known.clone();
        }
        let fresh = Arc::new(Picture::take(number, desk));
        if pictures.len() >= KEPT {
            pictures.pop_front();
        }
        pictures.push_back(fresh.clone());
        fresh
    }

    /// The picture of that number, while it is kept.
    pub fn find(&self, number: u64) -> Option<Arc<Picture>> {
        let pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        pictures.iter().find(|picture| picture.number == number).cloned()
    }
}
