//! The executor: builds that run for a while and say what their trees are worth.

use std::collections::BTreeMap;

use crate::model::event::BuildPhase;
use crate::model::{BuildId, Event, JobName, ResolvedInput, Timestamp, Verdict};

/// How a build stands with the executor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stand {
    /// It was asked for and has not begun.
    Asked,
    /// It runs.
    Running,
    /// It is over; the end is kept until it was told.
    Over(Verdict),
}

/// A build.
#[derive(Clone, Debug)]
pub struct Build {
    /// The job.
    pub job: JobName,
    /// What it checked out.
    pub inputs: Vec<ResolvedInput>,
    /// How it stands.
    pub stand: Stand,
    /// When it began.
    pub started_at: Timestamp,
    /// It was told to stop.
    pub stopping: bool,
    /// Its end has reached the daemon.
    pub told: bool,
}

/// All builds that the executor has.
#[derive(Clone, Debug, Default)]
pub struct Executor {
    builds: BTreeMap<BuildId, Build>,
}

impl Executor {
    /// Takes a build on.
    pub fn ask(&mut self, at: Timestamp, id: BuildId, job: JobName, inputs: Vec<ResolvedInput>) {
        let build = Build { job, inputs, stand: Stand::Asked, started_at: at, stopping: false, told: false };
        self.builds.insert(id, build);
    }

    /// A build.
    pub fn build(&mut self, id: BuildId) -> Option<&mut Build> {
        self.builds.get_mut(&id)
    }

    /// Loses a build without a trace.
    pub fn lose(&mut self, id: BuildId) {
        self.builds.remove(&id);
    }

    /// Ends a build that is not over; true when it was so.
    pub fn end(&mut self, id: BuildId, verdict: Verdict) -> bool {
        match self.builds.get_mut(&id) {
            Some(build) if !matches!(build.stand, Stand::Over(_)) => {
                build.stand = Stand::Over(verdict);
                true
            }
            _ => false,
        }
    }

    /// Builds that take up room.
    pub fn running(&self) -> usize {
        self.builds.values().filter(|build| !matches!(build.stand, Stand::Over(_))).count()
    }

    /// The builds that it knows: running, or not yet collected.
    fn known(&self) -> Vec<BuildId> {
        let known =
            self.builds.iter().filter(|(_, build)| !(matches!(build.stand, Stand::Over(_)) && build.told));
        known.map(|(id, _)| *id).collect()
    }

    /// How a build would be reported now; `None` for one that has not begun.
    pub fn phase(&self, now: Timestamp, id: BuildId) -> Option<BuildPhase> {
        let build = self.builds.get(&id)?;
        match &build.stand {
            Stand::Asked => None,
            Stand::Running => Some(BuildPhase::Running),
            Stand::Over(verdict) => Some(BuildPhase::Finished {
                verdict: verdict.clone(),
                duration_ms: now.since_ms(build.started_at),
            }),
        }
    }

    /// How each build that it knows is, and last which these are.
    pub fn list(&self, now: Timestamp) -> Vec<Event> {
        let known = self.known();
        let phases = known.iter().filter_map(|build| {
            let phase = self.phase(now, *build)?;
            Some(Event::BuildSeen { build: *build, phase })
        });
        let mut events: Vec<Event> = phases.collect();
        events.push(Event::BuildsListed { asked_at: now, known });
        events
    }

    /// Notes which ends the daemon has taken in: those builds are collected.
    pub fn take_in(&mut self, events: &[Event]) {
        for event in events {
            if let Event::BuildSeen { build, phase: BuildPhase::Finished { .. } } = event
                && let Some(build) = self.builds.get_mut(build)
            {
                build.told = true;
            }
        }
    }
}
