//! The loop: takes what the adapters deliver, journals what follows, releases the effects.
//!
//! It runs on a thread of its own, since the journal waits for the disk. Deliveries that have piled
//! up share a transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::SystemClock;
use super::desk::Board;
use super::timing::Timing;
use crate::config::Timetables;
use crate::engine::{Accepted, Engine, Ports, dispatch};
use crate::executor::local::Local;
use crate::gerrit::Gerrit;
use crate::git::Git;
use crate::model::action::Decision;
use crate::model::event::BuildPhase;
use crate::model::item::JobOutcome;
use crate::model::{
    Action, BuildId, ChangeStatus, Effect, EffectKind, Event, JobName, Pipeline, Policy, Verdict,
};
use crate::port::{Clock as _, Journal, JournalError};
use crate::queue::Note;
use crate::web::veil::HIDDEN;
use crate::web::{Desk as _, words};

/// Events that share a transaction at most.
const EVENTS_PER_ENTRY: usize = 256;
/// Longest time between two turns without news.
const IDLE: Duration = Duration::from_secs(10);
/// A view is published at least so often while there is news.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Pause after the journal could not be written.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// What reaches the loop.
pub enum Message {
    /// Something was observed.
    Events(Vec<Event>),
    /// Another policy; whoever gave it waits until it is in the journal.
    Policy(Arc<Policy>, oneshot::Sender<()>),
    /// The daemon is to stop.
    Stop,
}

/// What has piled up for one turn.
#[derive(Default)]
struct Gathered {
    events: Vec<Event>,
    /// Those who wait until it is journaled.
    waiting: Vec<oneshot::Sender<()>>,
    stop: bool,
}

impl Gathered {
    fn take(&mut self, message: Message) {
        match message {
            Message::Events(events) => self.events.extend(events),
            Message::Policy(policy, done) => {
                self.events.push(Event::PolicyChanged { policy });
                self.waiting.push(done);
            }
            Message::Stop => self.stop = true,
        }
    }
}

/// The adapters that effects go to.
pub struct Adapters {
    /// Gerrit: reads, votes, messages.
    pub gerrit: Gerrit,
    /// Trees and pushes.
    pub git: Git,
    /// Builds.
    pub local: Local,
}

/// The loop's state.
pub struct Loop<J: Journal> {
    /// Core and journal; taken while they are opened anew.
    engine: Option<Engine<J>>,
    /// Where effects go.
    adapters: Adapters,
    /// What is shown.
    board: Arc<Board>,
    /// What is delivered.
    inbox: Receiver<Message>,
    /// How long effects take.
    timing: Timing,
    /// What came while the journal could not be written.
    held: Gathered,
    /// When periodic pipelines are due.
    timetables: Timetables,
}

impl<J: Journal> Loop<J> {
    /// A loop that has not begun to turn.
    pub fn new(engine: Engine<J>, adapters: Adapters, board: Arc<Board>, inbox: Receiver<Message>) -> Self {
        let (timing, held) = (Timing::default(), Gathered::default());
        let timetables = engine.queue().policy().map(Timetables::of).unwrap_or_default();
        Self { engine: Some(engine), adapters, board, inbox, timing, held, timetables }
    }

