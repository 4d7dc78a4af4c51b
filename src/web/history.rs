//! What the daemon remembers of the last day for plots, and of builds for estimates. It lies in memory
//! only and is bounded: a minute of a queue is a few numbers, and a day has 1,440 minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::item::JobOutcome;
use crate::model::view::{DepartedView, View};
use crate::model::{Departure, JobName, QueueName, Timestamp};

/// A minute, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
/// Minutes that are remembered: a day.
const MINUTES_MAX: usize = 1_440;
/// Queues of which figures are kept apart; those beyond count together.
const QUEUES_MAX: usize = 64;
/// Jobs whose durations are remembered; job files could bring in any number of them.
const JOBS_MAX: usize = 1_000;
/// Durations remembered of each job.
const DURATIONS_MAX: usize = 31;

/// One queue during one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// The most items that it had.
    pub depth: u32,
    /// Items that landed.
    pub landed: u32,
    /// Items that left without landing.
    pub left: u32,
    /// How long those that landed had been there, together, in milliseconds.
    pub stay_ms: i64,
}

/// One minute of all queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Minute {
    /// When it began, in minutes since 1970.
    pub at: i64,
    /// What was in each queue.
    pub queues: BTreeMap<QueueName, Sample>,
}

/// See the module. It can be used from any thread.
#[derive(Debug, Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    minutes: VecDeque<Minute>,
    durations: BTreeMap<JobName, VecDeque<i64>>,
}

impl History {
    /// A history that knows what a view tells of the past.
    pub fn from_view(view: &View) -> Self {
        let history = Self::default();
        for entry in view.departed.iter().rev() {
            history.departed(entry);
            for job in entry.jobs.iter().filter(|job| job.duration_ms > 0) {
                history.build_ended(&job.job, job.result, job.duration_ms);
            }
        }
        history
    }

    /// Takes over how many items the queues have.
    pub fn observe(&self, view: &View) {
        let mut inner = self.lock();
        let minute = inner.minute(view.at);
        for queue in &view.queues {
            let depth = u32::try_from(queue.items.len()).unwrap_or(u32::MAX);
            let sample = minute.sample(&queue.name);
            sample.depth = sample.depth.max(depth);
        }
    }

    /// An item of a queue ended.
    pub fn departed(&self, entry: &DepartedView) {
        let Some(queue) = &entry.queue else { return };
        let mut inner = self.lock();
        let sample = inner.minute(entry.ended_at).sample(queue);
        if let Departure::Landed { .. } = entry.departure {
            sample.landed += 1;
            sample.stay_ms += entry.ended_at.since_ms(entry.entered_at).max(0);
        } else {
            sample.left += 1;
        }
    }

    /// A build ended. Only passes serve for estimates: a failure may come at any point.
    pub fn build_ended(&self, job: &JobName, outcome: JobOutcome, duration_ms: i64) {
        let mut inner = self.lock();
        let known = inner.durations.contains_key(job);
        if outcome != JobOutcome::Success || (!known && inner.durations.len() >= JOBS_MAX) {
            return;
        }
        let durations = inner.durations.entry(job.clone()).or_default();
        if durations.len() >= DURATIONS_MAX {
            durations.pop_front();
        }
        durations.push_back(duration_ms);
    }

    /// How long each known job probably takes, in milliseconds: the median of what was recorded.
    pub fn estimates(&self) -> BTreeMap<JobName, i64> {
        self.of_durations(|sorted| sorted.get(sorted.len() / 2).copied())
    }

    /// Between which durations, in milliseconds, eight of ten builds of each known job lie.
    pub fn ranges(&self) -> BTreeMap<JobName, (i64, i64)> {
        self.of_durations(|sorted| {
            let tenth = sorted.len() / 10;
            Some((*sorted.get(tenth)?, *sorted.get(sorted.len().checked_sub(tenth + 1)?)?))
        })
    }

    fn of_durations<T>(&self, of: impl Fn(&[i64]) -> Option<T>) -> BTreeMap<JobName, T> {
        let inner = self.lock();
        let figure = |durations: &VecDeque<i64>| {
            let mut sorted: Vec<i64> = durations.iter().copied().collect();
            sorted.sort_unstable();
            of(&sorted)
        };
        inner.durations.iter().filter_map(|(job, known)| Some((job.clone(), figure(known)?))).collect()
    }

    /// The minutes on record, oldest first. Minutes in which nothing was seen are missing.
    pub fn minutes(&self) -> Vec<Minute> {
        self.lock().minutes.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The minute of `moment`; one from before all that is on record counts for the oldest.
    fn minute(&mut self, moment: Timestamp) -> &mut Minute {
        let at = moment.0.div_euclid(MINUTE_MS);
        let place = self.minutes.partition_point(|minute| minute.at < at);
        if self.minutes.get(place).is_none_or(|minute| minute.at != at) {
            self.minutes.insert(place, Minute { at, queues: BTreeMap::new() });
        }
        let over = self.minutes.len().saturating_sub(MINUTES_MAX);
        self.minutes.drain(..over);
        let last = self.minutes.len() - 1;
        &mut self.minutes[place.saturating_sub(over).min(last)]
    }
}

impl Minute {
    fn sample(&mut self, queue: &QueueName) -> &mut Sample {
        let known = self.queues.contains_key(queue) || self.queues.len() < QUEUES_MAX;
        let name = if known { queue.clone() } else { "other".into() };
        self.queues.entry(name).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_median_of_passes() {
        let history = History::default();
        for (outcome, duration_ms) in [
            (JobOutcome::Success, 100),
            (JobOutcome::Failure, 1),
            (JobOutcome::Success, 300),
            (JobOutcome::Success, 9_000),
        ] {
            history.build_ended(&"unit".into(), outcome, duration_ms);
        }
        assert_eq!(history.estimates(), [("unit".into(), 300)].into());
    }

    #[test]
    fn a_day_of_minutes_is_kept_and_no_more() {
        let history = History::default();
        for at in 0..2_000 {
            history.lock().minute(Timestamp(at * MINUTE_MS)).sample(&"main".into()).landed += 1;
        }
        let minutes = history.minutes();
        assert_eq!((minutes.len(), minutes[0].at, minutes[1_439].at), (MINUTES_MAX, 560, 1_999));
        history.lock().minute(Timestamp(0)).sample(&"main".into()).landed += 1;
        assert_eq!(history.minutes().len(), MINUTES_MAX);
    }

    #[test]
    fn jobs_and_queues_without_end_are_bounded() {
        let history = History::default();
        for number in 0..2 * JOBS_MAX {
            history.build_ended(&format!("job-{number}").into(), JobOutcome::Success, 1);
            history.lock().minute(Timestamp(0)).sample(&format!("queue-{number}").as_str().into()).landed +=
                1;
        }
        assert_eq!(history.estimates().len(), JOBS_MAX);
        assert_eq!(history.minutes()[0].queues.len(), QUEUES_MAX + 1);
    }
}
