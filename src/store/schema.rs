//! The tables, as numbered steps from an empty file. A step, once released, is never altered.

use rusqlite::{Connection, Transaction};

/// What each step does; step N leads to version N.
const STEPS: &[&str] = &[
    // 1: `steps_count` stands beside the JSON so that gaps are found and the end is known without
    // reading it.
    "CREATE TABLE entries (
        sequence    INTEGER PRIMARY KEY,
        steps_count INTEGER NOT NULL CHECK (steps_count > 0),
        at          INTEGER NOT NULL,
        steps       TEXT    NOT NULL,
        digest      TEXT    NOT NULL
     ) STRICT;
     CREATE TABLE snapshots (
        sequence INTEGER PRIMARY KEY,
        digest   TEXT    NOT NULL,
        state    BLOB    NOT NULL,
        version  INTEGER NOT NULL
     ) STRICT;",
];

/// The version that this program writes.
pub(super) fn current() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The version of the database, 0 for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes the database from its version to the current one, all in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let from = version(connection)?;
    if from >= current() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    apply(&transaction, from)?;
    transaction.commit()
}

fn apply(transaction: &Transaction<'_>, from: u32) -> rusqlite::Result<()> {
    for (step, sql) in (1..).zip(STEPS) {
        if step > from {
            transaction.execute_batch(sql)?;
        }
    }
    transaction.pragma_update(None, "user_version", current())
}
