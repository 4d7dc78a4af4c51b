//! The core: a pure, total state machine that decides what is merged, built, landed and said.
//!
//! A step is *absorb* (fold one event into the facts and mark what it touches) and then *plan* (act
//! on what is marked until nothing is left to do). Plan looks at the state, never at the event: an
//! event that is lost costs delay, not correctness. Every change that planning makes to the state
//! goes through an [`Action`], so a journal of events and actions replays to the same state even
//! under a later version that would plan otherwise.

mod absorb;
mod admit;
mod ahead;
mod alternatives;
mod amend;
mod apply;
mod apply_effect;
mod back;
mod check;
mod claims;
mod conclude;
pub mod cost;
mod depend;
mod early;
mod ended;
mod explain;
mod flake;
mod footprint;
mod foreign;
mod graph;
mod group;
mod held;
mod index;
mod item_set;
mod jobs;
mod land;
mod learn;
mod marks;
mod matcher;
mod memo;
mod node;
mod numbered;
mod operator;
mod order;
mod outdated;
mod overtake;
mod pairs;
mod part;
mod past;
mod pins;
mod plain;
mod pool;
mod predict;
mod print;
mod pushed;
mod recorded;
pub mod resolve;
mod runs;
mod schedule;
mod seen;
mod sheet;
mod speak;
mod speculate;
mod state;
mod stay;
mod strategy;
mod submit;
mod tally;
mod tell;
#[cfg(test)]
mod tests;
mod timer;
mod touched;
mod view;

use sha2::{Digest, Sha256};

use crate::model::{
    Action, ChangeNumber, Effect, EffectKind, Event, Pair, PipelineName, Repository, Timestamp,
};
use index::Index;
use state::{Out, State};

/// Version of the core's decisions; raised when the same events may lead to other actions.
pub const VERSION: u32 = 13;

/// Rounds of planning in one step; beyond it the rest waits for the next wake-up.
const ROUNDS_MAX: u32 = 100_000;

/// The core's state machine. See the module's documentation.
#[derive(Default)]
pub struct Queue {
    state: State,
    index: Index,
    out: Out,
}

/// What one step has led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What was decided and what is asked for, in order.
    pub actions: Vec<Action>,
    /// What a person should hear.
    pub notes: Vec<Note>,
}

/// Something that is neither state nor effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The answer to an operator's command.
    Answer {
        /// The request that it answers.
        request: u64,
        /// Whether it was done.
        accepted: bool,
        /// In words.
        text: String,
    },
    /// Something for the log.
    Said(String),
}

impl Queue {
    /// An empty core; its first event is `PolicyChanged`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts one event at `at` and plans until nothing is left to do.
    ///
    /// Time never goes back: an earlier `at` counts as the latest seen.
    pub fn step(&mut self, at: Timestamp, event: Event) -> Step {
        self.begin(at, &event);
        self.absorb(event);
        self.plan();
        self.finish()
    }

    /// Repeats a journaled step: the event is absorbed, the recorded actions are applied, nothing
    /// is planned. [`Event::Restarted`] after the last one plans over everything.
    pub fn replay(&mut self, at: Timestamp, event: Event, actions: &[Action]) {
        self.begin(at, &event);
        self.absorb(event);
        for action in actions {
            self.apply(action);
        }
        self.out = Out::default();
    }

