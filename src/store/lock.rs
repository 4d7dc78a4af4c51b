//! One daemon per state folder: a lock that the kernel gives up when its holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

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

/// How long the lock of a holder that is dead is waited for. A child that it was just starting shares the
/// lock until it runs its own program, which takes a while on a crowded machine.
const LEFT_BEHIND: Duration = Duration::from_secs(10);
/// Pause between two attempts meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock at `path` and writes this process's number there for people to read.
pub(super) fn take(path: &Path) -> Result<Lock, LockError> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                if holder.is_none_or(lives) || began.elapsed() > LEFT_BEHIND {
                    return Err(LockError::Held(holder));
                }
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    // The number is a courtesy; on a full disk the lock holds without it.
    let _ =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

/// The number that the holder wrote, if it can be read.
fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn lives(holder: u32) -> bool {
    let pid = i32::try_from(holder).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("seakeeper-lock-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_a_dead_holder_has_left_behind_is_waited_for() {
        let path = folder("dead").join("lock");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        std::fs::write(&path, format!("{dead}\n")).unwrap();
        let waiting = path.clone();
        let taker = std::thread::spawn(move || take(&waiting).is_ok());
        drop(held);
        assert!(taker.join().unwrap());
    }

    #[test]
    fn a_living_holder_is_named_at_once() {
        let path = folder("living").join("lock");
        let held = take(&path).ok();
        assert!(held.is_some());
        assert!(matches!(take(&path), Err(LockError::Held(Some(holder))) if holder == std::process::id()));
    }
}
