//! Times the core alone: what one step costs at a given depth of the queue, and how many steps a
//! second a simulation of ordinary depth makes. Run with `cargo bench --bench core`, with depths behind
//! `--` where only those are wanted; with `journal FOLDER` behind it, the steps that a daemon has journaled
//! in its state folder are played again. docs/performance.md holds the figures.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seakeeper::model::action::Decision;
use seakeeper::model::event::BuildPhase;
use seakeeper::model::policy::{
    AfterFailure, CheckPolicy, GatePolicy, Limits, Need, Policy, QueuePolicy, StrategyPolicy,
};
use seakeeper::model::tree::{Prepared, Resolved, Written};
use seakeeper::model::{
    Action, BuildSpec, ChangeNumber, ChangeSnapshot, ChangeStatus, Effect, EffectKind, Event, Outcome, Pair,
    PatchSet, Patterns, Pipeline, ResolvedInput, ResolvedJob, Sha, Timestamp, Verdict, VerdictKey, Vote,
};
use seakeeper::port::Entry;
use seakeeper::queue::Queue;
use seakeeper::store::Store;

/// A world in which everything passes, at once.
struct World {
    queue: Queue,
    events: VecDeque<Event>,
    now: Timestamp,
    uploaded: u64,
    depth: u64,
    jobs: u64,
    /// Repositories that the changes are spread over.
    repositories: u64,
    undecided: u64,
    tips: Vec<Sha>,
    written: std::collections::BTreeMap<u64, Sha>,
    spec: Arc<BuildSpec>,
    steps: Vec<Duration>,
    started: VecDeque<seakeeper::model::BuildId>,
}

fn sha(kind: u8, number: u64) -> Sha {
    let mut bytes = [kind; 20];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Sha(bytes)
}

fn pair(number: u64, repositories: u64) -> Pair {
    Pair::new(format!("group/repository-{}", number % repositories), "main")
}

