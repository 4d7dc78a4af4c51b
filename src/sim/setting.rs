//! What a seed draws before anything happens: the site, its configuration, how often each fault
//! strikes, and which contents are bad.
//!
//! Chances of faults are drawn per seed and many of them are zero (swarm testing): a fault that
//! always strikes hides what happens without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::extras::{
    are_apart, draw_alternatives, draw_apart, draw_demands, draw_demands_poison, draw_late_poison,
    draw_outside, draw_outside_poison, draw_runs, draw_sites,
};
use super::rng::Rng;
use crate::model::job::{Attempts, RunsFor};
use crate::model::policy::{
    AfterFailure, CheckPolicy, GatePolicy, Growth, LandingMode, Limits, Need, QueuePolicy, StrategyPolicy,
    TopicPolicy, Tuning,
};
use crate::model::priority::PriorityPolicy;
use crate::model::{
    BuildSpec, InputPolicy, JobName, JobPolicy, LandingForm, Pair, Patterns, Policy, Repository,
};
use crate::world::Tree;

/// The daemon's account.
pub const BOT: &str = "bot";
/// The hashtag of urgent changes.
pub const URGENT: &str = "urgent";
/// The path of job files.
pub const JOB_FILE: &str = "seakeeper.toml";

/// Chances in a thousand, for each time that the fault could strike.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// News of a change or a tip is lost.
    pub news_lost: u32,
    /// News is delivered twice.
    pub news_doubled: u32,
    /// News arrives much later.
    pub news_late: u32,
    /// An effect's answer never comes.
    pub answer_lost: u32,
    /// A reading or writing request fails.
    pub request_failed: u32,
    /// A message or vote is applied, but the answer is a failure of the line.
    pub report_unknown: u32,
    /// A push is refused by the line before it was sent.
    pub push_failed: u32,
    /// A push lands, and its outcome is unknown.
    pub push_unknown_applied: u32,
    /// A push does not land, and its outcome is unknown.
    pub push_unknown_undone: u32,
    /// A push lands long after its outcome became unknown.
    pub push_submarine: u32,
    /// A merge cannot be made for now.
    pub prepare_failed: u32,
    /// A build's start fails.
    pub start_failed: u32,
    /// A build vanishes.
    pub build_lost: u32,
    /// A build ends without a verdict.
    pub infrastructure: u32,
    /// A build never ends by itself.
    pub build_stuck: u32,
    /// A report of an executor is dropped.
    pub build_report_dropped: u32,
    /// A stopped build ends late, with its verdict.
    pub late_verdict: u32,
    /// A passing build fails by chance.
    pub flaky: u32,
    /// The daemon dies before its journal has the events.
    pub crash_before: u32,
    /// The daemon dies with the events in the journal and nothing begun.
    pub crash_after: u32,
    /// The daemon dies with some of the effects begun.
    pub crash_between: u32,
    /// The journal refuses an entry.
    pub journal_refuses: u32,
    /// Nodes are forgotten in a restart.
    pub nodes_forgotten: u32,
}

/// Contents that make a job fail when they stand together.
#[derive(Clone, Debug)]
pub struct Poison {
    /// The job that notices; `None` for all.
    pub job: Option<Arc<str>>,
    /// The tokens.
    pub tokens: Vec<Arc<str>>,
}

/// All that is drawn before the run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The seed.
    pub seed: u64,
    /// Branches and what they start with.
    pub branches: BTreeMap<Pair, Tree>,
    /// Branches that no queue gates, with what they start with: people push to them beside everything.
    pub outside: BTreeMap<Pair, Tree>,
    /// The first configuration.
    pub policy: Policy,
    /// How often what goes wrong.
    pub faults: Faults,
    /// What is bad.
    pub poison: Vec<Poison>,
    /// How each repository lands changes.
    pub forms: BTreeMap<Repository, LandingForm>,
    /// Changes whose first patch set has no Change-Id in its message.
    pub footerless: BTreeSet<u64>,
    /// Whether job files that are added have jobs that need others, and jobs for some files alone.
    pub graph: bool,
    /// Whether each branch stands for itself: changes have nothing to do with those of others.
    pub apart: bool,
    /// Longest build, in milliseconds.
    pub build_max_ms: i64,
    /// How many changes people make.
    pub changes: u64,
    /// When people stop, in milliseconds from the start.
    pub people_until_ms: i64,
    /// Within how long after that all is to come to rest, in milliseconds.
    pub rest_ms: i64,
}

