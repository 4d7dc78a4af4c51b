//! One run: a calendar of happenings in virtual time, the real engine and core in the middle.
//!
//! Everything that the daemon would do between an effect and its end is a happening; faults are
//! drawn where they would strike. After the people have stopped, all faults are healed, and what is
//! left must come to rest.

mod daemon;
mod effects;
mod people;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::audit::{Audit, Checked, Fault, Remaining, fault};
use super::fakes::executor::Executor;
use super::fakes::journal::{Disk, MemoryJournal};
use super::fakes::told::Told;
use super::fakes::trees::TreeStore;
use super::rng::Rng;
use super::setting::{Faults, Setting};
use super::workload::{Step, draw};
use crate::config::Timetables;
use crate::engine::Engine;
use crate::model::action::Push;
use crate::model::{BuildId, ChangeNumber, Effect, EffectId, Event, ItemId, Pair, Policy, Timestamp};
use crate::queue::Queue;
use crate::world::Gerrit;

/// When a run begins: any moment will do, but not zero, at which differences hide.
const START: Timestamp = Timestamp(1_700_000_000_000);

/// How often everything is read anew, in milliseconds.
const SWEEP_MS: i64 = 60_000;

/// Happenings in one run: a bound that only a loop can reach.
const HAPPENINGS_MAX: u64 = 200_000;

/// Lines of the trace that are kept when it is not asked for whole.
const TAIL: usize = 60;

/// What a run was like.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Happenings.
    pub happenings: u64,
    /// Events that the core has accepted.
    pub events: u64,
    /// Items decided.
    pub decided: u32,
    /// Changes landed by the daemon.
    pub landed: u32,
    /// Builds bought.
    pub builds: u32,
    /// How long each item that landed was in its queue, in milliseconds.
    pub stays_ms: Vec<i64>,
    /// Times that the daemon died.
    pub crashes: u64,
    /// Commands in comments, and by operators, for another check or a pipeline on demand.
    pub asked: u32,
    /// Runs of pipelines on demand.
    pub on_demand: u32,
    /// Nodes that were given pins.
    pub pinned: u32,
    /// Digest of the core's last state.
    pub digest: String,
    /// What happened, for people; only when it was asked for.
    pub trace: Vec<String>,
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Happening {
    /// Events reach the daemon that lives then.
    Deliver { life: u64, events: Vec<Event> },
    /// A change is read and told.
    TellChange { number: ChangeNumber },
    /// A tip is read and told.
    TellTip { pair: Pair },
    /// An effect takes hold in the world.
    Begin { life: u64, effect: Effect, again: bool },
    /// A push whose outcome was unknown lands after all, if it still can.
    LatePush { effect: EffectId, push: Push },
    /// A build begins to run.
    BuildRuns(BuildId),
    /// A build ends by itself.
    BuildEnds(BuildId),
    /// Someone does something.
    Step(usize),
    /// The daemon is started.
    Start,
    /// The daemon reads everything anew.
    Sweep,
    /// Faults end, and people go home.
    Heal,
}

/// One run.
pub struct Run {
    setting: Setting,
    steps: Vec<Step>,
    rng: Rng,
    faults: Faults,
    now: Timestamp,
    calendar: BTreeMap<(Timestamp, u64), Happening>,
    happenings: u64,
    gerrit: Gerrit,
    trees: TreeStore,
    executor: Executor,
    disk: Rc<RefCell<Disk>>,
    engine: Option<Engine<MemoryJournal>>,
    life: u64,
    frozen_until: Timestamp,
    policy: Policy,
    timetables: Timetables,
    /// Entries of the journal that the audit has read.
    audited: usize,
    audit: Audit,
    /// Changes by their place in the workload.
    changes: BTreeMap<u64, ChangeNumber>,
    /// Steps that wait for the daemon's next push.
    ambushes: Vec<Step>,
    refused: BTreeSet<ItemId>,
    /// What the daemon has taken in: the state of each change, and each tip.
    told: Told,
    /// When the last prepared node was done: they are made one after another.
    prepared_at: Timestamp,
    /// When the last report on each change was sent: the adapter keeps their order.
    reported_at: BTreeMap<ChangeNumber, Timestamp>,
    /// The last report on each change that was begun.
    last_report: BTreeMap<ChangeNumber, EffectId>,
    events: u64,
    sweeps: u64,
    crashes: u64,
    healed: bool,
    trace: VecDeque<String>,
    whole_trace: bool,
}