    /// When the core wants to be woken at the latest, even if nothing happens.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.index.timers.first().map(|(at, _)| *at)
    }

    /// The repositories of which a branch was seen, sorted.
    pub fn repositories(&self) -> Vec<Repository> {
        let exist = self.state.tips.iter().filter(|(_, tip)| tip.commit.is_some());
        let mut all: Vec<Repository> = exist.map(|(pair, _)| pair.repository.clone()).collect();
        all.dedup();
        all
    }

    /// Digest (SHA-256, hexadecimal) over the whole state.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.snapshot());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The state as JSON, from which [`Queue::restore`] goes on.
    pub fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.state).unwrap_or_default()
    }

    /// The core whose state was written by [`Queue::snapshot`].
    ///
    /// # Errors
    /// What is wrong with the bytes, in words.
    pub fn restore(bytes: &[u8]) -> Result<Self, String> {
        let state: State = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let index = Index::of(&state);
        Ok(Self { state, index, out: Out::default() })
    }

    /// Effects whose end is awaited, oldest first.
    pub fn outbox(&self) -> Vec<Effect> {
        self.state.effects.values().map(|pending| pending.effect.clone()).collect()
    }

    /// The id that the next effect gets.
    pub fn next_effect(&self) -> crate::model::EffectId {
        crate::model::EffectId(self.state.last_effect + 1)
    }

    /// Whether the end of an effect is awaited, or it has none.
    pub fn awaits(&self, effect: &Effect) -> bool {
        matches!(effect.kind, EffectKind::ReleaseNode { .. }) || self.state.effects.contains_key(&effect.id)
    }

    /// Pushes under way, with what was to be pushed: after a restart their outcome is unknown.
    pub fn pushes_under_way(&self) -> Vec<Effect> {
        let pushes = self
            .state
            .effects
            .values()
            .filter(|pending| matches!(pending.effect.kind, EffectKind::Land { .. }));
        pushes.map(|pending| pending.effect.clone()).collect()
    }

    /// The changes that matter now: of items, and approved ones that wait.
    pub fn tracked(&self) -> Vec<(ChangeNumber, Repository)> {
        let open = self.state.changes.values().filter(|change| self.matters(change));
        open.map(|change| (change.snapshot.number, change.snapshot.repository.clone())).collect()
    }

    /// Each periodic pipeline, with the last moment of it that was heeded: the next one is to be told as
    /// [`Event::Due`].
    pub fn due_since(&self) -> Vec<(PipelineName, Timestamp)> {
        self.state.runs.due.iter().map(|(name, at)| (name.clone(), *at)).collect()
    }

    /// The branches whose tips matter now.
    pub fn watched(&self) -> Vec<Pair> {
        self.state.tips.keys().cloned().collect()
    }

    fn begin(&mut self, at: Timestamp, event: &Event) {
        self.state.now = self.state.now.max(at);
        if *event == Event::Restarted {
            self.restarted();
        }
        self.fire_timers();
        self.index.dirty_keys.extend(self.index.spared.keys());
    }

    fn finish(&mut self) -> Step {
        let out = std::mem::take(&mut self.out);
        Step { actions: out.actions, notes: out.notes }
    }

    fn plan(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if let Some(change) = self.index.dirty_changes.pop_front() {
                self.plan_change(change);
            } else if let Some(item) = self.index.dirty_items.pop_first() {
                if self.state.runs.under_way.contains_key(&item) {
                    self.plan_run(item);
                } else if self.is_alternative(item) {
                    self.plan_alternative(item);
                } else {
                    self.plan_jobs(item);
                }
            } else if let Some(effect) = self.index.dirty_landings.pop_first() {
                self.plan_landing(effect);
            } else if let Some(queue) = self.index.dirty_queues.pop_first() {
                self.plan_queue(&queue);
                self.index.dirty_alternatives = true;
            } else if let Some(change) = self.index.dirty_confirms.pop_first() {
                self.plan_confirm(change);
            } else if let Some(key) = self.index.dirty_keys.pop_first() {
                self.plan_stop(key);
            } else if std::mem::take(&mut self.index.dirty_expected) {
                self.plan_expected();
            } else if std::mem::take(&mut self.index.dirty_references) {
                self.plan_references();
            } else if std::mem::take(&mut self.index.dirty_runs) {
                self.plan_runs();
            } else if std::mem::take(&mut self.index.dirty_builds) {
                self.plan_builds();
                self.index.dirty_alternatives = true;
            } else if std::mem::take(&mut self.index.dirty_alternatives) {
                self.plan_alternatives();
            } else if std::mem::take(&mut self.index.dirty_reports) {
                self.plan_reports();
            } else {
                return;
            }
        }
        self.out
            .notes
            .push(Note::Said("planning was cut short: the rest follows at the next wake-up".into()));
        self.wake_at(self.state.now.plus_ms(1), timer::Timer::Everything);
    }

    /// Journals an action and applies it.
    fn act(&mut self, action: Action) {
        self.apply(&action);
        self.out.actions.push(action);
    }

    /// Asks for an effect and returns its id.
    fn ask(&mut self, kind: EffectKind) -> crate::model::EffectId {
        let id = crate::model::EffectId(self.state.last_effect + 1);
        self.act(Action::Effect(Effect { id, kind }));
        id
    }
}