impl Setting {
    /// What `seed` draws.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::keyed(seed, 1, 0);
        let apart = are_apart(seed);
        let repositories = if apart { 3 } else { rng.between(1, 3) };
        let two_branches = rng.chance(300) || apart;
        let job_files = rng.chance(500) && !apart;
        let mut branches = BTreeMap::new();
        for repository in 0..repositories {
            for branch in ["main", "dev"].iter().take(if two_branches { 2 } else { 1 }) {
                let pair = Pair::new(format!("r{repository}"), *branch);
                branches.insert(pair.clone(), first_tree(&pair, job_files && rng.chance(600)));
            }
        }
        let changes = rng.between(4, 22).unsigned_abs() + if apart { 12 } else { 0 };
        let policy = draw_policy(&mut rng, repositories, job_files);
        let (policy, graph) = draw_graph(seed, policy);
        let policy = draw_strategies(seed, draw_order(seed, draw_landing(seed, policy)));
        let policy = draw_runs(seed, repositories, draw_alternatives(seed, policy));
        let policy = draw_sites(seed, repositories, policy);
        let (policy, outside) = if apart {
            (draw_apart(seed, policy), Vec::new())
        } else {
            draw_outside(seed, two_branches, policy)
        };
        Self {
            seed,
            apart,
            branches,
            outside: outside.into_iter().map(|pair| (pair.clone(), first_tree(&pair, false))).collect(),
            policy: draw_demands(seed, repositories, policy),
            graph,
            faults: draw_faults(&mut rng),
            poison: draw_poison(&mut rng, changes)
                .into_iter()
                .chain(draw_late_poison(seed, changes))
                .chain(draw_outside_poison(seed, changes))
                .chain(draw_demands_poison(seed, changes))
                .collect(),
            forms: draw_forms(seed, repositories, rng.chance(700)),
            footerless: draw_footerless(seed, changes),
            build_max_ms: *rng.pick(&[2_000, 30_000, 120_000]).unwrap_or(&30_000),
            changes,
            people_until_ms: *rng.pick(&[60_000, 600_000, 2_400_000]).unwrap_or(&600_000),
            rest_ms: 4 * 3_600_000,
        }
    }

    /// Whether a job's verdict is a function of what it reads.
    pub fn deterministic(&self) -> bool {
        self.faults.flaky == 0
    }
}

/// Half of the repositories merge; what the others do is drawn apart, so that the rest of a seed's
/// draws stays what it was.
fn draw_forms(seed: u64, repositories: i64, merge_always: bool) -> BTreeMap<Repository, LandingForm> {
    let mut rng = Rng::keyed(seed, 4, 0);
    let merge = if merge_always { LandingForm::MergeAlways } else { LandingForm::MergeIfNecessary };
    let others = [
        LandingForm::FastForwardOnly,
        LandingForm::RebaseIfNecessary,
        LandingForm::RebaseAlways,
        LandingForm::CherryPick,
    ];
    let mut draw = || if rng.chance(500) { merge } else { *rng.pick(&others).unwrap_or(&merge) };
    (0..repositories).map(|number| (Repository::from(format!("r{number}")), draw())).collect()
}

/// In some sites the review host lands what was tested.
fn draw_landing(seed: u64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 6, 0);
    for queue in &mut policy.queues {
        queue.landing = if rng.chance(200) { LandingMode::Submit } else { LandingMode::Push };
    }
    let mut rng = Rng::keyed(seed, 8, 0);
    for queue in policy.queues.iter_mut().filter(|queue| queue.landing == LandingMode::Push) {
        queue.topics = if rng.chance(600) { TopicPolicy::Together } else { TopicPolicy::Apart };
    }
    policy
}

/// In half of the sites jobs need others, or are for some files alone, or both. Drawn apart.
fn draw_graph(seed: u64, mut policy: Policy) -> (Policy, bool) {
    let mut rng = Rng::keyed(seed, 12, 0);
    let (needs, matchers) = (rng.chance(350), rng.chance(350));
    if needs && policy.jobs.len() < 3 {
        policy.jobs.push(job("late", &["*"], &[], "1"));
    }
    for at in 1..policy.jobs.len() {
        let (before, rest) = policy.jobs.split_at_mut(at);
        let Some(job) = rest.first_mut() else { continue };
        // What votes needs only what does.
        let possible = before.iter().filter(|other| other.voting || !job.voting);
        let needed = possible.filter(|_| needs && rng.chance(450)).map(|other| other.name.clone());
        let needed: BTreeSet<JobName> = needed.collect();
        job.needs = needed.into_iter().collect();
    }
    const FILES: [&str; 7] = ["own/*", "own/1*", "?", "lib/*", "doc/*", "side/*", "outside"];
    for job in &mut policy.jobs {
        if matchers && rng.chance(450) {
            let files: Vec<&str> = FILES.iter().copied().filter(|_| rng.chance(350)).collect();
            job.runs_for = RunsFor::Files;
            job.files = Patterns::new(if files.is_empty() { &FILES[..1] } else { &files });
        }
    }
    (policy, needs || matchers)
}

