//! Strategies side by side: the same people, changes and contents for each, without faults, and what
//! that cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rng::Rng;
use super::run::run;
use super::setting::{Faults, Poison, Setting, job};
use super::workload::{What, draw};
use crate::model::policy::{
    AfterFailure, CheckPolicy, GatePolicy, LandingMode, Limits, Need, QueuePolicy, StrategyPolicy,
    TopicPolicy, Tuning,
};
use crate::model::{BuildSpec, JobPolicy, LandingForm, Pair, Patterns, Policy, Repository};

/// Repositories of the compared world; the first reads the second, too.
const REPOSITORIES: u64 = 10;

/// Changes in one run.
const CHANGES: u64 = 60;

/// The longest build, in milliseconds; none reaches its time limit.
const BUILD_MAX_MS: i64 = 1_200_000;

/// The strategies that are compared, the yardstick first.
pub const STRATEGIES: &[(&str, StrategyPolicy)] = &[
    ("zuul", StrategyPolicy::Zuul),
    ("serial", StrategyPolicy::Serial),
    ("dependent", StrategyPolicy::Dependent { window: 20 }),
    ("ranked", StrategyPolicy::Ranked),
    ("batch", StrategyPolicy::Batch),
    ("adaptive", StrategyPolicy::Adaptive),
];

/// What a strategy has cost and given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Changes landed.
    pub landed: u64,
    /// Builds bought.
    pub builds: u64,
    /// How long each change that landed was in its queue, in milliseconds, sorted.
    pub stays_ms: Vec<i64>,
}

impl Figures {
    /// Builds for each landed change, in thousandths.
    pub fn builds_per_change(&self) -> u64 {
        (self.builds * 1_000).checked_div(self.landed).unwrap_or_default()
    }

    /// The stay, in milliseconds, that so many of a hundred do not exceed (nearest rank).
    pub fn stay_ms(&self, percent: usize) -> i64 {
        let rank = (self.stays_ms.len() * percent).div_ceil(100).max(1);
        self.stays_ms.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Runs the seeds under one strategy, with so many slots, and changes approved at this pace.
///
/// # Errors
/// The first seed that breaks a promise, in words.
pub fn figures(
    seeds: impl Iterator<Item = u64>,
    strategy: StrategyPolicy,
    slots: u32,
    per_hour: u32,
) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for seed in seeds {
        let setting = setting(seed, strategy, slots, per_hour);
        let steps = draw(&setting);
        let quiet = |what: &What| matches!(what, What::Upload { .. } | What::Approve(_));
        let disabled: BTreeSet<usize> =
            steps.iter().enumerate().filter(|(_, step)| !quiet(&step.what)).map(|(at, _)| at).collect();
        let report = run(&setting, &disabled, false)
            .map_err(|ended| format!("seed {seed}: {}: {}", ended.fault.invariant, ended.fault.what))?;
        figures.landed += u64::from(report.landed);
        figures.builds += u64::from(report.builds);
        figures.stays_ms.extend(report.stays_ms);
    }
    figures.stays_ms.sort_unstable();
    Ok(figures)
}

/// A shared queue over several repositories, in which one change in ten fails.
fn setting(seed: u64, strategy: StrategyPolicy, slots: u32, per_hour: u32) -> Setting {
    let mut rng = Rng::keyed(seed, 10, 0);
    let name = |number: u64| format!("r{number}");
    let tree = || [("a".into(), "0".into()), ("b".into(), "0".into())].into();
    let branches: BTreeMap<Pair, _> =
        (0..REPOSITORIES).map(|number| (Pair::new(name(number), "main"), tree())).collect();
    let mut poison: Vec<Poison> = Vec::new();
    for change in 0..CHANGES {
        let token = |change: u64| format!("c{change}.1").into();
        if rng.chance(100) {
            poison.push(Poison { job: None, tokens: vec![token(change)] });
        }
        if rng.chance(30) && change > 0 {
            poison.push(Poison { job: None, tokens: vec![token(change), token(rng.below(change))] });
        }
    }
    Setting {
        seed,
        branches,
        outside: BTreeMap::new(),
        policy: policy(strategy, slots),
        faults: Faults::default(),
        poison,
        forms: (0..REPOSITORIES)
            .map(|number| (Repository::from(name(number)), LandingForm::MergeAlways))
            .collect(),
        footerless: BTreeSet::new(),
        graph: false,
        apart: false,
        build_max_ms: BUILD_MAX_MS,
        changes: CHANGES,
        people_until_ms: i64::try_from(3_600_000 * CHANGES / u64::from(per_hour.max(1))).unwrap_or(i64::MAX),
        // So long takes even the slowest strategy, should each change be built twice, one after the other.
        rest_ms: 2 * i64::try_from(CHANGES).unwrap_or(i64::MAX) * BUILD_MAX_MS,
    }
}

fn policy(strategy: StrategyPolicy, slots: u32) -> Policy {
    Policy {
        account: super::setting::BOT.into(),
        queues: vec![QueuePolicy {
            name: "all".into(),
            family: None,
            per_branch: false,
            outside: Default::default(),
            repositories: Patterns::new(&["*"]),
            branches: Patterns::new(&["*"]),
            strategy,
            max_items_per_push: 50,
            merge_from: Vec::new(),
            after_failure: AfterFailure::Forget,
            landing: LandingMode::Push,
            topics: TopicPolicy::Apart,
            tuning: Tuning::default(),
        }],
        sites: Vec::new(),
        jobs: [job("unit", &["*"], &[], "1"), job("joint", &["r0"], &["r1"], "1")].map(patient).into(),
        job_files: false,
        templates: Default::default(),
        gate: GatePolicy {
            approval: vec![Need { label: "Code-Review".into(), min: 2 }],
            label: "Verified".into(),
            success: 1,
            failure: -1,
            start_message_after_ms: None,
        },
        check: CheckPolicy { enabled: false, success: 1, failure: -1, recheck: None },
        slots,
        limits: Limits::default(),
        priority: Default::default(),
        pipelines: Default::default(),
    }
}

/// The job with time for the longest build.
fn patient(mut job: JobPolicy) -> JobPolicy {
    job.spec = Arc::new(BuildSpec { timeout_ms: 2 * BUILD_MAX_MS, ..(*job.spec).clone() });
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adaptive_costs_six_tenths_of_the_yardstick_at_most() {
        let cost = |strategy| figures(0..3, strategy, 32, 120).unwrap().builds_per_change();
        let (zuul, adaptive) = (cost(StrategyPolicy::Zuul), cost(StrategyPolicy::Adaptive));
        assert!(adaptive * 10 <= zuul * 6, "{adaptive} against {zuul}");
    }

    #[test]
    fn the_nearest_rank_is_taken() {
        let figures = Figures { stays_ms: (1..=10).collect(), ..Figures::default() };
        assert_eq!((figures.stay_ms(50), figures.stay_ms(95), figures.stay_ms(100)), (5, 10, 10));
        assert_eq!(Figures::default().stay_ms(50), 0);
    }
}
