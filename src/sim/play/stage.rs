//! The stage of a story: the model world, the fakes, and the real engine and core between them, in
//! virtual time. What is asked takes no time, so that a story's own times are the only ones.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::book::Book;
use super::fates::Truths;
use super::setup::Setup;
use super::story::{Act, Name, PushFate, Story};
use crate::config::{JobFileLimits, Timetables};
use crate::engine::{Engine, Opened};
use crate::model::action::Push;
use crate::model::policy::AfterFailure;
use crate::model::time::in_words;
use crate::model::{BuildId, ChangeNumber, Effect, EffectId, Event, Pair, Policy, Sha, Timestamp, Verdict};
use crate::queue::Note;
use crate::sim::fakes::executor::Executor;
use crate::sim::fakes::journal::{Disk, MemoryJournal};
use crate::sim::fakes::told::Told;
use crate::sim::fakes::trees::TreeStore;
use crate::world::Gerrit;

/// When a story begins: Monday, 5 January 2026, 09:00 UTC.
pub const START: Timestamp = Timestamp(1_767_603_600_000);
/// How often everything is read anew, in milliseconds.
const SWEEP_MS: i64 = 60_000;
/// Happenings in one moment: a bound that only a loop can reach.
const MOMENT_MAX: u32 = 100_000;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Events reach the daemon that lives then.
    Deliver {
        /// Its life.
        life: u64,
        /// What it is told.
        events: Vec<Event>,
    },
    /// An effect takes hold.
    Begin {
        /// The life in which it was asked for.
        life: u64,
        /// What.
        effect: Effect,
    },
    /// A build gives a sign that it will fail.
    BuildFailing(BuildId),
    /// A build ends by itself.
    BuildEnds(BuildId),
    /// A push lands late.
    LatePush(EffectId, Push),
    /// Gerrit answers again.
    GerritBack,
    /// Gerrit's news arrive again.
    StreamBack,
    /// Everything is read anew.
    Sweep,
}

/// The state of the systems around.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Gerrit does not answer.
    pub away: bool,
    /// Its news do not arrive.
    pub deaf: bool,
    /// The daemon stands still until then.
    pub frozen_until: Option<Timestamp>,
    /// Why the executor builds nothing.
    pub unable: Option<Arc<str>>,
    /// What becomes of the next pushes.
    pub pushes: VecDeque<PushFate>,
    /// How many of the next builds cannot be started.
    pub starts_fail: u32,
    /// What happens before the next push.
    pub ambushes: Vec<Act>,
}

/// See the module.
pub struct Stage {
    /// The file, for complaints.
    pub file: String,
    /// The names of the changes; the first has number 1.
    pub names: Vec<Name>,
    /// What is declared.
    pub setup: Setup,
    /// What builds come to.
    pub truths: Truths,
    /// The review host.
    pub gerrit: Gerrit,
    /// The daemon's object store.
    pub trees: TreeStore,
    /// The executor.
    pub executor: Executor,
    /// What has happened.
    pub book: Book,
    /// The state of the systems around.
    pub weather: Weather,
    /// The time.
    pub now: Timestamp,
    /// The daemon, while it lives.
    pub engine: Option<Engine<MemoryJournal>>,
    /// Counts its lives.
    pub life: u64,
    /// The configuration that is on disk.
    pub policy: Option<Arc<Policy>>,
    /// When periodic pipelines are due.
    timetables: Timetables,
    /// What job files may ask for.
    pub limits: JobFileLimits,
    /// How often each change was uploaded with other content.
    pub rounds: BTreeMap<Name, u32>,
    /// What the builds that run will say.
    pub verdicts: BTreeMap<BuildId, Verdict>,
    /// The commits of named pushes.
    pub pushed: BTreeMap<Name, Sha>,
    /// Counts pushes of others, for names.
    pub moves_by_hand: u32,
    /// Counts operators' requests.
    pub requests: u64,
    /// What is told of the story as it goes.
    pub transcript: Vec<String>,
    /// Claims that are watched at every moment; gives the one that is broken.
    pub watch: Vec<super::judge::Watched>,
    /// The first broken one.
    pub broken: Option<super::judge::Broken>,
    disk: Rc<RefCell<Disk>>,
    calendar: BTreeMap<(Timestamp, u64), Happening>,
    happenings: u64,
    told: Told,
}