/// One of the strategies, by a number; `window` is that of those that have one.
pub fn strategy(number: u64, window: u32) -> StrategyPolicy {
    match number % 12 {
        0 => StrategyPolicy::Serial,
        1..4 => StrategyPolicy::Dependent { window },
        4..6 => StrategyPolicy::Batch,
        6..8 => StrategyPolicy::Ranked,
        8 => StrategyPolicy::Zuul,
        _ => StrategyPolicy::Adaptive,
    }
}

/// Strategies are drawn apart.
fn draw_strategies(seed: u64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 9, 0);
    for queue in &mut policy.queues {
        let window = u32::try_from(rng.between(1, 12)).unwrap_or(1);
        queue.strategy = strategy(rng.word(), window);
        queue.tuning = Tuning {
            growth: rng.chance(400).then_some(Growth { start: window, floor: 1, ceiling: 12, by: 1 }),
            fail_fast: rng.chance(700),
            batch_max: u32::try_from(rng.between(1, 8)).unwrap_or(1),
            alternatives: 0,
            early_landing: false,
        };
    }
    policy
}

/// Who goes first is drawn apart.
fn draw_order(seed: u64, mut policy: Policy) -> Policy {
    let mut rng = Rng::keyed(seed, 7, 0);
    let limit = |rng: &mut Rng| rng.chance(150).then(|| u32::try_from(rng.between(1, 4)).unwrap_or(1));
    policy.priority = PriorityPolicy {
        fair_share: rng.chance(850),
        changes_per_turn: u32::try_from(rng.between(1, 4)).unwrap_or(1),
        urgent_hashtag: rng.chance(700).then(|| URGENT.into()),
        urgent_accounts: if rng.chance(500) { vec!["author1".into(), "rev".into()] } else { Vec::new() },
        urgent_overtakes: *rng.pick(&[1, 3, 20]).unwrap_or(&20),
        most_per_owner: limit(&mut rng),
        most_per_repository: limit(&mut rng),
    };
    policy
}

fn draw_footerless(seed: u64, changes: u64) -> BTreeSet<u64> {
    let mut rng = Rng::keyed(seed, 5, 0);
    let often = if rng.chance(700) { 0 } else { 200 };
    (0..changes).filter(|_| rng.chance(often)).collect()
}

fn first_tree(pair: &Pair, with_job_file: bool) -> Tree {
    let mut tree: Tree = ["a", "b", "c", "d", "e", "lib/f", "doc/g"]
        .iter()
        .map(|path| (Arc::from(*path), Arc::from(format!("{pair} {path} 0"))))
        .collect();
    if with_job_file {
        tree.insert(JOB_FILE.into(), "jobs own 0".into());
    }
    tree
}

/// One job with the given home and inputs.
pub fn job(name: &str, repositories: &[&str], inputs: &[&str], round: &str) -> JobPolicy {
    JobPolicy {
        name: name.into(),
        repositories: Patterns::new(repositories),
        branches: Patterns::new(&["*"]),
        inputs: inputs
            .iter()
            .map(|name| InputPolicy { repository: (*name).into(), branch: None, paths: Vec::new() })
            .collect(),
        sites: true,
        paths: Vec::new(),
        ignored_files: Patterns::default(),
        runs_for: RunsFor::Inputs,
        files: Patterns::default(),
        spec: Arc::new(BuildSpec {
            commands: vec![format!("make {name} {round}").into()],
            environment: BTreeMap::new(),
            timeout_ms: 300_000,
            trust: "gate".into(),
        }),
        voting: true,
        history: false,
        reuse_ms: None,
        attempts: Attempts::UpTo(1),
        needs: Vec::new(),
        pipelines: Default::default(),
    }
}

fn draw_jobs(rng: &mut Rng, repositories: i64, job_files: bool) -> Vec<JobPolicy> {
    let mut jobs = Vec::new();
    if !job_files || rng.chance(800) {
        jobs.push(job("unit", &["*"], &[], "1"));
    }
    if repositories > 1 && rng.chance(600) {
        jobs.push(job("joint", &["r0"], &["r1"], "1"));
    }
    if repositories > 2 && rng.chance(500) {
        jobs.push(job("all", &["r2"], &["r0", "r1"], "1"));
    }
    if rng.chance(300) {
        let mut docs = job("docs", &["*"], &[], "1");
        docs.ignored_files = Patterns::new(&["doc/*"]);
        jobs.push(docs);
    }
    if rng.chance(200) {
        let mut hint = job("hint", &["*"], &[], "1");
        hint.voting = false;
        jobs.push(hint);
    }
    for job in &mut jobs {
        job.history = rng.chance(100);
        job.attempts = attempts(rng);
        if rng.chance(100) {
            job.reuse_ms = Some(*rng.pick(&[0, 60_000]).unwrap_or(&0));
        }
    }
    jobs
}

