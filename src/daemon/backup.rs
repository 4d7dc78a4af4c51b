//! Back-ups of the state, and the way back.
//!
//! A back-up is a folder with what cannot be had again from elsewhere: the journal and the mark of what
//! was read from Gerrit. Git objects are fetched anew and builds are run anew, so they are not in it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::upkeep::HighWater;
use crate::port::Journal as _;
use crate::store::{FILE, Store};

/// Writes a back-up of the state folder `state` as the new folder `to`, beside a daemon that uses the
/// state or without one. It appears whole or not at all.
///
/// # Errors
/// When `to` exists or cannot be written, or the journal cannot be read; with the remedy.
pub fn back_up(state: &Path, to: &Path) -> anyhow::Result<()> {
    refuse_other_users(state)?;
    if fs::symlink_metadata(to).is_ok() {
        bail!("write {}: it exists; name a folder that does not", to.display());
    }
    let fresh = Fresh::make(to)?;
    // The mark first: what was read after it is at worst read once more.
    copy(&state.join(HighWater::FILE), &fresh.0.join(HighWater::FILE))?;
    let journal = fresh.0.join(FILE);
    let store = Store::open_to_read(state)?;
    store.backup(&journal).map_err(|error| anyhow!("{error}"))?;
    fs::set_permissions(&journal, Permissions::from_mode(0o600)).context("make the copy private")?;
    check(&fresh.0).context("read the copy back")?;
    fresh.rename(to)
}

/// Makes the state folder `state` from the back-up `from`.
///
/// # Errors
/// When `from` is no back-up, or there is something in `state`; with the remedy.
pub fn restore(from: &Path, state: &Path) -> anyhow::Result<()> {
    check(from)?;
    let mut entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return restore_into(from, state),
        Err(error) => return Err(error).with_context(|| format!("read {}", state.display())),
    };
    if entries.next().is_some() {
        // Builds and nodes begun after the back-up have numbers that are given once more.
        bail!(
            "make the state folder {} from a back-up: there is something in it; stop the daemon and move the folder aside as a whole",
            state.display()
        );
    }
    fs::remove_dir(state).with_context(|| format!("replace the empty folder {}", state.display()))?;
    restore_into(from, state)
}

fn restore_into(from: &Path, state: &Path) -> anyhow::Result<()> {
    let fresh = Fresh::make(state)?;
    for name in [HighWater::FILE, FILE] {
        copy(&from.join(name), &fresh.0.join(name))?;
    }
    check(&fresh.0)?;
    fresh.rename(state)
}

/// Someone else, as root, would leave files that the daemon cannot write.
fn refuse_other_users(state: &Path) -> anyhow::Result<()> {
    let journal = state.join(FILE);
    let owner = fs::metadata(&journal).map_err(|error| {
        anyhow!("read {}: {error}; is that the daemon's state folder?", journal.display())
    })?;
    if owner.uid() != rustix::process::geteuid().as_raw() {
        bail!(
            "back up the state of another user: run this as the user that the daemon runs as, for example with sudo -u '#{}'",
            owner.uid()
        );
    }
    Ok(())
}

/// A journal that can be read from its beginning to its end.
fn check(folder: &Path) -> anyhow::Result<()> {
    Store::open_to_read(folder)?.recover().map_err(|error| anyhow!("{error}"))?;
    // Nothing was written: what SQLite made for reading is of no more use.
    for suffix in ["-wal", "-shm"] {
        let left = folder.join(format!("{FILE}{suffix}"));
        if fs::metadata(&left).is_ok_and(|found| suffix == "-shm" || found.len() == 0) {
            fs::remove_file(&left).with_context(|| format!("remove {}", left.display()))?;
        }
    }
    Ok(())
}

/// Copies a file to its disk, private; one that is not there is no loss.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", from.display())),
    };
    let mut write = || {
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut copy)?;
        copy.sync_all()
    };
    write().with_context(|| format!("write {}", to.display()))
}

/// A folder in the making, beside the place that it is for; gone unless it gets there.
struct Fresh(PathBuf);

