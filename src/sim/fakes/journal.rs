//! The journal in memory. It survives the simulated death of the daemon: the wrapper that the engine
//! holds is a handle to it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::port::{Entry, Journal, JournalError, Snapshot};

/// What is on the simulated disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// All entries ever written; the audit reads them even after a snapshot.
    pub entries: Vec<Entry>,
    /// The last snapshot.
    pub snapshot: Option<Snapshot>,
    /// What the next append answers instead of writing.
    pub refuse: Option<JournalError>,
    /// Something that must never be, found while writing.
    pub broken: Option<String>,
}

/// A handle to the disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(pub Rc<RefCell<Disk>>);

impl Journal for MemoryJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let mut disk = self.0.borrow_mut();
        if let Some(error) = disk.refuse.take() {
            return Err(error);
        }
        let next = disk.entries.last().map_or(1, |last| last.sequence + last.steps.len() as u64);
        if entry.sequence != next || entry.steps.is_empty() {
            disk.broken = Some(format!("entry {} was written where {next} was due", entry.sequence));
        }
        disk.entries.push(entry.clone());
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.0.borrow_mut().snapshot = Some(snapshot.clone());
        Ok(())
    }

    fn recover(&mut self) -> Result<(Option<Snapshot>, Vec<Entry>), JournalError> {
        let disk = self.0.borrow();
        let from = disk.snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
        let after = disk.entries.iter().filter(|entry| entry.sequence > from);
        Ok((disk.snapshot.clone(), after.cloned().collect()))
    }
}