fn policy(slots: u32, strategy: StrategyPolicy) -> Policy {
    Policy {
        account: "bot".into(),
        queues: vec![QueuePolicy {
            name: "main".into(),
            family: None,
            per_branch: false,
            outside: Default::default(),
            repositories: Patterns::new(&["group/*"]),
            branches: Patterns::new(&["*"]),
            strategy,
            max_items_per_push: 50,
            merge_from: Vec::new(),
            after_failure: AfterFailure::Forget,
            landing: seakeeper::model::policy::LandingMode::Push,
            topics: seakeeper::model::policy::TopicPolicy::Apart,
            tuning: Default::default(),
        }],
        sites: Vec::new(),
        jobs: Vec::new(),
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

impl World {
    fn new(case: &Case) -> Self {
        let mut world = Self {
            queue: Queue::new(),
            events: VecDeque::new(),
            now: Timestamp(1_000_000),
            uploaded: 0,
            depth: case.items,
            jobs: case.jobs,
            repositories: case.repositories,
            undecided: 0,
            tips: (0..case.repositories).map(|number| sha(1, number)).collect(),
            written: std::collections::BTreeMap::new(),
            spec: Arc::new(BuildSpec {
                commands: vec!["true".into()],
                environment: std::collections::BTreeMap::new(),
                timeout_ms: 60_000,
                trust: "operator".into(),
            }),
            steps: Vec::new(),
            started: VecDeque::new(),
        };
        world.step(Event::PolicyChanged { policy: policy(case.slots, case.strategy).shared() });
        for number in 0..case.repositories {
            world
                .step(Event::TipSeen { pair: pair(number, case.repositories), commit: Some(sha(1, number)) });
        }
        world
    }

    fn step(&mut self, event: Event) {
        self.now = self.now.plus_ms(1);
        let begun = Instant::now();
        let step = self.queue.step(self.now, event);
        self.steps.push(begun.elapsed());
        for action in step.actions {
            match action {
                Action::Effect(effect) => self.answer(effect),
                Action::Decision(Decision::Ended { .. }) => self.undecided -= 1,
                Action::Decision(_) => {}
            }
        }
    }

    fn upload(&mut self) {
        self.uploaded += 1;
        self.undecided += 1;
        let number = self.uploaded;
        let pair = pair(number, self.repositories);
        self.events.push_back(Event::ChangeSeen { snapshot: snapshot(number, &pair, ChangeStatus::Open) });
    }

    fn answer(&mut self, effect: Effect) {
        let id = effect.id;
        let event = match effect.kind {
            EffectKind::PrepareNode { node, merges, .. } => {
                self.prepare(id, node, &merges[0]);
                return;
            }
            EffectKind::StartBuild { build, .. } => {
                self.events.push_back(Event::BuildSeen { build, phase: BuildPhase::Running });
                self.started.push_back(build);
                return;
            }
            EffectKind::StopBuild { build } => {
                let verdict = Verdict::NoVerdict { why: "stopped".into() };
                Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, duration_ms: 1 } }
            }
            EffectKind::Look { changes } => {
                let seen = changes.iter().map(|(number, repository)| {
                    let pair = Pair { repository: repository.clone(), branch: "main".into() };
                    snapshot(number.0, &pair, ChangeStatus::Open)
                });
                Event::Looked { effect: id, at: self.now, changes: seen.collect(), gone: Vec::new() }
            }
            EffectKind::Land { pushes, .. } => {
                let ended = pushes.iter().map(|push| (push.pair.clone(), Outcome::Applied)).collect();
                self.events.push_back(Event::PushEnded { effect: id, pushes: ended });
                for push in &pushes {
                    for (number, ..) in &push.changes {
                        self.tips[usize::try_from(number.0 % self.repositories).unwrap_or(0)] = push.new;
                        let merged = snapshot(number.0, &push.pair, ChangeStatus::Merged);
                        self.events.push_back(Event::ChangeSeen { snapshot: merged });
                    }
                }
                return;
            }
            EffectKind::ReleaseNode { .. } => return,
            _ => Event::EffectEnded { effect: id, outcome: Outcome::Applied },
        };
        self.events.push_back(event);
    }

    fn prepare(
        &mut self,
        effect: seakeeper::model::EffectId,
        node: seakeeper::model::NodeId,
        merge: &seakeeper::model::action::Merge,
    ) {
        use seakeeper::model::action::Onto;
        let onto = match merge.onto {
            Onto::Commit(commit) => commit,
            Onto::Node(node) => self.written[&node.0],
        };
        let commit = sha(3, node.0);
        self.written.insert(node.0, commit);
        let home = merge.change.pair.clone();
        let writes = vec![Written { pair: home.clone(), commit, tree: commit, onto, job_file: None }];
        let input = ResolvedInput {
            pair: home.clone(),
            commit,
            content: commit,
            paths: Vec::new(),
            ignored_files: Patterns::default(),
            history: false,
        };
        let jobs = (0..self.jobs).map(|job| {
            let name = format!("job-{job}").into();
            let inputs = vec![input.clone()];
            let key = VerdictKey::new(&name, &home, &self.spec, &inputs);
            let (home, spec) = (home.clone(), self.spec.clone());
            ResolvedJob {
                name,
                home,
                key,
                spec,
                inputs,
                voting: true,
                reuse_ms: None,
                attempts: seakeeper::model::job::Attempts::UpTo(1),
                needs: Vec::new(),
                depth: 0,
            }
        });
        let outcome = Resolved::Jobs {
            jobs: jobs.collect(),
            reads: vec![seakeeper::model::tree::Read {
                unit: seakeeper::model::tree::Unit::Branch(home),
                value: Some(commit),
            }],
            alters_job_files: Vec::new(),
            noop: false,
            unneeded: Vec::new(),
            post: false,
        };
        let merged = Prepared::Merged { writes, foreign: Vec::new() };
        self.events.push_back(Event::NodePrepared { effect, node, outcome: merged });
        self.events.push_back(Event::JobsResolved { effect, node, outcome });
    }

    /// Runs until so many changes were uploaded and all of them are decided.
    fn run(&mut self, changes: u64) {
        loop {
            while self.uploaded < changes && self.undecided < self.depth {
                self.upload();
            }
            if let Some(event) = self.events.pop_front() {
                self.step(event);
            } else if let Some(build) = self.started.pop_front() {
                let verdict = Verdict::Pass;
                self.step(Event::BuildSeen {
                    build,
                    phase: BuildPhase::Finished { verdict, duration_ms: 1 },
                });
            } else if self.undecided == 0 && self.uploaded >= changes {
                return;
            } else {
                let at = self.queue.next_wakeup().expect("something is awaited");
                self.now = self.now.max(at);
                self.step(Event::Wake);
            }
        }
    }
}

fn snapshot(number: u64, pair: &Pair, status: ChangeStatus) -> ChangeSnapshot {
    ChangeSnapshot {
        number: ChangeNumber(number),
        repository: pair.repository.clone(),
        branch: pair.branch.clone(),
        change_id: format!("I{number:040x}").into(),
        status,
        patchset: PatchSet(1),
        revision: sha(2, number),
        parents: vec![sha(1, 0)],
        form: Some(seakeeper::model::LandingForm::MergeAlways),
        carries_id: true,
        subject: "a change".into(),
        owner: "alice".into(),
        work_in_progress: false,
        private: false,
        submittable: true,
        requirements: Vec::new(),
        votes: vec![
            Vote { label: "Code-Review".into(), value: 2, by: "bob".into(), at: Timestamp(1) },
            Vote { label: "Verified".into(), value: 1, by: "bot".into(), at: Timestamp(1) },
        ],
        topic: None,
        hashtags: Vec::new(),
        depends_on: [].into(),
        needs: [].into(),
        meta: None,
        updated_at: Timestamp(1 + i64::from(status == ChangeStatus::Merged)),
    }
}