impl Fresh {
    fn make(place: &Path) -> anyhow::Result<Self> {
        let Some(name) = place.file_name() else { bail!("write {}: give it a name", place.display()) };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let path = place.with_file_name(hidden);
        DirBuilder::new().mode(0o700).create(&path).with_context(|| {
            format!("make a folder beside {}: it must be in one where this user may write", place.display())
        })?;
        Ok(Self(path))
    }

    fn rename(self, place: &Path) -> anyhow::Result<()> {
        let finish = || {
            File::open(&self.0)?.sync_all()?;
            // A folder that somebody has filled meanwhile is not replaced.
            fs::rename(&self.0, place)?;
            let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().with_context(|| format!("write {}", place.display()))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // It is not there when it got to its place; else what is left of it is in the way of nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Opened};
    use crate::model::{Event, Pair, Sha, Timestamp};
    use crate::store::Settings;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("seakeeper-backup-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn open(state: &Path) -> Engine<Store> {
        let store = Store::open(state, Settings::default()).unwrap();
        let Opened { engine, .. } = Engine::open(store, Timestamp(1)).unwrap();
        engine
    }

    fn see(engine: &mut Engine<Store>, commit: u8) {
        let event = Event::TipSeen { pair: Pair::new("core", "main"), commit: Some(Sha([commit; 20])) };
        engine.accept(Timestamp(1), vec![event]).unwrap();
    }

    fn modes(folder: &Path) -> Vec<(String, u32)> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let named = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), mode(&entry.path()));
        let mut modes: Vec<_> = entries.map(named).chain([(".".to_owned(), mode(folder))]).collect();
        modes.sort();
        modes
    }

    #[test]
    fn a_daemon_started_from_a_back_up_goes_on_where_it_was_made() {
        let folder = Folder::new("whole");
        let (state, copy, other) = (folder.0.join("state"), folder.0.join("copy"), folder.0.join("other"));
        let mut engine = open(&state);
        see(&mut engine, 1);
        HighWater::of(&state).write(Timestamp(7_000));
        back_up(&state, &copy).unwrap();
        let then = engine.queue().digest();
        see(&mut engine, 2);
        let now = engine.queue().digest();
        assert_ne!(then, now);
        restore(&copy, &other).unwrap();
        let mut restored = open(&other);
        assert_eq!(restored.queue().digest(), then);
        assert_eq!(HighWater::of(&other).read(), Timestamp(7_000));
        see(&mut restored, 2);
        assert_eq!(restored.queue().digest(), now, "it goes on as the other did");
    }

    #[test]
    fn a_back_up_is_private_whole_and_nothing_else() {
        let folder = Folder::new("private");
        let (state, copy) = (folder.0.join("state"), folder.0.join("copy"));
        let mut engine = open(&state);
        see(&mut engine, 1);
        HighWater::of(&state).write(Timestamp(7_000));
        fs::create_dir(state.join("builds")).unwrap();
        back_up(&state, &copy).unwrap();
        let expected = [(".", 0o700), ("high-water", 0o600), ("journal.sqlite3", 0o600)];
        assert_eq!(modes(&copy), expected.map(|(name, mode)| (name.to_owned(), mode)));
        let around: Vec<_> =
            fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(around.len(), 2, "{around:?}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = Folder::new("over");
        let (state, copy) = (folder.0.join("state"), folder.0.join("copy"));
        let mut engine = open(&state);
        see(&mut engine, 1);
        back_up(&state, &copy).unwrap();
        let again = back_up(&state, &copy).unwrap_err().to_string();
        assert!(again.contains("it exists; name a folder that does not"), "{again}");
        let over = restore(&copy, &state).unwrap_err().to_string();
        assert!(over.contains("move the folder aside as a whole"), "{over}");
        assert!(restore(&folder.0, &folder.0.join("new")).is_err(), "a folder that is no back-up was used");
        assert!(back_up(&folder.0, &folder.0.join("new")).is_err(), "a folder that is no state was copied");
        assert!(!folder.0.join("new").exists());
    }
}