impl Stage {
    /// An empty stage for a story.
    pub fn new(file: &str, story: &Story) -> Self {
        Self {
            file: file.to_owned(),
            names: story.changes.clone(),
            setup: Setup::default(),
            truths: Truths::default(),
            gerrit: Gerrit::default(),
            trees: TreeStore::default(),
            executor: Executor::default(),
            book: Book::default(),
            weather: Weather::default(),
            now: START,
            engine: None,
            life: 0,
            policy: None,
            timetables: Timetables::default(),
            limits: JobFileLimits::default(),
            rounds: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            pushed: BTreeMap::new(),
            moves_by_hand: 0,
            requests: 0,
            transcript: Vec::new(),
            watch: Vec::new(),
            broken: None,
            disk: Rc::new(RefCell::new(Disk::default())),
            calendar: BTreeMap::new(),
            happenings: 0,
            told: Told::default(),
        }
    }

    /// The number of a change.
    pub fn number(&self, name: &Name) -> ChangeNumber {
        let at = self.names.iter().position(|known| known == name).map_or(0, |at| at + 1);
        ChangeNumber(at as u64)
    }

    /// The name of a change; its number where the story gives it none.
    pub fn name(&self, number: ChangeNumber) -> String {
        let at = usize::try_from(number.0).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.names.get(at)).map_or_else(|| number.to_string(), |name| name.to_string())
    }

    /// Changes as people write a tree.
    pub fn sum<'a>(&self, numbers: impl IntoIterator<Item = &'a ChangeNumber>) -> String {
        let names: Vec<String> = numbers.into_iter().map(|number| self.name(*number)).collect();
        if names.is_empty() { "the branches alone".into() } else { names.join("+") }
    }

    /// Tells of something, at the present time.
    pub fn say(&mut self, line: impl AsRef<str>) {
        let ms = self.now.since_ms(START);
        let (seconds, rest) = (ms / 1000, ms % 1000);
        let parts = if rest == 0 { String::new() } else { format!(".{rest:03}") };
        let clock = format!("{}:{:02}:{:02}{parts}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.transcript.push(format!("{clock:>12}  {}", line.as_ref()));
    }

    /// Puts something on the calendar.
    pub fn schedule(&mut self, after_ms: i64, happening: Happening) {
        self.happenings += 1;
        self.calendar.insert((self.now.plus_ms(after_ms.max(0)), self.happenings), happening);
    }

    /// Takes what is planned for a build off the calendar.
    pub fn forget_build(&mut self, id: BuildId) {
        self.calendar.retain(|_, happening| {
            !matches!(happening, Happening::BuildEnds(build) | Happening::BuildFailing(build) if *build == id)
        });
    }

    /// Lets happen what is due now.
    pub fn settle(&mut self) {
        self.advance(self.now, |_| false);
    }

    /// Lets time go on until `to`, or until `done`; true when it was done.
    pub fn advance(&mut self, to: Timestamp, done: impl Fn(&Self) -> bool) -> bool {
        let mut moment = 0;
        while self.broken.is_none() {
            if done(self) {
                return true;
            }
            let Some((due, planned)) = self.next_due().filter(|(due, _)| *due <= to) else { break };
            moment = if due > self.now { 0 } else { moment + 1 };
            if moment > MOMENT_MAX {
                self.broken = Some(super::judge::Broken::loops());
                return false;
            }
            self.now = self.now.max(due);
            if planned {
                if let Some((_, happening)) = self.calendar.pop_first() {
                    self.happen(happening);
                }
            } else {
                let heeded = self.engine.as_ref().map(|engine| engine.queue().due_since());
                let due = self.timetables.due(&heeded.unwrap_or_default(), self.now);
                self.deliver(if due.is_empty() { vec![Event::Wake] } else { due });
            }
        }
        self.now = self.now.max(to);
        self.broken.is_none() && done(self)
    }

    /// When something happens next, and whether it is on the calendar.
    fn next_due(&self) -> Option<(Timestamp, bool)> {
        let frozen = self.weather.frozen_until.unwrap_or(START);
        let wake = self.engine.as_ref().and_then(|engine| {
            let due = self.timetables.next(&engine.queue().due_since());
            engine.next_wakeup().into_iter().chain(due).min()
        });
        let wake = wake.map(|at| at.max(frozen).max(self.now));
        let next = self.calendar.keys().next().map(|(at, _)| *at);
        match (wake, next) {
            (Some(wake), Some(at)) if wake < at => Some((wake, false)),
            (Some(wake), None) => Some((wake, false)),
            (_, Some(at)) => Some((at, true)),
            (None, None) => None,
        }
    }

    /// Whether nothing moves: nothing is planned but sweeps, and the core awaits no time.
    pub fn is_still(&self) -> bool {
        self.calendar.values().all(|happening| matches!(happening, Happening::Sweep))
            && self.engine.as_ref().is_none_or(|engine| engine.next_wakeup().is_none())
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { life, events } if life == self.life => self.deliver(events),
            Happening::Deliver { .. } => {}
            Happening::Begin { life, effect } => self.begin(life, effect),
            Happening::BuildFailing(build) => self.build_failing(build),
            Happening::BuildEnds(build) => self.build_ends(build),
            Happening::LatePush(effect, push) => {
                self.say("the late push arrives");
                let _late = self.push_now(effect, &push);
            }
            Happening::GerritBack => self.gerrit_back(),
            Happening::StreamBack => {
                self.weather.deaf = false;
                self.say("Gerrit's news arrive again");
                self.sweep();
            }
            Happening::Sweep => {
                self.sweep();
                self.schedule(SWEEP_MS, Happening::Sweep);
            }
        }
    }

    /// Gerrit answers again: what was missed is read at once.
    pub fn gerrit_back(&mut self) {
        self.weather.away = false;
        self.say("Gerrit is back");
        // What has changed meanwhile is known before anything is tried again.
        self.sweep();
        self.deliver(vec![Event::HostBack]);
    }

    /// Hands events to the daemon, if it lives; later, where it stands still.
    pub fn deliver(&mut self, events: Vec<Event>) {
        if self.engine.is_none() || events.is_empty() {
            return;
        }
        if let Some(until) = self.weather.frozen_until.filter(|until| *until > self.now) {
            let life = self.life;
            self.schedule(until.since_ms(self.now), Happening::Deliver { life, events });
            return;
        }
        self.taken_in(&events);
        let (now, life) = (self.now, self.life);
        let Some(engine) = self.engine.as_mut() else { return };
        match engine.accept(now, events) {
            Ok(accepted) => {
                self.write_down(&accepted.actions);
                self.hear(&accepted.notes);
                for effect in accepted.effects {
                    self.schedule(0, Happening::Begin { life, effect });
                }
                self.look_at_watched();
            }
            Err(error) => {
                self.broken = Some(super::judge::Broken::of(format!("the daemon failed to {error}")))
            }
        }
    }

    fn hear(&mut self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Answer { accepted, text, .. } => {
                    let word = if *accepted { "done" } else { "refused" };
                    let text = self.with_names(text);
                    self.say(format!("{word}: {text}"));
                    self.book.answer = Some((*accepted, text));
                }
                Note::Said(text) => {
                    let text = self.with_names(text);
                    self.say(format!("log: {text}"));
                    self.book.log.push(text);
                }
            }
        }
    }

    /// Starts the daemon on what its journal holds.
    pub fn start(&mut self) {
        if self.engine.is_some() {
            return;
        }
        let first = self.life == 0;
        self.life += 1;
        if first {
            self.schedule(SWEEP_MS, Happening::Sweep);
        } else {
            self.say("the daemon starts");
            self.trees.restart();
        }
        let journal = MemoryJournal(self.disk.clone());
        let Opened { engine, effects, .. } = match Engine::open(journal, self.now) {
            Ok(opened) => opened,
            Err(error) => {
                self.broken =
                    Some(super::judge::Broken::of(format!("the daemon could not start: failed to {error}")));
                return;
            }
        };
        self.engine = Some(engine);
        let life = self.life;
        for effect in effects {
            self.schedule(0, Happening::Begin { life, effect });
        }
        self.configured();
        self.sweep();
        if !self.weather.away {
            self.deliver(vec![Event::HostBack]);
        }
        self.settle();
    }

    /// Tells the daemon the configuration that is on disk.
    pub fn configured(&mut self) {
        self.timetables = self.policy.as_deref().map(Timetables::of).unwrap_or_default();
        let events = self.policy.clone().map(|policy| Event::PolicyChanged { policy });
        self.deliver(events.into_iter().collect());
        if let Some(unable) = self.weather.unable.clone() {
            self.deliver(vec![Event::CapabilitiesSeen { unable: Some(unable) }]);
        }
    }

    /// The daemon dies: what it was told and has not taken in is lost, what it asked for may take hold.
    pub fn die(&mut self) {
        self.engine = None;
        self.life += 1;
        self.weather.frozen_until = None;
        // What was said while nobody listened must be read anew.
        self.told = Told::default();
        self.say("the daemon dies");
    }

    /// Tells the daemon of a change, unless its news do not arrive.
    pub fn tell_change(&mut self, number: ChangeNumber) {
        if !self.weather.away && !self.weather.deaf && self.engine.is_some() {
            let (life, events) = (self.life, vec![crate::sim::fakes::host::seen(&self.gerrit, number)]);
            self.schedule(0, Happening::Deliver { life, events });
        }
    }

    /// Tells the daemon of a branch, unless its news do not arrive.
    pub fn tell_tip(&mut self, pair: &Pair) {
        if !self.weather.away && !self.weather.deaf && self.engine.is_some() {
            let event = Event::TipSeen { pair: pair.clone(), commit: self.gerrit.tip(pair) };
            let life = self.life;
            self.schedule(0, Happening::Deliver { life, events: vec![event] });
        }
    }

    /// Reads everything anew: what was told already is not told again.
    pub fn sweep(&mut self) {
        if self.engine.is_none() {
            return;
        }
        let mut events = if self.weather.away { Vec::new() } else { self.told.news(&self.gerrit) };
        let listed = self.executor.list(self.now);
        // A list of nothing is told only where the daemon may think that something runs.
        if !events.is_empty() || listed.len() > 1 || self.book.running().next().is_some() {
            events.extend(listed);
            self.deliver(events);
        }
    }

    /// Remembers what the daemon has taken in.
    fn taken_in(&mut self, events: &[Event]) {
        self.told.take_in(events);
        self.executor.take_in(events);
    }

    /// `text` with the story's names beside the numbers of changes.
    pub fn with_names(&self, text: &str) -> String {
        let mut made = String::new();
        let mut rest = text;
        while let Some(at) = rest.to_lowercase().find("change ") {
            let after = &rest[at + 7..];
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            made.push_str(&rest[..at + 7 + digits]);
            if let Ok(number) = after[..digits].parse() {
                let name = format!(" ({})", self.name(ChangeNumber(number)));
                // It may have been named before.
                if !after[digits..].starts_with(&name) {
                    made.push_str(&name);
                }
            }
            rest = &after[digits..];
        }
        made + rest
    }

    /// Whether the queue of changes keeps the approval of what fails.
    pub fn keeps_approval(&self, changes: &[ChangeNumber]) -> bool {
        let first = changes.first().and_then(|number| self.gerrit.change(*number));
        let queue = self.policy.as_ref().zip(first).and_then(|(policy, first)| policy.queue_of(&first.pair));
        queue.is_some_and(|queue| queue.after_failure == AfterFailure::Keep)
    }

    /// A duration since the beginning, for people.
    pub fn elapsed(&self) -> String {
        in_words(self.now.since_ms(START))
    }
}
