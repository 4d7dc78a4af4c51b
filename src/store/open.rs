//! Opening the database: what can be wrong with it is found here, before anything is built on it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};

use super::lock::{self, Lock, LockError};
use super::schema;

/// The journal's file in the state folder.
pub const FILE: &str = "journal.sqlite3";

/// The lock's file in the state folder.
const LOCK: &str = "lock";

/// What SQLite's files begin with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// How long another reader, for example a person's `sqlite3`, is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Why the journal cannot be opened, each with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or used.
    #[error("use the state folder {folder}: {why}; check that it exists and the daemon may write there")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's words.
        why: String,
    },
    /// A second daemon.
    #[error(
        "another seakeeper ({holder}) uses the state folder {folder}; stop it first, or use another folder"
    )]
    Locked {
        /// The folder.
        folder: String,
        /// The other process, as far as known.
        holder: String,
    },
    /// A file from the future.
    #[error(
        "open {file}: its format is version {found}, this seakeeper knows versions up to {known}; run the newer seakeeper that wrote it, or restore a copy from before the upgrade"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file that only the daemon may bring up to date.
    #[error(
        "open {file}: its format is version {found}, {known} is needed; start the daemon once to bring it up to date"
    )]
    Older {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file that is damaged or none of ours.
    #[error("open {file}: it is damaged or no journal ({why}); {remedy}")]
    Corrupt {
        /// The file.
        file: String,
        /// What was found.
        why: String,
        /// How to go on.
        remedy: String,
    },
    /// Anything else that SQLite says.
    #[error("open {file}: {why}; check the volume and who may write there")]
    Database {
        /// The file.
        file: String,
        /// SQLite's words.
        why: String,
    },
}

impl OpenError {
    pub(super) fn corrupt(file: &Path, why: &str) -> Self {
        Self::Corrupt { file: file.display().to_string(), why: why.to_owned(), remedy: restore(file) }
    }

    pub(super) fn database(file: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error().map(|error| error.extended_code & 0xff) {
            Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => Self::corrupt(file, &error.to_string()),
            _ => Self::Database { file: file.display().to_string(), why: error.to_string() },
        }
    }
}

/// What to do about a damaged journal.
pub(super) fn restore(file: &Path) -> String {
    let name = file.display();
    format!(
        "stop the daemon, move {name} and its -wal and -shm files aside and put a backup in their place; without one it starts afresh and reads open changes from the review host, but forgets verdicts and pushes under way"
    )
}

/// Opens the journal of `folder`; everything that can be checked has been when it returns.
pub(super) fn open_folder(folder: &Path) -> Result<(Connection, PathBuf, Lock), OpenError> {
    let unusable = |error: std::io::Error| OpenError::Folder {
        folder: folder.display().to_string(),
        why: error.to_string(),
    };
    fs::create_dir_all(folder).map_err(unusable)?;
    let lock = lock::take(&folder.join(LOCK)).map_err(|error| match error {
        LockError::Io(error) => unusable(error),
        LockError::Held(pid) => OpenError::Locked {
            folder: folder.display().to_string(),
            holder: pid.map_or_else(|| "of unknown number".to_owned(), |pid| format!("pid {pid}")),
        },
    })?;
    let file = folder.join(FILE);
    refuse_strangers(&file)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(&file, flags).map_err(|error| OpenError::database(&file, &error))?;
    prepare(&mut connection, &file)?;
    Ok((connection, file, lock))
}

/// Opens the journal of `folder` without the right to write and without the lock.
pub(super) fn open_reader(folder: &Path) -> Result<(Connection, PathBuf), OpenError> {
    let file = folder.join(FILE);
    refuse_strangers(&file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let fault = |error: rusqlite::Error| OpenError::database(&file, &error);
    let connection = Connection::open_with_flags(&file, flags).map_err(fault)?;
    connection.busy_timeout(BUSY).map_err(fault)?;
    let found = refuse_newer(&connection, &file)?;
    if found < schema::current() {
        return Err(OpenError::Older { file: file.display().to_string(), found, known: schema::current() });
    }
    Ok((connection, file))
}

/// The version of the database, which is not one of the future.
fn refuse_newer(connection: &Connection, file: &Path) -> Result<u32, OpenError> {
    let found = schema::version(connection).map_err(|error| OpenError::database(file, &error))?;
    if found > schema::current() {
        return Err(OpenError::Newer { file: file.display().to_string(), found, known: schema::current() });
    }
    Ok(found)
}

/// SQLite takes an empty file for a new database and may write to one that it then finds wanting: so
/// the header is looked at first.
fn refuse_strangers(file: &Path) -> Result<(), OpenError> {
    let Ok(open) = fs::File::open(file) else { return Ok(()) };
    let mut head = Vec::new();
    let read = open.take(MAGIC.len() as u64).read_to_end(&mut head);
    match read {
        Ok(_) if head == MAGIC => Ok(()),
        Ok(0) if !has_log(file) => Ok(()),
        Ok(0) => Err(OpenError::corrupt(file, "it is empty, but its log is not")),
        Ok(_) => Err(OpenError::corrupt(file, "it does not begin as a SQLite database does")),
        Err(error) => Err(OpenError::Database { file: file.display().to_string(), why: error.to_string() }),
    }
}

fn has_log(file: &Path) -> bool {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    fs::metadata(name).is_ok_and(|found| found.len() > 0)
}

/// Checks the database, sets it up for durable writes and brings it to the current version.
pub(super) fn prepare(connection: &mut Connection, file: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::database(file, &error);
    connection.busy_timeout(BUSY).map_err(fault)?;
    let found = refuse_newer(connection, file)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fault)?;
    if check != "ok" {
        return Err(OpenError::corrupt(file, &check));
    }
    let tables: i64 =
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    if found == 0 && tables > 0 {
        return Err(OpenError::corrupt(file, "it has tables of another program"));
    }
    // The mode cannot be had in memory; SQLite answers with the mode that it uses instead.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    schema::migrate(connection).map_err(fault)
}
