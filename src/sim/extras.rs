//! What only some of the drawn settings have: pipelines at the tips and on demand, sites, queues that derive from
//! them, a repository outside of all queues.

use std::sync::Arc;

use super::rng::Rng;
use super::setting::{Poison, job};
use crate::model::job::RunsFor;
use crate::model::pipeline::{JobPipelines, OnDemandPolicy, PeriodicPolicy, PostPolicy};
use crate::model::policy::{OutsidePolicy, QueuePolicy, StrategyPolicy};
use crate::model::site::groups;
use crate::model::{Pair, Patterns, Policy, SitePolicy};

/// The repository that no queue gates.
const OUTSIDE: &str = "x0";
/// How old pins may be, in milliseconds.
const AGES_MS: [i64; 3] = [5_000, 60_000, 600_000];
/// Streams of these numbers are such that no stored regression draws what is drawn with them.
const OUTSIDE_STREAM: u64 = 68;
const DEMANDS_STREAM: u64 = 57;
const EARLY_STREAM: u64 = 78;
const APART_STREAM: u64 = 100;

/// In some sites each branch stands for itself and slots are few, so that batches of many branches are built
/// beside one another.
pub(super) fn are_apart(seed: u64) -> bool {
    Rng::keyed(seed, APART_STREAM, 0).chance(150)
}

/// The configuration of a site in which each branch stands for itself; drawn apart.
pub(super) fn draw_apart(seed: u64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, APART_STREAM, 1);
    policy.jobs.retain(|job| job.inputs.is_empty());
    if !policy.jobs.iter().any(|job| job.voting && job.pipelines.0.is_empty()) {
        policy.jobs.push(job("unit", &["*"], &[], "1"));
    }
    let names: Vec<_> = policy.jobs.iter().map(|job| job.name.clone()).collect();
    for job in &mut policy.jobs {
        job.needs = job.needs.iter().filter(|name| names.contains(name)).cloned().collect();
    }
    policy.sites.clear();
    policy.queues.truncate(1);
    for queue in &mut policy.queues {
        queue.repositories = Patterns::new(&["*"]);
        (queue.family, queue.per_branch) = (None, false);
        queue.outside = OutsidePolicy::default();
        queue.strategy = if rng.chance(300) { StrategyPolicy::Batch } else { StrategyPolicy::Adaptive };
        queue.tuning.batch_max = u32::try_from(rng.between(2, 8)).unwrap_or(2);
        queue.max_items_per_push = queue.max_items_per_push.max(queue.tuning.batch_max);
    }
    policy.slots = u32::try_from(rng.between(1, 4)).unwrap_or(1);
    policy.priority.most_per_owner = None;
    policy.priority.most_per_repository = None;
    policy
}

fn within(names: &[&str]) -> JobPipelines {
    JobPipelines(names.iter().map(|name| (*name).into()).collect())
}

/// In some sites jobs run after landings, and at set times; drawn apart.
pub(super) fn draw_runs(seed: u64, repositories: i64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 20, 0);
    if !rng.chance(350) {
        return policy;
    }
    let mut late = vec![job("deep", &["*"], &[], "1")];
    if repositories > 1 && rng.chance(500) {
        late.push(job("wide", &["r0"], &["r1"], "1"));
    }
    for job in &mut late {
        job.pipelines = within(&["post"]);
    }
    if let Some(unit) = policy.jobs.first_mut().filter(|_| rng.chance(300)) {
        unit.pipelines = within(&["check", "gate", "post"]);
    }
    policy.pipelines.post = PostPolicy { report: rng.chance(850), bisect: rng.chance(850) };
    if rng.chance(500) {
        let (cron, time_zone) = ("*/7 * * * *".into(), "UTC".into());
        let bisect = rng.chance(500);
        policy.pipelines.periodic = vec![PeriodicPolicy { name: "often".into(), cron, time_zone, bisect }];
        let mut nightly = job("nightly", &["*"], &[], "1");
        nightly.pipelines = within(&["often"]);
        nightly.reuse_ms = rng.chance(300).then_some(0);
        late.push(nightly);
    }
    policy.jobs.extend(late);
    policy
}

/// How many of the slots alternatives to the likeliest path may use; drawn apart. Some sites have more slots, of
/// which one is spare now and then.
pub(super) fn draw_alternatives(seed: u64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 22, 0);
    for queue in &mut policy.queues {
        queue.tuning.alternatives = rng.pick(&[0, 5, 25, 25, 50, 50]).copied().unwrap_or_default();
    }
    policy.slots += if rng.chance(250) { 8 } else { 0 };
    draw_early_landing(seed, &mut policy);
    policy
}

/// In some sites changes may land early. Those have slots to spare and no batches, as it would never happen else.
fn draw_early_landing(seed: u64, policy: &mut Policy) {
    let mut rng = Rng::keyed(seed, EARLY_STREAM, 0);
    if !rng.chance(250) {
        return;
    }
    policy.slots += rng.pick(&[4, 8, 16]).copied().unwrap_or_default();
    for queue in &mut policy.queues {
        queue.tuning.alternatives = 50;
        queue.tuning.early_landing = true;
        queue.tuning.batch_max = 1;
        if rng.chance(800) {
            queue.strategy = StrategyPolicy::Ranked;
        }
    }
}