    /// Turns until told to stop. `begun` are effects of an earlier run, to be begun again.
    ///
    /// # Errors
    /// When the journal is broken for good.
    pub fn run(&mut self, begun: Vec<Effect>) -> Result<(), JournalError> {
        for effect in begun {
            self.release(effect, true);
        }
        let mut published: Option<Instant> = None;
        let mut stale = true;
        loop {
            self.board.turned();
            // What was held back of a burst is shown as soon as the burst is over.
            let Gathered { mut events, waiting, stop } =
                self.gather(if stale { PUBLISH_EVERY } else { IDLE });
            events.extend(self.due());
            let quiet = events.is_empty();
            if stop {
                return self.close();
            }
            if !quiet || self.is_due() {
                self.accept(if quiet { vec![Event::Wake] } else { events })?;
                if self.engine.is_none() {
                    // Told to stop while the journal could not be written: it has all that there is.
                    return Ok(());
                }
                stale = true;
            }
            for done in waiting {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
            if quiet || (stale && published.is_none_or(|at| at.elapsed() >= PUBLISH_EVERY)) {
                self.publish();
                published = Some(Instant::now());
                stale = false;
            }
        }
    }

    /// The periodic pipelines that are due.
    fn due(&self) -> Vec<Event> {
        let Some(engine) = &self.engine else { return Vec::new() };
        self.timetables.due(&engine.queue().due_since(), SystemClock.now())
    }

    fn is_due(&self) -> bool {
        let wakeup = self.engine.as_ref().and_then(Engine::next_wakeup);
        wakeup.is_some_and(|at| at <= SystemClock.now())
    }

    fn publish(&self) {
        if let Some(engine) = &self.engine {
            let queue = engine.queue();
            self.board.publish(queue.view(SystemClock.now()), queue.tracked());
        }
    }

    /// Waits for news or the next deadline, `longest` at most, and takes all that has piled up.
    fn gather(&mut self, longest: Duration) -> Gathered {
        let wakeup = self.engine.as_ref().and_then(|engine| {
            let due = self.timetables.next(&engine.queue().due_since());
            engine.next_wakeup().into_iter().chain(due).min()
        });
        let wait_ms = wakeup.map_or(longest.as_millis(), |at| {
            u128::try_from(at.since_ms(SystemClock.now()).max(0)).unwrap_or_default()
        });
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(u64::MAX)).min(longest);
        let mut gathered = std::mem::take(&mut self.held);
        if gathered.events.len() > EVENTS_PER_ENTRY {
            self.held.events = gathered.events.split_off(EVENTS_PER_ENTRY);
            self.held.waiting = std::mem::take(&mut gathered.waiting);
        }
        if gathered.stop || !gathered.events.is_empty() {
            return gathered;
        }
        match self.inbox.recv_timeout(wait) {
            Ok(first) => gathered.take(first),
            Err(RecvTimeoutError::Disconnected) => gathered.stop = true,
            Err(RecvTimeoutError::Timeout) => return gathered,
        }
        while !gathered.stop && gathered.events.len() < EVENTS_PER_ENTRY {
            match self.inbox.try_recv() {
                Ok(more) => gathered.take(more),
                Err(TryRecvError::Disconnected) => gathered.stop = true,
                Err(TryRecvError::Empty) => break,
            }
        }
        gathered
    }

    fn accept(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        for event in &events {
            self.foresee(event);
            self.count_build(event);
            self.board.sight().note(event);
            self.timing.note(event, &self.board.metrics);
        }
        let begun = Instant::now();
        let accepted = loop {
            let Some(engine) = &mut self.engine else { return Ok(()) };
            match engine.accept(SystemClock.now(), events.clone()) {
                Ok(accepted) => break accepted,
                Err(error @ JournalError::Broken(_)) => return Err(error),
                Err(error) => self.reopen(&error)?,
            }
        };
        self.board.metrics.journal_commit(begun.elapsed());
        self.board.problem("journal", None);
        for event in &events {
            if let Event::PolicyChanged { policy } = event {
                self.timetables = Timetables::of(policy);
            }
        }
        self.observe(&events, &accepted);
        for effect in accepted.effects {
            self.release(effect, false);
        }
        for note in accepted.notes {
            match note {
                Note::Answer { request, accepted, text } => self.board.answer(request, accepted, text),
                Note::Said(text) => {
                    tracing::warn!("{}", self.board.sight().cover(&text, &self.board.raw_view()));
                }
            }
        }
        Ok(())
    }

