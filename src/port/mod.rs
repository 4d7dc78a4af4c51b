//! The traits behind which the world outside lies. Floor 2.
//!
//! A port begins an effect and returns at once; its end comes back as events through the
//! [`Inbox`]. So the same engine drives real adapters (which spawn tasks) and the simulator's
//! fakes (which put the end on their own calendar). No port is asked before the journal has the
//! action.

use std::sync::Arc;

use crate::model::{Action, Effect, Event, Timestamp};

/// Where adapters put what they see. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Inbox(Arc<dyn Fn(Vec<Event>) + Send + Sync>);

impl Inbox {
    /// An inbox that hands what is delivered to `take`.
    pub fn new(take: impl Fn(Vec<Event>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Delivers events that belong together, in order; they are accepted in one transaction.
    pub fn deliver(&self, events: Vec<Event>) {
        (self.0)(events);
    }
}

/// The wall clock.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The review host (Gerrit): `Look`, `ObserveChange`, `ObserveCommit`, `FindReferences`, `ObserveTip`,
/// `CloseChange`.
pub trait ReviewHost {
    /// Begins one of its effects; `again` when it may have been begun before a restart.
    fn begin(&mut self, effect: Effect, again: bool);
}

/// Speculative trees and the landing push: `PrepareNode`, `ReleaseNode`, `Land`, `ObservePush`.
pub trait TreeStore {
    /// Begins one of its effects; `again` when it may have been begun before a restart.
    fn begin(&mut self, effect: Effect, again: bool);
}

/// What runs builds: `StartBuild`, `StopBuild`.
pub trait Executor {
    /// Begins one of its effects; `again` when it may have been begun before a restart.
    fn begin(&mut self, effect: Effect, again: bool);
}

/// What speaks to people: `Report`.
pub trait Reporter {
    /// Begins one of its effects; `again` when it may have been begun before a restart.
    fn begin(&mut self, effect: Effect, again: bool);
}

/// One transaction of the journal: events, what followed from them, and the digest chained over
/// both.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Number of the first event, from 1, without gaps.
    pub sequence: u64,
    /// When the events were accepted.
    pub at: Timestamp,
    /// The events, in order, each with the actions that followed from it.
    pub steps: Vec<(Event, Vec<Action>)>,
    /// SHA-256 over the digest before, the events and the actions; hexadecimal.
    pub digest: String,
}

/// A state of the core, from which the journal is replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Sequence number of the last event in it; 0 for none.
    pub sequence: u64,
    /// The digest chain's value there.
    pub digest: String,
    /// The core's state, as the core writes it.
    pub state: Vec<u8>,
    /// The version of the core that wrote it.
    pub version: u32,
}

/// Why the journal could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is no room; what was accepted before is safe.
    #[error(
        "write the journal: the disk is full; free some space on the volume of the state folder, the daemon goes on by itself"
    )]
    Full,
    /// Someone else holds the database for now.
    #[error("write the journal: the database is busy")]
    Busy,
    /// Anything else.
    #[error("{0}")]
    Broken(String),
}

/// Keeps events and actions. One transaction per entry, durable when `append` returns.
pub trait Journal {
    /// Writes one entry.
    ///
    /// # Errors
    /// Nothing of the entry is kept when it fails.
    fn append(&mut self, entry: &Entry) -> Result<(), JournalError>;

    /// Writes a snapshot and may forget what lies before it.
    ///
    /// # Errors
    /// The snapshot before stays in force when it fails.
    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError>;

    /// The last snapshot, if any, and the entries after it in order.
    ///
    /// # Errors
    /// When the database cannot be read or a chain of digests is broken.
    fn recover(&mut self) -> Result<(Option<Snapshot>, Vec<Entry>), JournalError>;
}