/// What the gate lets pass and later jobs notice.
pub(super) fn draw_late_poison(seed: u64, changes: u64) -> Vec<Poison> {
    let mut rng = Rng::keyed(seed, 21, 0);
    let mut poison = Vec::new();
    for _ in 0..rng.between(1, 6) {
        let job = rng.pick(&["deep", "deep", "wide", "nightly"]).map(|job| Arc::from(*job));
        poison.push(Poison { job, tokens: vec![format!("c{}.1", rng.below(changes)).into()] });
    }
    poison
}

/// In a quarter of the runs repositories are in sites, of which some overlap, and in half of these the queues
/// are those that the sites stand for; some queues are one for each branch. Drawn apart.
pub(super) fn draw_sites(seed: u64, repositories: i64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 12, 0);
    if seed % 4 != 2 {
        return policy;
    }
    for number in 0..rng.between(1, 3) {
        let names: Vec<String> = (0..repositories)
            .filter(|_| rng.chance(600))
            .map(|repository| format!("r{repository}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            continue;
        }
        policy.sites.push(SitePolicy {
            name: format!("s{number}").into(),
            repositories: if rng.chance(150) { Patterns::new(&["r*"]) } else { Patterns::new(&names) },
            branch: rng.chance(200).then(|| "main".into()),
            inputs: rng.chance(850),
        });
    }
    for job in &mut policy.jobs {
        job.sites = rng.chance(850);
    }
    if rng.chance(500)
        && let Some(usual) = policy.queues.first().cloned()
    {
        let derived = groups(&policy.sites).into_iter().map(|group| {
            let all = group.iter().flat_map(|site| &policy.sites[*site].repositories.0);
            QueuePolicy {
                name: format!("qsite{}", group[0]).into(),
                family: Some("qsite".into()),
                repositories: Patterns(all.cloned().collect()),
                ..usual.clone()
            }
        });
        let derived: Vec<QueuePolicy> = derived.collect();
        policy.queues.splice(0..0, derived);
    }
    for queue in &mut policy.queues {
        queue.per_branch = rng.chance(300);
        if rng.chance(400) {
            queue.outside = draw_pinned(&mut rng);
        }
    }
    policy
}

fn draw_pinned(rng: &mut Rng) -> OutsidePolicy {
    OutsidePolicy::Pinned { age_ms: *rng.pick(&AGES_MS).unwrap_or(&60_000) }
}

/// In a quarter of the runs a job reads a repository that no queue gates, and in most of the queues what is
/// outside of them is pinned. Drawn apart; gives that repository's branches.
pub(super) fn draw_outside(seed: u64, two_branches: bool, mut policy: Policy) -> (Policy, Vec<Pair>) {
    let mut rng = Rng::keyed(seed, OUTSIDE_STREAM, 0);
    if !rng.chance(250) {
        return (policy, Vec::new());
    }
    let everything = Patterns::new(&["*"]);
    for queue in &mut policy.queues {
        if queue.repositories == everything {
            queue.repositories = Patterns::new(&["r*"]);
        }
        queue.outside = if rng.chance(650) { draw_pinned(&mut rng) } else { OutsidePolicy::Strict };
    }
    let mut outer = job("outer", &["r*"], &[OUTSIDE], "1");
    outer.voting = rng.chance(850);
    outer.runs_for = if rng.chance(500) { RunsFor::Own } else { RunsFor::Inputs };
    policy.jobs.push(outer);
    let branches = if two_branches && rng.chance(500) { &["main", "dev"][..] } else { &["main"][..] };
    (policy, branches.iter().map(|branch| Pair::new(OUTSIDE, *branch)).collect())
}

/// What fails with what others push to the repository outside of the queues.
pub(super) fn draw_outside_poison(seed: u64, changes: u64) -> Vec<Poison> {
    let mut rng = Rng::keyed(seed, OUTSIDE_STREAM, 1);
    let mut poison = Vec::new();
    for _ in 0..rng.between(1, 4) {
        let mut tokens = vec![Arc::from(format!("outside {}", rng.below(3)))];
        if rng.chance(850) {
            tokens.push(format!("c{}.1", rng.below(changes)).into());
        }
        poison.push(Poison { job: Some("outer".into()), tokens });
    }
    poison
}

/// In a quarter of the runs comments ask for pipelines, and for another check where there are checks; drawn
/// apart.
pub(super) fn draw_demands(seed: u64, repositories: i64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, DEMANDS_STREAM, 0);
    if !rng.chance(250) {
        return policy;
    }
    policy.check.recheck = rng.chance(800).then(|| "recheck".into());
    let names = if rng.chance(400) { &["perf", "soak"][..] } else { &["perf"][..] };
    for name in names {
        policy.pipelines.on_demand.push(OnDemandPolicy {
            name: (*name).into(),
            comment: format!("check {name}").into(),
            success: i32::from(rng.chance(300)),
            failure: -i32::from(rng.chance(400)),
        });
    }
    if let Some(unit) = policy.jobs.first_mut().filter(|_| rng.chance(400)) {
        unit.pipelines.0.push("perf".into());
    }
    let mut bench =
        job("bench", &["*"], if repositories > 1 && rng.chance(400) { &["r1"] } else { &[] }, "1");
    bench.pipelines = within(names);
    bench.voting = rng.chance(850);
    policy.jobs.push(bench);
    policy
}

/// What the gate lets pass and a job that comments ask for notices.
pub(super) fn draw_demands_poison(seed: u64, changes: u64) -> Vec<Poison> {
    let mut rng = Rng::keyed(seed, DEMANDS_STREAM, 1);
    let mut draw =
        |_| Poison { job: Some("bench".into()), tokens: vec![format!("c{}.1", rng.below(changes)).into()] };
    (0..4).map(&mut draw).collect()
}
