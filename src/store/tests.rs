//! Claims about the journal: nothing accepted is lost, nothing damaged is used or overwritten.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::model::Event;

/// A folder of the test's own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("seakeeper-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn open(&self) -> Result<Store, OpenError> {
        Store::open(&self.0, Settings::default())
    }

    fn file(&self) -> PathBuf {
        self.0.join("journal.sqlite3")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An entry of `count` events from event `sequence` on.
fn entry(sequence: u64, count: usize) -> Entry {
    Entry {
        sequence,
        at: Timestamp(1_700_000_000_000 + i64::try_from(sequence).unwrap() * 1_000),
        steps: vec![(Event::Wake, Vec::new()); count],
        digest: format!("{sequence:064x}"),
    }
}

fn snapshot(sequence: u64) -> Snapshot {
    Snapshot { sequence, digest: format!("{sequence:064x}"), state: vec![7; 10], version: 1 }
}

/// A store on disk with entries 1, 2..4 and 5.
fn filled(folder: &Folder) -> Store {
    let mut store = folder.open().unwrap();
    for entry in [entry(1, 1), entry(2, 3), entry(5, 1)] {
        store.append(&entry).unwrap();
    }
    store
}

#[test]
fn what_was_appended_is_recovered_after_reopening() {
    let folder = Folder::new();
    drop(filled(&folder));
    let mut store = folder.open().unwrap();
    assert_eq!(store.recover(), Ok((None, vec![entry(1, 1), entry(2, 3), entry(5, 1)])));
    store.append(&entry(6, 1)).unwrap();
    store.snapshot(&snapshot(5)).unwrap();
    assert_eq!(store.recover(), Ok((Some(snapshot(5)), vec![entry(6, 1)])));
}

#[test]
fn entries_are_written_without_gaps_even_before_recovery() {
    let folder = Folder::new();
    drop(filled(&folder));
    let mut store = folder.open().unwrap();
    for wrong in [entry(5, 1), entry(7, 1), entry(6, 0)] {
        assert!(matches!(store.append(&wrong), Err(JournalError::Broken(_))), "{wrong:?}");
    }
    store.append(&entry(6, 1)).unwrap();
}

#[test]
fn a_gap_is_found_on_recovery() {
    let folder = Folder::new();
    let mut store = filled(&folder);
    store.connection.execute("DELETE FROM entries WHERE sequence = 2", []).unwrap();
    let Err(JournalError::Broken(text)) = store.recover() else { panic!("a gap was accepted") };
    assert!(text.contains("event 2 is missing, event 5 follows instead; stop the daemon, move"), "{text}");
}

#[test]
fn the_last_two_snapshots_are_kept_and_old_entries_before_them_forgotten() {
    let mut store = Store::in_memory().unwrap();
    store.keep().set_days(1);
    for sequence in 1..=4 {
        let day = i64::try_from(sequence).unwrap() * 86_400_000;
        store.append(&Entry { at: Timestamp(day), ..entry(sequence, 1) }).unwrap();
        store.snapshot(&snapshot(sequence)).unwrap();
    }
    let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT MIN(sequence) FROM snapshots"), 3);
    assert_eq!(count("SELECT MIN(sequence) FROM entries"), 3);
    assert_eq!(store.recover().unwrap().0, Some(snapshot(4)));
}

#[test]
fn a_second_daemon_is_kept_out_and_told_whose_folder_it_is() {
    let folder = Folder::new();
    let first = folder.open().unwrap();
    let error = folder.open().err().unwrap().to_string();
    let pid = std::process::id();
    assert!(error.starts_with(&format!("another seakeeper (pid {pid}) uses the state folder")), "{error}");
    drop(first);
    folder.open().unwrap();
}

#[test]
fn a_full_disk_is_said_and_over_when_there_is_room() {
    let folder = Folder::new();
    let mut store = filled(&folder);
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let large = entry(6, 5_000);
    assert_eq!(store.append(&large), Err(JournalError::Full));
    store.connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
    store.append(&large).unwrap();
    assert_eq!(store.recover().unwrap().1.len(), 4);
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let folder = Folder::new();
    let store = filled(&folder);
    store.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let error = folder.open().err().unwrap().to_string();
    assert!(
        error.contains("its format is version 99, this seakeeper knows versions up to 1; run"),
        "{error}"
    );
}

#[test]
fn damaged_files_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    drop(filled(&folder));
    let sound = fs::read(folder.file()).unwrap();
    let mut scrambled = sound.clone();
    scrambled.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x5a);
    let truncated = sound[..sound.len() - 4096].to_vec();
    for (what, bytes) in [
        ("garbage", b"not a database at all, but long enough".to_vec()),
        ("a short header", b"SQLite".to_vec()),
        ("scrambled pages", scrambled),
        ("a truncated file", truncated),
    ] {
        fs::write(folder.file(), &bytes).unwrap();
        let error = folder.open().err();
        assert!(matches!(&error, Some(OpenError::Corrupt { .. })), "{what}: {error:?}");
        assert!(error.unwrap().to_string().contains("aside and put a backup in their place"), "{what}");
        assert_eq!(fs::read(folder.file()).unwrap(), bytes, "{what} was altered");
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = Folder::new();
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let error = folder.open().err().unwrap().to_string();
    assert!(error.contains("tables of another program"), "{error}");
}

#[test]
fn a_database_of_version_1_is_read() {
    let folder = Folder::new();
    let sql = include_str!("../../fixtures/store/version-1.sql");
    Connection::open(folder.file()).unwrap().execute_batch(sql).unwrap();
    let mut store = folder.open().unwrap();
    assert_eq!(store.recover(), Ok((Some(snapshot(1)), vec![entry(2, 2)])));
    assert_eq!(schema::version(&store.connection), Ok(schema::current()));
}

#[test]
fn a_backup_is_a_journal_of_its_own() {
    let folder = Folder::new();
    let store = filled(&folder);
    let copy = Folder::new();
    store.backup(&copy.file()).unwrap();
    assert!(matches!(store.backup(&copy.file()), Err(JournalError::Broken(_))), "a file was overwritten");
    assert_eq!(copy.open().unwrap().recover().unwrap().1.len(), 3);
}

#[test]
fn a_backup_is_made_beside_the_daemon_that_writes() {
    let folder = Folder::new();
    let mut daemon = filled(&folder);
    let copy = Folder::new();
    Store::open_to_read(&folder.0).unwrap().backup(&copy.file()).unwrap();
    daemon.append(&entry(6, 1)).unwrap();
    assert_eq!(copy.open().unwrap().recover().unwrap().1.len(), 3, "what came later is not in it");
}

#[test]
fn a_reader_sees_what_the_daemon_writes_and_writes_nothing() {
    let folder = Folder::new();
    let mut daemon = filled(&folder);
    let mut reader = Store::open_to_read(&folder.0).unwrap();
    daemon.append(&entry(6, 1)).unwrap();
    assert_eq!(reader.recover().unwrap().1.len(), 4);
    assert!(matches!(reader.append(&entry(7, 1)), Err(JournalError::Broken(_))));
    assert!(Store::open_to_read(&Folder::new().0).is_err(), "a folder without a journal was read");
}

#[test]
fn export_begins_with_the_entry_that_holds_the_event() {
    let store = filled(&Folder::new());
    let mut lines = Vec::new();
    store
        .export(3, |line| {
            lines.push(line.to_owned());
            true
        })
        .unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&lines[0]).unwrap(), entry(2, 3));
    assert_eq!(lines.len(), 2);
}
