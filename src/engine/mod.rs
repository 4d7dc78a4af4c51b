//! The engine: accepts events, lets the core decide, and releases effects only once both are in the
//! journal. Floor 3.
//!
//! One transaction holds the events of a delivery, the actions that followed from them, and a
//! digest chained over both. A restart is snapshot + journal + outbox: the events are absorbed
//! again, the recorded actions are applied, and every effect whose end was not seen is begun again.
//! Only a push is never begun again: its outcome is unknown and is found out by looking.

mod dispatch;

pub use dispatch::{Ports, dispatch};

use sha2::{Digest, Sha256};

use crate::model::{Action, Effect, EffectKind, Event, Outcome, Timestamp};
use crate::port::{Entry, Journal, JournalError, Snapshot};
use crate::queue::{Note, Queue, VERSION};

/// Entries after which a snapshot is written, so that a restart replays no more.
const SNAPSHOT_ENTRIES: u64 = 2_000;

/// The core with its journal.
pub struct Engine<J> {
    queue: Queue,
    journal: J,
    sequence: u64,
    digest: String,
    since_snapshot: u64,
}

/// What a restart has found.
pub struct Opened<J> {
    /// The engine, ready to accept events.
    pub engine: Engine<J>,
    /// Effects that may or may not have been begun: to be begun again.
    pub effects: Vec<Effect>,
    /// What a person should hear.
    pub notes: Vec<Note>,
}

/// What came of a delivery, now safely in the journal.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Effects to be begun.
    pub effects: Vec<Effect>,
    /// All actions, decisions too, in order.
    pub actions: Vec<Action>,
    /// What a person should hear.
    pub notes: Vec<Note>,
}

impl<J: Journal> Engine<J> {
    /// Restores the state from the journal at `at` and closes what a stop has left open.
    ///
    /// # Errors
    /// When the journal cannot be read, is not this version's, or its chain of digests is broken.
    pub fn open(journal: J, at: Timestamp) -> Result<Opened<J>, JournalError> {
        Self::open_kept(journal, at).map_err(|failed| failed.1)
    }

    /// As [`Engine::open`], but gives the journal back when it fails.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_kept(journal: J, at: Timestamp) -> Result<Opened<J>, Box<(J, JournalError)>> {
        let mut engine =
            Self { queue: Queue::new(), journal, sequence: 0, digest: String::new(), since_snapshot: 0 };
        match engine.recover(at) {
            Ok((effects, notes)) => Ok(Opened { engine, effects, notes }),
            Err(error) => Err(Box::new((engine.journal, error))),
        }
    }

    fn recover(&mut self, at: Timestamp) -> Result<(Vec<Effect>, Vec<Note>), JournalError> {
        let (snapshot, entries) = self.journal.recover()?;
        if let Some(snapshot) = snapshot {
            self.restore(snapshot)?;
        }
        for entry in &entries {
            self.repeat(entry)?;
        }
        self.since_snapshot = entries.len() as u64;
        if self.sequence == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut events = vec![Event::Restarted];
        events.extend(self.queue.pushes_under_way().iter().filter_map(unknown_push));
        let outbox: Vec<Effect> = self.queue.outbox();
        let accepted = self.accept(at, events)?;
        let again = outbox.into_iter().filter(|effect| !matches!(effect.kind, EffectKind::Land { .. }));
        let effects = again.chain(accepted.effects).filter(|effect| self.queue.awaits(effect)).collect();
        Ok((effects, accepted.notes))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<(), JournalError> {
        self.queue = Queue::restore(&snapshot.state).map_err(|error| {
            JournalError::Broken(format!(
                "read the snapshot of version {} at {}: {error}; start the version that wrote it, or move the state folder aside to begin anew",
                snapshot.version, snapshot.sequence
            ))
        })?;
        self.sequence = snapshot.sequence;
        self.digest = snapshot.digest;
        Ok(())
    }

    fn repeat(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let digest = chain(&self.digest, &entry.steps);
        if entry.sequence != self.sequence + 1 || digest != entry.digest {
            return Err(JournalError::Broken(format!(
                "follow the journal at entry {}: its digest does not fit; the file was changed from outside, restore a back-up or move the state folder aside to begin anew",
                entry.sequence
            )));
        }
        for (event, actions) in &entry.steps {
            self.queue.replay(entry.at, event.clone(), actions);
        }
        self.sequence += entry.steps.len() as u64;
        self.digest = digest;
        Ok(())
    }

    /// Accepts events that belong together, in one transaction.
    ///
    /// # Errors
    /// When the journal cannot be written. The core has then gone ahead of the journal, and nothing
    /// was released: the engine must be opened again from the journal.
    pub fn accept(&mut self, at: Timestamp, events: Vec<Event>) -> Result<Accepted, JournalError> {
        let mut steps = Vec::with_capacity(events.len());
        let mut accepted = Accepted::default();
        for event in events {
            let step = self.queue.step(at, event.clone());
            accepted.notes.extend(step.notes);
            accepted.actions.extend(step.actions.iter().cloned());
            steps.push((event, step.actions));
        }
        self.write(at, steps)?;
        accepted.effects = effects_of(&accepted.actions);
        Ok(accepted)
    }

    fn write(&mut self, at: Timestamp, steps: Vec<(Event, Vec<Action>)>) -> Result<(), JournalError> {
        let count = steps.len() as u64;
        let digest = chain(&self.digest, &steps);
        let entry = Entry { sequence: self.sequence + 1, at, steps, digest };
        self.journal.append(&entry)?;
        self.sequence += count;
        self.digest = entry.digest;
        self.since_snapshot += 1;
        if self.since_snapshot >= SNAPSHOT_ENTRIES {
            self.snapshot(at)?;
        }
        Ok(())
    }

    /// Writes a snapshot, from which the next restart goes on.
    ///
    /// # Errors
    /// When it cannot be written; the one before stays in force.
    pub fn snapshot(&mut self, _at: Timestamp) -> Result<(), JournalError> {
        let state = self.queue.snapshot();
        let digest = self.digest.clone();
        self.journal.snapshot(&Snapshot { sequence: self.sequence, digest, state, version: VERSION })?;
        self.since_snapshot = 0;
        Ok(())
    }

    /// When the core wants to be woken at the latest.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.queue.next_wakeup()
    }

    /// The core, to look at.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The journal, to look at.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// Gives the journal back; what was not written is forgotten, as in a crash.
    pub fn into_journal(self) -> J {
        self.journal
    }
}

fn effects_of(actions: &[Action]) -> Vec<Effect> {
    let effects = actions.iter().filter_map(|action| match action {
        Action::Effect(effect) => Some(effect.clone()),
        Action::Decision(_) => None,
    });
    effects.collect()
}

fn unknown_push(effect: &Effect) -> Option<Event> {
    let EffectKind::Land { pushes, .. } = &effect.kind else { return None };
    let unknown =
        |pair: &crate::model::Pair| (pair.clone(), Outcome::Unknown("the daemon was restarted".into()));
    Some(Event::PushEnded {
        effect: effect.id,
        pushes: pushes.iter().map(|push| unknown(&push.pair)).collect(),
    })
}

/// SHA-256 over the digest before and the steps as JSON.
fn chain(before: &str, steps: &[(Event, Vec<Action>)]) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(serde_json::to_vec(steps).unwrap_or_default());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