/// One row of the table.
struct Case {
    items: u64,
    jobs: u64,
    repositories: u64,
    slots: u32,
    strategy: StrategyPolicy,
    changes: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "journal") {
        return journal(Path::new(words.get(at + 1).expect("journal FOLDER")));
    }
    println!(
        "{:>6} {:>5} {:>6} {:>6} {:>10} {:>9} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "items", "jobs", "repos", "slots", "strategy", "steps", "median", "mean", "p99", "max", "steps/s"
    );
    let wanted: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let all = |items: u64| StrategyPolicy::Dependent { window: u32::try_from(items).unwrap_or(u32::MAX) };
    for (items, jobs, repositories, slots, strategy, changes) in [
        (1, 1, 10, 8, all(1), 3_000),
        (20, 1, 10, 8, all(20), 3_000),
        (20, 1, 10, 8, StrategyPolicy::Adaptive, 3_000),
        (20, 4, 10, 16, all(20), 3_000),
        (100, 2, 10, 32, all(100), 2_000),
        (1_000, 8, 200, 64, all(1_000), 1_500),
        (1_000, 8, 200, 64, StrategyPolicy::Adaptive, 1_500),
        (10_000, 1, 200, 64, StrategyPolicy::Adaptive, 10_100),
    ] {
        if !wanted.is_empty() && !wanted.contains(&items) {
            continue;
        }
        let case = Case { items, jobs, repositories, slots, strategy, changes };
        let mut world = World::new(&case);
        world.run(case.changes);
        print(&case, std::mem::take(&mut world.steps));
    }
}

/// Plays again what a daemon has journaled since it was begun, and says what its steps cost, by the number of
/// changes that were in the gate.
fn journal(folder: &Path) {
    let store = Store::open_to_read(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut entries: Vec<Entry> = Vec::new();
    let taken = store.export(0, |line| {
        entries.push(serde_json::from_str(line).expect("an entry"));
        true
    });
    taken.unwrap_or_else(|error| panic!("{error}"));
    let (mut queue, mut items, mut steps) = (Queue::new(), 0_u64, Vec::new());
    for (event, actions, at) in entries
        .into_iter()
        .flat_map(|Entry { steps, at, .. }| steps.into_iter().map(move |(e, a)| (e, a, at)))
    {
        let begun = Instant::now();
        let step = queue.step(at, event);
        steps.push((items, begun.elapsed()));
        assert_eq!(
            step.actions, actions,
            "the journal does not begin with the daemon, or is another version's"
        );
        for action in step.actions {
            match action {
                Action::Decision(Decision::Entered { pipeline: Pipeline::Gate, .. }) => items += 1,
                Action::Decision(Decision::Ended { pipeline: Pipeline::Gate, .. }) => items -= 1,
                _ => {}
            }
        }
    }
    println!("{:>12} {:>9} {:>10} {:>10} {:>10}", "items", "steps", "median", "mean", "p99");
    for (least, most) in [(0, 0), (1, 9), (10, 30), (31, 100), (101, u64::MAX)] {
        let of = steps.iter().filter(|(items, _)| (least..=most).contains(items));
        let mut times: Vec<Duration> = of.map(|(_, time)| *time).collect();
        times.sort_unstable();
        let Some(last) = times.len().checked_sub(1) else { continue };
        let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX);
        println!(
            "{:>12} {:>9} {:>10.1?} {mean:>10.1?} {:>10.1?}",
            format!("{least} to {most}"),
            times.len(),
            times[last / 2],
            times[last * 99 / 100]
        );
    }
}

fn print(case: &Case, mut steps: Vec<Duration>) {
    steps.sort_unstable();
    let total: Duration = steps.iter().sum();
    let at = |share: usize| steps[(steps.len() - 1) * share / 1000];
    let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let rate = u128::from(count) * 1_000_000_000 / total.as_nanos().max(1);
    let strategy = match case.strategy {
        StrategyPolicy::Dependent { .. } => "dependent",
        _ => "adaptive",
    };
    println!(
        "{:>6} {:>5} {:>6} {:>6} {strategy:>10} {count:>9} {:>10.1?} {:>10.1?} {:>10.1?} {:>10.1?} {rate:>12}",
        case.items,
        case.jobs,
        case.repositories,
        case.slots,
        at(500),
        total / count.max(1),
        at(990),
        at(1000),
    );
}
