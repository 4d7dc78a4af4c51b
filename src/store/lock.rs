//! One daemon per state folder: a lock that the kernel gives up when its holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

/// The lock, held until it is dropped.
pub(super) struct Lock {
    _file: File,
}

/// Why the lock was not to be had.
pub(super) enum LockError {
    /// Another process holds it; its number, if it could be read.
    Held(Option<u32>),
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes the lock at `path` and writes this process's number there for people to read.
pub(super) fn take(path: &Path) -> Result<Lock, LockError> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(32).read_to_string(&mut text);
            return Err(LockError::Held(read.ok().and_then(|_| text.trim().parse().ok())));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // The number is a courtesy; on a full disk the lock holds without it.
    let _ =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}