    /// The journal did not take an entry: the core is brought back to what the journal has.
    fn reopen(&mut self, error: &JournalError) -> Result<(), JournalError> {
        self.board.problem("journal", Some(format!("failed to {error}")));
        self.board.turned();
        if self.pause() {
            self.engine = None;
            return Ok(());
        }
        let Some(engine) = self.engine.take() else { return Ok(()) };
        let mut journal = engine.into_journal();
        loop {
            match Engine::open_kept(journal, SystemClock.now()) {
                Ok(opened) => {
                    self.engine = Some(opened.engine);
                    for effect in opened.effects {
                        self.release(effect, true);
                    }
                    return Ok(());
                }
                Err(failed) => {
                    let (back, error) = *failed;
                    if matches!(error, JournalError::Broken(_)) {
                        return Err(error);
                    }
                    journal = back;
                    self.board.problem("journal", Some(format!("failed to {error}")));
                    self.board.turned();
                    if self.pause() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits before the journal is tried again; true when the daemon is to stop. What was not journaled is
    /// then as if it had not been heard, and is read again at the next start.
    fn pause(&mut self) -> bool {
        let until = Instant::now() + JOURNAL_PAUSE;
        while !self.held.stop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => self.held.take(message),
                Err(RecvTimeoutError::Disconnected) => self.held.stop = true,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        self.held.stop
    }

    /// Tells the trees what they will be asked for, before the core asks.
    fn foresee(&self, event: &Event) {
        match event {
            Event::TipSeen { pair, commit } => self.adapters.git.note_tip(pair, *commit),
            Event::ChangeSeen { snapshot } if snapshot.status == ChangeStatus::Open && !snapshot.private => {
                let (repository, number) = (&snapshot.repository, snapshot.number);
                let early = self.adapters.git.early();
                early.patch_set(repository, number, snapshot.patchset, snapshot.revision);
            }
            _ => {}
        }
    }

    fn release(&mut self, effect: Effect, again: bool) {
        if let (EffectKind::StartBuild { build, inputs, .. }, Some(engine)) = (&effect.kind, &self.engine) {
            self.board.note_build(*build, &engine.queue().changes_in(*build), inputs);
        }
        self.log_effect(&effect);
        self.timing.begin(&effect);
        let adapters = &mut self.adapters;
        let mut reporter = adapters.gerrit.clone();
        let mut ports = Ports {
            host: &mut adapters.gerrit,
            trees: &mut adapters.git,
            executor: &mut adapters.local,
            reporter: &mut reporter,
        };
        dispatch(&mut ports, effect, again);
    }

    /// Counts and logs what has happened.
    fn observe(&self, events: &[Event], accepted: &Accepted) {
        for event in events {
            if let Event::BuildSeen { build, phase: BuildPhase::Finished { .. } } = event {
                self.adapters.local.forget(*build);
            }
        }
        let Some(engine) = &self.engine else { return };
        for action in &accepted.actions {
            if let Action::Decision(Decision::RunEnded { pipeline, outcome, .. }) = action {
                self.board.metrics.run_ended(pipeline.name(), outcome.kind());
            }
            if let Action::Decision(Decision::Ended { item, pipeline, departure, .. }) = action {
                let how = words::departure_kind(departure);
                tracing::info!(item = item.0, "item {item} ended in {}: {how}", pipeline.name());
                tracing::debug!(item = item.0, "item {item}: {departure:?}");
                let view = engine.queue().departed(*item);
                if let Some(view) = view {
                    self.board.history().departed(view);
                }
                if let (Pipeline::Gate, Some(view)) = (pipeline, view)
                    && let Some(queue) = &view.queue
                {
                    let stay_ms = view.ended_at.since_ms(view.entered_at);
                    self.board.metrics.gate_ended(queue, departure, stay_ms);
                }
            }
        }
    }

    fn count_build(&self, event: &Event) {
        let Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, duration_ms } } = event else {
            return;
        };
        let outcome = match verdict {
            Verdict::Pass => JobOutcome::Success,
            Verdict::Fail { .. } => JobOutcome::Failure,
            Verdict::NoVerdict { .. } => JobOutcome::Error,
        };
        let Some(job) = self.engine.as_ref().and_then(|engine| engine.queue().job_of(*build)) else { return };
        let name = self.name_of(job, *build);
        tracing::info!(build = build.0, "build {build} of {name} ended: {}", words::outcome(outcome));
        tracing::debug!(build = build.0, "build {build} of {job}: {verdict:?}");
        self.board.metrics.build_ended(&name, outcome, *duration_ms);
        self.board.history().build_ended(job, outcome, *duration_ms);
    }

    /// A job as log and figures may name it: one of the operators' own, or of a job file of which all is
    /// to be read.
    fn name_of(&self, job: &JobName, build: BuildId) -> JobName {
        let declared = self.engine.as_ref().is_some_and(|engine| engine.queue().declares(job));
        if declared || self.board.shows_build(build) { job.clone() } else { HIDDEN.into() }
    }

    fn close(&mut self) -> Result<(), JournalError> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        match engine.snapshot(SystemClock.now()) {
            Err(error @ JournalError::Broken(_)) => Err(error),
            Err(error) => {
                tracing::warn!(
                    "failed to {error}; nothing is lost, the next start reads more of the journal"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn log_effect(&self, effect: &Effect) {
        match &effect.kind {
            EffectKind::StartBuild { build, job, .. } => {
                let name = self.name_of(job, *build);
                tracing::info!(build = build.0, "build {build} of {name} starts")
            }
            EffectKind::Land { pushes, .. } => {
                for push in pushes {
                    let numbers = || push.changes.iter().map(|(number, ..)| *number);
                    let names = self.board.names(numbers());
                    if numbers().all(|number| self.board.sight().shows(number)) {
                        tracing::info!("pushing {} to {} for changes {names}", push.new.short(), push.pair);
                    } else {
                        tracing::info!("pushing to a branch for changes {names}");
                        tracing::debug!("pushing {} to {}", push.new.short(), push.pair);
                    }
                }
            }
            kind => tracing::debug!("effect {}: {kind:?}", effect.id),
        }
    }
}
