//! A daemon that is made up: it has whatever view it is given, and tells when that changes. For the tests
//! of the face and for looking at pages that would take a site's traffic to bring about.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use seakeeper::model::cost::{CostOf, Costs};
use seakeeper::model::event::Command;
use seakeeper::model::item::{JobOutcome, JobResult};
use seakeeper::model::run::{Blame, Move, RunOutcome};
use seakeeper::model::view::{BuildView, DepartedView, ItemView, QueueView, RunView, View, WaitingView};
use seakeeper::model::{
    Account, BuildId, ChangeNumber, Departure, ItemChange, ItemId, Pair, PatchSet, Pipeline, Reason, Sha,
    Timestamp,
};
use seakeeper::web::{Answer, Asked, Costing, Desk, Health, History, Metrics, Reloaded, Reloading, Verdict};
use tokio::sync::watch;

/// See the module.
pub struct Made {
    view: Mutex<Arc<View>>,
    changed: watch::Sender<u64>,
    history: History,
    metrics: Metrics,
    /// Whether it can gate.
    pub ready: bool,
    /// Where logs of builds lie.
    pub logs: PathBuf,
    /// What it was asked.
    pub asked: Mutex<Vec<(Account, Command)>>,
    /// Who asked for the configuration to be read anew; it is always faulty.
    pub reloads: Mutex<Vec<Account>>,
}

/// What the made-up configuration has at its third line: it must do no harm wherever it is shown.
pub const HOSTILE: &str = "<script>alert('x')</script>\" onload=\"\u{202e}\x1b[2J";

impl Made {
    /// A daemon with this view.
    pub fn new(view: View, ready: bool, logs: PathBuf) -> Self {
        Self {
            history: History::from_view(&view),
            view: Mutex::new(Arc::new(view)),
            changed: watch::Sender::new(3),
            metrics: Metrics::new(),
            ready,
            logs,
            asked: Mutex::default(),
            reloads: Mutex::default(),
        }
    }

