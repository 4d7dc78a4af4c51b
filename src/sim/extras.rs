//! What only some of the drawn settings have: pipelines at the tips, sites, queues that derive from them.

use std::sync::Arc;

use super::rng::Rng;
use super::setting::{Poison, job};
use crate::model::pipeline::{JobPipelines, PeriodicPolicy, PostPolicy};
use crate::model::policy::{OutsidePolicy, QueuePolicy, StrategyPolicy};
use crate::model::site::groups;
use crate::model::{Patterns, Policy, SitePolicy};

/// In some sites jobs run after landings, and at set times; drawn apart.
pub(super) fn draw_runs(seed: u64, repositories: i64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 20, 0);
    if !rng.chance(350) {
        return policy;
    }
    let within = |names: &[&str]| JobPipelines(names.iter().map(|name| (*name).into()).collect());
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
    let mut rng = Rng::keyed(seed, 40, 0);
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
            queue.outside =
                OutsidePolicy::Pinned { age_ms: *rng.pick(&[5_000, 60_000, 600_000]).unwrap_or(&60_000) };
        }
    }
    policy
}
