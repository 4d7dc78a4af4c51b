//! The files by which the daemon and a build's shim speak to each other, in the build's folder:
//! `order` (what to do), `started` and `ended` (what happened). Each is written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{BuildId, BuildSpec, JobName, ResolvedInput, Verdict};

/// What is kept free for `ended`, so that a full disk cannot eat a verdict.
const ENDED_BYTES: usize = 4096;
/// Longest text of a verdict, in bytes; must fit in `ENDED_BYTES` even when each is escaped.
const WHY_BYTES: usize = 600;

/// All that the shim needs to know.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub build: BuildId,
    pub job: JobName,
    pub spec: BuildSpec,
    pub inputs: Vec<ResolvedInput>,
    /// One bare repository per input.
    pub stores: Vec<PathBuf>,
    pub log: PathBuf,
    pub confinement: Confinement,
    pub max_output_bytes: u64,
}

/// How a build is kept apart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Confinement {
    /// Whether bubblewrap is done without.
    pub unconfined: bool,
    /// Whether the build shares the machine's network.
    pub network: bool,
    /// Folders shown read-only beside the system's.
    pub visible: Vec<PathBuf>,
    /// Folders that stay out of sight even below visible ones.
    pub hidden: Vec<PathBuf>,
}

/// That the shim runs.
#[derive(Serialize, Deserialize)]
pub struct Started {
    pub pid: u32,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// How the build ended; nothing of it was left running then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub verdict: Verdict,
    pub duration_ms: i64,
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Writes `value` as `folder/name`, whole or not at all.
///
/// # Errors
/// Whatever the file system says.
pub fn write(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, serde_json::to_vec(value)?)?;
    fs::rename(new, folder.join(name))
}

/// Reads `folder/name`; `None` when there is none or it is damaged.
pub fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(folder.join(name)).ok()?).ok()
}

/// Takes the room for `ended` before the build can fill the disk.
///
/// # Errors
/// Whatever the file system says.
pub fn reserve_end(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("ended.new"), [b' '; ENDED_BYTES])
}

/// Records the end durably, in the room that [`reserve_end`] took if it did.
///
/// # Errors
/// Whatever the file system says.
pub fn write_end(folder: &Path, mut ended: Ended) -> io::Result<()> {
    if let Verdict::Fail { why } | Verdict::NoVerdict { why } = &mut ended.verdict {
        *why = shorten(why).into();
    }
    let mut text = serde_json::to_vec(&ended)?;
    text.resize(text.len().max(ENDED_BYTES), b' ');
    let new = folder.join("ended.new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    fs::rename(new, folder.join("ended"))?;
    File::open(folder)?.sync_all()
}

fn shorten(text: &str) -> &str {
    let mut end = text.len().min(WHY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_end_fits_in_the_room_reserved() {
        let why = "\u{1}".repeat(WHY_BYTES * 2);
        let ended = Ended { verdict: Verdict::Fail { why: shorten(&why).into() }, duration_ms: i64::MIN };
        assert!(serde_json::to_vec(&ended).is_ok_and(|text| text.len() <= ENDED_BYTES));
    }
}
