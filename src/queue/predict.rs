//! How likely an item is to pass, from counted outcomes. A prediction changes what is bought, never
//! what lands.
//!
//! Chances are whole numbers out of [`SURE`]: no rounding differs from machine to machine.

use serde::{Deserialize, Serialize};

use crate::model::{ItemId, JobName, Repository, ResolvedJob};

use std::collections::BTreeMap;

use super::Queue;
use super::print::PairId;
use super::state::{Item, State};

/// The chance of what is certain.
pub(super) const SURE: u64 = 1 << 16;

/// Outcomes after which older ones count half.
const COUNTED_MAX: u32 = 200;

/// What a failed check of the same patch set leaves of the chance to pass: one in so many.
const AFTER_FAILED_CHECK: u64 = 8;

/// How builds of a job have ended in one repository.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    passes: u32,
    failures: u32,
}

impl Outcomes {
    fn add(&mut self, passed: bool) {
        if passed {
            self.passes += 1;
        } else {
            self.failures += 1;
        }
        if self.passes + self.failures > COUNTED_MAX {
            self.passes /= 2;
            self.failures /= 2;
        }
    }

    /// The chance that the next one passes. Of nothing known it is nine in ten.
    fn chance(self) -> u64 {
        let all = u64::from(self.passes + self.failures) + 10;
        (u64::from(self.passes) + 9) * SURE / all
    }
}

/// The number of a job of a branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct JobId(usize);

/// The chances of jobs, with each job of a branch as a number. Derived from the outcomes, never stored.
#[derive(Default)]
pub(crate) struct Chances {
    /// The jobs of each branch.
    jobs: BTreeMap<PairId, BTreeMap<JobName, JobId>>,
    /// Which chance each job has.
    shared: Vec<usize>,
    places: BTreeMap<(JobName, Repository), usize>,
    all: Vec<u64>,
    /// How often one of them has changed.
    changed: u64,
}

impl Chances {
    /// Those of a state that was restored.
    pub fn restored(state: &State) -> Self {
        let mut chances = Self::default();
        for ((job, repository), outcomes) in &state.outcomes {
            chances.set(job, repository, *outcomes);
        }
        chances
    }

    /// The number of a job; `home` is the number of its branch.
    pub fn number(&mut self, job: &ResolvedJob, home: PairId) -> JobId {
        if let Some(id) = self.jobs.get(&home).and_then(|jobs| jobs.get(&job.name)) {
            return *id;
        }
        let id = JobId(self.shared.len());
        let place = self.place(&job.name, &job.home.repository);
        self.shared.push(place);
        self.jobs.entry(home).or_default().insert(job.name.clone(), id);
        id
    }

    /// How often the chance of any job has changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// The chance that a job passes.
    fn get(&self, job: JobId) -> u64 {
        let place = self.shared.get(job.0);
        place.and_then(|place| self.all.get(*place)).copied().unwrap_or_default()
    }

    /// The chance that all of some jobs pass.
    fn of_all(&self, jobs: impl Iterator<Item = JobId>, check_failed: bool) -> u64 {
        let chance = jobs.fold(SURE, |chance, job| both(chance, self.get(job)));
        if check_failed { chance / AFTER_FAILED_CHECK } else { chance }
    }

    /// The chance of an item of which this is known.
    pub fn of(&self, odds: &Odds) -> u64 {
        self.of_all(odds.open.iter().copied(), odds.check_failed)
    }

    /// Takes in how a job's builds in a repository have ended.
    fn set(&mut self, job: &JobName, repository: &Repository, outcomes: Outcomes) {
        let place = self.place(job, repository);
        let chance = outcomes.chance();
        self.changed += u64::from(self.all[place] != chance);
        self.all[place] = chance;
    }

    fn place(&mut self, job: &JobName, repository: &Repository) -> usize {
        let (next, at) = (self.all.len(), (job.clone(), repository.clone()));
        let place = *self.places.entry(at).or_insert(next);
        if place == next {
            self.all.push(Outcomes::default().chance());
        }
        place
    }
}

/// What an item's chance to pass depends on.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Odds {
    /// Its voting jobs without a verdict.
    open: Box<[JobId]>,
    /// A check of the same patch set has failed.
    check_failed: bool,
}

/// The product of two chances.
pub(super) fn both(left: u64, right: u64) -> u64 {
    left * right / SURE
}

impl Queue {
    /// Counts how a build ended.
    pub(super) fn count_outcome(&mut self, job: JobName, repository: Repository, passed: bool) {
        let outcomes = self.state.outcomes.entry((job.clone(), repository.clone())).or_default();
        outcomes.add(passed);
        self.index.chances.set(&job, &repository, *outcomes);
    }

    /// The chance that all voting jobs of an item pass that have no verdict yet.
    pub(super) fn chance(&self, item: &Item) -> u64 {
        self.index.chances.of_all(self.open_jobs(item), self.check_failed(item))
    }

    /// What that chance depends on; `check_failed` says that a check of the same patch set has.
    pub(super) fn odds(&self, item: &Item, check_failed: bool) -> Odds {
        Odds { open: self.open_jobs(item).collect(), check_failed }
    }

    /// The voting jobs of an item that have no verdict yet.
    fn open_jobs(&self, item: &Item) -> impl Iterator<Item = JobId> {
        let numbers = self.print_of(item).map_or(&[][..], |print| &print.jobs);
        let open = self.jobs_of(item).iter().zip(numbers).filter(|(job, _)| {
            job.voting && !item.adopted.get(&job.key).is_some_and(|adopted| adopted.passed)
        });
        open.map(|(_, job)| *job)
    }

    /// Whether a check of the same patch set has failed.
    fn check_failed(&self, item: &Item) -> bool {
        item.changes.iter().any(|change| {
            let known = self.state.changes.get(&change.number);
            known.and_then(|known| known.check_failed) == Some(change.revision)
        })
    }

    /// Whether an item that enters is likelier to fail than to pass.
    pub(super) fn will_fail(&self, id: ItemId) -> bool {
        self.state.items.get(&id).is_some_and(|item| self.chance(item) * 2 < SURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_follow_what_was_seen() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.chance(), SURE * 9 / 10);
        (0..30).for_each(|_| outcomes.add(false));
        assert!(outcomes.chance() < SURE / 4);
        (0..500).for_each(|_| outcomes.add(true));
        assert!(outcomes.chance() > SURE * 9 / 10, "what is long ago is forgotten");
    }
}
