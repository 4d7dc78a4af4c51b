//! The journal on SQLite: one transaction per entry, durable when it returns. Floor 4.
//!
//! One file, `journal.sqlite3` in the state folder, in write-ahead mode with `synchronous = FULL`, so
//! that what was accepted survives a loss of power. A lock keeps a second daemon out.

mod lock;
mod open;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, OptionalExtension as _, ffi, params};

use crate::model::Timestamp;
use crate::port::{Entry, Journal, JournalError, Snapshot};
use lock::Lock;

pub use open::{FILE, OpenError};

/// How many snapshots are kept: the one in force, and the one before to compare it with after a fault.
const SNAPSHOTS_KEPT: i64 = 2;

/// How many old entries one snapshot may forget.
const FORGOTTEN_AT_ONCE: i64 = 20_000;

/// How the journal is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Entries before the last snapshot are kept for so many days.
    pub keep_days: u32,
}

impl Default for Settings {
    /// Two weeks: enough to look into what a release or a holiday left behind.
    fn default() -> Self {
        Self { keep_days: 14 }
    }
}

/// For how many days an open journal keeps old entries; may be changed while it is in use.
#[derive(Clone, Debug)]
pub struct Keep(Arc<AtomicU32>);

impl Keep {
    fn new(settings: Settings) -> Self {
        Self(Arc::new(AtomicU32::new(settings.keep_days)))
    }

    /// Sets the days, from the next snapshot on.
    pub fn set_days(&self, days: u32) {
        self.0.store(days, Ordering::Relaxed);
    }