/// What ended a run early.
pub struct Ended {
    /// The broken promise.
    pub fault: Fault,
    /// The last of what happened.
    pub trace: Vec<String>,
}

/// Runs `setting` without the steps of `disabled`.
///
/// # Errors
/// The first broken promise.
pub fn run(setting: &Setting, disabled: &BTreeSet<usize>, whole_trace: bool) -> Result<Report, Ended> {
    let mut run = Run::new(setting, disabled, whole_trace);
    match run.go() {
        Ok(()) => Ok(run.report()),
        Err(fault) => Err(Ended { fault, trace: run.trace.into() }),
    }
}

impl Run {
    fn new(setting: &Setting, disabled: &BTreeSet<usize>, whole_trace: bool) -> Self {
        let mut gerrit = Gerrit::default();
        for (pair, tree) in setting.branches.iter().chain(&setting.outside) {
            gerrit.create_branch(pair, tree.clone());
        }
        gerrit.forms.clone_from(&setting.forms);
        let audit = Audit::new(setting, &gerrit);
        let mut run = Self {
            steps: draw(setting),
            rng: Rng::keyed(setting.seed, 3, 0),
            faults: setting.faults.clone(),
            now: START,
            calendar: BTreeMap::new(),
            happenings: 0,
            gerrit,
            trees: TreeStore::default(),
            executor: Executor::default(),
            disk: Rc::new(RefCell::new(Disk::default())),
            engine: None,
            life: 0,
            frozen_until: START,
            policy: setting.policy.clone(),
            timetables: Timetables::of(&setting.policy),
            audited: 0,
            audit,
            changes: BTreeMap::new(),
            ambushes: Vec::new(),
            refused: BTreeSet::new(),
            told: Told::default(),
            prepared_at: START,
            reported_at: BTreeMap::new(),
            last_report: BTreeMap::new(),
            events: 0,
            sweeps: 0,
            crashes: 0,
            healed: false,
            trace: VecDeque::new(),
            whole_trace,
            setting: setting.clone(),
        };
        run.schedule(0, Happening::Start);
        for (at, step) in run.steps.clone().into_iter().enumerate() {
            if !disabled.contains(&at) {
                run.schedule(step.at_ms + 1_000, Happening::Step(at));
            }
        }
        let last = run.steps.iter().map(|step| step.at_ms).max().unwrap_or(0);
        run.schedule(last + 120_000, Happening::Heal);
        run.schedule(SWEEP_MS, Happening::Sweep);
        run
    }

    fn schedule(&mut self, after_ms: i64, happening: Happening) {
        self.happenings += 1;
        let at = self.now.plus_ms(after_ms.max(0));
        self.calendar.insert((at, self.happenings), happening);
    }

    fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.rng.chance(permille)
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() >= TAIL && !self.whole_trace {
            self.trace.pop_front();
        }
        let at = self.now.since_ms(START);
        self.trace.push_back(format!("{:>6}.{:03} {}", at / 1000, at % 1000, line()));
    }

    fn go(&mut self) -> Checked {
        let rest_ms = self.setting.rest_ms;
        let mut rest_at = None;
        let mut idle_wakes = 0_u32;
        let mut swept = false;
        while self.happenings < HAPPENINGS_MAX {
            if self.healed && rest_at.is_none() {
                rest_at = Some(self.now.plus_ms(rest_ms));
            }
            // In the end the clocks of periodic pipelines stand still: where they ask for more than the slots
            // can give, nothing would ever be at rest.
            let timed = rest_at.is_none_or(|end| self.now < end.plus_ms(-rest_ms / 2));
            let wake = self.wakeup(timed).map(|at| at.max(self.frozen_until));
            let next = self.calendar.keys().next().copied();
            let due = match (wake, next) {
                (Some(wake), Some((at, _))) if wake < at => wake.max(self.now),
                (Some(wake), None) => wake.max(self.now),
                (_, Some((at, _))) => at,
                (None, None) => break,
            };
            if rest_at.is_some_and(|end| due > end) {
                break;
            }
            if self.at_rest() {
                // What came late may have told of the past: a sweep puts it right.
                if std::mem::replace(&mut swept, true) {
                    break;
                }
                self.sweep();
                continue;
            }
            idle_wakes = if due > self.now { 0 } else { idle_wakes + 1 };
            if idle_wakes > 20_000 {
                return fault("liveness", "time does not go on: the core wakes itself without end".into());
            }
            self.now = due;
            if next.is_some_and(|(at, _)| at <= due) {
                if let Some((_, happening)) = self.calendar.pop_first() {
                    self.happen(happening)?;
                }
            } else {
                let heeded = self.engine.as_ref().map(|engine| engine.queue().due_since());
                let due = self.timetables.due(&heeded.unwrap_or_default(), self.now);
                self.deliver(if due.is_empty() || !timed { vec![Event::Wake] } else { due })?;
            }
        }
        self.finish()
    }

    /// When the daemon wants to be woken: for what the core awaits, or as a periodic pipeline is due.
    fn wakeup(&self, timed: bool) -> Option<Timestamp> {
        let engine = self.engine.as_ref()?;
        let due = self.timetables.next(&engine.queue().due_since()).filter(|_| timed);
        engine.next_wakeup().into_iter().chain(due).min()
    }

    /// Nothing is planned but sweeps, and nothing awaits its time.
    fn at_rest(&self) -> bool {
        self.healed
            && self.calendar.values().all(|happening| matches!(happening, Happening::Sweep))
            && self.engine.as_ref().is_some_and(|engine| engine.next_wakeup().is_none())
    }

    fn finish(&mut self) -> Checked {
        if self.happenings >= HAPPENINGS_MAX {
            return fault("liveness", "the run does not come to an end".into());
        }
        self.check_replay()?;
        let Some(engine) = &self.engine else {
            return fault("liveness", "the daemon does not come up".into());
        };
        let view = engine.queue().view(self.now);
        let rest = Remaining {
            view: &view,
            gerrit: &self.gerrit,
            running: self.executor.running(),
            refused: &self.refused,
        };
        self.audit.at_rest(&rest)
    }

    /// A replay of the journal gives the live state.
    fn check_replay(&self) -> Checked {
        let Some(engine) = &self.engine else { return Ok(()) };
        if let Some(broken) = &self.disk.borrow().broken {
            return fault("journal contiguous", broken.clone());
        }
        let queue = self.replayed()?;
        if queue.digest() == engine.queue().digest() {
            return Ok(());
        }
        let (replayed, live) = (queue.snapshot(), engine.queue().snapshot());
        fault("replay", difference(&String::from_utf8_lossy(&replayed), &String::from_utf8_lossy(&live)))
    }

    /// The state that the disk holds.
    fn replayed(&self) -> Result<Queue, Fault> {
        let disk = self.disk.borrow();
        let from = disk.snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
        let restored = disk
            .snapshot
            .as_ref()
            .map_or_else(|| Ok(Queue::new()), |snapshot| Queue::restore(&snapshot.state));
        let mut queue = restored.or_else(|why| fault("replay", why))?;
        for entry in disk.entries.iter().filter(|entry| entry.sequence > from) {
            for (event, actions) in &entry.steps {
                queue.replay(entry.at, event.clone(), actions);
            }
        }
        Ok(queue)
    }

    fn report(self) -> Report {
        Report {
            seed: self.setting.seed,
            happenings: self.happenings,
            events: self.events,
            decided: self.audit.decided,
            landed: self.audit.landings_seen,
            builds: self.audit.builds_bought,
            stays_ms: self.audit.stays_ms,
            crashes: self.crashes,
            asked: self.audit.demands.heard,
            on_demand: self.audit.demands.begun,
            pinned: self.audit.pins.given,
            digest: self.engine.as_ref().map(|engine| engine.queue().digest()).unwrap_or_default(),
            trace: self.trace.into(),
        }
    }
}

/// Where two states part, with a little of what stands around.
fn difference(replayed: &str, live: &str) -> String {
    let at = replayed.bytes().zip(live.bytes()).take_while(|(left, right)| left == right).count();
    let around = |text: &str| text.chars().skip(at.saturating_sub(120)).take(320).collect::<String>();
    format!("the journal replays to another state: {} where it was {}", around(replayed), around(live))
}