/// Mostly one attempt; now and then another, always or where it pays.
fn attempts(rng: &mut Rng) -> Attempts {
    match rng.below(20) {
        0..=2 => Attempts::UpTo(2),
        3 => Attempts::WhereItPays { where_it_pays: 3 },
        _ => Attempts::UpTo(1),
    }
}

fn draw_policy(rng: &mut Rng, repositories: i64, job_files: bool) -> Policy {
    let all = rng.chance(600);
    let names: Vec<String> = (0..repositories).map(|n| format!("r{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let queues = match (all, job_files) {
        // Repositories that a queue names one by one have each other's job files consulted.
        (true, true) => vec![draw_queue(rng, "qall", &names)],
        (true, false) => vec![draw_queue(rng, "qall", &["*"])],
        (false, _) => names.iter().map(|name| draw_queue(rng, &format!("q{name}"), &[name])).collect(),
    };
    Policy {
        account: BOT.into(),
        queues,
        sites: Vec::new(),
        jobs: draw_jobs(rng, repositories, job_files),
        job_files,
        templates: Default::default(),
        gate: GatePolicy {
            approval: vec![Need { label: "Code-Review".into(), min: 2 }],
            label: "Verified".into(),
            success: 1,
            failure: -1,
            start_message_after_ms: rng.chance(700).then_some(30_000),
        },
        check: CheckPolicy { enabled: rng.chance(400), success: 1, failure: -1, recheck: None },
        slots: u32::try_from(rng.between(1, 8)).unwrap_or(1),
        limits: Limits {
            settle_ms: *rng.pick(&[30_000, 300_000]).unwrap_or(&300_000),
            // Longer than an adapter tries to deliver a message.
            effect_ms: *rng.pick(&[60_000, 120_000]).unwrap_or(&120_000),
            retry_max_ms: 60_000,
            build_grace_ms: 20_000,
            ..Limits::default()
        },
        priority: Default::default(),
        pipelines: Default::default(),
    }
}

fn draw_queue(rng: &mut Rng, name: &str, repositories: &[&str]) -> QueuePolicy {
    let window = u32::try_from(rng.between(1, 12)).unwrap_or(1);
    QueuePolicy {
        name: name.into(),
        family: None,
        per_branch: false,
        outside: Default::default(),
        repositories: Patterns::new(repositories),
        branches: Patterns::new(&["*"]),
        strategy: if rng.chance(250) { StrategyPolicy::Serial } else { StrategyPolicy::Dependent { window } },
        max_items_per_push: u32::try_from(rng.between(1, 6)).unwrap_or(1),
        merge_from: if rng.chance(300) { vec!["dev".into()] } else { Vec::new() },
        after_failure: if rng.chance(250) { AfterFailure::Keep } else { AfterFailure::Forget },
        landing: LandingMode::Push,
        topics: TopicPolicy::Apart,
        tuning: Default::default(),
    }
}

fn draw_faults(rng: &mut Rng) -> Faults {
    let quiet = rng.chance(150);
    let mut draw = |often: u32| {
        if quiet || rng.chance(550) { 0 } else { 1 + u32::try_from(rng.below(u64::from(often))).unwrap_or(0) }
    };
    Faults {
        news_lost: draw(300),
        news_doubled: draw(300),
        news_late: draw(200),
        answer_lost: draw(30),
        request_failed: draw(150),
        report_unknown: draw(100),
        push_failed: draw(200),
        push_unknown_applied: draw(300),
        push_unknown_undone: draw(300),
        push_submarine: draw(300),
        prepare_failed: draw(100),
        start_failed: draw(100),
        build_lost: draw(60),
        infrastructure: draw(150),
        build_stuck: draw(40),
        build_report_dropped: draw(200),
        late_verdict: draw(500),
        flaky: draw(100),
        crash_before: draw(12),
        crash_after: draw(12),
        crash_between: draw(12),
        journal_refuses: draw(12),
        nodes_forgotten: draw(500),
    }
}

fn draw_poison(rng: &mut Rng, changes: u64) -> Vec<Poison> {
    let mut poison = Vec::new();
    for _ in 0..rng.between(0, 5) {
        let mut tokens: Vec<Arc<str>> = vec![format!("c{}.1", rng.below(changes)).into()];
        if rng.chance(500) {
            tokens.push(format!("c{}.1", rng.below(changes)).into());
        }
        let job = if rng.chance(400) {
            rng.pick(&["unit", "own", "extra", "joint"]).map(|job| Arc::from(*job))
        } else {
            None
        };
        poison.push(Poison { job, tokens });
    }
    if rng.chance(200) {
        poison.push(Poison {
            job: None,
            tokens: vec!["outside 0".into(), format!("c{}.1", rng.below(changes)).into()],
        });
    }
    poison
}
