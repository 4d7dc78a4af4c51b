//! Flaky jobs: a key that has both failed and passed proves one, for equal keys are equal trees. What is
//! counted decides whether another attempt pays, never what lands.

use serde::{Deserialize, Serialize};

use crate::model::view::FlakeView;
use crate::model::{BuildId, ResolvedJob, Timestamp, VerdictKey};

use super::Queue;
use super::state::{Build, Record};

/// Repeated builds after which older ones count half.
const COUNTED_MAX: u32 = 100;

/// Another attempt pays when at least one in so many repeated builds passes: it costs one build, and a
/// change that leaves wrongly costs all of its builds again, those behind it, and a person's attention.
const PAYS_AT_ONE_IN: u32 = 5;

/// What is known of a job in one repository beyond its outcomes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flakes {
    /// Keys that both failed and passed.
    proven: u32,
    /// Builds of a key whose last build failed.
    repeated: u32,
    /// Those of them that passed.
    passed: u32,
    /// The last proof.
    last: Option<Proof>,
}

/// Two builds of one key that ended differently.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Proof {
    failed: BuildId,
    passed: BuildId,
    at: Timestamp,
}

impl Flakes {
    fn count(&mut self, passed: bool) {
        self.repeated += 1;
        self.passed += u32::from(passed);
        if self.repeated > COUNTED_MAX {
            self.repeated /= 2;
            self.passed /= 2;
        }
    }

    /// Whether another attempt pays. Of a job that was never tried again it is assumed that one in four
    /// would pass, so that it is found out.
    fn pays(&self) -> bool {
        (self.passed + 1) * PAYS_AT_ONE_IN >= self.repeated + 4
    }
}

impl Queue {
    /// How often builds of a job may fail for one stay.
    pub(super) fn attempts_of(&self, job: &ResolvedJob) -> u32 {
        let known = self.state.flakes.get(&(job.name.clone(), job.home.repository.clone()));
        job.attempts.most(known.is_none_or(Flakes::pays))
    }

    /// Takes note of a build that ended with a verdict, before that is recorded.
    pub(super) fn note_repeat(&mut self, id: BuildId, build: &Build, failed: bool) {
        let Some(before) = self.state.records.get(&build.key) else { return };
        let failed_before = matches!(before.verdict, crate::model::Verdict::Fail { .. });
        if failed_before == failed && !failed {
            return;
        }
        let (mixed, other) = (is_mixed(before), before.build);
        let name = (build.job.clone(), build.home.repository.clone());
        let known = self.state.flakes.entry(name).or_default();
        if failed_before {
            known.count(!failed);
        }
        if failed_before != failed {
            known.proven += u32::from(!mixed);
            let (failed, passed) = if failed { (id, other) } else { (other, id) };
            known.last = Some(Proof { failed, passed, at: self.state.now });
        }
    }

    /// Whether the builds of a key have ended both ways.
    pub(super) fn is_flaky(&self, key: &VerdictKey) -> bool {
        self.state.records.get(key).is_some_and(is_mixed)
    }

    /// The jobs that are proven to be flaky, the worst first.
    pub(super) fn view_flakes(&self) -> Vec<FlakeView> {
        let proven = self.state.flakes.iter().filter_map(|((job, repository), known)| {
            let last = known.last.filter(|_| known.proven > 0)?;
            Some(FlakeView {
                job: job.clone(),
                repository: repository.clone(),
                proven: known.proven,
                repeated: known.repeated,
                passed: known.passed,
                failed_build: last.failed,
                passed_build: last.passed,
                at: last.at,
            })
        });
        let mut found: Vec<FlakeView> = proven.collect();
        found.sort_by_key(|flake| std::cmp::Reverse(flake.proven));
        found
    }
}

fn is_mixed(record: &Record) -> bool {
    record.passes > 0 && record.failures > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_attempt_pays_while_one_in_five_passes() {
        let mut flakes = Flakes::default();
        assert!(flakes.pays(), "nothing is known");
        flakes.count(false);
        assert!(flakes.pays(), "once is no proof");
        flakes.count(false);
        assert!(!flakes.pays(), "it fails for good");
        flakes.count(true);
        assert!(flakes.pays(), "one in three");
        (0..500).for_each(|_| flakes.count(false));
        assert!(!flakes.pays());
        (0..60).for_each(|_| flakes.count(true));
        assert!(flakes.pays(), "what is long ago counts less");
    }
}