    /// Gives it another view.
    pub fn show(&self, view: View) {
        self.history.observe(&view);
        let known = self.view();
        for entry in view.departed.iter().rev().filter(|entry| !known.departed.contains(entry)) {
            self.history.departed(entry);
            for job in &entry.jobs {
                self.history.build_ended(&job.job, job.result, job.duration_ms);
            }
        }
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Desk for Made {
    fn view(&self) -> Arc<View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn whole_view(&self) -> Arc<View> {
        self.view()
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn figures(&self) -> &Metrics {
        &self.metrics
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn ask(&self, by: Account, command: Command) -> Asked {
        let answer = match &command {
            Command::Enqueue { change: ChangeNumber(404) } => {
                Answer { accepted: false, text: "there is no such change".into() }
            }
            _ => Answer { accepted: true, text: "done".into() },
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((by, command));
        Box::pin(async move { answer })
    }

    fn reload(&self, by: Account) -> Reloading {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner).push(by);
        let lines = vec![format!("seakeeper.toml:3: key `{HOSTILE}`: unknown key"), "and another".to_owned()];
        Box::pin(async move { Reloaded { verdict: Verdict::Faulty, lines } })
    }

    fn costs(&self, _: Vec<CostOf>) -> Costing {
        Box::pin(async { Ok(Costs::default()) })
    }

    fn health(&self) -> Health {
        let problems = if self.ready { vec![] } else { vec!["Gerrit does not answer".to_owned()] };
        Health { live: true, ready: self.ready, problems }
    }

    fn metrics(&self) -> String {
        self.metrics.observe_view(&self.view());
        self.metrics.encode()
    }

    fn log_path(&self, build: BuildId) -> Option<PathBuf> {
        Some(self.logs.join(format!("{build}.log")))
    }
}

/// A change with this number.
pub fn change(number: u64, subject: &str) -> ItemChange {
    ItemChange {
        number: ChangeNumber(number),
        change_id: format!("I{number:040}").into(),
        patchset: PatchSet(2),
        revision: Sha([7; 20]),
        pair: Pair::new("site/core", "main"),
        subject: subject.into(),
        owner: "alice".into(),
    }
}

/// A job's result.
pub fn job(name: &str, result: JobOutcome, build: Option<u64>, duration_ms: i64) -> JobResult {
    JobResult {
        job: name.into(),
        home: Pair::new("site/core", "main"),
        result,
        duration_ms,
        build: build.map(BuildId),
        voting: name != "lint",
        detail: if result == JobOutcome::Failure { "exit code 3".into() } else { "".into() },
        needs: Vec::new(),
    }
}

/// An item of the gate.
pub fn item(id: u64, change: ItemChange, contains: &[u64], reason: Reason) -> ItemView {
    ItemView {
        item: ItemId(id),
        pipeline: Pipeline::Gate,
        changes: vec![change],
        entered_at: Timestamp(0),
        on_top_of: contains.iter().map(|id| ChangeNumber(1_000 + id)).collect(),
        contains: contains.iter().map(|id| ItemId(*id)).collect(),
        jobs: Vec::new(),
        words: reason.to_string(),
        reason,
        place: String::new(),
        past: Vec::new(),
        unneeded: Vec::new(),
    }
}

/// A view in which nothing happens.
pub fn empty(at: Timestamp) -> View {
    View {
        at,
        queues: vec![QueueView { name: "main".into(), items: vec![] }],
        checks: vec![],
        waiting: vec![],
        departed: vec![],
        paused: vec![],
        builds: vec![],
        builds_running: 0,
        slots: 8,
        effects: 0,
        unable: None,
        flakes: vec![],
        runs: Vec::new(),
    }
}

const SUBJECTS: [&str; 8] = [
    "Parser: read templates once per page",
    "Make the login form usable with a keyboard",
    "Drop support for the old cache format",
    "Localisation updates",
    "Search: rank by age when scores are equal",
    "Fix the order of footnotes in long articles that were imported from another wiki before 2009",
    "Upgrade the test runner",
    "Video: do not autoplay on metered connections",
];
const OWNERS: [&str; 5] = ["alice", "bob", "carol", "translatewiki-bot", "dmitri"];

fn made_change(id: u64) -> ItemChange {
    let repository = ["mediawiki/core", "mediawiki/extensions/Echo", "mediawiki/skins/Vector"];
    let pick = |many: usize| usize::try_from(id).unwrap_or_default() % many;
    let mut change = change(1_000 + id, SUBJECTS[pick(SUBJECTS.len())]);
    change.pair = Pair::new(repository[pick(repository.len())], "main");
    change.owner = OWNERS[pick(OWNERS.len())].into();
    change
}

/// A busy view: a queue of `count` items of which some fail, some are built and many wait; changes outside
/// of it, and what ended in the last hours. The same numbers give the same view.
pub fn busy(at: Timestamp, count: u64) -> View {
    let mut view = empty(at);
    view.slots = 24;
    let mut chain: Vec<u64> = Vec::new();
    for id in 1..=count {
        let entered = at.plus_ms(-1000 * i64::try_from(20 * (count - id) + 45).unwrap_or_default());
        let (mut made, in_chain) = busy_item(id, at, &chain, &mut view.builds);
        made.entered_at = entered;
        if in_chain {
            chain.push(id);
        }
        view.queues[0].items.push(made);
    }
    view.builds_running = u32::try_from(view.builds.len()).unwrap_or_default();
    view.queues.push(QueueView { name: "puppet".into(), items: vec![] });
    for (number, reason) in [
        (1, Reason::Parent { change: ChangeNumber(1_003), why: None }),
        (2, Reason::Requirements { names: vec!["No-Unresolved-Comments".into()] }),
        (3, Reason::Veto { label: "Code-Review".into(), by: "erin".into() }),
    ] {
        let change = made_change(5_000 + number);
        view.waiting.push(WaitingView { change, words: reason.to_string(), reason });
    }
    let check = Reason::Building { jobs: vec!["unit".into()] };
    let mut checked = item(900_001, made_change(7_001), &[], check);
    checked.pipeline = Pipeline::Check;
    checked.entered_at = at.plus_ms(-65_000);
    checked.jobs = vec![job("unit", JobOutcome::Waiting, None, 0)];
    view.checks.push(checked);
    view.departed = (0..60).map(|id| ended(id, at)).collect();
    view.runs.push(failed_run(at));
    view
}

fn busy_item(id: u64, at: Timestamp, chain: &[u64], builds: &mut Vec<BuildView>) -> (ItemView, bool) {
    let unit = |result, ran| job("unit", result, Some(10 * id), ran);
    let (reason, jobs) = match id {
        1 => (
            Reason::Looking,
            vec![unit(JobOutcome::Success, 171_000), job("lint", JobOutcome::Failure, Some(11), 9_000)],
        ),
        2 => (
            Reason::Ahead { change: ChangeNumber(1_001), why: None },
            vec![unit(JobOutcome::Success, 168_000)],
        ),
        _ if id % 9 == 4 => {
            (Reason::FailedAhead { jobs: vec!["unit".into()] }, vec![unit(JobOutcome::Failure, 44_000)])
        }
        _ if id % 13 == 7 => (
            Reason::ConflictAhead {
                pair: Pair::new("core", "main"),
                paths: vec!["README.md".into()],
                changes: vec![ChangeNumber(1_001)],
            },
            vec![],
        ),
        3..=14 => (
            Reason::Building { jobs: vec!["unit".into(), "browser".into()] },
            vec![unit(JobOutcome::Running, 0), job("browser", JobOutcome::Running, Some(10 * id + 1), 0)],
        ),
        15 => (Reason::BuildAgain { why: "the machine was restarted".into(), at }, vec![]),
        16..=24 => (Reason::Slots { waiting: 2, slots: 24 }, vec![job("unit", JobOutcome::Waiting, None, 0)]),
        _ => (Reason::Window { size: 24 }, vec![]),
    };
    let has_node = !matches!(reason, Reason::Window { .. });
    let below = if has_node { chain } else { &[] };
    let mut made = item(id, made_change(id), below, reason);
    for one in jobs.iter().filter(|job| job.result == JobOutcome::Running) {
        builds.push(BuildView {
            build: one.build.unwrap_or_default(),
            job: one.job.clone(),
            home: one.home.clone(),
            item: made.item,
            started_at: at.plus_ms(-11_000 * i64::try_from(16_u64.saturating_sub(id)).unwrap_or_default()),
            deadline: at.plus_ms(1_800_000),
        });
    }
    let fails = matches!(made.reason, Reason::FailedAhead { .. } | Reason::ConflictAhead { .. });
    made.jobs = jobs;
    (made, has_node && !fails)
}

fn ended(id: u64, at: Timestamp) -> DepartedView {
    let departure = match id % 10 {
        3 => Departure::Failed { jobs: vec!["unit".into()] },
        6 => Departure::Conflict {
            pair: Pair::new("mediawiki/core", "main"),
            paths: vec!["includes/Parser.php".into()],
            with: Vec::new(),
        },
        8 => Departure::VoteWithdrawn { why: "bob took back Code-Review +2".into() },
        _ => Departure::Landed { commits: vec![(Pair::new("mediawiki/core", "main"), Sha([0xab; 20]))] },
    };
    let passed = if id % 10 == 3 { JobOutcome::Failure } else { JobOutcome::Success };
    let age_ms = 150_000 * i64::try_from(id).unwrap_or_default()
        + 20_000 * i64::try_from(id * id % 7).unwrap_or_default();
    let ended_at = at.plus_ms(-age_ms);
    DepartedView {
        item: ItemId(800_000 - id),
        pipeline: Pipeline::Gate,
        queue: Some("main".into()),
        changes: vec![made_change(900 - id)],
        entered_at: ended_at.plus_ms(-240_000 - 60_000 * i64::try_from(id * 3 % 5).unwrap_or_default()),
        ended_at,
        departure,
        jobs: vec![
            job("unit", passed, Some(7_000 + id), 150_000 + 1_000 * i64::try_from(id).unwrap_or_default()),
            job("browser", JobOutcome::Success, Some(8_000 + id), 200_000),
        ],
        past: Vec::new(),
        unneeded: Vec::new(),
    }
}

/// A run after a landing that has found out who is to blame.
fn failed_run(at: Timestamp) -> RunView {
    let landed = made_change(7);
    let (before, commit) = (Sha([7; 20]), Sha([8; 20]));
    let moved = Move {
        pair: landed.pair.clone(),
        before,
        commit,
        changes: vec![landed.clone()],
        others: false,
        forgotten: false,
    };
    let blame = Blame {
        job: "soak".into(),
        home: landed.pair.clone(),
        moves: vec![moved],
        build: Some(BuildId(9_001)),
        why: "".into(),
    };
    let outcome = RunOutcome::Failed { jobs: vec!["soak".into()] };
    RunView {
        run: ItemId(9_000),
        pipeline: Pipeline::Post,
        pair: landed.pair,
        commit,
        began_at: at.plus_ms(-900_000),
        ended_at: Some(at.plus_ms(-60_000)),
        words: outcome.to_string(),
        outcome: Some(outcome),
        probes: None,
        jobs: vec![job("soak", JobOutcome::Failure, Some(9_001), 600_000)],
        blames: vec![blame],
    }
}
