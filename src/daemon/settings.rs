//! From the configuration to what the adapters are told; for the daemon and for the doctor alike.

use std::sync::Arc;

use crate::config::Config;
use crate::gerrit::{Needs, Rules, Settings as GerritSettings};
use crate::model::policy::LandingMode;
use crate::model::{Pair, Policy, Timestamp};

/// Branches whose tips are read where the configuration names none.
const USUAL_BRANCHES: [&str; 2] = ["main", "master"];

/// What the Gerrit adapter is told. `since` is the newest modification seen before a restart.
pub fn gerrit_settings(config: &Config, since: Timestamp) -> GerritSettings {
    let gerrit = &config.gerrit;
    GerritSettings {
        url: gerrit.url.clone(),
        other_urls: gerrit.other_urls.clone(),
        user: gerrit.user.clone(),
        token: gerrit.token.expose().to_owned(),
        ssh_host: gerrit.ssh_host.clone(),
        ssh_port: gerrit.ssh_port,
        ssh_key: gerrit.ssh_key.clone(),
        known_hosts: gerrit.known_hosts.clone(),
        rules: rules_of(config),
        since,
    }
}

/// What the Gerrit adapter may be told anew while it runs.
pub fn rules_of(config: &Config) -> Rules {
    let policy = &config.policy;
    let patterns = || policy.queues.iter().flat_map(|queue| queue.branches.0.iter());
    let mut branches: Vec<String> =
        patterns().filter_map(|pattern| pattern.literal()).map(str::to_owned).collect();
    if patterns().any(|pattern| pattern.literal().is_none()) {
        // A pattern names no branch to ask for: the usual ones show which repositories there are.
        branches.extend(USUAL_BRANCHES.map(str::to_owned));
    }
    let read = policy.sites.iter().filter_map(|site| site.branch.as_ref());
    branches.extend(read.map(|branch| branch.as_str().to_owned()));
    Rules {
        approval: approval(config),
        branches,
        tips_poll_ms: config.gerrit.poll_ms.unsigned_abs(),
        sweep_ms: config.gerrit.sweep_ms.unsigned_abs(),
        asks: policy.asks(),
    }
}

/// What the configuration needs from Gerrit.
pub fn needs(config: &Config) -> Needs {
    let (gated, pushed) = (config.policy.clone(), config.policy.clone());
    Needs {
        label: config.policy.gate.label.to_string(),
        values: vote_values(config),
        success: config.policy.gate.success,
        approval: approval(config),
        committer_email: config.gerrit.committer_email.clone(),
        gated: Arc::new(move |pair| gated.queue_of(pair).is_some()),
        pushed: Arc::new(move |pair| is_pushed(&pushed, pair)),
    }
}

/// Whether the daemon pushes to a gated branch; else it has Gerrit submit.
pub fn is_pushed(policy: &Policy, pair: &Pair) -> bool {
    policy.queue_of(pair).is_some_and(|queue| queue.landing == LandingMode::Push)
}

/// The values that the daemon votes, 0 left out, sorted.
fn vote_values(config: &Config) -> Vec<i32> {
    let (gate, check) = (&config.policy.gate, &config.policy.check);
    let on_demand = config.policy.pipelines.on_demand.iter().flat_map(|own| [own.success, own.failure]);
    let values = [gate.success, gate.failure, check.success, check.failure].into_iter().chain(on_demand);
    let mut values: Vec<i32> = values.filter(|value| *value != 0).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn approval(config: &Config) -> Vec<(String, i32)> {
    config.policy.gate.approval.iter().map(|need| (need.label.to_string(), need.min)).collect()
}