    fn days(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The journal.
pub struct Store {
    connection: Connection,
    keep: Keep,
    file: PathBuf,
    /// Number that the next entry must have; `None` until something was read or written.
    next: Option<u64>,
    /// Held for as long as the store is open.
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the journal in `folder`, making both when they are not there.
    ///
    /// # Errors
    /// In words for the operator, with the remedy. What is there is never overwritten.
    pub fn open(folder: &Path, settings: Settings) -> Result<Self, OpenError> {
        let (connection, file, lock) = open::open_folder(folder)?;
        Ok(Self { connection, keep: Keep::new(settings), file, next: None, _lock: Some(lock) })
    }

    /// Opens the journal in `folder` to read, beside the daemon that writes it or without one.
    ///
    /// # Errors
    /// As for [`Store::open`]; also when an older version wrote it.
    pub fn open_to_read(folder: &Path) -> Result<Self, OpenError> {
        let (connection, file) = open::open_reader(folder)?;
        Ok(Self { connection, keep: Keep::new(Settings::default()), file, next: None, _lock: None })
    }

    /// A journal that is gone when it is dropped, for the simulator and for tests.
    ///
    /// # Errors
    /// When SQLite has no memory for it.
    pub fn in_memory() -> Result<Self, OpenError> {
        let file = PathBuf::from("(memory)");
        let mut connection =
            Connection::open_in_memory().map_err(|error| OpenError::database(&file, &error))?;
        open::prepare(&mut connection, &file)?;
        Ok(Self { connection, keep: Keep::new(Settings::default()), file, next: None, _lock: None })
    }

    /// For changing how long old entries are kept.
    pub fn keep(&self) -> Keep {
        self.keep.clone()
    }

    /// Writes a consistent copy of the whole journal to `to` while it is in use.
    ///
    /// # Errors
    /// When `to` exists or cannot be written.
    pub fn backup(&self, to: &Path) -> Result<(), JournalError> {
        if to.exists() {
            let text = format!("write the copy: {} exists; name a file that does not", to.display());
            return Err(JournalError::Broken(text));
        }
        let Some(name) = to.to_str() else {
            return Err(JournalError::Broken(
                "write the copy: its path is not UTF-8; choose another".to_owned(),
            ));
        };
        self.connection
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| self.fault("write the copy", &error))?;
        // SQLite leaves the copy to the system; a backup should outlast a loss of power.
        std::fs::File::open(to)
            .and_then(|file| file.sync_all())
            .map_err(|error| JournalError::Broken(format!("write the copy {name} to its disk: {error}")))
    }

    /// Gives the entries from event `from` on, each as one line of JSON, to `put`; it may stop early
    /// by returning `false`.
    ///
    /// # Errors
    /// When the database or an entry cannot be read.
    pub fn export(&self, from: u64, mut put: impl FnMut(&str) -> bool) -> Result<(), JournalError> {
        self.each_entry(from, |entry| {
            let line = serde_json::to_string(&entry).map_err(|error| unreadable(entry.sequence, &error))?;
            Ok(put(&line))
        })
    }

    /// Number of the last event that was accepted; 0 for none.
    fn last(&self) -> Result<u64, JournalError> {
        let read = |error: rusqlite::Error| self.fault("read the journal", &error);
        let sql = "SELECT sequence + steps_count - 1 FROM entries ORDER BY sequence DESC LIMIT 1";
        let last: Option<i64> =
            self.connection.query_row(sql, [], |row| row.get(0)).optional().map_err(read)?;
        let sql = "SELECT MAX(sequence) FROM snapshots";
        let snapshot: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0)).map_err(read)?;
        Ok(last.unwrap_or(0).max(snapshot.unwrap_or(0)).unsigned_abs())
    }

    fn last_snapshot(&self) -> Result<Option<Snapshot>, JournalError> {
        let sql = "SELECT sequence, digest, state, version FROM snapshots ORDER BY sequence DESC LIMIT 1";
        self.connection
            .query_row(sql, [], |row| {
                Ok(Snapshot {
                    sequence: row.get::<_, i64>(0)?.unsigned_abs(),
                    digest: row.get(1)?,
                    state: row.get(2)?,
                    version: row.get(3)?,
                })
            })
            .optional()
            .map_err(|error| self.fault("read the last snapshot", &error))
    }

    /// Gives each entry that ends at or after event `from` to `take`, until it returns `false`.
    fn each_entry(
        &self,
        from: u64,
        mut take: impl FnMut(Entry) -> Result<bool, JournalError>,
    ) -> Result<(), JournalError> {
        let read = |error: rusqlite::Error| self.fault("read the journal", &error);
        // The inner query finds the entry that `from` lies in by the primary key.
        let sql = "SELECT sequence, at, steps, digest FROM entries \
                   WHERE sequence >= (SELECT IFNULL(MAX(sequence), 0) FROM entries WHERE sequence <= ?1) \
                   AND sequence + steps_count > ?1 ORDER BY sequence";
        let mut statement = self.connection.prepare_cached(sql).map_err(read)?;
        let mut rows = statement.query([number(from)]).map_err(read)?;
        while let Some(row) = rows.next().map_err(read)? {
            let sequence = row.get::<_, i64>(0).map_err(read)?.unsigned_abs();
            let steps: String = row.get(2).map_err(read)?;
            let entry = Entry {
                sequence,
                at: Timestamp(row.get(1).map_err(read)?),
                steps: serde_json::from_str(&steps).map_err(|error| unreadable(sequence, &error))?,
                digest: row.get(3).map_err(read)?,
            };
            if !take(entry)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// An error of SQLite's in the words of the port.
    fn fault(&self, doing: &str, error: &rusqlite::Error) -> JournalError {
        match error.sqlite_error().map(|error| error.extended_code & 0xff) {
            Some(ffi::SQLITE_FULL) => JournalError::Full,
            // The index of the write-ahead log could not grow: SQLite's other word for a full disk.
            Some(ffi::SQLITE_IOERR) if is_shm_size(error) => JournalError::Full,
            Some(ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => JournalError::Busy,
            Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => JournalError::Broken(format!(
                "{doing}: {}",
                OpenError::corrupt(&self.file, &error.to_string())
            )),
            _ => JournalError::Broken(format!("{doing} in {}: {error}", self.file.display())),
        }
    }
}

impl Journal for Store {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let next = match self.next {
            Some(next) => next,
            None => self.last()? + 1,
        };
        if entry.sequence != next || entry.steps.is_empty() {
            let text = format!(
                "write the journal: entry {} with {} events where event {next} was due",
                entry.sequence,
                entry.steps.len()
            );
            return Err(JournalError::Broken(text));
        }
        let steps = serde_json::to_string(&entry.steps)
            .map_err(|error| JournalError::Broken(format!("write entry {}: {error}", entry.sequence)))?;
        let count = entry.steps.len() as u64;
        let sql =
            "INSERT INTO entries (sequence, steps_count, at, steps, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
        // A statement of its own is a transaction: all of the entry or nothing.
        self.connection
            .prepare_cached(sql)
            .and_then(|mut insert| {
                insert.execute(params![number(next), number(count), entry.at.0, steps, entry.digest])
            })
            .map_err(|error| self.fault("write the journal", &error))?;
        self.next = Some(next + count);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let keep_ms = i64::from(self.keep.days()) * 86_400_000;
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT OR REPLACE INTO snapshots (sequence, digest, state, version) VALUES (?1, ?2, ?3, ?4)",
                params![number(snapshot.sequence), snapshot.digest, snapshot.state, snapshot.version],
            )?;
            transaction.execute(
                "DELETE FROM snapshots WHERE sequence NOT IN \
                 (SELECT sequence FROM snapshots ORDER BY sequence DESC LIMIT ?1)",
                [SNAPSHOTS_KEPT],
            )?;
            // The clock is the journal's own: its newest entry says what "now" is. Only what is old enough
            // goes, and not all at once: a snapshot must not hold up the next entry for long.
            transaction.execute(
                "DELETE FROM entries WHERE sequence IN (SELECT sequence FROM entries ORDER BY sequence LIMIT ?2) \
                 AND sequence + steps_count - 1 <= (SELECT MIN(sequence) FROM snapshots) \
                 AND at < (SELECT at FROM entries ORDER BY sequence DESC LIMIT 1) - ?1",
                [keep_ms, FORGOTTEN_AT_ONCE],
            )?;
            transaction.commit()
        };
        write(&mut self.connection).map_err(|error| self.fault("write a snapshot", &error))
    }

    fn recover(&mut self) -> Result<(Option<Snapshot>, Vec<Entry>), JournalError> {
        let snapshot = self.last_snapshot()?;
        let mut next = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence) + 1;
        let mut entries = Vec::new();
        self.each_entry(next, |entry| {
            if entry.sequence != next {
                return Err(JournalError::Broken(format!(
                    "read the journal: event {next} is missing, event {} follows instead; {}",
                    entry.sequence,
                    open::restore(&self.file)
                )));
            }
            next += entry.steps.len() as u64;
            entries.push(entry);
            Ok(true)
        })?;
        self.next = Some(next);
        Ok((snapshot, entries))
    }
}

fn is_shm_size(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// SQLite's numbers are signed; a count of events never comes near the end of either.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unreadable(sequence: u64, error: &serde_json::Error) -> JournalError {
    JournalError::Broken(format!(
        "read entry {sequence} of the journal: {error}; it was written by another version of seakeeper, run that one"
    ))
}
